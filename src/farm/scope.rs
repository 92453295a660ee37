//! Whose code differs between two commits, through every link: the requests that a swap concerns.
//!
//! An environment is in scope exactly when what it can reach changed: its own tree, or what a symbolic link in it leads to, or a link in
//! what that leads to, before or after.
//!
//! - Trees with the same id are the same, links and their texts too; what may still differ is what those links lead to. So both commits are
//!   walked side by side, over directories of the same id, from link to link; subtrees without links are not looked at.
//! - A link that is absolute, or leaves the root, shows what no commit knows: who reaches one is in scope always.
//! - What lies outside the environments is everybody's (`basemodulepath`). It is judged as an environment is, and when it is in scope,
//!   everything is.
//! - A link that leads nowhere is the same as another that leads nowhere.
//!
//! Deliberately absent: what the steps of a way show. A link to `../b/lib` reaches `lib`, and nothing else of `b`.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::links::{Behind, Place, Trees, resolve, visit};
use super::{Farm, FarmError};
use crate::pause::Scope;
use crate::values::{Commit, CommitId, Entry, Name, RepoName, Target, TreePath};

impl Farm {
    /// Which requests a swap from one commit to another concerns: those of the environments whose code differs, or all. Where `from` cannot
    /// be read it is all.
    pub fn scope_between(&self, from: Option<CommitId>, to: CommitId) -> Result<Scope, FarmError> {
        let after = self.index.commit(&to)?.ok_or(FarmError::CommitMissing(to))?;
        let Some(from) = from else { return Ok(Scope::Everything) };
        if self.is_laid_out_anew(&after.repo, &from, &to)? {
            return Ok(Scope::Everything);
        }
        let read = |id: &_| self.tree(id);
        let compared = match self.index.commit(&from) {
            Ok(Some(before)) => between(&Trees::new(&read), &before, &after),
            Ok(None) => return Ok(Scope::Everything),
            Err(error) => Err(error),
        };
        Ok(compared.unwrap_or_else(|error| {
            // What was current may be damaged; the way to something better must stay open.
            tracing::warn!(%from, %to, %error, "cannot compare the two commits; the swap concerns every environment");
            Scope::Everything
        }))
    }

    /// Whether the same content may lie elsewhere in the two generations. Puppet Server remembers where an environment really lies
    /// (`versioned_environment_dirs`), and that place goes when the older generation does.
    fn is_laid_out_anew(&self, repo: &RepoName, from: &CommitId, to: &CommitId) -> Result<bool, FarmError> {
        let rules = |commit| Ok::<_, FarmError>(self.index.generation(repo, commit)?.map(|record| record.rules));
        // One that cannot be read is as good as another layout.
        let Ok(before) = rules(from) else { return Ok(true) };
        Ok(matches!((before, rules(to)?), (Some(before), Some(after)) if before != after))
    }
}

fn between(trees: &Trees<'_>, before: &Commit, after: &Commit) -> Result<Scope, FarmError> {
    if before.environments_dir != after.environments_dir {
        return Ok(Scope::Everything);
    }
    if before.root.id == after.root.id {
        return Ok(Scope::Environments(Vec::new()));
    }
    if before.environments_dir.is_root() {
        return Ok(Scope::Everything);
    }
    let (before, after) = (Side::of(trees, before)?, Side::of(trees, after)?);
    if before.rest != after.rest {
        return Ok(Scope::Everything);
    }
    let mut reach = Reach { trees, points: Vec::new(), known: HashMap::new(), ahead: Vec::new() };
    let outside = reach.point();
    for (depth, name, entry) in &before.rest {
        reach.entry(outside, (&before.way[*depth], &after.way[*depth]), name, (entry, entry))?;
    }
    let mut environments: BTreeMap<&Name, usize> = BTreeMap::new();
    let (old, new) = (before.environments(), after.environments());
    for name in old.iter().chain(new).map(|(name, _)| name) {
        if environments.contains_key(name) {
            continue;
        }
        let point = reach.point();
        environments.insert(name, point);
        match (before.environment(name), after.environment(name)) {
            (Some((old, was)), Some((new, is))) => reach.entry(point, (old, new), name, (was, is))?,
            _ => reach.points[point].changed = true,
        }
    }
    reach.walk()?;
    reach.spread();
    if reach.points[outside].changed {
        return Ok(Scope::Everything);
    }
    let changed = environments.into_iter().filter(|(_, point)| reach.points[*point].changed);
    Ok(Scope::of(&changed.map(|(name, _)| name.clone()).collect::<Vec<_>>()))
}

/// One of the two commits.
struct Side {
    /// The directories on the way to the environments, from the root on.
    way: Vec<Place>,
    /// What lies in them that is not on the way, with the number of steps from the root to its directory.
    rest: Vec<(usize, Name, Entry)>,
    /// The directory of the environments, where there is one.
    place: Option<Place>,
}

