//! The `sceneshift` command.

fn main() -> std::process::ExitCode {
    sceneshift::cli::main()
}
