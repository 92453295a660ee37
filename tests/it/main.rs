//! What the program promises, tested from outside. One binary, so that RocksDB is linked once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]
#![allow(unreachable_pub, reason = "everything here is for this one binary")]

mod access;
mod architecture;
mod cli;
mod code_id;
mod commands;
mod costs;
mod estate;
mod examples;
mod fleet;
mod flush;
mod fsck;
mod gate;
mod hostile;
mod large;
mod listen;
mod local;
mod progress;
mod r10k;
mod real_server;
mod rebuilt;
mod refused;
mod same;
mod scrub;
mod secrets;
mod sequence;
mod served;
mod signed;
mod stop;
mod support;
mod systemd;
mod torn;
mod torture;
mod vectors;
