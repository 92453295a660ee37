//! The log that RocksDB replays when the store is opened, and what is wrong with its end after a power cut.
//!
//! By itself RocksDB replays a log up to the first record that is not whole, and drops the rest without a word: right for a record that was
//! never finished, wrong for one that rotted before others that were synced, for then answered commits would be gone. So a log that ends in
//! rubbish is told from one that goes on behind it.
//!
//! Deliberately absent: reading past the damage, which a salvage does.

use std::path::Path;

use rocksdb::{DB, DBRecoveryMode, Error, ErrorKind, Options};

use super::family;
use super::salvage::Logs;
use crate::disk::Dir;

/// Opens the database, made first where it is missing. Refuses one whose log is damaged before its end.
pub(super) fn open(path: &Path) -> Result<DB, Error> {
    choose(path, |settings| DB::open_cf_descriptors(settings, path, family::descriptors()))
}

/// The same for who only reads.
pub(super) fn open_read_only(path: &Path) -> Result<DB, Error> {
    choose(path, |settings| DB::open_cf_descriptors_read_only(settings, path, family::descriptors(), false))
}

fn choose(path: &Path, open: impl Fn(&Options) -> Result<DB, Error>) -> Result<DB, Error> {
    let open = |mode| {
        let mut settings = family::database_options();
        settings.set_wal_recovery_mode(mode);
        open(&settings)
    };
    match open(DBRecoveryMode::TolerateCorruptedTailRecords) {
        Err(error) if error.kind() == ErrorKind::Corruption && ends_torn(path) => open(DBRecoveryMode::PointInTime),
        other => other,
    }
}

/// Whether no whole record stands behind the place at which the log breaks off.
fn ends_torn(path: &Path) -> bool {
    Dir::open(path).and_then(|database| Logs::read(&database)).is_ok_and(|logs| !logs.has_gap)
}
