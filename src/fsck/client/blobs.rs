//! Blob files: whether they are there, and whether bytes, mode and time are those that their names give them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use rayon::prelude::*;

use super::objects::Needs;
use super::pieces::Retired;
use super::{Check, FsckError, file, place};
use crate::disk::{self, Dir, DiskError, Kind, Stat};
use crate::farm::{BlobKey, BlobRecord, blob_mtime};
use crate::findings::{ClientFinding, Holder};
use crate::values::{BlobId, Hasher, Name, TreePath};

/// How much is read at once, in bytes.
const BUFFER: usize = 256 << 10;

/// The blob files that are there and vouched for, as they look.
pub(super) type Present = BTreeMap<BlobKey, Stat>;

impl Check<'_> {
    /// Looks which blob files are there, without reading them.
    pub(super) fn look_at_blob_files(&self, needs: &Needs) -> Result<Present, FsckError> {
        let blobs = self.dir.open_dir("blobs")?;
        self.place_mode(blobs.stat_self()?.mode, 0o700, place(&["blobs"]));
        let mut shards = Vec::new();
        for shard in blobs.list()? {
            match blobs.stat(&shard.name)?.kind {
                Kind::Dir if self.part.has_shard(shard.name.as_bytes()) => shards.push(shard.name),
                Kind::Dir => {}
                _ => self.foreign(&blobs, &shard.name, place(&["blobs"]).join(&shard.name))?,
            }
        }
        let looked = shards.par_iter().map(|shard| self.look_at_shard(&blobs, shard, needs));
        let present: Present = looked.try_reduce(Present::new, |mut a, b| {
            a.extend(b);
            Ok(a)
        })?;
        let wanted = self.survey.blobs.keys().filter(|key| self.part.holds(key.id.as_bytes()));
        for key in wanted.filter(|key| !present.contains_key(key)) {
            self.find(ClientFinding::BlobFileMissing { file: file(*key) });
        }
        Ok(present)
    }

    fn look_at_shard(&self, blobs: &Dir, shard: &Name, needs: &Needs) -> Result<Present, FsckError> {
        let (dir, path) = (blobs.open_dir(shard)?, place(&["blobs"]).join(shard));
        let mode = dir.stat_self()?.mode;
        let mut present = Present::new();
        for listed in dir.list()? {
            let key =
                BlobKey::parse(listed.name.as_bytes()).filter(|key| key.dir_name().as_bytes() == shard.as_bytes());
            match key {
                Some(key) if self.survey.blobs.contains_key(&key) => {
                    // Gone again between the two looks: the daemon replaced it.
                    if let Some(stat) = dir.stat_if_there(&listed.name)? {
                        present.insert(key, stat);
                    }
                }
                // Its record is what is missing.
                Some(key) if needs.contains(&key) || self.survey.is_partial("blobs") => {}
                _ => self.foreign(&dir, &listed.name, path.join(&listed.name))?,
            }
        }
        self.place_mode(mode, 0o700, path);
        self.go_on()?;
        Ok(present)
    }

    /// Reads and hashes every blob file. Gives their number.
    pub(super) fn hash_blob_files(&self, present: &Present) -> Result<u64, FsckError> {
        let mut shards: BTreeMap<String, Vec<(BlobKey, &Stat)>> = BTreeMap::new();
        for (key, stat) in present {
            shards.entry(key.dir_name()).or_default().push((*key, stat));
        }
        let blobs = self.dir.open_dir("blobs")?;
        shards.par_iter().try_for_each_init(
            || vec![0; BUFFER],
            |buffer, (shard, files)| {
                let dir = blobs.open_dir(shard.as_str())?;
                files.iter().try_for_each(|(key, stat)| self.hash_blob_file(&dir, *key, stat, buffer))
            },
        )?;
        Ok(present.len() as u64)
    }

    fn hash_blob_file(&self, dir: &Dir, key: BlobKey, stat: &Stat, buffer: &mut [u8]) -> Result<(), FsckError> {
        self.go_on()?;
        let Some(record) = self.survey.blobs.get(&key) else { return Ok(()) };
        let name = key.file_name();
        let found = match stat.kind {
            Kind::File => match dir.open_file(name.as_str()) {
                Ok(file) => {
                    if !self.part.is_all() {
                        // What is read again and again in the background should be what the disk has.
                        disk::forget_cached(&file);
                    }
                    Some(self.hash(file, &dir.path_of(name.as_str()), buffer)?)
                }
                // The daemon renames new files over old ones, so that only another's hand removes one.
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error.into()),
            },
            _ => None,
        };
        self.progress.advance(1, 0);
        if found == Some(key.id) {
            self.compare_blob_file(key, record, stat);
        } else {
            self.find(ClientFinding::BlobFileDamaged { file: file(key) });
        }
        Ok(())
    }

    fn compare_blob_file(&self, key: BlobKey, record: &BlobRecord, stat: &Stat) {
        let file = file(key);
        if record.inodes.last() != Some(&stat.inode) {
            // A live daemon may have fetched it anew.
            if !self.since.explains(stat) {
                self.find(ClientFinding::BlobFileReplaced { file });
            }
            return;
        }
        if record.size != stat.size {
            self.find(ClientFinding::IndexBlobSize { file });
        }
        let wanted = key.mode(self.file_mode());
        if stat.mode != wanted {
            self.find(ClientFinding::BlobFileMode { file, found: stat.mode, wanted });
        }
        if stat.mtime != blob_mtime(&key.id) {
            self.find(ClientFinding::BlobFileTime { file });
        }
    }

    /// Reads and hashes inodes that only trees have.
    pub(super) fn hash_retired(&self, retired: Vec<Retired>) -> Result<(), FsckError> {
        let mut buffer = vec![0; BUFFER];
        for Retired { places, key, stat } in retired {
            self.go_on()?;
            let Some(found) = self.hash_entry(&places, &mut buffer)? else { continue };
            let wanted = key.mode(self.file_mode());
            for (holder, path) in places {
                if found != key.id {
                    self.find(ClientFinding::EntryDamaged { holder, path, file: file(key) });
                } else if stat.mode != wanted {
                    self.find(ClientFinding::EntryMode { holder, path, found: stat.mode, wanted });
                } else if stat.mtime != blob_mtime(&key.id) {
                    self.find(ClientFinding::EntryTime { holder, path });
                }
            }
        }
        Ok(())
    }

    /// The content behind entries that are one inode; `None` where a daemon has built the first anew meanwhile.
    fn hash_entry(&self, places: &[(Holder, TreePath)], buffer: &mut [u8]) -> Result<Option<BlobId>, FsckError> {
        let Some((holder, path)) = places.first() else { return Ok(None) };
        let Some((dir, name)) = self.open_parent(holder, path)? else { return Ok(None) };
        match dir.open_file(&name) {
            Ok(file) => self.hash(file, &dir.path_of(&name), buffer).map(Some),
            Err(error) if error.is_not_found() && self.since.is_live() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The directory of an entry, and its name there; `None` where it is gone.
    fn open_parent(&self, holder: &Holder, path: &TreePath) -> Result<Option<(Dir, Name)>, FsckError> {
        let mut names: Vec<Name> = path.names().collect();
        let Some(name) = names.pop() else { return Ok(None) };
        let opened =
            self.open_holder(holder).and_then(|dir| names.iter().try_fold(dir, |dir, name| dir.open_dir(name)));
        match opened {
            Ok(dir) => Ok(Some((dir, name))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn open_holder(&self, holder: &Holder) -> Result<Dir, DiskError> {
        match holder {
            Holder::Tree(name) => self.dir.open_dir("trees")?.open_dir(name.as_str()),
            Holder::Generation { repo, commit } => self
                .dir
                .open_dir("repos")?
                .open_dir(repo.as_str())?
                .open_dir("generations")?
                .open_dir(commit.to_string().as_str())?
                .open_dir("root"),
        }
    }

    fn hash(&self, mut file: File, path: &std::path::Path, buffer: &mut [u8]) -> Result<BlobId, FsckError> {
        let mut hasher = Hasher::new();
        loop {
            let count = file.read(buffer).map_err(DiskError::at("read", path))?;
            if count == 0 {
                return Ok(hasher.id());
            }
            hasher.update(&buffer[..count]);
            self.progress.advance(0, count as u64);
            self.go_on()?;
        }
    }
}
