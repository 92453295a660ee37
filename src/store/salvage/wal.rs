//! RocksDB's log, read past what is damaged in it.
//!
//! RocksDB itself can leave damaged records out (`SkipAnyCorruptedRecord`), but then refuses a whole log for one that broke off in a record of
//! several fragments, as those of large blobs are. So its documented format is read here: blocks of 32 KiB, in them fragments
//! (`u32` masked CRC-32C of what follows the length, `u16` length, `u8` kind, payload), which make up records; each record is one batch of
//! writes. A fragment that is damaged costs its record, and what follows it in its block.
//!
//! Deliberately absent: kinds of fragments and writes that this program never makes.

use std::io::Read;

use crate::disk::{Dir, DiskError};

const BLOCK: usize = 32 << 10;
const HEADER: usize = 7;

/// What stands in the logs of a database.
#[derive(Debug, Default)]
pub(in crate::store) struct Logs {
    /// The records that are whole, in the order in which they were written.
    pub(super) records: Vec<Vec<u8>>,
    /// Whether something before the last of them is not.
    pub(in crate::store) has_gap: bool,
    broken: bool,
}

/// One write: the number of a column family, a key, and the value, or none where the key was removed.
pub(super) type Put = (u32, Vec<u8>, Option<Vec<u8>>);

impl Logs {
    /// Reads all logs of a database.
    pub(in crate::store) fn read(database: &Dir) -> Result<Self, DiskError> {
        let mut names: Vec<_> = database.list()?.into_iter().map(|listed| listed.name).collect();
        names.retain(|name| name.as_bytes().ends_with(b".log"));
        // Numbers of six digits and more.
        names.sort_by_key(|name| (name.as_bytes().len(), name.clone()));
        let mut logs = Self::default();
        for name in names {
            let mut bytes = Vec::new();
            let read = database.open_file(&name)?.read_to_end(&mut bytes);
            read.map_err(DiskError::at("read", &database.path_of(&name)))?;
            logs.take(&bytes);
        }
        Ok(logs)
    }

    fn take(&mut self, log: &[u8]) {
        let mut begun: Option<Vec<u8>> = None;
        for block in log.chunks(BLOCK) {
            let mut rest = block;
            while rest.len() >= HEADER {
                let Some((kind, payload)) = fragment(rest) else {
                    // Room that was never written is zero.
                    self.broken |= rest[..HEADER].iter().any(|byte| *byte != 0) || begun.is_some();
                    begun = None;
                    break;
                };
                rest = &rest[HEADER + payload.len()..];
                match (kind, begun.take()) {
                    (1, None) => self.push(payload.to_vec()),
                    (2, None) => begun = Some(payload.to_vec()),
                    (3, Some(record)) => begun = Some([&record, payload].concat()),
                    (4, Some(record)) => self.push([&record, payload].concat()),
                    // A new one begins where another was under way.
                    (1, Some(_)) => {
                        self.broken = true;
                        self.push(payload.to_vec());
                    }
                    (2, Some(_)) => {
                        self.broken = true;
                        begun = Some(payload.to_vec());
                    }
                    _ => self.broken = true,
                }
            }
        }
        self.broken |= begun.is_some();
    }

    fn push(&mut self, record: Vec<u8>) {
        self.has_gap |= self.broken;
        self.records.push(record);
    }
}

/// The fragment at the beginning, where it is one and is what was written.
fn fragment(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
    let crc = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    let payload = rest.get(..usize::from(u16::from_le_bytes([header[4], header[5]])))?;
    let checked = bytes.get(HEADER - 1..HEADER + payload.len())?;
    (masked(crc32c::crc32c(checked)) == crc).then_some((header[6], payload))
}

/// As RocksDB stores it: a checksum over bytes that hold checksums is weak.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The writes of one record, as far as they can be read.
pub(super) fn writes(record: &[u8]) -> Vec<Put> {
    let mut writes = Vec::new();
    // The sequence of the first write, and how many there are.
    let mut rest = record.get(12..).unwrap_or_default();
    while let Some(write) = next_write(&mut rest) {
        writes.extend(write);
    }
    writes
}

/// Takes one write from the front; `Some(None)` for one that changes nothing.
fn next_write(rest: &mut &[u8]) -> Option<Option<Put>> {
    let (kind, after) = rest.split_first()?;
    *rest = after;
    Some(match kind {
        0 => Some((0, bytes(rest)?, None)),
        1 => Some((0, bytes(rest)?, Some(bytes(rest)?))),
        3 => {
            bytes(rest)?;
            None
        }
        4 => Some((number(rest)?, bytes(rest)?, None)),
        5 => Some((number(rest)?, bytes(rest)?, Some(bytes(rest)?))),
        0xd => None,
        _ => return None,
    })
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let mut number = 0;
    for shift in (0..35).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn bytes(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let length = number(rest)? as usize;
    let (found, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(found.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rubbish_is_no_record_and_no_panic() {
        let mut logs = Logs::default();
        for length in [0, 6, 7, 8, 100, BLOCK, 3 * BLOCK + 5] {
            logs.take(&vec![0xa5; length]);
            logs.take(&vec![0; length]);
        }
        assert!(logs.records.is_empty() && !logs.has_gap);
        for record in [&[0; 3][..], &[0xff; 40], &[0; 12]] {
            assert_eq!(writes(record), []);
        }
    }
}
