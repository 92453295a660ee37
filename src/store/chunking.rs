//! Cutting a large blob where its content says, so that an edit in the middle moves no other border (`storage-format.md` §5).

use std::io::{self, Read};

use fastcdc::v2020::StreamCDC;

use crate::values::MAX_WHOLE_BLOB;

// Changing these makes stored chunks useless for what is stored from then on; nothing else.
const MINIMUM: usize = 256 << 10;
const AVERAGE: usize = 512 << 10;
const MAXIMUM: usize = MAX_WHOLE_BLOB;

/// The pieces of `content`, in order, each of at most 1 MiB. Holds two of them in memory, whatever the size of the whole. Level 1 and
/// seed 0 are what [`StreamCDC::new`] takes.
pub(super) fn chunks(content: impl Read) -> impl Iterator<Item = io::Result<Vec<u8>>> {
    StreamCDC::new(content, MINIMUM, AVERAGE, MAXIMUM).map(|chunk| Ok(chunk?.data))
}
