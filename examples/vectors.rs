//! Writes the golden vectors of `storage-format.md` §13, and the seeds of the fuzz targets, anew:
//! `cargo run --example vectors -- tests/vectors [fuzz/seeds]`.
//!
//! Removes what stood in those folders and is not made any more.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[path = "../tests/it/vectors/generator.rs"]
mod generator;

fn main() -> ExitCode {
    let folders: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let files = generator::files();
    let faults: Vec<String> = files.iter().flat_map(generator::File::faults).collect();
    if !faults.is_empty() {
        eprintln!("nothing is written: the program does otherwise than the vectors say\n{}", faults.join("\n"));
        return ExitCode::FAILURE;
    }
    let written = match folders.as_slice() {
        [vectors] => write_vectors(vectors, &files),
        [vectors, seeds] => write_vectors(vectors, &files).and_then(|()| write_seeds(seeds, &files)),
        _ => {
            eprintln!("usage: vectors tests/vectors [fuzz/seeds]");
            return ExitCode::from(2);
        }
    };
    match written {
        Ok(()) => {
            println!("{}", generator::quoted(&files).trim_end());
            eprintln!("\nwritten; what storage-format.md quotes of it is above");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("vectors: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write_vectors(folder: &Path, files: &[generator::File]) -> std::io::Result<()> {
    empty(folder)?;
    files.iter().try_for_each(|file| fs::write(folder.join(file.name), file.render()))
}

fn write_seeds(folder: &Path, files: &[generator::File]) -> std::io::Result<()> {
    empty(folder)?;
    for (path, seed) in generator::seeds(files) {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("a seed lies in its target's folder"))?;
        fs::write(path, seed)?;
    }
    Ok(())
}

fn empty(folder: &Path) -> std::io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)
}
