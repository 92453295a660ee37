//! The golden vectors: what stands in `tests/vectors/` is what the page says, and what the program reads and writes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

#[path = "vectors/generator.rs"]
mod generator;

/// One of the trees has 64 MiB: once is enough.
static FILES: LazyLock<Vec<generator::File>> = LazyLock::new(generator::files);

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn what_is_stored_is_what_the_generator_makes() {
    let dir = root().join("tests/vectors");
    for file in FILES.iter() {
        let stored = String::from_utf8(read(&dir.join(file.name))).unwrap();
        let made = file.render();
        let differs = made.lines().zip(stored.lines()).find(|(made, stored)| made != stored);
        assert_eq!(differs, None, "{}: left is made, right is stored; `make vectors` writes anew", file.name);
        assert_eq!(made.len(), stored.len(), "{}: `make vectors` writes anew", file.name);
    }
    let stored = std::fs::read_dir(dir).unwrap().count();
    assert_eq!(stored, FILES.len(), "a file of vectors that nobody makes any more");
}

#[test]
fn the_program_reads_and_writes_every_vector_as_the_page_says() {
    let faults: Vec<String> = FILES.iter().flat_map(generator::File::faults).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_two_vectors_of_a_file_have_the_same_name() {
    for file in FILES.iter() {
        let names: BTreeSet<&str> = file.cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names.len(), file.cases.len(), "{}", file.name);
    }
}

#[test]
fn the_page_quotes_vectors_that_exist() {
    let page = String::from_utf8(read(&root().join("storage-format.md"))).unwrap();
    let (_, section) = page.split_once("## 13. Golden vectors").unwrap();
    let quoted = section.split("```\n").nth(1).unwrap();
    assert_eq!(quoted, generator::quoted(&FILES), "left is the page, right is what it should quote");
}

#[test]
fn the_seeds_of_the_fuzz_targets_are_those_that_the_generator_makes() {
    let dir = root().join("fuzz/seeds");
    let made = generator::seeds(&FILES);
    for (path, seed) in &made {
        assert!(read(&dir.join(path)) == *seed, "{path}: `make vectors` writes anew");
    }
    let targets = std::fs::read_dir(dir).unwrap().map(|target| target.unwrap().path());
    let stored: usize = targets.map(|target| std::fs::read_dir(target).unwrap().count()).sum();
    assert_eq!(stored, made.len(), "a seed that nobody makes any more");
}
