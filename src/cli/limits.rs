//! Limits of the process that a daemon should not run into.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Allows as many open files as this process may have: systemd's default of 1,024 is less than the connections of a large site, and RocksDB keeps
/// its files open.
pub(super) fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) });
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}
