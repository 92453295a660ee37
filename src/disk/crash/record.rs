//! What happened: changes of names, files, writes of the database, and what of it is durable.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nix::sys::stat::SFlag;

use super::super::seam::Event;

/// Databases in a data directory; their files are theirs.
const DATABASES: [&str; 2] = ["index", "store"];

/// A name in a directory, which is told by its inode.
pub(super) type Place = (u64, OsString);

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Entry {
    Dir(u64),
    File(u64),
    Link(Vec<u8>),
}

/// What one call did to names.
#[derive(Debug, Default)]
pub(super) struct Change(pub(super) BTreeMap<Place, Option<Entry>>);

/// What keeps two changes in their order.
#[derive(PartialEq, Eq, Hash)]
pub(super) enum Key<'a> {
    Place(&'a Place),
    Dir(u64),
}

impl Change {
    pub(super) fn keys(&self) -> impl Iterator<Item = Key<'_>> {
        let dirs = self.0.values().filter_map(|entry| match entry {
            Some(Entry::Dir(inode)) => Some(Key::Dir(*inode)),
            _ => None,
        });
        self.0.keys().map(Key::Place).chain(dirs)
    }

    pub(super) fn apply(&self, names: &mut BTreeMap<Place, Entry>) {
        for (place, entry) in &self.0 {
            match entry {
                Some(entry) => drop(names.insert(place.clone(), entry.clone())),
                None => drop(names.remove(place)),
            }
        }
    }
}

/// What is known of a file besides its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Look {
    pub(super) size: u64,
    pub(super) mode: u32,
    pub(super) mtime: (i64, i64),
}

impl Look {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let mtime = (metadata.mtime(), metadata.mtime_nsec());
        Self { size: metadata.len(), mode: metadata.mode() & 0o7777, mtime }
    }
}

#[derive(Debug, Clone)]
pub(super) struct FileState {
    pub(super) now: Look,
    pub(super) durable: Option<Look>,
}

/// A database as it was after a write.
#[derive(Debug)]
pub(super) struct Database {
    /// A copy of its files.
    pub(super) copy: PathBuf,
    /// Its name in the data directory.
    pub(super) name: OsString,
    /// The newest file of its log.
    pub(super) log: Option<OsString>,
    /// How long the log was when it was last synced, and after each write since.
    pub(super) lengths: Vec<u64>,
}

/// A moment at which the power may fail.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    /// What had just been done.
    pub(crate) label: String,
    /// How far the run had come.
    pub(crate) stage: usize,
    pub(super) root: u64,
    pub(super) durable: Arc<BTreeMap<Place, Entry>>,
    /// Changes that are not durable; those marked are where there is a journal.
    pub(super) pending: Vec<(Arc<Change>, bool)>,
    pub(super) files: Arc<BTreeMap<u64, FileState>>,
    pub(super) modes: Arc<BTreeMap<u64, u32>>,
    pub(super) database: Option<Arc<Database>>,
}

/// A kind of sync that is taken for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deaf {
    FileSystem,
    Directories,
    Database,
}

/// What was recorded.
#[derive(Debug)]
pub(crate) struct Recording {
    /// How many calls were heard.
    pub(crate) operations: usize,
    /// After each that changed something, or made something durable.
    pub(crate) points: Vec<Point>,
    pub(super) root: PathBuf,
    pub(super) vault: PathBuf,
}

pub(super) struct Recorder {
    recording: Recording,
    point: Point,
    live: BTreeMap<Place, Entry>,
    deaf: Option<Deaf>,
    /// Open, so that no inode of a directory is used again.
    dirs: BTreeMap<u64, File>,
}

/// What a look at the directory finds.
#[derive(Default)]
struct Found {
    names: BTreeMap<Place, Entry>,
    files: BTreeMap<u64, Look>,
    modes: BTreeMap<u64, u32>,
}

impl Recorder {
    /// What is there now is durable.
    pub(super) fn start(root: &Path, vault: &Path, deaf: Option<Deaf>) -> Self {
        let point = Point {
            label: "start".into(),
            stage: 0,
            root: fs::metadata(root).unwrap().ino(),
            durable: Arc::default(),
            pending: Vec::new(),
            files: Arc::default(),
            modes: Arc::default(),
            database: None,
        };
        let recording = Recording { operations: 0, points: Vec::new(), root: root.to_owned(), vault: vault.to_owned() };
        let mut this = Self { recording, point, live: BTreeMap::new(), deaf, dirs: BTreeMap::new() };
        this.look();
        for name in DATABASES {
            let path = root.join(name);
            if path.join("CURRENT").exists() {
                this.database(&path, true);
            }
        }
        this.sync_all();
        this.add("start".into());
        this
    }

    pub(super) fn is_at(&self, path: &Path) -> bool {
        path.starts_with(&self.recording.root)
    }

    pub(super) fn finish(self) -> Recording {
        self.recording
    }

    pub(super) fn reached(&mut self, stage: usize) {
        self.point.stage = stage;
        self.add(format!("stage {stage}"));
    }

    fn add(&mut self, label: String) {
        self.recording.points.push(Point { label, ..self.point.clone() });
    }

    pub(super) fn hear(&mut self, event: &Event<'_>) {
        self.recording.operations += 1;
        let changed = self.look();
        match event {
            Event::Changed(_) => {
                if let Some(what) = changed {
                    self.add(what);
                }
            }
            Event::Synced(path, fd) => {
                let stat = nix::sys::stat::fstat(fd).unwrap();
                let is_dir = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFDIR;
                if !(is_dir && self.deaf == Some(Deaf::Directories)) {
                    self.sync(stat.st_ino);
                }
                self.add(format!("sync {}", path.display()));
            }
            Event::FileSystemSynced(_) => {
                if self.deaf != Some(Deaf::FileSystem) {
                    self.sync_all();
                }
                self.add("syncfs".into());
            }
            Event::Database { path, synced } => {
                self.database(path, *synced && self.deaf != Some(Deaf::Database));
                self.add(format!("database, synced: {synced}"));
            }
        }
    }

