//! What Puppet would see, and what a user would lose: tests of the farm through its public face.

mod changes;
mod interleaved;
mod limits;
mod random;
mod scope;
mod shows;
