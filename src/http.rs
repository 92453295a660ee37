//! What the HTTP of both daemons has in common: problem documents, checked requests, the control socket, the hold of fsck.
//!
//! Invariant: every error is a problem document (RFC 9457); what an internal error says goes to the log, never over the wire.
//!
//! Deliberately absent: routes, and which status an error of the core gets (each daemon's own business).

mod extract;
mod hold;
mod path;
mod refusal;
mod routes;
mod socket;

pub use extract::{Json, Nothing, Query};
pub use hold::hold_answer;
pub use path::{FilePath, Item, text_segment, tree_path};
pub use refusal::{Refusal, chain};
pub use routes::{finish_routes, no_browsers};
pub use socket::{OpenSocket, SocketError, is_owner, listen_for_readers, listen_on_socket, only_owner};
