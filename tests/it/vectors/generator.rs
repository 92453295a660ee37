//! The golden vectors of `storage-format.md` §13: what is encoded how, and what must be rejected with which error.
//!
//! ```text
//! bytes.rs     encodings put together by hand, and the notation in which they are stored
//! trees.rs     §3          commits.rs   §4          blobs.rs   §5
//! streams.rs   §7, the frames                       deltas.rs  §7, trees as differences
//! zstd.rs      §7, the compression around the frames
//! names.rs     §2 and §8: ids, names of shared trees, times of files
//! seeds.rs     what the fuzz targets begin with
//! ```
//!
//! Shared by the command (`examples/vectors.rs`), which writes, and the test (`tests/it/vectors.rs`), which compares. Every encoding is
//! put together by hand from the page, beside the value that the program's own encoder must turn into the same bytes.

mod blobs;
mod bytes;
mod commits;
mod deltas;
mod names;
mod seeds;
mod streams;
mod trees;
mod zstd;

use std::fmt::{Debug, Write};

use bytes::Bytes;
pub(crate) use seeds::seeds;

/// The longest encoding that is stored, in digits and signs; of a longer one length and digest are.
const MOST: usize = 8_000;

/// One file of vectors.
pub(crate) struct File {
    pub(crate) name: &'static str,
    about: &'static str,
    pub(crate) cases: Vec<Case>,
    /// What the program makes of a case's inputs. Panics where it does not encode as it was what it accepts.
    check: fn(&[Vec<u8>]) -> Outcome,
}

/// One vector.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    inputs: Vec<(&'static str, Bytes)>,
    /// What the program's own encoder gives, where there is a value to encode.
    encoded: Option<Vec<u8>>,
    pub(crate) outcome: Outcome,
}

/// What comes of reading a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is read: what follows from it, as lines of label and text. Encoded again it gives the same bytes.
    Accepted(Vec<(&'static str, String)>),
    /// It is rejected, with this error as `Debug` shows it.
    Rejected(String),
}

impl Case {
    /// Bytes that must be accepted, and encode from a value as `encoded`.
    fn good(name: impl Into<String>, bytes: Bytes, encoded: Vec<u8>, facts: Vec<(&'static str, String)>) -> Self {
        let inputs = vec![("bytes", bytes)];
        Self { name: name.into(), inputs, encoded: Some(encoded), outcome: Outcome::Accepted(facts) }
    }

    /// Bytes that must be rejected.
    fn bad(name: impl Into<String>, bytes: Bytes, error: impl Debug) -> Self {
        let outcome = Outcome::Rejected(format!("{error:?}"));
        Self { name: name.into(), inputs: vec![("bytes", bytes)], encoded: None, outcome }
    }

    /// As it is stored.
    pub(crate) fn render(&self) -> String {
        let mut text = self.name.clone() + "\n";
        for (label, bytes) in &self.inputs {
            match stored(bytes) {
                Some(lines) => line(&mut text, label, &lines.join("\n         ")),
                None => {
                    let digest = blake3::hash(&bytes.concat());
                    line(
                        &mut text,
                        label,
                        &format!("{} bytes, too many to store; their BLAKE3 is {digest}", bytes.len()),
                    );
                }
            }
        }
        match &self.outcome {
            Outcome::Accepted(facts) => facts.iter().for_each(|(label, fact)| line(&mut text, label, fact)),
            Outcome::Rejected(error) => line(&mut text, "error", error),
        }
        text
    }
}

/// The lines in which bytes are stored, where they are.
fn stored(bytes: &Bytes) -> Option<Vec<String>> {
    // Long runs take few signs, so this many bytes can be worth a look.
    let lines = if bytes.len() < 4 << 20 { bytes.lines() } else { return None };
    (lines.iter().map(String::len).sum::<usize>() <= MOST).then_some(lines)
}

fn line(text: &mut String, label: &str, rest: &str) {
    let line = format!("  {label:<6} {rest}");
    writeln!(text, "{}", line.trim_end()).expect("a string takes everything");
}

impl File {
    /// As it is stored.
    pub(crate) fn render(&self) -> String {
        let about = self.about.lines().map(|line| format!("# {}\n", line.trim())).collect::<String>();
        let cases = self.cases.iter().map(|case| format!("\n{}", case.render())).collect::<String>();
        format!("{about}# Made by `make vectors`; storage-format.md §13 explains the notation.\n{cases}")
    }

    /// Where the program does otherwise than this file says, and where the notation does not say what the bytes are.
    pub(crate) fn faults(&self) -> Vec<String> {
        let faults = self.cases.iter().flat_map(|case| {
            let inputs: Vec<Vec<u8>> = case.inputs.iter().map(|(_, bytes)| bytes.concat()).collect();
            let outcome = (self.check)(&inputs);
            let notation = |(label, bytes): &(_, Bytes)| {
                let said = stored(bytes).map(|lines| bytes::parse(&lines.join("\n")));
                let wrong = said.is_some_and(|said| said.as_ref() != Some(&bytes.concat()));
                wrong.then(|| format!("the notation of {label} is wrong"))
            };
            let read = (outcome != case.outcome).then(|| format!("gives {outcome:?}, not {:?}", case.outcome));
            let written = case.encoded.as_ref().is_some_and(|encoded| *encoded != inputs[0]);
            let written = written.then(|| "is written otherwise".to_owned());
            let all = case.inputs.iter().filter_map(notation).chain(read).chain(written);
            all.map(|fault| format!("{}: {}: {fault}", self.name, case.name)).collect::<Vec<_>>()
        });
        faults.collect()
    }
}

/// Every file of vectors.
pub(crate) fn files() -> Vec<File> {
    vec![trees::file(), commits::file(), blobs::file(), streams::file(), deltas::file(), zstd::file(), names::ids()]
        .into_iter()
        .chain(names::farm())
        .collect()
}

/// The vectors that `storage-format.md` quotes, as it quotes them.
pub(crate) fn quoted(files: &[File]) -> String {
    let quotes = [
        ("tree.txt", "no entries"),
        ("tree.txt", "one entry of each kind"),
        ("tree.txt", "the name .."),
        ("tree.txt", "two names out of order"),
        ("commit.txt", "the first commit of a repo"),
        ("blob-record.txt", "the smallest blob in chunks: 1 MiB and one byte"),
        ("stream.txt", "a blob"),
        ("shared-name.txt", "one link to a shared tree inside"),
        ("blob-mtime.txt", "the file abc"),
    ];
    let find = |(file, name): (&str, &str)| {
        let cases = files.iter().filter(|other| other.name == file).flat_map(|file| &file.cases);
        let case = cases.into_iter().find(|case| case.name == name);
        format!("{file}: {}", case.unwrap_or_else(|| panic!("{file} has no case named {name:?}")).render())
    };
    quotes.map(find).join("\n")
}
