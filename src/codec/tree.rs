//! Trees and subtrees (`storage-format.md` §3).

use super::{DecodeError, Reader, Writer};
use crate::values::{BlobId, Entry, Name, Subtree, Target, Totals, Tree, TreeId};

/// The largest encoding of a tree, in bytes. A larger directory is refused at commit.
pub const MAX_TREE_BYTES: usize = 64 << 20;

const FORMAT: u8 = 1;
const FILE: u8 = 0;
const EXECUTABLE: u8 = 1;
const SYMLINK: u8 = 2;
const DIRECTORY: u8 = 3;

/// The canonical bytes of a tree.
pub fn encode_tree(tree: &Tree) -> Vec<u8> {
    let mut writer = Writer::with_capacity(5 + tree.entries().len() * 64);
    write_tree(&mut writer, tree);
    writer.finish()
}

/// Writes a tree where it stands inside something else.
pub fn write_tree(writer: &mut Writer, tree: &Tree) {
    writer.put(FORMAT);
    writer.count::<u32>(tree.entries().len());
    for (name, entry) in tree.entries() {
        writer.short::<u8>(name.as_bytes());
        match entry {
            Entry::File { id, executable, size } => {
                writer.put((if *executable { EXECUTABLE } else { FILE }, *id.as_bytes(), *size));
            }
            Entry::Symlink(target) => {
                writer.put(SYMLINK);
                writer.short::<u16>(target.as_bytes());
            }
            Entry::Tree(subtree) => {
                writer.put(DIRECTORY);
                write_subtree(writer, subtree);
            }
        }
    }
}

/// The tree of these canonical bytes.
pub fn decode_tree(bytes: &[u8]) -> Result<Tree, DecodeError> {
    if bytes.len() > MAX_TREE_BYTES {
        return Err(DecodeError::TooLarge { what: "a tree", size: bytes.len(), limit: MAX_TREE_BYTES });
    }
    let mut reader = Reader::new("a tree", bytes);
    let tree = read_tree(&mut reader)?;
    reader.finish()?;
    Ok(tree)
}

/// Reads a tree where it stands inside something else.
pub fn read_tree(reader: &mut Reader<'_>) -> Result<Tree, DecodeError> {
    let format: u8 = reader.take()?;
    if format != FORMAT {
        return Err(DecodeError::Format { what: reader.what(), found: format });
    }
    let mut entries = Vec::new();
    for _ in 0..reader.count::<u32>()? {
        let name = Name::new(reader.short::<u8>()?)?;
        entries.push((name, read_entry(reader)?));
    }
    Ok(Tree::from_sorted(entries)?)
}

fn read_entry(reader: &mut Reader<'_>) -> Result<Entry, DecodeError> {
    match reader.take()? {
        kind @ (FILE | EXECUTABLE) => {
            let (id, size) = reader.take()?;
            Ok(Entry::File { id: BlobId::from_bytes(id), executable: kind == EXECUTABLE, size })
        }
        SYMLINK => Ok(Entry::Symlink(Target::new(reader.short::<u16>()?)?)),
        DIRECTORY => Ok(Entry::Tree(read_subtree(reader)?)),
        tag => Err(DecodeError::Tag { what: reader.what(), tag }),
    }
}

pub(super) fn write_subtree(writer: &mut Writer, subtree: &Subtree) {
    let Totals { files, links, bytes } = subtree.totals;
    writer.put((*subtree.id.as_bytes(), files, links, bytes));
}

pub(super) fn read_subtree(reader: &mut Reader<'_>) -> Result<Subtree, DecodeError> {
    let (id, files, links, bytes) = reader.take()?;
    Ok(Subtree { id: TreeId::from_bytes(id), totals: Totals { files, links, bytes } })
}
