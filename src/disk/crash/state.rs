//! What may be left: some of the names, some of the bytes, some of the database's writes.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::record::{Database, Entry, Look, Place, Point, Recording};

/// Which of the states that a point allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// Everything, as a killed process leaves it.
    Kept,
    /// Only what is durable.
    Lost,
    /// Every name, of files that were not synced no byte; everything in the database.
    Empty,
    /// Every name, of files that were not synced zeros; only what is durable in the database.
    Zeros,
    /// Files as durable, the database as written.
    DatabaseAhead,
    /// Files as written, the database as durable.
    DatabaseBehind,
    /// Any of the changes of names.
    Loose(u64),
    /// A prefix of the changes of names.
    Journal(u64),
}

impl Variant {
    /// Those that a sweep tries, with so many seeds for those that have one.
    pub(crate) fn all(seeds: u64) -> Vec<Self> {
        use Variant::*;
        let seeded = (0..seeds).flat_map(|seed| [Loose(seed), Journal(seed)]);
        [Kept, Lost, Empty, Zeros, DatabaseAhead, DatabaseBehind].into_iter().chain(seeded).collect()
    }
}

/// What is left of a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Content {
    Whole,
    Half,
    Empty,
    Zeros,
}

/// A data directory after a cut.
#[derive(Debug)]
pub(crate) struct State {
    pub(super) root: u64,
    pub(super) names: BTreeMap<Place, Entry>,
    pub(super) files: BTreeMap<u64, (Content, Look)>,
    pub(super) modes: Arc<BTreeMap<u64, u32>>,
    /// And how much of its newest log is left.
    pub(super) database: Option<(Arc<Database>, u64)>,
}

/// What a file that was never synced looks like when that is lost, too.
const BARE: Look = Look { size: 0, mode: 0o600, mtime: (1_600_000_000, 0) };

impl Recording {
    /// Every state that these variants give, each once, with the point and the variant that it comes from.
    pub(crate) fn states(&self, variants: &[Variant]) -> Vec<(&Point, Variant, State)> {
        let mut seen = HashSet::new();
        let mut states = Vec::new();
        for (number, point) in self.points.iter().enumerate() {
            for variant in variants {
                let state = point.state(*variant, number as u64);
                if seen.insert((point.stage, state.picture())) {
                    states.push((point, *variant, state));
                }
            }
        }
        states
    }
}

impl Point {
    fn state(&self, variant: Variant, number: u64) -> State {
        let seed = match variant {
            Variant::Loose(seed) | Variant::Journal(seed) => seed,
            _ => 0,
        };
        let mut random = Random(seed.wrapping_mul(0x1_0001).wrapping_add(number));
        let names = self.names(variant, &mut random);
        let files = self.files.iter().map(|(inode, file)| {
            let contents = [Content::Whole, Content::Half, Content::Empty, Content::Zeros];
            let state = match (file.durable, variant) {
                (Some(durable), _) if durable == file.now => (Content::Whole, durable),
                (_, Variant::Kept | Variant::DatabaseBehind) => (Content::Whole, file.now),
                (Some(durable), _) if durable.size == file.now.size => {
                    (Content::Whole, if random.below(2) == 0 { durable } else { file.now })
                }
                (_, Variant::Zeros) => (Content::Zeros, file.now),
                (_, Variant::Loose(_) | Variant::Journal(_)) => {
                    let look = if random.below(3) == 0 { Look { size: file.now.size, ..BARE } } else { file.now };
                    (contents[random.below(4) as usize], look)
                }
                _ => (Content::Empty, file.now),
            };
            (*inode, state)
        });
        let files = files.collect();
        let database = self.database.as_ref().map(|database| {
            let last = database.lengths.len() - 1;
            let at = match variant {
                Variant::Kept | Variant::Empty | Variant::DatabaseAhead => last,
                Variant::Lost | Variant::Zeros | Variant::DatabaseBehind => 0,
                Variant::Loose(_) | Variant::Journal(_) => random.below(database.lengths.len() as u64) as usize,
            };
            (Arc::clone(database), database.lengths[at])
        });
        State { root: self.root, names, files, modes: Arc::clone(&self.modes), database }
    }

    fn names(&self, variant: Variant, random: &mut Random) -> BTreeMap<Place, Entry> {
        let mut names = BTreeMap::clone(&self.durable);
        match variant {
            Variant::Kept | Variant::Empty | Variant::Zeros | Variant::DatabaseBehind => {
                self.pending.iter().for_each(|(change, _)| change.apply(&mut names));
            }
            Variant::Lost | Variant::DatabaseAhead => {}
            Variant::Journal(_) => {
                let written = self.pending.iter().filter(|(_, journaled)| *journaled).count();
                let more = random.below((self.pending.len() - written) as u64 + 1) as usize;
                self.pending[..written + more].iter().for_each(|(change, _)| change.apply(&mut names));
            }
            Variant::Loose(_) => {
                let kept_of_four = 1 + random.below(3);
                let mut lost = HashSet::new();
                for (change, _) in &self.pending {
                    if random.below(4) < kept_of_four && !change.keys().any(|key| lost.contains(&key)) {
                        change.apply(&mut names);
                    } else {
                        lost.extend(change.keys());
                    }
                }
            }
        }
        names
    }
}

impl State {
    /// Tells two states apart.
    fn picture(&self) -> [u8; 32] {
        let mut lines = BTreeSet::new();
        let mut ahead = vec![(self.root, String::new())];
        while let Some((dir, at)) = ahead.pop() {
            for ((_, name), entry) in self.names.range((dir, Default::default())..(dir + 1, Default::default())) {
                let path = format!("{at}/{}", name.display());
                match entry {
                    Entry::Dir(inode) => {
                        lines.insert(format!("{path} {:?}", self.modes.get(inode)));
                        ahead.push((*inode, path));
                    }
                    Entry::File(inode) => drop(lines.insert(format!("{path} {inode} {:?}", self.files[inode]))),
                    Entry::Link(target) => drop(lines.insert(format!("{path} {target:?}"))),
                }
            }
        }
        if let Some((database, length)) = &self.database {
            lines.insert(format!("{} {length}", database.copy.display()));
        }
        let lines: Vec<String> = lines.into_iter().collect();
        *blake3::hash(lines.join("\n").as_bytes()).as_bytes()
    }
}

/// The same numbers every time (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
