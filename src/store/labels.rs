//! Small records about repos and clients: tags, reports, staging directories, failed commits.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use rocksdb::WriteBatch;

use super::family::{Family, Key, repo_key};
use super::read::{self, ReadStore};
use super::write::Sync;
use super::{Store, StoreError};
use crate::codec::DecodeError;
use crate::values::{CommitId, RepoName, TagName};

const STAGING: &[u8] = b"staging\0";
const FAILED: &[u8] = b"failed-commit\0";
const LOST_HEAD: &[u8] = b"lost-head\0";
const SCRUB: &[u8] = b"scrub";

impl Store {
    /// Gives a commit of `repo` a name, which is taken from the commit that had it. GC keeps a commit that has one.
    pub fn set_tag(&self, repo: &RepoName, tag: &TagName, commit: &CommitId) -> Result<(), StoreError> {
        // Between the look and the write GC must not take the commit.
        let _naming = self.naming.lock().unwrap_or_else(PoisonError::into_inner);
        match self.commit(commit)? {
            Some(found) if found.repo == *repo => {}
            _ => return Err(StoreError::NoSuchCommit(*commit)),
        }
        let mut batch = WriteBatch::default();
        let key = repo_key(repo, tag.as_str().as_bytes());
        batch.put_cf(Family::Tags.handle(&self.db), key, commit.as_bytes());
        self.write(Family::Tags, batch, Sync::Now)
    }

    /// Takes a name away; answers whether there was one.
    pub fn remove_tag(&self, repo: &RepoName, tag: &TagName) -> Result<bool, StoreError> {
        let _naming = self.naming.lock().unwrap_or_else(PoisonError::into_inner);
        let key = repo_key(repo, tag.as_str().as_bytes());
        let there = read::record(self, Family::Tags, &key)?.is_some();
        let mut batch = WriteBatch::default();
        batch.delete_cf(Family::Tags.handle(&self.db), key);
        self.write(Family::Tags, batch, Sync::Now)?;
        Ok(there)
    }

    /// The tags of a repo, by name.
    pub fn tags(&self, repo: &RepoName) -> Result<Vec<(TagName, CommitId)>, StoreError> {
        let prefix = repo_key(repo, b"");
        let mut tags = Vec::new();
        read::each(self, Family::Tags, &prefix, |key, value| {
            let tag = decode_tag(&key[prefix.len()..]).and_then(|tag| Ok((tag, read::decode_commit_id(value)?)));
            tags.push(tag.map_err(|error| StoreError::damaged(Family::Tags, key, error))?);
            Ok(())
        })?;
        Ok(tags)
    }

    /// The commit of `repo` that has this name.
    pub fn tag(&self, repo: &RepoName, tag: &TagName) -> Result<Option<CommitId>, StoreError> {
        read::decoded(self, Family::Tags, &repo_key(repo, tag.as_str().as_bytes()), read::decode_commit_id)
    }

    /// Removes the record with this key, as [`Key`] shows it, among objects of this family, where the key is no id.
    pub fn remove_foreign(&self, family: &str, key: &str) -> Result<(), StoreError> {
        let objects = [Family::Blobs, Family::Trees, Family::Commits];
        let Some(family) = objects.into_iter().find(|known| known.name() == family) else { return Ok(()) };
        let mut batch = WriteBatch::default();
        self.each_record(family, &mut |found, _| {
            if found.len() != 32 && Key::new(family, found).to_string() == key {
                batch.delete_cf(family.handle(&self.db), found);
            }
            Ok(())
        })?;
        self.write(family, batch, Sync::Now)
    }

    /// Notes a client's last report, as JSON. Not synced: the next report brings it again.
    pub fn put_client(&self, name: &str, report: &[u8]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        batch.put_cf(Family::Clients.handle(&self.db), name, report);
        self.write(Family::Clients, batch, Sync::Later)
    }

    /// The last report of every client, by name.
    pub fn clients(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let mut clients = Vec::new();
        read::each(self, Family::Clients, b"", |key, value| {
            let name = std::str::from_utf8(key)
                .map_err(|_| StoreError::damaged(Family::Clients, key, DecodeError::NotUtf8("a client's name")))?;
            clients.push((name.to_owned(), value.to_vec()));
            Ok(())
        })?;
        Ok(clients)
    }

