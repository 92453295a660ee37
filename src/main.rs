//! The `sceneshift` command.

fn main() {}
