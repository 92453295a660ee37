//! The column families of `storage-format.md` §6: their names, their keys, and how RocksDB keeps them.

use std::fmt;

use rocksdb::{
    BlockBasedOptions, Cache, ChecksumType, ColumnFamilyDescriptor, DB, DBCompressionType, LogLevel, LruCacheOptions,
    Options,
};

use crate::values::RepoName;

/// One kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Contents of files, and chunks of large ones.
    Blobs,
    /// Directories.
    Trees,
    /// Commits.
    Commits,
    /// The newest commit of each repo.
    Heads,
    /// Names that GC respects.
    Tags,
    /// What ingest knows of staging's files.
    StatCache,
    /// The last report of each client.
    Clients,
    /// Everything else.
    Meta,
}

impl Family {
    /// All of them.
    pub const ALL: [Family; 8] = [
        Family::Blobs,
        Family::Trees,
        Family::Commits,
        Family::Heads,
        Family::Tags,
        Family::StatCache,
        Family::Clients,
        Family::Meta,
    ];

    /// The family's name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Family::Blobs => "blobs",
            Family::Trees => "trees",
            Family::Commits => "commits",
            Family::Heads => "heads",
            Family::Tags => "tags",
            Family::StatCache => "stat-cache",
            Family::Clients => "clients",
            Family::Meta => "meta",
        }
    }

    pub(super) fn handle(self, db: &DB) -> &rocksdb::ColumnFamily {
        db.cf_handle(self.name()).expect("every family is opened with the database")
    }

    fn has_ids_for_keys(self) -> bool {
        matches!(self, Family::Blobs | Family::Trees | Family::Commits)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The key of a record, for people: an id in hexadecimal digits, anything else as text, parts joined by a colon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// How a key of this family is shown.
    pub fn new(family: Family, bytes: &[u8]) -> Self {
        if family.has_ids_for_keys() {
            return Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        let parts: Vec<_> = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        Self(parts.join(":").escape_debug().to_string())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key of a record that belongs to a repo. A repo's keys stand together, for no name holds a NUL.
pub(super) fn repo_key(repo: &RepoName, rest: &[u8]) -> Vec<u8> {
    [repo.as_str().as_bytes(), b"\0", rest].concat()
}

const MIB: usize = 1 << 20;

/// Blocks that were read and unpacked, with all indexes and filters: the most memory that reading takes.
const BLOCK_CACHE: usize = 64 * MIB;
/// Records that are not yet in a table, of all families together.
const WRITE_BUFFERS: usize = 56 * MIB;
/// The log is kept until every family's records are in tables: this bounds what a start must read again.
const LOG_FILES: u64 = 128 << 20;

pub(super) fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_db_write_buffer_size(WRITE_BUFFERS);
    options.set_max_total_wal_size(LOG_FILES);
    options.set_max_open_files(256);
    options.set_max_background_jobs(2);
    options.set_log_level(LogLevel::Warn);
    options.set_max_log_file_size(MIB);
    options.set_keep_log_file_num(2);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options
}

pub(super) fn descriptors() -> Vec<ColumnFamilyDescriptor> {
    let mut cache = LruCacheOptions::default();
    cache.set_capacity(BLOCK_CACHE);
    let cache = Cache::new_lru_cache_opts(&cache);
    // RocksDB insists on its default family; it stays empty.
    let names = std::iter::once("default").chain(Family::ALL.map(Family::name));
    names.map(|name| ColumnFamilyDescriptor::new(name, family_options(name, &cache))).collect()
}

fn family_options(name: &str, cache: &Cache) -> Options {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_cache(cache);
    tables.set_cache_index_and_filter_blocks(true);
    tables.set_pin_l0_filter_and_index_blocks_in_cache(true);
    // Ten bits a key: one miss in a hundred reads a block in vain.
    tables.set_bloom_filter(10.0, false);
    tables.set_block_size(16 * 1024);
    tables.set_format_version(5);
    // As quick as memory on any processor; CRC-32C is only where RocksDB is compiled for one that has it.
    tables.set_checksum_type(ChecksumType::XXH3);

    let mut options = Options::default();
    options.set_block_based_table_factory(&tables);
    options.set_compression_type(DBCompressionType::Zstd);
    // Window bits and strategy are zstd's own choice; level 1, for a first commit waits for it.
    options.set_compression_options(-14, 1, 0, 0);
    options.set_write_buffer_size(if name == Family::Blobs.name() { 24 * MIB } else { 8 * MIB });
    options.set_level_zero_file_num_compaction_trigger(8);
    options
}