    /// Notes where a repo's staging directory is, for a repair without a daemon.
    pub fn set_staging(&self, repo: &RepoName, path: &Path) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        let key = [STAGING, repo.as_str().as_bytes()].concat();
        batch.put_cf(Family::Meta.handle(&self.db), key, path.as_os_str().as_bytes());
        self.write(Family::Meta, batch, Sync::Later)
    }

    /// Notes that the last commit of a repo failed, as JSON, or that it did not. Not synced: losing it costs a look at the log.
    pub fn set_failed_commit(&self, repo: &RepoName, failed: Option<&[u8]>) -> Result<(), StoreError> {
        let (mut batch, key) = (WriteBatch::default(), [FAILED, repo.as_str().as_bytes()].concat());
        match failed {
            Some(failed) => batch.put_cf(Family::Meta.handle(&self.db), key, failed),
            None => batch.delete_cf(Family::Meta.handle(&self.db), key),
        }
        self.write(Family::Meta, batch, Sync::Later)
    }

    /// The last commit of a repo, where it failed.
    pub fn failed_commit(&self, repo: &RepoName) -> Result<Option<Vec<u8>>, StoreError> {
        let key = [FAILED, repo.as_str().as_bytes()].concat();
        Ok(read::record(self, Family::Meta, &key)?.map(|record| record.to_vec()))
    }

    /// Makes `survivor` the head of a repo whose head was lost (`lost`, where that is known), and notes that nobody should be told of it as
    /// the newest: the next commit follows it, and ends that.
    pub fn set_survivor(
        &self,
        repo: &RepoName,
        survivor: Option<&CommitId>,
        lost: Option<&CommitId>,
    ) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        let heads = Family::Heads.handle(&self.db);
        match survivor {
            Some(survivor) => batch.put_cf(heads, repo.as_str(), survivor.as_bytes()),
            None => batch.delete_cf(heads, repo.as_str()),
        }
        let lost = lost.map_or(&[][..], |lost| lost.as_bytes());
        batch.put_cf(Family::Meta.handle(&self.db), lost_head_key(repo), lost);
        self.write(Family::Heads, batch, Sync::Now)
    }

    /// Notes how far the scrub is. Synced: it comes once for each part, and says what is left of damage.
    pub fn set_scrub_note(&self, note: &[u8]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        batch.put_cf(Family::Meta.handle(&self.db), SCRUB, note);
        self.write(Family::Meta, batch, Sync::Now)
    }

    /// How far the scrub is, as it was noted last.
    pub fn scrub_note(&self) -> Result<Option<Vec<u8>>, StoreError> {
        match read::record(self, Family::Meta, SCRUB) {
            Ok(note) => Ok(note.map(|note| note.to_vec())),
            // A note that is lost begins the scrub anew; it must not keep the primary from starting.
            Err(StoreError::Damaged { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where each repo's staging directory was when it was last served.
    pub fn staging_dirs(&self) -> Result<Vec<(RepoName, PathBuf)>, StoreError> {
        let mut dirs = Vec::new();
        read::each(self, Family::Meta, STAGING, |key, value| {
            let repo = read::decode_repo(&key[STAGING.len()..])
                .map_err(|error| StoreError::damaged(Family::Meta, key, error))?;
            dirs.push((repo, PathBuf::from(OsString::from_vec(value.to_vec()))));
            Ok(())
        })?;
        Ok(dirs)
    }
}

/// Where it is noted that a repo's head was lost.
pub(super) fn lost_head_key(repo: &RepoName) -> Vec<u8> {
    [LOST_HEAD, repo.as_str().as_bytes()].concat()
}

/// The repos whose head was lost with a damaged database, and not replaced by a commit since; with what it was, where that is known.
pub fn lost_heads<S: ReadStore>(store: &S) -> Result<Vec<(RepoName, Option<CommitId>)>, StoreError> {
    let mut lost = Vec::new();
    read::each(store, Family::Meta, LOST_HEAD, |key, value| {
        let repo = read::decode_repo(&key[LOST_HEAD.len()..]);
        let repo = repo.map_err(|error| StoreError::damaged(Family::Meta, key, error))?;
        lost.push((repo, read::decode_commit_id(value).ok()));
        Ok(())
    })?;
    Ok(lost)
}

fn decode_tag(bytes: &[u8]) -> Result<TagName, DecodeError> {
    let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8("a tag"))?;
    Ok(text.parse()?)
}
