//! The sockets of the daemons.
//!
//! - Those in a data directory appear with their mode set: whatever the umask, there is no moment at which others could come in.
//! - A socket elsewhere is open to everybody on the machine: the kernel says who comes, and who may do what is for its server to say.
//! - One that a killed daemon left behind is replaced; one that somebody answers is not.
//!
//! Deliberately absent: what is answered there.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::net::UnixListener;
use tokio::net::unix::UCred;

use super::Refusal;
use crate::datadir::{CONTROL_SOCKET, DataDir};
use crate::disk::{Dir, DiskError};
use crate::values::Name;

/// What a socket is called in `tmp/` until its mode is set. Short: the system takes paths of 107 bytes.
const UNFINISHED: &str = "s";

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody answers there.
    #[error("{} is answered by another daemon; name another socket, or stop that one", .0.display())]
    InUse(PathBuf),
    /// Something else has the name.
    #[error("{} is there and is no socket; remove it, or name another place", .0.display())]
    NoSocket(PathBuf),
    /// The path has no last part.
    #[error("{} is no path of a socket; write it like /run/sceneshift/primary.sock", .0.display())]
    NoName(PathBuf),
    /// Its directory, or an entry of it.
    #[error("cannot listen on {}; does its directory exist, and may this user write there?", path.display())]
    Disk {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: DiskError,
    },
    /// The system said no.
    #[error("cannot listen on {}", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Listens on the data directory's control socket, which only the daemon's user may use. Blocking; must be called within a runtime.
pub fn listen_on_socket(data: &DataDir) -> Result<UnixListener, SocketError> {
    bind(data, CONTROL_SOCKET, 0o600, None)
}

/// Listens on a socket of this name in the data directory, which the daemon's user and this group may use. Likewise.
pub fn listen_for_readers(data: &DataDir, name: &str, group: Option<u32>) -> Result<UnixListener, SocketError> {
    bind(data, name, 0o660, group)
}

fn bind(data: &DataDir, name: &str, mode: u32, group: Option<u32>) -> Result<UnixListener, SocketError> {
    let path = data.path.join(name);
    let failed = |source| SocketError::Disk { path: path.clone(), source };
    data.tmp.remove_all(UNFINISHED).map_err(failed)?;
    let listener = UnixListener::bind(data.path.join("tmp").join(UNFINISHED))
        .map_err(|source| SocketError::Listen { path: path.clone(), source })?;
    if let Some(group) = group
        && let Err(error) = data.tmp.set_group(UNFINISHED, group)
    {
        // As with the farm: only root, or a member of the group, may do that.
        tracing::warn!(name, %group, error = %error.io(), "cannot give the socket to the farm's readers");
    }
    // After the group: it must never be another one's.
    data.tmp.set_mode(UNFINISHED, mode).map_err(failed)?;
    // The lock is held: whoever made a socket that stands there runs no more.
    data.tmp.rename(UNFINISHED, &data.dir, name).map_err(failed)?;
    Ok(listener)
}

/// A socket outside of a data directory, which everybody may connect to.
#[derive(Debug)]
pub struct OpenSocket {
    dir: Dir,
    name: Name,
    inode: u64,
}

impl OpenSocket {
    /// Listens on it. Blocking; must be called within a runtime.
    pub fn listen(path: &Path) -> Result<(UnixListener, Self), SocketError> {
        let failed = |source| SocketError::Disk { path: path.to_owned(), source };
        let no_name = || SocketError::NoName(path.to_owned());
        let name = path.file_name().and_then(|name| Name::new(name.as_bytes()).ok()).ok_or_else(no_name)?;
        let dir = Dir::open(path.parent().ok_or_else(no_name)?).map_err(failed)?;
        match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(SocketError::Listen { path: path.to_owned(), source }),
            Ok(there) if !there.file_type().is_socket() => return Err(SocketError::NoSocket(path.to_owned())),
            Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
                return Err(SocketError::InUse(path.to_owned()));
            }
            // A killed daemon's.
            Ok(_) => dir.remove_file(&name).map_err(failed)?,
        }
        let listener =
            UnixListener::bind(path).map_err(|source| SocketError::Listen { path: path.to_owned(), source })?;
        dir.set_mode(&name, 0o666).map_err(failed)?;
        let inode = dir.stat(&name).map_err(failed)?.inode;
        Ok((listener, Self { dir, name, inode }))
    }

    /// Removes it, unless it is another daemon's by now.
    pub fn remove(&self) -> Result<(), DiskError> {
        match self.dir.stat_if_there(&self.name)? {
            Some(stat) if stat.inode == self.inode => self.dir.remove_file(&self.name),
            _ => Ok(()),
        }
    }
}

/// Lets root and the daemon's own user pass: those who the mode of a control socket lets in. Each request carries its [`UCred`].
pub async fn only_owner(request: Request<Body>, next: Next) -> Response {
    match request.extensions().get::<UCred>() {
        Some(peer) if is_owner(peer) => next.run(request).await,
        _ => Refusal::new(StatusCode::FORBIDDEN, "this socket is for root and the daemon's own user").into_response(),
    }
}

/// Whether this is root or the daemon's own user.
pub fn is_owner(peer: &UCred) -> bool {
    peer.uid() == 0 || peer.uid() == nix::unistd::geteuid().as_raw()
}
