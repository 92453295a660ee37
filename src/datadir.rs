//! What both kinds of data directory have in common: `FORMAT`, `LOCK`, `tmp/` (`storage-format.md` §6, §8, §11).
//!
//! A directory says itself what it is, so that nobody opens one of the other kind, or of a newer format, by mistake.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::disk::{self, Dir, DiskError, Lock, LockError};

/// The format that this program writes, and the newest that it reads.
pub const VERSION: u32 = 1;

/// The name of the control socket in a data directory.
pub const CONTROL_SOCKET: &str = "control.sock";

/// The name of the socket at which a client's readers ask for files of past versions.
pub const CONTENT_SOCKET: &str = "content.sock";

/// Which side a data directory belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `sceneshift serve`.
    Primary,
    /// `sceneshift client`.
    Client,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Primary => "primary",
            Kind::Client => "client",
        })
    }
}

/// The content of `FORMAT`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Format {
    kind: Kind,
    version: u32,
    compatible: Vec<String>,
    read_only_compatible: Vec<String>,
    incompatible: Vec<String>,
}

/// Why a directory cannot be used as a data directory.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It is for the other side.
    #[error("{} is the data directory of a {found}, not of a {wanted}; check data-dir in the configuration", path.display())]
    OtherKind {
        /// The directory.
        path: PathBuf,
        /// What it is.
        found: Kind,
        /// What was asked for.
        wanted: Kind,
    },
    /// A newer program wrote it.
    #[error("{} has format {found}; this sceneshift reads up to {VERSION}: install a newer sceneshift", path.display())]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It uses features that this program does not know.
    #[error("{} uses features unknown to this sceneshift ({}): install a newer sceneshift", path.display(), features.join(", "))]
    UnknownFeatures {
        /// The directory.
        path: PathBuf,
        /// The features' names.
        features: Vec<String>,
    },
    /// There is something, but no `FORMAT`.
    #[error("{} is not empty and not a data directory of sceneshift (it has no FORMAT file)", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// Nothing there to look at.
    #[error("{} is not a data directory of sceneshift (it has no FORMAT file)", path.display())]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// `FORMAT` cannot be understood.
    #[error("{} is damaged; a directory of this kind and version holds a file like the one in storage-format.md section 11", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<toml::de::Error>,
    },
    /// Another process uses it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The file system said no.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// An open data directory, locked for this process, its `tmp/` empty.
#[derive(Debug)]
pub struct DataDir {
    /// The directory.
    pub dir: Dir,
    /// Its canonical path.
    pub path: PathBuf,
    /// Its `tmp/`.
    pub tmp: Dir,
    _lock: Lock,
}

impl DataDir {
    /// Opens the data directory at `path`, made first where it is missing or empty, and locks it.
    pub fn open(path: &Path, wanted: Kind) -> Result<Self, DataDirError> {
        let dir = Dir::create_all(path, 0o755)?;
        match read_format(&dir)? {
            Some(format) => format.check(&dir, wanted)?,
            None => {
                if dir.list()?.iter().any(|entry| !is_ours_before_format(entry.name.as_bytes())) {
                    return Err(DataDirError::Foreign { path: path.to_owned() });
                }
            }
        }
        let lock = Lock::take(&dir)?;
        // Only now, under the lock, may a first start write what it is.
        if read_format(&dir)?.is_none() {
            disk::replace_file(&dir, "FORMAT", Format::new(wanted).to_text().as_bytes(), 0o644)?;
            // The directory itself may be new, and those above it.
            dir.sync_file_system()?;
        }
        if wanted == Kind::Primary {
            close_to_others(&dir)?;
        }
        let tmp = dir.open_or_make_dir("tmp", 0o700)?;
        tmp.remove_contents()?;
        let path = path.canonicalize().map_err(DiskError::at("resolve", path))?;
        Ok(Self { dir, path, tmp, _lock: lock })
    }

    /// Opens an existing one; never makes one.
    pub fn open_existing(path: &Path, wanted: Kind) -> Result<Self, DataDirError> {
        let found = kind_of(path)?;
        if found != wanted {
            return Err(DataDirError::OtherKind { path: path.to_owned(), found, wanted });
        }
        Self::open(path, wanted)
    }
}

/// Nobody but the daemon's user has any business in a primary's, not even to see what it is called by. (A client's is closed by its farm, which has
/// readers.)
fn close_to_others(dir: &Dir) -> Result<(), DiskError> {
    if dir.stat_self()?.mode & 0o777 != 0o700
        && let Err(error) = dir.set_own_mode(0o700)
    {
        // It is another user's, as a mounted volume may be; what is in it is closed all the same.
        tracing::warn!(path = %dir.path().display(), error = %error.io(), "the data directory stays open to others");
    }
    Ok(())
}

/// Which side the data directory at `path` belongs to, without locking it.
pub fn kind_of(path: &Path) -> Result<Kind, DataDirError> {
    let dir = Dir::open(path)?;
    let format = read_format(&dir)?.ok_or_else(|| DataDirError::Missing { path: path.to_owned() })?;
    format.check(&dir, format.kind)?;
    Ok(format.kind)
}

