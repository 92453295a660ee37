//! What is known of the files beside it, and vouched for: RocksDB in `index/` (`storage-format.md` §8).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use rocksdb::{ColumnFamily, ColumnFamilyDescriptor, DB, IteratorMode, Options, WriteBatch, WriteOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{BlobKey, FarmError, Flaw, Generation, SharedDirs, SharedName};
use crate::codec::{self, DecodeError, Reader, Writer};
use crate::disk::seam::{self, Event};
use crate::values::{BlobId, ChunkList, Commit, CommitId, RepoName, Tree, TreeId, TreePath};

pub(super) const TREES: &str = "trees";
pub(super) const COMMITS: &str = "commits";
pub(super) const BLOBS: &str = "blobs";
pub(super) const CHUNKS: &str = "chunks";
pub(super) const BUILT: &str = "built";
pub(super) const GENERATIONS: &str = "generations";
const STATE: &str = "state";
pub(super) const META: &str = "meta";
const FAMILIES: [&str; 8] = [TREES, COMMITS, BLOBS, CHUNKS, BUILT, GENERATIONS, STATE, META];

/// What a generation's record is called.
const GENERATION: &str = "a generation's record";

/// Where the keys of `meta` begin that name a replaced blob.
const REPLACED: &[u8] = b"replaced ";

/// What is known of one blob file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRecord {
    /// Bytes.
    pub size: u64,
    /// Inode numbers. The last is the file under `blobs/`; the others have as many links as the file system allows.
    pub inodes: Vec<u64>,
}

/// Where the bytes of a chunk stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkPlace {
    /// The blob file that holds it.
    pub blob: BlobKey,
    /// Where in it, in bytes.
    pub offset: u64,
    /// How many bytes.
    pub length: u32,
}

/// What is known of one generation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GenerationRecord {
    /// When it was built, in milliseconds since 1970.
    pub built: i64,
    /// When it last became current, in milliseconds since 1970; 0 for never.
    pub deployed: i64,
    /// The patterns by which it was laid out.
    pub shared_dirs: SharedDirs,
    /// [`super::SharedDirs::rules`] of its layout.
    pub rules: [u8; 32],
    /// The shared trees that its root links to, ascending by path.
    pub shared: Vec<(TreePath, SharedName)>,
}

/// A record as it is stored: key and value.
pub type Raw = (Box<[u8]>, Box<[u8]>);

/// Links to shared trees, by path.
pub(super) type Links = Vec<(TreePath, SharedName)>;

/// The open index.
#[derive(Debug)]
pub struct Index {
    db: DB,
}

impl Index {
    /// Opens the database at `path`, made first where it is missing.
    pub fn open(path: &Path) -> Result<Self, FarmError> {
        let mut options = options();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        let families = FAMILIES.map(|name| ColumnFamilyDescriptor::new(name, options.clone()));
        let index = Self { db: DB::open_cf_descriptors(&options, path, families)? };
        index.told(true);
        Ok(index)
    }

    /// Opens a checkpoint, or a database that nobody uses, without writing to it.
    pub fn open_read_only(path: &Path) -> Result<Self, FarmError> {
        Ok(Self { db: DB::open_cf_for_read_only(&options(), path, FAMILIES, false)? })
    }

    /// Makes a copy at `path`, which must not exist, by hard links: cheap and consistent.
    pub fn checkpoint(&self, path: &Path) -> Result<(), FarmError> {
        Ok(rocksdb::checkpoint::Checkpoint::new(&self.db)?.create_checkpoint(path)?)
    }

    fn family(&self, name: &'static str) -> &ColumnFamily {
        self.db.cf_handle(name).expect("every family was opened")
    }

