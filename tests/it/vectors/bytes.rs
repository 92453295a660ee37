//! Encodings put together by hand, field by field as the page says, and how they are written for people.
//!
//! The notation: two hexadecimal digits a byte, a blank where the next field begins, `61*255` for a byte that stands 255 times.
//! This is the second implementation of the format: it shares no code with `codec`, so that a slip there cannot hide here.

use std::fmt::Write;

/// A run of this many equal bytes is written as one.
const RUN: usize = 8;

/// An encoding, in fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bytes {
    /// The fields; an empty one stands for the beginning of a line.
    fields: Vec<Vec<u8>>,
}

impl Bytes {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A field as it is. An empty one leaves no trace.
    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        if !bytes.is_empty() {
            self.fields.push(bytes.to_vec());
        }
        self
    }

    /// A field of equal bytes.
    pub(super) fn run(self, byte: u8, count: usize) -> Self {
        self.raw(&vec![byte; count])
    }

    pub(super) fn u8(self, value: u8) -> Self {
        self.raw(&[value])
    }

    pub(super) fn u16(self, value: u16) -> Self {
        self.raw(&value.to_le_bytes())
    }

    pub(super) fn u32(self, value: u32) -> Self {
        self.raw(&value.to_le_bytes())
    }

    pub(super) fn u64(self, value: u64) -> Self {
        self.raw(&value.to_le_bytes())
    }

    pub(super) fn i64(self, value: i64) -> Self {
        self.raw(&value.to_le_bytes())
    }

    /// `short(u8)`. The length wraps, as a careless writer's would.
    pub(super) fn short8(self, bytes: &[u8]) -> Self {
        self.u8(bytes.len() as u8).raw(bytes)
    }

    /// `short(u16)`.
    pub(super) fn short16(self, bytes: &[u8]) -> Self {
        self.u16(bytes.len() as u16).raw(bytes)
    }

    /// `short(u32)`.
    pub(super) fn short32(self, bytes: &[u8]) -> Self {
        self.u32(bytes.len() as u32).raw(bytes)
    }

    /// What follows is written on a line of its own.
    pub(super) fn line(mut self) -> Self {
        self.fields.push(Vec::new());
        self
    }

    /// The fields of `other`, after these.
    pub(super) fn then(mut self, other: Self) -> Self {
        self.fields.extend(other.fields);
        self
    }

    /// The first `count` bytes.
    pub(super) fn cut(self, mut count: usize) -> Self {
        let mut cut = Self::new();
        for field in self.fields {
            let taken = field.len().min(count);
            count -= taken;
            cut = if field.is_empty() { cut.line() } else { cut.raw(&field[..taken]) };
        }
        cut
    }

    pub(super) fn len(&self) -> usize {
        self.fields.iter().map(Vec::len).sum()
    }

    pub(super) fn concat(&self) -> Vec<u8> {
        self.fields.concat()
    }

    /// The notation, one text a line.
    pub(super) fn lines(&self) -> Vec<String> {
        let lines = self.fields.split(Vec::is_empty).filter(|fields| !fields.is_empty());
        lines.map(|fields| fields.iter().map(|field| notation(field)).collect::<Vec<_>>().join(" ")).collect()
    }
}

fn notation(field: &[u8]) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut digits = String::new();
    for run in field.chunk_by(|a, b| a == b) {
        if run.len() < RUN {
            run.iter().for_each(|byte| write!(digits, "{byte:02x}").expect("a string takes everything"));
        } else {
            words.extend((!digits.is_empty()).then(|| std::mem::take(&mut digits)));
            words.push(format!("{:02x}*{}", run[0], run.len()));
        }
    }
    words.extend((!digits.is_empty()).then_some(digits));
    words.join(" ")
}

/// The bytes that a text in the notation stands for; `None` where it stands for none.
pub(super) fn parse(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for word in text.split_whitespace() {
        let (digits, count) = word.split_once('*').unwrap_or((word, "1"));
        let count: usize = count.parse().ok()?;
        let pairs =
            digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        bytes.extend(pairs.collect::<Option<Vec<u8>>>()?.repeat(count));
    }
    Some(bytes)
}
