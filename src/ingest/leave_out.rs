//! What a commit leaves out: `.git`, `.r10k-deploy.json`, and what the repo's `ignore` patterns name.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::IngestError;
use crate::values::{Name, RepoName, TreePath};

/// Left out unless a pattern like `!.git` takes them in again.
const DEFAULTS: [&str; 2] = [".git", super::message::DEPLOY_FILE];

/// Decides what is left out.
#[derive(Debug)]
pub(super) struct LeaveOut {
    /// `None` where only the defaults count.
    patterns: Option<Gitignore>,
}

impl LeaveOut {
    /// The defaults and these patterns, in gitignore's syntax, relative to the root of staging; a later one overrules an earlier one.
    pub(super) fn new(repo: &RepoName, patterns: &[String]) -> Result<Self, IngestError> {
        if patterns.is_empty() {
            return Ok(Self { patterns: None });
        }
        let wrong = |pattern: &str| {
            let (repo, pattern) = (repo.clone(), pattern.to_owned());
            move |source| IngestError::Pattern { repo, pattern, source: Box::new(source) }
        };
        let mut builder = GitignoreBuilder::new("");
        for pattern in DEFAULTS.into_iter().chain(patterns.iter().map(String::as_str)) {
            builder.add_line(None, pattern).map_err(wrong(pattern))?;
        }
        Ok(Self { patterns: Some(builder.build().map_err(wrong(&patterns.join(" ")))?) })
    }

    /// Whether the entry `name` of the directory at `parent`, which itself is not left out, is.
    pub(super) fn leaves_out(&self, parent: &TreePath, name: &Name, is_dir: bool) -> bool {
        match &self.patterns {
            None => DEFAULTS.iter().any(|default| default.as_bytes() == name.as_bytes()),
            Some(patterns) => {
                let path = parent.join(name);
                patterns.matched(Path::new(OsStr::from_bytes(path.as_bytes())), is_dir).is_ignore()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves_out(patterns: &[&str], path: &str, is_dir: bool) -> bool {
        let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        let path = TreePath::new(path.as_bytes()).unwrap();
        let rules = LeaveOut::new(&"r".parse().unwrap(), &patterns).unwrap();
        rules.leaves_out(&path.parent().unwrap(), &path.name().unwrap(), is_dir)
    }

    #[test]
    fn the_defaults_hold_with_and_without_patterns() {
        for patterns in [&[][..], &["*.swp"][..]] {
            assert!(leaves_out(patterns, "environments/production/.git", true));
            assert!(leaves_out(patterns, "environments/production/.git", false), "the .git file of a work tree");
            assert!(leaves_out(patterns, "environments/production/.r10k-deploy.json", false));
            assert!(!leaves_out(patterns, "environments/production/.gitignore", false));
        }
    }

    #[test]
    fn a_pattern_can_take_a_default_in_again() {
        assert!(!leaves_out(&["!.git"], "a/.git", true));
        assert!(leaves_out(&["!.git"], "a/.r10k-deploy.json", false));
    }

    #[test]
    fn patterns_mean_what_git_takes_them_for() {
        assert!(leaves_out(&["*.swp"], "a/b/.x.swp", false));
        assert!(leaves_out(&["/top"], "top", false));
        assert!(!leaves_out(&["/top"], "a/top", false), "anchored to the root of staging");
        assert!(leaves_out(&["spec/"], "modules/x/spec", true));
        assert!(!leaves_out(&["spec/"], "modules/x/spec", false), "only directories");
        assert!(leaves_out(&["environments/*/doc"], "environments/a/doc", true));
        assert!(!leaves_out(&["*.log", "!keep.log"], "keep.log", false));
    }

    #[test]
    fn names_that_are_not_utf8_can_be_matched() {
        let rules = LeaveOut::new(&"r".parse().unwrap(), &["*.bak".into()]).unwrap();
        assert!(rules.leaves_out(&TreePath::root(), &Name::new(b"\xff\xfe.bak").unwrap(), false));
        assert!(!rules.leaves_out(&TreePath::root(), &Name::new(b"\xff\xfe.pp").unwrap(), false));
    }

    #[test]
    fn a_pattern_that_is_none_is_named() {
        let error = LeaveOut::new(&"r".parse().unwrap(), &["[z-a]".into()]).unwrap_err();
        assert!(matches!(&error, IngestError::Pattern { pattern, .. } if pattern == "[z-a]"), "{error:?}");
    }
}