    // ---- looking ----

    /// Notes what differs from the last look, and says what it is.
    fn look(&mut self) -> Option<String> {
        let mut found = Found::default();
        let root = self.recording.root.clone();
        self.walk(&root, true, &mut found).unwrap();
        let mut change = Change::default();
        for (place, entry) in &found.names {
            if self.live.get(place) != Some(entry) {
                change.0.insert(place.clone(), Some(entry.clone()));
            }
        }
        for place in self.live.keys().filter(|place| !found.names.contains_key(place)) {
            change.0.insert(place.clone(), None);
        }
        let mut what = Vec::new();
        for ((dir, name), entry) in &change.0 {
            what.push(format!("{dir}/{} is {entry:?}", name.display()));
        }
        for (inode, look) in found.files {
            let files = Arc::make_mut(&mut self.point.files);
            let state = files.entry(inode).or_insert(FileState { now: look, durable: None });
            if state.now != look {
                what.push(format!("file {inode} is {look:?}"));
            }
            state.now = look;
        }
        if *self.point.modes != found.modes {
            what.push("a directory's mode".into());
            self.point.modes = Arc::new(found.modes);
        }
        if !change.0.is_empty() {
            self.point.pending.push((Arc::new(change), false));
        }
        self.live = found.names;
        (!what.is_empty()).then(|| what.join(", "))
    }

    fn walk(&mut self, dir: &Path, is_root: bool, found: &mut Found) -> io::Result<()> {
        let metadata = fs::metadata(dir)?;
        let inode = metadata.ino();
        found.modes.insert(inode, metadata.mode() & 0o7777);
        if let std::collections::btree_map::Entry::Vacant(slot) = self.dirs.entry(inode) {
            slot.insert(File::open(dir)?);
        }
        for entry in fs::read_dir(dir)? {
            let (name, path) = entry.map(|entry| (entry.file_name(), entry.path()))?;
            let metadata = fs::symlink_metadata(&path)?;
            let what = if metadata.is_dir() {
                if !(is_root && DATABASES.iter().any(|database| name == *database)) {
                    self.walk(&path, false, found)?;
                }
                Entry::Dir(metadata.ino())
            } else if metadata.is_symlink() {
                Entry::Link(fs::read_link(&path)?.as_os_str().as_bytes().to_vec())
            } else {
                if !self.point.files.contains_key(&metadata.ino()) {
                    match fs::hard_link(&path, self.recording.vault.join(metadata.ino().to_string())) {
                        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                        _ => {}
                    }
                }
                found.files.insert(metadata.ino(), Look::of(&metadata));
                Entry::File(metadata.ino())
            };
            found.names.insert((inode, name), what);
        }
        Ok(())
    }

    // ---- what becomes durable ----

    fn sync_all(&mut self) {
        let durable = Arc::make_mut(&mut self.point.durable);
        self.point.pending.drain(..).for_each(|(change, _)| change.apply(durable));
        for state in Arc::make_mut(&mut self.point.files).values_mut() {
            state.durable = Some(state.now);
        }
    }

    /// A file's bytes, or a directory's names with what they depend on.
    fn sync(&mut self, inode: u64) {
        if let Some(state) = Arc::make_mut(&mut self.point.files).get_mut(&inode) {
            state.durable = Some(state.now);
        }
        let pending = std::mem::take(&mut self.point.pending);
        let (mut keys, mut taken) = (HashSet::new(), HashSet::new());
        for (at, (change, _)) in pending.iter().enumerate().rev() {
            let is_here = change.0.keys().any(|(dir, _)| *dir == inode);
            if is_here || change.keys().any(|key| keys.contains(&key)) {
                keys.extend(change.keys());
                taken.insert(at);
            }
        }
        let durable = Arc::make_mut(&mut self.point.durable);
        for (at, (change, _)) in pending.iter().enumerate() {
            match taken.contains(&at) {
                true => change.apply(durable),
                false => self.point.pending.push((Arc::clone(change), true)),
            }
        }
    }

    // ---- the database ----

    fn database(&mut self, path: &Path, synced: bool) {
        static COPIES: AtomicU64 = AtomicU64::new(0);
        let copy = self.recording.vault.join(format!("database-{}", COPIES.fetch_add(1, Relaxed)));
        fs::create_dir(&copy).unwrap();
        let mut log: Option<(OsString, u64)> = None;
        for entry in fs::read_dir(path).unwrap() {
            let (name, from) = entry.map(|entry| (entry.file_name(), entry.path())).unwrap();
            let bytes = name.as_bytes();
            let to = copy.join(&name);
            if bytes.ends_with(b".sst") {
                fs::hard_link(from, to).unwrap();
            } else if !(bytes.starts_with(b"LOG") || bytes.starts_with(b"OPTIONS") || bytes == b"LOCK") {
                let size = fs::copy(from, to).unwrap();
                if bytes.ends_with(b".log") && log.as_ref().is_none_or(|(newest, _)| *newest < name) {
                    log = Some((name, size));
                }
            }
        }
        let (log, size) = log.unzip();
        let size = size.unwrap_or(0);
        let lengths = match self.point.database.as_deref() {
            _ if synced => vec![size],
            Some(before) if before.log == log => [&before.lengths[..], &[size]].concat(),
            _ => vec![0, size],
        };
        let name = path.file_name().map(OsStr::to_owned).unwrap();
        self.point.database = Some(Arc::new(Database { copy, name, log, lengths }));
    }
}
