//! A state, put where the data directory was.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::record::{Entry, Look, Recording};
use super::state::{Content, State};

impl Recording {
    /// Replaces the data directory, which nobody uses, by this state.
    pub(crate) fn put(&self, state: &State) {
        if self.root.exists() {
            fs::remove_dir_all(&self.root).unwrap();
        }
        let mut put = Put { state, vault: &self.vault, done: HashMap::new() };
        fs::create_dir(&self.root).unwrap();
        put.dir(state.root, &self.root);
        if let Some((database, length)) = &state.database {
            let to = self.root.join(&database.name);
            // Its own directory may be what was lost.
            if !to.exists() {
                return;
            }
            for entry in fs::read_dir(&database.copy).unwrap() {
                let (name, from) = entry.map(|entry| (entry.file_name(), entry.path())).unwrap();
                if name.as_bytes().ends_with(b".sst") {
                    fs::hard_link(from, to.join(name)).unwrap();
                    continue;
                }
                fs::copy(from, to.join(&name)).unwrap();
                if database.log.as_ref() == Some(&name) {
                    File::options().write(true).open(to.join(name)).unwrap().set_len(*length).unwrap();
                }
            }
        }
    }
}

struct Put<'a> {
    state: &'a State,
    vault: &'a Path,
    /// Where a file was put first: its other names are links to it.
    done: HashMap<u64, PathBuf>,
}

impl Put<'_> {
    fn dir(&mut self, inode: u64, path: &Path) {
        let state = self.state;
        for ((_, name), entry) in state.names.range((inode, Default::default())..(inode + 1, Default::default())) {
            let at = path.join(name);
            match entry {
                Entry::Dir(inode) => {
                    fs::create_dir(&at).unwrap();
                    self.dir(*inode, &at);
                }
                Entry::Link(target) => symlink(OsStr::from_bytes(target), at).unwrap(),
                Entry::File(inode) => self.file(*inode, at),
            }
        }
        if let Some(mode) = state.modes.get(&inode) {
            fs::set_permissions(path, Permissions::from_mode(*mode)).unwrap();
        }
    }

    fn file(&mut self, inode: u64, at: PathBuf) {
        if let Some(first) = self.done.get(&inode) {
            return fs::hard_link(first, at).unwrap();
        }
        let (content, look) = self.state.files[&inode];
        let kept = self.vault.join(inode.to_string());
        if content == Content::Whole && Look::of(&fs::metadata(&kept).unwrap()) == look {
            fs::hard_link(kept, &at).unwrap();
        } else {
            let whole = fs::read(kept).unwrap();
            let size = (look.size as usize).min(whole.len());
            let bytes = match content {
                Content::Whole => whole[..size].to_vec(),
                Content::Half => whole[..size / 2].to_vec(),
                Content::Empty => Vec::new(),
                Content::Zeros => vec![0; size],
            };
            fs::write(&at, bytes).unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::new(look.mtime.0 as u64, look.mtime.1 as u32);
            File::options().write(true).open(&at).unwrap().set_modified(time).unwrap();
            fs::set_permissions(&at, Permissions::from_mode(look.mode)).unwrap();
        }
        self.done.insert(inode, at);
    }
}
