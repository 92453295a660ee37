//! Numbers, byte strings and lists (`storage-format.md` §1).

use bincode::config::{Configuration, Fixint, LittleEndian, NoLimit};
use bincode::{Decode, Encode};

use super::DecodeError;

const CONFIG: Configuration<LittleEndian, Fixint, NoLimit> =
    bincode::config::standard().with_little_endian().with_fixed_int_encoding().with_no_limit();

/// A length or count, of the width that the format gives it.
pub trait Length: Encode + Decode<()> + Copy {
    /// The length as the platform's own; `None` where it does not fit.
    fn to_usize(self) -> Option<usize>;
    /// The length in this width; `None` where it does not fit.
    fn from_usize(length: usize) -> Option<Self>;
}

macro_rules! length {
    ($($width:ty),*) => {
        $(impl Length for $width {
            fn to_usize(self) -> Option<usize> {
                usize::try_from(self).ok()
            }
            fn from_usize(length: usize) -> Option<Self> {
                Self::try_from(length).ok()
            }
        })*
    };
}
length!(u8, u16, u32);

/// Collects an encoding.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// A number or a fixed array of bytes.
    pub fn put(&mut self, value: impl Encode) {
        bincode::encode_into_std_write(value, &mut self.0, CONFIG).expect("writing to memory cannot fail");
    }

    /// Bytes as they are, without a length.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The count of a list.
    ///
    /// # Panics
    /// Where the count does not fit; the types that are encoded are checked to fit when they are made.
    pub fn count<L: Length>(&mut self, count: usize) {
        self.put(L::from_usize(count).expect("checked when the value was made"));
    }

    /// `short(L)`: a length, then the bytes. Panics like [`Writer::count`].
    pub fn short<L: Length>(&mut self, bytes: &[u8]) {
        self.count::<L>(bytes.len());
        self.raw(bytes);
    }

    /// The encoding.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Takes an encoding apart, from the front.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// A reader of `bytes`, which should be the encoding of a `what` (named in errors).
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { rest: bytes, what }
    }

    /// What is read, for errors.
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// A number or a fixed array of bytes.
    pub fn take<T: Decode<()>>(&mut self) -> Result<T, DecodeError> {
        let (value, used) =
            bincode::decode_from_slice(self.rest, CONFIG).map_err(|_| DecodeError::Truncated(self.what))?;
        self.rest = &self.rest[used..];
        Ok(value)
    }

    /// The next `count` bytes.
    pub fn raw(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Truncated(self.what))?;
        self.rest = rest;
        Ok(taken)
    }

    /// The count of a list.
    pub fn count<L: Length>(&mut self) -> Result<usize, DecodeError> {
        self.take::<L>()?.to_usize().ok_or(DecodeError::Truncated(self.what))
    }

    /// `short(L)`: a length, then the bytes.
    pub fn short<L: Length>(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.count::<L>()?;
        self.raw(length)
    }

    /// `short(L)` that must be UTF-8.
    pub fn text<L: Length>(&mut self, what: &'static str) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.short::<L>()?).map_err(|_| DecodeError::NotUtf8(what))
    }

    /// Whether more bytes follow.
    pub fn has_more(&self) -> bool {
        !self.rest.is_empty()
    }

    /// All that is left.
    pub fn remaining(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Checks that nothing is left.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.rest.len())) }
    }
}
