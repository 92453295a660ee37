//! Commits (`storage-format.md` §4).

use super::tree::{read_subtree, write_subtree};
use super::{DecodeError, Reader, Writer};
use crate::values::{Author, Commit, CommitId, TreePath};

const FORMAT: u8 = 1;

/// The canonical bytes of a commit, which must have passed [`Commit::check`].
pub fn encode_commit(commit: &Commit) -> Vec<u8> {
    let mut writer = Writer::with_capacity(256 + commit.message.len());
    writer.put(FORMAT);
    writer.short::<u8>(commit.repo.as_str().as_bytes());
    writer.short::<u16>(commit.environments_dir.as_bytes());
    write_subtree(&mut writer, &commit.root);
    match &commit.parent {
        Some(parent) => writer.put((1u8, *parent.as_bytes())),
        None => writer.put(0u8),
    }
    writer.put((commit.sequence, commit.time));
    writer.short::<u16>(commit.author.name.as_bytes());
    writer.short::<u16>(commit.author.email.as_bytes());
    writer.short::<u32>(commit.message.as_bytes());
    writer.finish()
}

/// The commit of these canonical bytes.
pub fn decode_commit(bytes: &[u8]) -> Result<Commit, DecodeError> {
    let mut reader = Reader::new("a commit", bytes);
    let format: u8 = reader.take()?;
    if format != FORMAT {
        return Err(DecodeError::Format { what: "a commit", found: format });
    }
    let repo = reader.text::<u8>("a repo name")?.parse()?;
    let environments_dir = TreePath::new(reader.short::<u16>()?)?;
    let root = read_subtree(&mut reader)?;
    let parent = match reader.take()? {
        0u8 => None,
        1 => Some(CommitId::from_bytes(reader.take()?)),
        tag => return Err(DecodeError::Tag { what: "a commit", tag }),
    };
    let (sequence, time) = reader.take()?;
    let author = Author {
        name: reader.text::<u16>("an author's name")?.to_owned(),
        email: reader.text::<u16>("an author's e-mail")?.to_owned(),
    };
    let message = reader.text::<u32>("a message")?.to_owned();
    reader.finish()?;
    let commit = Commit { repo, environments_dir, root, parent, sequence, time, author, message };
    commit.check()?;
    Ok(commit)
}
