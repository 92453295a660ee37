//! A staging tree as large sites have it, of any number of environments, the same for the same seed.
//!
//! Each environment holds all modules as files of its own, a site manifest, `environment.conf`, and 50 node files. One manifest in fifty differs from
//! environment to environment.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rayon::ThreadPool;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::modules::{Module, Modules};
use crate::random::mixed;

/// How many node files an environment has.
const NODES: usize = 50;

/// One manifest in so many differs.
const DIFFERS: u64 = 50;

/// What is younger is looked at again by a commit (`storage-format.md` §6), which waits for it. A deploy tool needs longer from its last write to its end.
pub(crate) const OLD_ENOUGH: Duration = Duration::from_millis(25);

/// The environment that is edited.
pub(crate) const EDITED: &str = "env_000";

/// How large a tree is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Size {
    pub(crate) environments: usize,
    pub(crate) files: u64,
    pub(crate) directories: u64,
    pub(crate) bytes: u64,
    pub(crate) distinct: u64,
}

/// A staging tree that can grow.
pub(crate) struct Estate {
    staging: PathBuf,
    modules: Modules,
    seed: u64,
    size: Size,
    distinct: HashSet<blake3::Hash>,
    edits: u64,
}

/// What was written for one environment.
#[derive(Default)]
struct Written {
    files: u64,
    directories: u64,
    bytes: u64,
    contents: Vec<blake3::Hash>,
}

impl Written {
    fn folder(&mut self, path: &Path) -> Result<(), String> {
        fs::create_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
        self.directories += 1;
        Ok(())
    }

    fn file(&mut self, path: &Path, content: &[u8], hash: blake3::Hash) -> Result<(), String> {
        fs::write(path, content).map_err(|error| format!("{}: {error}", path.display()))?;
        self.files += 1;
        self.bytes += content.len() as u64;
        self.contents.push(hash);
        Ok(())
    }

    fn text(&mut self, path: &Path, text: &str) -> Result<(), String> {
        self.file(path, text.as_bytes(), blake3::hash(text.as_bytes()))
    }
}

impl Estate {
    /// An empty one in this new directory.
    pub(crate) fn new(staging: PathBuf, modules: Modules, seed: u64) -> Result<Self, String> {
        for folder in ["environments", "modules"] {
            fs::create_dir_all(staging.join(folder)).map_err(|error| format!("{}: {error}", staging.display()))?;
        }
        let size = Size { directories: 2, ..Size::default() };
        Ok(Self { staging, modules, seed, size, distinct: HashSet::new(), edits: 0 })
    }

    pub(crate) fn staging(&self) -> &Path {
        &self.staging
    }

    pub(crate) fn size(&self) -> Size {
        self.size
    }

    /// Adds environments until there are so many.
    pub(crate) fn grow(&mut self, pool: &ThreadPool, environments: usize) -> Result<(), String> {
        let new: Vec<usize> = (self.size.environments..environments).collect();
        let written: Result<Vec<Written>, String> = pool.install(|| new.par_iter().map(|at| self.write(*at)).collect());
        for environment in written? {
            self.size.files += environment.files;
            self.size.directories += environment.directories;
            self.size.bytes += environment.bytes;
            self.distinct.extend(environment.contents);
        }
        self.size.environments = self.size.environments.max(environments);
        self.size.distinct = self.distinct.len() as u64;
        Ok(())
    }

    fn write(&self, at: usize) -> Result<Written, String> {
        crate::process::check()?;
        let name = format!("env_{at:03}");
        let root = self.staging.join("environments").join(&name);
        let mut written = Written::default();
        for folder in ["", "manifests", "data", "data/nodes", "modules"] {
            written.folder(&root.join(folder))?;
        }
        written.text(
            &root.join("manifests/site.pp"),
            &format!("node default {{ notify {{ 'hello from {name}': }} }}\n"),
        )?;
        written.text(&root.join("environment.conf"), "modulepath = modules:$basemodulepath\n")?;
        for node in 0..NODES {
            let path = root.join(format!("data/nodes/n{node}.yaml"));
            written.text(&path, &format!("role: r{node}-{name}\n"))?;
        }
        let (mut manifest, modules) = (0, root.join("modules"));
        for Module { folders, files, .. } in &self.modules.modules {
            for folder in folders {
                written.folder(&modules.join(folder))?;
            }
            for file in files {
                let path = modules.join(&file.path);
                manifest += u64::from(file.is_manifest());
                if file.is_manifest() && mixed(self.seed, &[at as u64, manifest]).is_multiple_of(DIFFERS) {
                    let content = [&file.content[..], format!("# {name}\n").as_bytes()].concat();
                    written.file(&path, &content, blake3::hash(&content))?;
                } else {
                    written.file(&path, &file.content, file.hash)?;
                }
            }
        }
        Ok(written)
    }

    /// Changes one manifest of the largest module in one environment, and lets it grow old enough. Gives its content.
    pub(crate) fn edit(&mut self) -> Result<Vec<u8>, String> {
        self.edits += 1;
        let file = self.modules.largest_manifest();
        let content = [&file.content[..], format!("# edit {}\n", self.edits).as_bytes()].concat();
        let path = self.staging.join("environments").join(EDITED).join("modules").join(&file.path);
        fs::write(&path, &content).map_err(|error| format!("{}: {error}", path.display()))?;
        std::thread::sleep(OLD_ENOUGH);
        Ok(content)
    }

    /// What is edited, in words.
    pub(crate) fn edited(&self) -> String {
        let largest = self.modules.largest();
        let path = self.modules.largest_manifest().path.display();
        format!("`environments/{EDITED}/modules/{path}`, in a module of {} files", largest.files.len())
    }
}
