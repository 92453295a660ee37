//! What may surprise the one who committed, though it is no error.
//!
//! Links are looked at in every commit; files only in the one that reads them.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Mutex;

use super::Repo;
use super::trouble::lock;
use crate::values::{Name, Target, TreePath};

/// How many warnings one answer holds.
const MOST: usize = 100;

/// The longest file that is searched.
const LONGEST_SEARCHED: usize = 256 << 10;

/// Collects warnings, from many threads.
pub(super) struct Warnings {
    /// The staging directory, as it is set and as it really is.
    staging: Vec<Vec<u8>>,
    environments_dir: TreePath,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    texts: BTreeSet<String>,
    more: bool,
}

impl Warnings {
    pub(super) fn new(repo: &Repo) -> Self {
        let real = repo.staging_dir.canonicalize().ok();
        let bytes = |path: &Path| path.as_os_str().as_bytes().to_vec();
        let staging = [Some(bytes(&repo.staging_dir)), real.as_deref().map(bytes)].into_iter().flatten();
        let environments_dir = repo.environments_dir.clone();
        Self { staging: staging.collect(), environments_dir, found: Mutex::default() }
    }

    /// The warnings, sorted.
    pub(super) fn into_texts(self) -> Vec<String> {
        let Found { texts, more } = self.found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let rest = more.then(|| format!("there are more than these {MOST} warnings"));
        texts.into_iter().chain(rest).collect()
    }

    fn add(&self, text: String) {
        let mut found = lock(&self.found);
        found.texts.insert(text);
        if found.texts.len() > MOST {
            found.texts.pop_last();
            found.more = true;
        }
    }

    /// Looks at the link `name` of the directory at `parent`.
    pub(super) fn link(&self, parent: &TreePath, name: &Name, target: &Target) {
        let inside = |staging: &Vec<u8>| {
            let rest = target.as_bytes().strip_prefix(staging.as_slice());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/") || staging.ends_with(b"/"))
        };
        if target.is_absolute() {
            if self.staging.iter().any(inside) {
                let link = parent.join(name);
                self.add(format!("{link} links to {target}, into staging itself: every server would look there; make the link relative"));
            }
        } else if leaves(parent.depth(), target.as_bytes()) {
            let link = parent.join(name);
            self.add(format!(
                "{link} links to {target}, out of staging: it will lead elsewhere, or nowhere, on the servers"
            ));
        }
    }

    /// Looks at the content of a file that was read.
    pub(super) fn content(&self, path: &TreePath, content: &[u8]) {
        if content.len() > LONGEST_SEARCHED {
            return;
        }
        if path.as_bytes().ends_with(b".rb") {
            if let Some(required) = required_outside_module(path, content) {
                self.add(format!("{path} leaves its module by require_relative {required:?}: modules may lie elsewhere on the servers"));
            }
        } else if path.as_bytes().ends_with(b"/environment.conf")
            && self.is_in_environment(path)
            && has_config_version(content)
        {
            self.add(format!(
                "{path} sets config_version: its script finds no .git on the servers; the README gives one that prints the code id"
            ));
        }
    }

    /// Whether the file lies directly in an environment.
    fn is_in_environment(&self, path: &TreePath) -> bool {
        path.below(&self.environments_dir).is_some_and(|below| below.depth() == 2)
    }
}

/// Whether a relative path leads above the root, from a directory `depth` levels below it. Links on the way are not followed.
fn leaves(depth: usize, relative: &[u8]) -> bool {
    let mut depth = Some(depth);
    for part in relative.split(|byte| *byte == b'/') {
        depth = match (part, depth) {
            (_, None) => return true,
            (b"" | b".", same) => same,
            (b"..", Some(depth)) => depth.checked_sub(1),
            (_, Some(depth)) => Some(depth + 1),
        };
    }
    depth.is_none()
}

