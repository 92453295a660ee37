//! The server as its clients see it, over real connections.

pub(super) mod estate;
