//! The control socket: who may use it is said by its mode.

use std::io;

use tokio::net::UnixListener;

use crate::datadir::{CONTROL_SOCKET, DataDir};

/// Listens on the data directory's control socket, which only the daemon's user may use. Must be called within a runtime.
pub fn listen_on_socket(data: &DataDir) -> io::Result<UnixListener> {
    // The lock is held: whoever made a socket that is there runs no more.
    match data.dir.remove_file(CONTROL_SOCKET) {
        Err(error) if !error.is_not_found() => return Err(io::Error::other(error)),
        _ => {}
    }
    let listener = UnixListener::bind(data.path.join(CONTROL_SOCKET))?;
    data.dir.set_mode(CONTROL_SOCKET, 0o600).map_err(io::Error::other)?;
    Ok(listener)
}