/// The first `require_relative` of a Ruby file in a module that leads out of the module.
fn required_outside_module(path: &TreePath, content: &[u8]) -> Option<String> {
    // Few files have it at all, and every Ruby file of a first commit is searched.
    memchr::memmem::find(content, b"require_relative")?;
    let names: Vec<Name> = path.names().collect();
    // The innermost directory of modules: `<...>modules/<module>/lib/x.rb`.
    let holder = names.iter().rposition(|name| name.as_bytes().ends_with(b"modules"))?;
    let depth = names.len().checked_sub(holder + 3)?;
    let required = content.split(|byte| *byte == b'\n').filter_map(|line| {
        let rest = line.trim_ascii_start().strip_prefix(b"require_relative")?.trim_ascii_start();
        let rest = rest.strip_prefix(b"(").unwrap_or(rest).trim_ascii_start();
        let quote = rest.first().filter(|byte| matches!(byte, b'\'' | b'"'))?;
        let text = rest[1..].split(|byte| byte == quote).next()?;
        // What is computed cannot be judged.
        (!text.windows(2).any(|pair| pair == b"#{")).then_some(text)
    });
    let outside = required.into_iter().find(|text| leaves(depth, text))?;
    Some(String::from_utf8_lossy(outside).chars().take(200).collect())
}

/// Whether an `environment.conf` names a script that prints the version of the code.
fn has_config_version(content: &[u8]) -> bool {
    content.split(|byte| *byte == b'\n').any(|line| {
        let rest = line.trim_ascii_start().strip_prefix(b"config_version").map(<[u8]>::trim_ascii_start);
        rest.and_then(|rest| rest.strip_prefix(b"=")).is_some_and(|value| !value.trim_ascii().is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings() -> Warnings {
        Warnings {
            staging: vec![b"/srv/staging".to_vec()],
            environments_dir: TreePath::new(b"environments").unwrap(),
            found: Mutex::default(),
        }
    }

    fn path(text: &str) -> TreePath {
        TreePath::new(text.as_bytes()).unwrap()
    }

    fn of_link(link: &str, target: &str) -> Vec<String> {
        let warnings = warnings();
        let link = path(link);
        warnings.link(&link.parent().unwrap(), &link.name().unwrap(), &Target::new(target.as_bytes()).unwrap());
        warnings.into_texts()
    }

    fn of_file(file: &str, content: &str) -> Vec<String> {
        let warnings = warnings();
        warnings.content(&path(file), content.as_bytes());
        warnings.into_texts()
    }

    #[test]
    fn links_into_staging_and_out_of_it_are_named() {
        assert!(of_link("environments/a", "/srv/staging/x")[0].starts_with("environments/a links to /srv/staging/x"));
        assert_eq!(of_link("a", "/srv/staging").len(), 1);
        assert_eq!(of_link("a", "/srv/staging2/x").len(), 0, "another directory");
        assert_eq!(of_link("environments/a", "../modules").len(), 0);
        assert_eq!(of_link("environments/a", "../../modules").len(), 1);
        assert_eq!(of_link("environments/a", "x/../../../y").len(), 1);
        assert_eq!(of_link("environments/a", "..//.").len(), 0);
    }

    #[test]
    fn ruby_that_leaves_its_module_is_named() {
        let file = "environments/p/modules/m/lib/puppet/x.rb";
        assert_eq!(of_file(file, "require 'x'\n  require_relative '../../../stdlib/lib/y'\n").len(), 1);
        assert_eq!(of_file(file, "require_relative(\"../../../../site/x\")").len(), 1);
        assert_eq!(of_file(file, "require_relative '../util/y'\nrequire_relative '../../spec'").len(), 0);
        assert_eq!(of_file(file, "require_relative \"#{x}/../../../../y\"").len(), 0);
        assert_eq!(of_file("environments/p/lib/x.rb", "require_relative '../../y'").len(), 0, "in no module");
    }

    #[test]
    fn config_version_is_named_where_puppet_reads_it() {
        let text = "modulepath = modules\n config_version = scripts/version.sh\n";
        assert_eq!(of_file("environments/p/environment.conf", text).len(), 1);
        assert_eq!(of_file("environments/p/files/environment.conf", text).len(), 0);
        assert_eq!(of_file("environments/p/environment.conf", "#config_version = x\nconfig_version =\n").len(), 0);
    }

    #[test]
    fn an_answer_holds_a_hundred_warnings_and_says_that_there_are_more() {
        let warnings = warnings();
        for at in 0..150 {
            let name = Name::new(format!("{at:03}").as_bytes()).unwrap();
            warnings.link(&TreePath::root(), &name, &Target::new(b"../x").unwrap());
        }
        let texts = warnings.into_texts();
        assert_eq!(texts.len(), 101);
        assert!(texts[0].starts_with("000 ") && texts[99].starts_with("099 "), "{texts:?}");
    }
}