    fn get<T>(
        &self,
        family: &'static str,
        key: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, FarmError> {
        let Some(bytes) = self.db.get_pinned_cf(self.family(family), key)? else { return Ok(None) };
        decode(&bytes).map(Some).map_err(|source| FarmError::Damaged { family, key: hex(key), source })
    }

    /// Passes on that something was written, durably or not.
    fn told(&self, synced: bool) {
        seam::tell(Event::Database { path: self.db.path(), synced });
    }

    fn write_synced(&self, batch: WriteBatch) -> Result<(), FarmError> {
        seam::allow(self.db.path())?;
        self.db.write_opt(batch, &synced())?;
        self.told(true);
        Ok(())
    }

    fn put_synced(&self, family: &'static str, key: &[u8], value: &[u8]) -> Result<(), FarmError> {
        seam::allow(self.db.path())?;
        self.db.put_cf_opt(self.family(family), key, value, &synced())?;
        self.told(true);
        Ok(())
    }

    pub(super) fn each(&self, family: &'static str) -> impl Iterator<Item = Result<Raw, FarmError>> {
        self.db.iterator_cf(self.family(family), IteratorMode::Start).map(|item| item.map_err(FarmError::from))
    }

    /// About how many records there are that a survey reads.
    pub(super) fn estimate(&self) -> u64 {
        let families = [TREES, COMMITS, BLOBS, BUILT, GENERATIONS, CHUNKS].into_iter();
        let property = "rocksdb.estimate-num-keys";
        families.filter_map(|family| self.db.property_int_value_cf(self.family(family), property).ok()?).sum()
    }

    // ---- objects ----

    pub(super) fn put_trees(&self, trees: &[(TreeId, Vec<u8>)]) -> Result<(), FarmError> {
        if trees.is_empty() {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        for (id, canonical) in trees {
            debug_assert_eq!(*id, TreeId::of(canonical));
            batch.put_cf(self.family(TREES), id.as_bytes(), canonical);
        }
        self.db.write(batch)?;
        self.told(false);
        Ok(())
    }

    pub(super) fn put_commit(&self, commit: &Commit) -> Result<CommitId, FarmError> {
        let canonical = codec::encode_commit(commit);
        let id = CommitId::of(&canonical);
        self.db.put_cf(self.family(COMMITS), id.as_bytes(), canonical)?;
        self.told(false);
        Ok(id)
    }

    /// The tree of this id; its bytes are checked against the id by `fsck`, not here.
    pub fn tree(&self, id: &TreeId) -> Result<Option<Tree>, FarmError> {
        self.get(TREES, id.as_bytes(), codec::decode_tree)
    }

    /// Whether the tree object of this id is here.
    pub fn has_tree(&self, id: &TreeId) -> Result<bool, FarmError> {
        Ok(self.db.get_pinned_cf(self.family(TREES), id.as_bytes())?.is_some())
    }

    /// The commit of this id.
    pub fn commit(&self, id: &CommitId) -> Result<Option<Commit>, FarmError> {
        self.get(COMMITS, id.as_bytes(), codec::decode_commit)
    }

    /// Every tree object: id and bytes, neither checked.
    pub fn each_tree(&self) -> impl Iterator<Item = Result<Raw, FarmError>> {
        self.each(TREES)
    }

    /// Every commit object: id and bytes, neither checked.
    pub fn each_commit(&self) -> impl Iterator<Item = Result<Raw, FarmError>> {
        self.each(COMMITS)
    }

    // ---- blobs and chunks ----

    /// What is known of a blob file.
    pub fn blob(&self, key: BlobKey) -> Result<Option<BlobRecord>, FarmError> {
        self.get(BLOBS, &key.to_bytes(), decode_blob)
    }

    /// Every blob file that is vouched for.
    pub fn blobs(&self) -> Result<BTreeMap<BlobKey, BlobRecord>, FarmError> {
        let mut all = BTreeMap::new();
        for item in self.each(BLOBS) {
            let (key, value) = item?;
            let damaged = |source| FarmError::Damaged { family: BLOBS, key: hex(&key), source };
            let parsed = BlobKey::from_bytes(&key).ok_or(DecodeError::Truncated("a key")).map_err(damaged)?;
            all.insert(parsed, decode_blob(&value).map_err(damaged)?);
        }
        Ok(all)
    }

    /// Where a chunk can be copied from.
    pub fn chunk(&self, id: &BlobId) -> Result<Option<ChunkPlace>, FarmError> {
        self.get(CHUNKS, id.as_bytes(), decode_chunk)
    }

    // ---- shared trees ----

    /// The links inside a shared tree that is vouched for; `None` where it is not.
    pub fn built(&self, name: &SharedName) -> Result<Option<Links>, FarmError> {
        self.get(BUILT, name.as_str().as_bytes(), |bytes| decode_links(&mut Reader::new("a built tree", bytes)))
    }

    /// Every shared tree that is vouched for, with the links inside.
    pub fn all_built(&self) -> Result<BTreeMap<SharedName, Links>, FarmError> {
        let mut all = BTreeMap::new();
        for item in self.each(BUILT) {
            let (key, value) = item?;
            let damaged = |source| FarmError::Damaged { family: BUILT, key: hex(&key), source };
            let name = SharedName::parse(&key).ok_or(DecodeError::Truncated("a key")).map_err(damaged)?;
            let links = decode_links(&mut Reader::new("a built tree", &value)).map_err(damaged)?;
            all.insert(name, links);
        }
        Ok(all)
    }

    // ---- generations ----

    /// What is known of a generation.
    pub fn generation(&self, repo: &RepoName, commit: &CommitId) -> Result<Option<GenerationRecord>, FarmError> {
        self.get(GENERATIONS, &generation_key(repo, commit), decode_generation)
    }

    /// Every generation that is vouched for.
    pub fn generations(&self) -> Result<Vec<(RepoName, CommitId, GenerationRecord)>, FarmError> {
        let mut all = Vec::new();
        for item in self.each(GENERATIONS) {
            let (key, value) = item?;
            let damaged = |source| FarmError::Damaged { family: GENERATIONS, key: hex(&key), source };
            let (repo, commit) = parse_generation_key(&key).ok_or(DecodeError::Truncated("a key")).map_err(damaged)?;
            all.push((repo, commit, decode_generation(&value).map_err(damaged)?));
        }
        Ok(all)
    }

    /// The generations of a repo that are vouched for, in no order. Of each record no more is read than that: where there are hundreds of
    /// environments, it names them all.
    pub(super) fn generations_of(&self, repo: &RepoName) -> Result<Vec<Generation>, FarmError> {
        let mut all = Vec::new();
        for item in self.each(GENERATIONS) {
            let (key, value) = item?;
            let damaged = |source| FarmError::Damaged { family: GENERATIONS, key: hex(&key), source };
            let (other, commit) = parse_generation_key(&key).ok_or(DecodeError::Truncated("a key")).map_err(damaged)?;
            if other == *repo {
                let (built, deployed) = Reader::new(GENERATION, &value).take().map_err(damaged)?;
                all.push(Generation { commit, built, deployed });
            }
        }
        Ok(all)
    }

    /// Notes when a generation became current. Synced.
    pub(super) fn put_generation(
        &self,
        repo: &RepoName,
        commit: CommitId,
        record: &GenerationRecord,
    ) -> Result<(), FarmError> {
        let (key, value) = (generation_key(repo, &commit), encode_generation(record));
        self.put_synced(GENERATIONS, &key, &value)
    }

    // ---- what makes all of that true ----

    /// Vouches for files that are durable already. One synced write.
    pub(super) fn vouch(
        &self,
        blobs: &HashMap<BlobKey, BlobRecord>,
        chunked: &[(BlobKey, ChunkList)],
        built: &HashMap<SharedName, Links>,
        replaced: &BTreeSet<BlobId>,
        generation: Option<(&RepoName, CommitId, &GenerationRecord)>,
    ) -> Result<(), FarmError> {
        let mut batch = WriteBatch::default();
        for (key, record) in blobs {
            batch.put_cf(self.family(BLOBS), key.to_bytes(), encode_blob(record));
        }
        for (key, list) in chunked {
            let mut offset = 0;
            for chunk in list.chunks() {
                let mut writer = Writer::with_capacity(45);
                writer.put((key.to_bytes(), offset, chunk.length));
                batch.put_cf(self.family(CHUNKS), chunk.id.as_bytes(), writer.finish());
                offset += u64::from(chunk.length);
            }
        }
        for (name, links) in built {
            let mut writer = Writer::new();
            encode_links(&mut writer, links);
            batch.put_cf(self.family(BUILT), name.as_str(), writer.finish());
        }
        for id in replaced {
            batch.put_cf(self.family(META), replaced_key(id), b"");
        }
        if let Some((repo, commit, record)) = generation {
            batch.put_cf(self.family(GENERATIONS), generation_key(repo, &commit), encode_generation(record));
        }
        self.write_synced(batch)
    }

    /// Forgets what is about to be removed, or was found missing. One synced write.
    pub(super) fn forget(&self, what: &Forget) -> Result<(), FarmError> {
        let mut batch = WriteBatch::default();
        for (repo, commit) in &what.generations {
            batch.delete_cf(self.family(GENERATIONS), generation_key(repo, commit));
        }
        for name in &what.built {
            batch.delete_cf(self.family(BUILT), name.as_str());
        }
        for key in &what.blobs {
            batch.delete_cf(self.family(BLOBS), key.to_bytes());
        }
        for id in &what.chunks {
            batch.delete_cf(self.family(CHUNKS), id.as_bytes());
        }
        for id in &what.replaced {
            batch.delete_cf(self.family(META), replaced_key(id));
        }
        for id in &what.trees {
            batch.delete_cf(self.family(TREES), id.as_bytes());
        }
        for id in &what.commits {
            batch.delete_cf(self.family(COMMITS), id.as_bytes());
        }
        self.write_synced(batch)
    }

    /// Blobs whose file was replaced, and whose holders are still to be built anew.
    pub(super) fn replaced(&self) -> Result<BTreeSet<BlobId>, FarmError> {
        let mut all = BTreeSet::new();
        for item in self.each(META) {
            let (key, _) = item?;
            let id = key.strip_prefix(REPLACED).and_then(|id| std::str::from_utf8(id).ok()?.parse::<BlobId>().ok());
            all.extend(id);
        }
        Ok(all)
    }

    /// Every chunk whose blob file is gone.
    pub(super) fn chunks_without(&self, is_kept: impl Fn(BlobKey) -> bool) -> Result<Vec<BlobId>, FarmError> {
        let mut gone = Vec::new();
        for item in self.each(CHUNKS) {
            let (key, value) = item?;
            let id = <[u8; 32]>::try_from(&*key).map(BlobId::from_bytes);
            let kept = decode_chunk(&value).is_ok_and(|place| is_kept(place.blob));
            if let (Ok(id), false) = (id, kept) {
                gone.push(id);
            }
        }
        Ok(gone)
    }

    // ---- repair ----

    /// Whether a tree object is here and is what its id says.
    pub fn tree_is_sound(&self, id: &TreeId) -> Result<bool, FarmError> {
        let bytes = self.db.get_pinned_cf(self.family(TREES), id.as_bytes())?;
        Ok(bytes.is_some_and(|bytes| TreeId::of(&bytes) == *id && codec::decode_tree(&bytes).is_ok()))
    }

    /// Whether a commit object is here and is what its id says.
    pub fn commit_is_sound(&self, id: &CommitId) -> Result<bool, FarmError> {
        let bytes = self.db.get_pinned_cf(self.family(COMMITS), id.as_bytes())?;
        Ok(bytes.is_some_and(|bytes| CommitId::of(&bytes) == *id && codec::decode_commit(&bytes).is_ok()))
    }

    /// Forgets what a survey could not read, so that it counts as missing, and no longer fails whoever reads it. One synced write.
    pub fn forget_flaws(&self, flaws: &[Flaw]) -> Result<(), FarmError> {
        let mut batch = WriteBatch::default();
        for flaw in flaws {
            match flaw {
                Flaw::Tree(id) => batch.delete_cf(self.family(TREES), id.as_bytes()),
                Flaw::Commit(id) => batch.delete_cf(self.family(COMMITS), id.as_bytes()),
                Flaw::Record { family, key } => batch.delete_cf(self.family(family), unhex(key)),
                Flaw::Blocks { .. } => {}
            }
        }
        self.write_synced(batch)
    }

    // ---- state ----

    /// What is noted for a repo.
    pub fn state<T: DeserializeOwned + Default>(&self, repo: &RepoName) -> Result<T, FarmError> {
        let bytes = self.db.get_pinned_cf(self.family(STATE), repo.as_str())?;
        // State is a convenience: where it cannot be read, the next sync writes it anew.
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    pub(super) fn put_state(&self, repo: &RepoName, state: &impl Serialize) -> Result<(), FarmError> {
        let bytes = serde_json::to_vec(state).expect("plain data is plain JSON");
        self.put_synced(STATE, repo.as_str().as_bytes(), &bytes)
    }

    /// Reads every record, whatever it holds.
    pub(super) fn read_all(&self) -> Result<(), FarmError> {
        FAMILIES.iter().try_for_each(|family| self.each(family).try_for_each(|record| record.map(drop)))
    }

    /// What is noted for each repo, as it is stored.
    pub(super) fn states(&self) -> Result<Vec<Raw>, FarmError> {
        self.each(STATE).collect()
    }

    pub(super) fn put_states(&self, states: &[Raw]) -> Result<(), FarmError> {
        states.iter().try_for_each(|(key, value)| self.put_synced(STATE, key, value))
    }

    /// A note about the data directory as a whole.
    pub fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, FarmError> {
        Ok(self.db.get_cf(self.family(META), key)?)
    }

    /// Writes a note about the data directory as a whole. Synced.
    pub fn put_meta(&self, key: &str, value: &[u8]) -> Result<(), FarmError> {
        self.put_synced(META, key.as_bytes(), value)
    }
}

/// What the index shall forget.
#[derive(Debug, Default)]
pub(super) struct Forget {
    pub(super) generations: Vec<(RepoName, CommitId)>,
    pub(super) built: Vec<SharedName>,
    pub(super) blobs: Vec<BlobKey>,
    pub(super) chunks: Vec<BlobId>,
    pub(super) replaced: Vec<BlobId>,
    pub(super) trees: Vec<TreeId>,
    pub(super) commits: Vec<CommitId>,
}

fn options() -> Options {
    let mut blocks = rocksdb::BlockBasedOptions::default();
    blocks.set_bloom_filter(10.0, false);
    // As in the primary's store: quick on any processor.
    blocks.set_checksum_type(rocksdb::ChecksumType::XXH3);
    blocks.set_block_cache(&rocksdb::Cache::new_lru_cache(16 << 20));
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_compression_type(rocksdb::DBCompressionType::Zstd);
    options.set_write_buffer_size(4 << 20);
    options.set_db_write_buffer_size(24 << 20);
    options.set_max_open_files(128);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options
}

fn replaced_key(id: &BlobId) -> Vec<u8> {
    [REPLACED, id.to_string().as_bytes()].concat()
}

fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The inverse of [`hex`], of what it gave.
pub(super) fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2);
    digits.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn encode_blob(record: &BlobRecord) -> Vec<u8> {
    let mut writer = Writer::with_capacity(20);
    writer.put(record.size);
    writer.count::<u32>(record.inodes.len());
    record.inodes.iter().for_each(|inode| writer.put(*inode));
    writer.finish()
}

pub(super) fn decode_blob(bytes: &[u8]) -> Result<BlobRecord, DecodeError> {
    let mut reader = Reader::new("a blob file's record", bytes);
    let size = reader.take()?;
    let inodes = (0..reader.count::<u32>()?).map(|_| reader.take()).collect::<Result<_, _>>()?;
    reader.finish()?;
    Ok(BlobRecord { size, inodes })
}

pub(super) fn decode_chunk(bytes: &[u8]) -> Result<ChunkPlace, DecodeError> {
    let mut reader = Reader::new("a chunk's place", bytes);
    let (key, offset, length): ([u8; 33], u64, u32) = reader.take()?;
    reader.finish()?;
    let blob = BlobKey::from_bytes(&key).ok_or(DecodeError::Tag { what: "a chunk's place", tag: key[32] })?;
    Ok(ChunkPlace { blob, offset, length })
}

fn encode_links(writer: &mut Writer, links: &[(TreePath, SharedName)]) {
    writer.count::<u32>(links.len());
    for (path, name) in links {
        writer.short::<u16>(path.as_bytes());
        writer.short::<u8>(name.as_str().as_bytes());
    }
}

pub(super) fn decode_links(reader: &mut Reader<'_>) -> Result<Links, DecodeError> {
    let mut links = Vec::new();
    for _ in 0..reader.count::<u32>()? {
        let path = TreePath::new(reader.short::<u16>()?)?;
        let name = SharedName::parse(reader.short::<u8>()?).ok_or(DecodeError::Truncated("a shared tree's name"))?;
        links.push((path, name));
    }
    if reader.has_more() { Err(DecodeError::Trailing(reader.remaining().len())) } else { Ok(links) }
}

fn encode_generation(record: &GenerationRecord) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.put((record.built, record.deployed, record.rules));
    writer.count::<u32>(record.shared_dirs.patterns().len());
    record.shared_dirs.patterns().iter().for_each(|pattern| writer.short::<u16>(pattern.as_bytes()));
    encode_links(&mut writer, &record.shared);
    writer.finish()
}

pub(super) fn decode_generation(bytes: &[u8]) -> Result<GenerationRecord, DecodeError> {
    let mut reader = Reader::new(GENERATION, bytes);
    let (built, deployed, rules) = reader.take()?;
    let count = reader.count::<u32>()?;
    let patterns =
        (0..count).map(|_| Ok(TreePath::new(reader.short::<u16>()?)?)).collect::<Result<_, DecodeError>>()?;
    let shared = decode_links(&mut reader)?;
    Ok(GenerationRecord { built, deployed, rules, shared_dirs: SharedDirs::from_patterns(patterns), shared })
}

fn generation_key(repo: &RepoName, commit: &CommitId) -> Vec<u8> {
    [repo.as_str().as_bytes(), &[0], commit.as_bytes()].concat()
}

pub(super) fn parse_generation_key(key: &[u8]) -> Option<(RepoName, CommitId)> {
    let (repo, commit) = key.split_last_chunk::<32>()?;
    let repo = std::str::from_utf8(repo.strip_suffix(&[0])?).ok()?.parse().ok()?;
    Some((repo, CommitId::from_bytes(*commit)))
}