impl Side {
    fn of(trees: &Trees<'_>, commit: &Commit) -> Result<Self, FarmError> {
        let mut place = Place::root(trees, commit.root.id)?;
        let (mut way, mut rest) = (Vec::new(), Vec::new());
        for (depth, step) in commit.environments_dir.names().enumerate() {
            way.push(place.clone());
            let tree = Rc::clone(place.tree());
            let mut next = None;
            for (name, entry) in tree.entries() {
                match entry {
                    Entry::Tree(subtree) if *name == step => next = Some(subtree.id),
                    // What stands in the place of a directory on the way counts as outside.
                    _ => rest.push((depth, name.clone(), entry.clone())),
                }
            }
            match next {
                Some(id) => place.enter(trees, &step, id)?,
                None => return Ok(Self { way, rest, place: None }),
            }
        }
        Ok(Self { way, rest, place: Some(place) })
    }

    fn environments(&self) -> &[(Name, Entry)] {
        self.place.as_ref().map_or(&[], |place| place.tree().entries())
    }

    fn environment(&self, name: &Name) -> Option<(&Place, &Entry)> {
        let place = self.place.as_ref()?;
        Some((place, place.tree().get(name.as_bytes())?))
    }
}

/// What reaches what, by links.
struct Reach<'a> {
    trees: &'a Trees<'a>,
    points: Vec<Point>,
    /// The points that are directories: by where they lie before, and after.
    known: HashMap<(TreePath, TreePath), usize>,
    /// Directories whose links are to be followed.
    ahead: Vec<(usize, Place, Place)>,
}

/// An environment, all that lies outside, or a directory that a link leads to, which is then the same on both sides.
#[derive(Default)]
struct Point {
    /// Whether what it reaches differs.
    changed: bool,
    /// The points from which a link leads here.
    users: Vec<usize>,
}

impl Reach<'_> {
    fn point(&mut self) -> usize {
        self.points.push(Point::default());
        self.points.len() - 1
    }

    /// `user` holds these entries, of the same name, in these directories.
    fn entry(
        &mut self,
        user: usize,
        (before, after): (&Place, &Place),
        name: &Name,
        (was, is): (&Entry, &Entry),
    ) -> Result<(), FarmError> {
        match (was, is) {
            _ if was != is => self.points[user].changed = true,
            (Entry::Tree(subtree), _) => {
                let (mut before, mut after) = (before.clone(), after.clone());
                before.enter(self.trees, name, subtree.id)?;
                after.enter(self.trees, name, subtree.id)?;
                self.directory(user, before, after);
            }
            (Entry::Symlink(target), _) => self.link(user, before, after, target)?,
            (Entry::File { .. }, _) => {}
        }
        Ok(())
    }

    /// `user` reaches a directory, which lies at these places.
    fn directory(&mut self, user: usize, before: Place, after: Place) {
        if before.id() != after.id() {
            self.points[user].changed = true;
        } else if before.tree().totals().links > 0 {
            let key = (before.path(), after.path());
            let known = self.known.get(&key).copied();
            let point = known.unwrap_or_else(|| {
                let point = self.point();
                self.known.insert(key, point);
                self.ahead.push((point, before, after));
                point
            });
            self.points[point].users.push(user);
        }
    }

    /// `user` holds a link with this target, in these directories.
    fn link(&mut self, user: usize, before: &Place, after: &Place, target: &Target) -> Result<(), FarmError> {
        match (resolve(self.trees, before, target)?, resolve(self.trees, after, target)?) {
            (Behind::Directory(before), Behind::Directory(after)) => self.directory(user, before, after),
            (Behind::File(was, was_executable), Behind::File(is, is_executable)) => {
                self.points[user].changed |= (was, was_executable) != (is, is_executable);
            }
            (Behind::Nowhere, Behind::Nowhere) => {}
            _ => self.points[user].changed = true,
        }
        Ok(())
    }

    /// Follows every link of every directory that is reached, each once.
    fn walk(&mut self) -> Result<(), FarmError> {
        while let Some((point, mut before, after)) = self.ahead.pop() {
            let (trees, depth) = (self.trees, before.depth());
            visit(trees, &mut before, &mut |dir, target| self.link(point, dir, &dir.moved(depth, &after), target))?;
        }
        Ok(())
    }

    /// Who reaches a change by way of others reaches it too.
    fn spread(&mut self) {
        let all = self.points.iter().enumerate();
        let mut ahead: Vec<usize> = all.filter(|(_, point)| point.changed).map(|(at, _)| at).collect();
        while let Some(point) = ahead.pop() {
            for user in std::mem::take(&mut self.points[point].users) {
                if !std::mem::replace(&mut self.points[user].changed, true) {
                    ahead.push(user);
                }
            }
        }
    }
}
