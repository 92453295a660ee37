//! What primary and clients say to each other: JSON for control, one framed binary stream for objects.
//!
//! ```text
//! api.rs     the JSON documents of the HTTP routes
//! frame.rs   one frame of the stream: what it holds, its bytes (storage-format.md §7)
//! stream.rs  frames after one another, compressed: writer and reader
//! delta.rs   a tree as the difference from another
//! ```
//!
//! Deliberately absent: HTTP itself (see [`crate::server`] and [`crate::remote`]), and what to do with an object that arrived.

pub mod api;
mod delta;
mod frame;
mod stream;

pub use delta::{DeltaError, TreeDelta};
pub use frame::{Frame, FrameError};
pub use stream::{STREAM_MEDIA_TYPE, StreamError, StreamReader, StreamWriter};
