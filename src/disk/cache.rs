//! What the kernel keeps of a file in memory.

use std::fs::File;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

/// Asks the kernel to drop what it keeps of a file, so that the next read comes from the disk. What is not on the disk yet stays.
pub fn forget_cached(file: &File) {
    // Advice: where the kernel or the file system does not take it, the read is as good as any other.
    let _ = posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
}
