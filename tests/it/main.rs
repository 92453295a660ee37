//! What the program promises, tested from outside. One binary, so that RocksDB is linked once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod architecture;
mod cli;
mod examples;
mod fsck;
mod vectors;