/// The same for who only reads: features that keep others from writing are no hindrance (`storage-format.md` §11).
pub fn kind_to_read(path: &Path) -> Result<Kind, DataDirError> {
    let dir = Dir::open(path)?;
    let format = read_format(&dir)?.ok_or_else(|| DataDirError::Missing { path: path.to_owned() })?;
    let format = Format { read_only_compatible: Vec::new(), ..format };
    format.check(&dir, format.kind)?;
    Ok(format.kind)
}

/// Whether a database has lost the file that says which of its others count, and holds records all the same. RocksDB would take it for new,
/// and remove them. One whose making was cut short has none yet.
pub fn has_lost_its_list(database: &Dir) -> Result<bool, DiskError> {
    if database.stat_if_there("CURRENT")?.is_some_and(|stat| stat.size > 0) {
        return Ok(false);
    }
    for listed in database.list()? {
        let name = listed.name.as_bytes();
        if name.ends_with(b".sst") || (name.ends_with(b".log") && database.stat(&listed.name)?.size > 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a start that was cut short may leave before `FORMAT` is written.
fn is_ours_before_format(name: &[u8]) -> bool {
    matches!(name, b"LOCK" | b".FORMAT.new" | b"lost+found")
}

fn read_format(dir: &Dir) -> Result<Option<Format>, DataDirError> {
    let mut file = match dir.open_file("FORMAT") {
        Err(error) if error.is_not_found() => return Ok(None),
        other => other?,
    };
    let path = dir.path_of("FORMAT");
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(DiskError::at("read", &path))?;
    let format = toml::from_str(&text).map_err(|error| DataDirError::Damaged { path, source: Box::new(error) })?;
    Ok(Some(format))
}

impl Format {
    fn new(kind: Kind) -> Self {
        let none = Vec::new;
        Self { kind, version: VERSION, compatible: none(), read_only_compatible: none(), incompatible: none() }
    }

    fn to_text(&self) -> String {
        toml::to_string(self).expect("plain fields make plain TOML")
    }

    fn check(&self, dir: &Dir, wanted: Kind) -> Result<(), DataDirError> {
        let path = || dir.path().to_owned();
        if self.version > VERSION {
            return Err(DataDirError::Newer { path: path(), found: self.version });
        }
        let features: Vec<String> = [&self.incompatible[..], &self.read_only_compatible[..]].concat();
        if !features.is_empty() {
            return Err(DataDirError::UnknownFeatures { path: path(), features });
        }
        if self.kind != wanted {
            return Err(DataDirError::OtherKind { path: path(), found: self.kind, wanted });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn write_format(folder: &Path, change: impl FnOnce(&mut Format)) {
        let mut format = Format::new(Kind::Client);
        change(&mut format);
        std::fs::write(folder.join("FORMAT"), format.to_text()).unwrap();
    }

    #[test]
    fn a_new_directory_says_what_it_is_and_opens_again() {
        let folder = folder();
        let path = folder.path().join("a/b");
        drop(DataDir::open(&path, Kind::Client).unwrap());
        assert_eq!(kind_of(&path).unwrap(), Kind::Client);
        drop(DataDir::open(&path, Kind::Client).unwrap());
        let other = DataDir::open(&path, Kind::Primary);
        assert!(matches!(other, Err(DataDirError::OtherKind { found: Kind::Client, .. })));
    }

    #[test]
    fn a_newer_format_and_unknown_features_are_refused_by_name() {
        let folder = folder();
        write_format(folder.path(), |format| format.version = 2);
        assert!(matches!(DataDir::open(folder.path(), Kind::Client), Err(DataDirError::Newer { found: 2, .. })));
        write_format(folder.path(), |format| format.incompatible.push("reflinks".into()));
        let error = DataDir::open(folder.path(), Kind::Client).unwrap_err();
        assert!(error.to_string().contains("reflinks"), "{error}");
        assert!(kind_to_read(folder.path()).is_err());
        write_format(folder.path(), |format| format.read_only_compatible.push("extents".into()));
        assert!(DataDir::open(folder.path(), Kind::Client).is_err());
        assert_eq!(kind_to_read(folder.path()).unwrap(), Kind::Client, "who only reads need not know it");
        write_format(folder.path(), |format| format.compatible.push("hints".into()));
        assert!(DataDir::open(folder.path(), Kind::Client).is_ok());
    }

    #[test]
    fn a_directory_with_other_things_in_it_is_left_alone() {
        let folder = folder();
        std::fs::write(folder.path().join("precious"), "x").unwrap();
        assert!(matches!(DataDir::open(folder.path(), Kind::Client), Err(DataDirError::Foreign { .. })));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was added");
    }

    #[test]
    fn tmp_is_empty_after_a_start() {
        let folder = folder();
        drop(DataDir::open(folder.path(), Kind::Primary).unwrap());
        std::fs::create_dir_all(folder.path().join("tmp/left/over")).unwrap();
        let opened = DataDir::open(folder.path(), Kind::Primary).unwrap();
        assert!(opened.tmp.list().unwrap().is_empty());
    }
}
