//! What time a file system believes it is.

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::{Dir, Stat};

/// The time that the file system of `dir` gives to a file made just now, in nanoseconds since 1970. An unnamed file is used, so that
/// nothing in `dir` changes; `None` where the file system has no unnamed files or `dir` may not be written.
pub fn file_system_now(dir: &Dir) -> Option<i64> {
    let flags = OFlag::O_TMPFILE | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    let file = nix::fcntl::openat(dir, ".", flags, Mode::from_bits_truncate(0o600)).ok()?;
    let stat = nix::sys::stat::fstat(&file).ok()?;
    Some(Stat::from(stat).ctime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_for_the_time_leaves_the_directory_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open(folder.path()).unwrap();
        let before = dir.stat_self().unwrap();
        let now = file_system_now(&dir);
        assert_eq!(dir.stat_self().unwrap(), before);
        assert!(now.is_none_or(|now| now >= before.ctime));
    }
}
