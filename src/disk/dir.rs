//! An open directory.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags};
use nix::sys::time::TimeSpec;
use nix::unistd::{LinkatFlags, UnlinkatFlags};
use rustix::fs::{FileType, RawDir, SeekFrom};

use super::DiskError;
use super::seam::{self, Event};
use crate::values::Name;

/// Room for what one call lists, in bytes: some 200 entries.
const LISTING: usize = 8 << 10;

const LOOK: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A socket, FIFO or device.
    Special,
}

/// One line of a directory's listing. `kind` is what the listing itself said; some file systems say nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The entry's name.
    pub name: Name,
    /// What it is, where the listing says so.
    pub kind: Option<Kind>,
}

/// What is known of an entry without opening it. Times are nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// Device that holds it.
    pub device: u64,
    /// Its inode number there.
    pub inode: u64,
    /// Permission bits, 12 of them.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Hard links to it.
    pub links: u64,
    /// Bytes.
    pub size: u64,
    /// When its content last changed.
    pub mtime: i64,
    /// When anything about it last changed.
    pub ctime: i64,
}

impl From<FileStat> for Stat {
    #[expect(clippy::unnecessary_cast, reason = "these fields are narrower on some platforms")]
    fn from(stat: FileStat) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        let kind = match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFREG => Kind::File,
            SFlag::S_IFDIR => Kind::Dir,
            SFlag::S_IFLNK => Kind::Symlink,
            _ => Kind::Special,
        };
        Self {
            kind,
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            links: stat.st_nlink as u64,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
            ctime: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

/// What an open file is.
pub fn stat_of(file: &File) -> io::Result<Stat> {
    Ok(Stat::from(nix::sys::stat::fstat(file)?))
}

/// An open directory. Names given to it are single steps; none of its methods follows a symbolic link.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    /// Where it was when it was opened; for errors only.
    path: PathBuf,
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A single step: a [`Name`], or a literal of this code.
pub trait Step {
    /// The step for the system. Holds no `/`.
    fn step(&self) -> &OsStr;
}

impl Step for Name {
    fn step(&self) -> &OsStr {
        self.as_os_str()
    }
}

impl Step for str {
    fn step(&self) -> &OsStr {
        debug_assert!(!self.contains('/'), "{self:?} is more than one step");
        OsStr::new(self)
    }
}

impl Dir {
    /// Opens the directory at `path`, following links on the way to it: the entry point, from a setting.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let fd = nix::fcntl::open(path, LOOK, Mode::empty()).map_err(DiskError::at("open the directory", path))?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// Makes the directory at `path`, with those above it, where it is missing, and opens it. `mode` is for new ones.
    pub fn create_all(path: &Path, mode: u32) -> Result<Self, DiskError> {
        use std::os::unix::fs::DirBuilderExt;
        let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(path);
        seam::tell(Event::Changed(path));
        made.map_err(DiskError::at("make the directory", path))?;
        Self::open(path)
    }

    /// Where the directory was when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where an entry is, for people.
    pub fn path_of(&self, name: &(impl Step + ?Sized)) -> PathBuf {
        self.path.join(name.step())
    }

    fn failed<N: Step + ?Sized>(&self, operation: &'static str, name: &N) -> impl FnOnce(Errno) -> DiskError {
        let path = self.path_of(name);
        move |errno| DiskError::new(operation, path, errno)
    }

    /// Makes a call that changes entries, or what is known of them.
    fn change<T>(&self, call: impl FnOnce() -> Result<T, DiskError>) -> Result<T, DiskError> {
        seam::allow(&self.path)?;
        let outcome = call();
        seam::tell(Event::Changed(&self.path));
        outcome
    }

    // ---- looking ----

    /// Opens the directory `name`, which must not be a link to one.
    pub fn open_dir<N: Step + ?Sized>(&self, name: &N) -> Result<Self, DiskError> {
        let flags = LOOK | OFlag::O_NOFOLLOW;
        let fd = nix::fcntl::openat(&self.fd, name.step(), flags, Mode::empty())
            .map_err(self.failed("open the directory", name))?;
        Ok(Self { fd, path: self.path_of(name) })
    }

    /// Opens the directory `name`, made with `mode` where it is missing.
    pub fn open_or_make_dir<N: Step + ?Sized>(&self, name: &N, mode: u32) -> Result<Self, DiskError> {
        match self.make_dir(name, mode) {
            Err(error) if !error.is_already_there() => Err(error),
            _ => self.open_dir(name),
        }
    }

    /// Another handle on the same directory.
    pub fn duplicate(&self) -> Result<Self, DiskError> {
        let fd = self.fd.try_clone().map_err(DiskError::at("open again", &self.path))?;
        Ok(Self { fd, path: self.path.clone() })
    }

    /// The entries, in the file system's order, without `.` and `..`.
    pub fn list(&self) -> Result<Vec<Listed>, DiskError> {
        // A handle of its own: listing moves the handle's position.
        self.open_dir(".")?.list_here()
    }

    /// The same by this very handle, which nobody else may list meanwhile: it spares two calls for each directory of a large tree.
    pub fn list_here(&mut self) -> Result<Vec<Listed>, DiskError> {
        let failed = |error: io::Error| DiskError::new("list", &self.path, error);
        rustix::fs::seek(&self.fd, SeekFrom::Start(0)).map_err(|errno| failed(errno.into()))?;
        let mut buffer = [const { MaybeUninit::uninit() }; LISTING];
        let mut stream = RawDir::new(&self.fd, &mut buffer);
        let mut listed = Vec::new();
        while let Some(entry) = stream.next() {
            let entry = entry.map_err(|errno| failed(errno.into()))?;
            let bytes = entry.file_name().to_bytes();
            if bytes == b"." || bytes == b".." {
                continue;
            }
            let name = Name::new(bytes).map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))?;
            let kind = match entry.file_type() {
                FileType::Unknown => None,
                FileType::RegularFile => Some(Kind::File),
                FileType::Directory => Some(Kind::Dir),
                FileType::Symlink => Some(Kind::Symlink),
                _ => Some(Kind::Special),
            };
            listed.push(Listed { name, kind });
        }
        Ok(listed)
    }

    /// What `name` is.
    pub fn stat<N: Step + ?Sized>(&self, name: &N) -> Result<Stat, DiskError> {
        let stat = nix::sys::stat::fstatat(&self.fd, name.step(), AtFlags::AT_SYMLINK_NOFOLLOW);
        stat.map(Stat::from).map_err(self.failed("look at", name))
    }

    /// What `name` is, or `None` where there is no such entry.
    pub fn stat_if_there<N: Step + ?Sized>(&self, name: &N) -> Result<Option<Stat>, DiskError> {
        match self.stat(name) {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the directory itself is.
    pub fn stat_self(&self) -> Result<Stat, DiskError> {
        nix::sys::stat::fstat(&self.fd).map(Stat::from).map_err(DiskError::at("look at", &self.path))
    }

    /// Opens the file `name` for reading. Never blocks, not on a FIFO either; what was opened is for the caller to check.
    pub fn open_file<N: Step + ?Sized>(&self, name: &N) -> Result<File, DiskError> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let fd = nix::fcntl::openat(&self.fd, name.step(), flags, Mode::empty()).map_err(self.failed("open", name))?;
        Ok(File::from(fd))
    }

    /// Where the symbolic link `name` points, as it is written.
    pub fn read_link<N: Step + ?Sized>(&self, name: &N) -> Result<Vec<u8>, DiskError> {
        let target = nix::fcntl::readlinkat(&self.fd, name.step());
        target.map(OsStringExt::into_vec).map_err(self.failed("read the link", name))
    }

    // ---- making ----

    /// Makes the directory `name`. The process's umask applies to `mode`.
    pub fn make_dir<N: Step + ?Sized>(&self, name: &N, mode: u32) -> Result<(), DiskError> {
        self.change(|| {
            nix::sys::stat::mkdirat(&self.fd, name.step(), Mode::from_bits_truncate(mode))
                .map_err(self.failed("make the directory", name))
        })
    }

    /// Makes the file `name`, which must not exist, open for writing.
    pub fn create_file<N: Step + ?Sized>(&self, name: &N, mode: u32) -> Result<File, DiskError> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        self.change(|| {
            let fd = nix::fcntl::openat(&self.fd, name.step(), flags, Mode::from_bits_truncate(mode));
            fd.map(File::from).map_err(self.failed("make the file", name))
        })
    }

    /// Makes the symbolic link `name`.
    pub fn symlink<N: Step + ?Sized>(&self, target: &[u8], name: &N) -> Result<(), DiskError> {
        self.change(|| {
            nix::unistd::symlinkat(OsStr::from_bytes(target), &self.fd, name.step())
                .map_err(self.failed("make the link", name))
        })
    }

    /// Makes `name` in `to` another hard link to this directory's `from`.
    pub fn link<A: Step + ?Sized, B: Step + ?Sized>(&self, from: &A, to: &Dir, name: &B) -> Result<(), DiskError> {
        self.change(|| {
            nix::unistd::linkat(&self.fd, from.step(), &to.fd, name.step(), LinkatFlags::empty())
                .map_err(to.failed("link", name))
        })
    }

    /// Sets the permission bits of the file or directory `name`.
    pub fn set_mode<N: Step + ?Sized>(&self, name: &N, mode: u32) -> Result<(), DiskError> {
        let mode = Mode::from_bits_truncate(mode);
        self.change(|| {
            nix::sys::stat::fchmodat(&self.fd, name.step(), mode, FchmodatFlags::FollowSymlink)
                .map_err(self.failed("set the mode of", name))
        })
    }

    /// Sets the directory's own permission bits, where it has others: a look costs a tenth of a change.
    pub fn set_own_mode(&self, mode: u32) -> Result<(), DiskError> {
        if self.stat_self()?.mode == mode {
            return Ok(());
        }
        self.change(|| {
            nix::sys::stat::fchmod(&self.fd, Mode::from_bits_truncate(mode))
                .map_err(DiskError::at("set the mode of", &self.path))
        })
    }

    /// Gives the directory to a group, the owner staying who it is.
    pub fn set_own_group(&self, group: u32) -> Result<(), DiskError> {
        self.change(|| {
            nix::unistd::fchown(&self.fd, None, Some(group.into()))
                .map_err(DiskError::at("set the group of", &self.path))
        })
    }

    /// Gives `name` to a group, the owner staying who it is.
    pub fn set_group<N: Step + ?Sized>(&self, name: &N, group: u32) -> Result<(), DiskError> {
        self.change(|| {
            nix::unistd::fchownat(&self.fd, name.step(), None, Some(group.into()), AtFlags::AT_SYMLINK_NOFOLLOW)
                .map_err(self.failed("set the group of", name))
        })
    }

    /// Sets mtime and atime of `name`, in nanoseconds since 1970.
    pub fn set_mtime<N: Step + ?Sized>(&self, name: &N, mtime: i64) -> Result<(), DiskError> {
        let time = TimeSpec::new(mtime.div_euclid(1_000_000_000), mtime.rem_euclid(1_000_000_000));
        self.change(|| {
            nix::sys::stat::utimensat(&self.fd, name.step(), &time, &time, UtimensatFlags::NoFollowSymlink)
                .map_err(self.failed("set the time of", name))
        })
    }

    // ---- moving and removing ----

    /// Renames this directory's `from` to `name` in `to`; what stood there is replaced where the system can.
    pub fn rename<A: Step + ?Sized, B: Step + ?Sized>(&self, from: &A, to: &Dir, name: &B) -> Result<(), DiskError> {
        self.change(|| {
            nix::fcntl::renameat(&self.fd, from.step(), &to.fd, name.step()).map_err(to.failed("rename to", name))
        })
    }

    /// Swaps this directory's `from` and `name` in `to`, both of which exist, in one step.
    pub fn exchange<A: Step + ?Sized, B: Step + ?Sized>(&self, from: &A, to: &Dir, name: &B) -> Result<(), DiskError> {
        self.change(|| {
            nix::fcntl::renameat2(&self.fd, from.step(), &to.fd, name.step(), RenameFlags::RENAME_EXCHANGE)
                .map_err(to.failed("exchange", name))
        })
    }

    /// Removes the file or link `name`.
    pub fn remove_file<N: Step + ?Sized>(&self, name: &N) -> Result<(), DiskError> {
        self.change(|| {
            nix::unistd::unlinkat(&self.fd, name.step(), UnlinkatFlags::NoRemoveDir)
                .map_err(self.failed("remove", name))
        })
    }

    /// Removes the empty directory `name`.
    pub fn remove_dir<N: Step + ?Sized>(&self, name: &N) -> Result<(), DiskError> {
        self.change(|| {
            nix::unistd::unlinkat(&self.fd, name.step(), UnlinkatFlags::RemoveDir).map_err(self.failed("remove", name))
        })
    }

    /// Removes `name`, whatever it is, with all that is in it. What is gone already is no error.
    pub fn remove_all<N: Step + ?Sized>(&self, name: &N) -> Result<(), DiskError> {
        let Some(stat) = self.stat_if_there(name)? else { return Ok(()) };
        let removed = if stat.kind == Kind::Dir {
            let dir = self.open_dir(name)?;
            dir.remove_contents()?;
            self.remove_dir(name)
        } else {
            self.remove_file(name)
        };
        match removed {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes everything in the directory.
    pub fn remove_contents(&self) -> Result<(), DiskError> {
        for entry in self.list()? {
            self.remove_all(&entry.name)?;
        }
        Ok(())
    }

    // ---- durability ----

    /// Makes the directory's entries durable.
    pub fn sync(&self) -> Result<(), DiskError> {
        seam::allow(&self.path)?;
        nix::unistd::fsync(&self.fd).map_err(DiskError::at("sync", &self.path))?;
        seam::tell(Event::Synced(&self.path, self.fd.as_fd()));
        Ok(())
    }

    /// Makes everything durable that was written to this directory's file system before.
    pub fn sync_file_system(&self) -> Result<(), DiskError> {
        seam::allow(&self.path)?;
        nix::unistd::syncfs(&self.fd).map_err(DiskError::at("sync the file system of", &self.path))?;
        seam::tell(Event::FileSystemSynced(&self.path));
        Ok(())
    }
}
