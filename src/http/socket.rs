//! The sockets in a data directory: who may use one is said by its mode.

use std::io;

use tokio::net::UnixListener;

use crate::datadir::{CONTROL_SOCKET, DataDir};

/// Listens on the data directory's control socket, which only the daemon's user may use. Must be called within a runtime.
pub fn listen_on_socket(data: &DataDir) -> io::Result<UnixListener> {
    let listener = bind(data, CONTROL_SOCKET)?;
    data.dir.set_mode(CONTROL_SOCKET, 0o600).map_err(io::Error::other)?;
    Ok(listener)
}

/// Listens on a socket of this name in the data directory, which the daemon's user and this group may use. Likewise.
pub fn listen_for_readers(data: &DataDir, name: &str, group: Option<u32>) -> io::Result<UnixListener> {
    let listener = bind(data, name)?;
    if let Some(group) = group
        && let Err(error) = data.dir.set_group(name, group)
    {
        // As with the farm: only root, or a member of the group, may do that.
        tracing::warn!(name, %group, error = %error.io(), "cannot give the socket to the farm's readers");
    }
    // After the group: it must never be another one's.
    data.dir.set_mode(name, 0o660).map_err(io::Error::other)?;
    Ok(listener)
}

fn bind(data: &DataDir, name: &str) -> io::Result<UnixListener> {
    // The lock is held: whoever made a socket that is there runs no more.
    match data.dir.remove_file(name) {
        Err(error) if !error.is_not_found() => return Err(io::Error::other(error)),
        _ => {}
    }
    UnixListener::bind(data.path.join(name))
}
