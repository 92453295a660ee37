//! What one caller may do, on each repo.
//!
//! - Whoever may commit to a repo may read it. Whoever may read one may ask how the primary does.
//! - A repo that somebody may not read is not to be told from one that does not exist.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;

use super::local::{Account, LocalUser, look_up};
use crate::config::{Access, PrimaryRepo, Rule};
use crate::http::Refusal;
use crate::puppet::Identity;
use crate::server::ServeError;
use crate::values::RepoName;
use crate::wire::api::{FailedCommit, Fleet};

/// Who may do what with one repo: its own lists, else those for all.
pub(super) struct Lists {
    read: Vec<Rule>,
    commit: Vec<Rule>,
    local_read: Vec<Account>,
    local_commit: Vec<Account>,
    /// Who may commit is said in the repo's own section.
    own_commit: bool,
    own_local_commit: bool,
    /// The repo has readers of its own: who only monitors does not see its commits.
    is_closed: bool,
}

impl Lists {
    /// Blocking: accounts are looked up.
    pub(super) fn new(access: &Access, name: &RepoName, repo: &PrimaryRepo) -> Result<Self, ServeError> {
        let local = |own: &Option<Vec<_>>, all: &[_], list: &str| match own {
            Some(own) => look_up(own, &format!("[repos.{name}] {list}")),
            None => look_up(all, &format!("[access] {list}")),
        };
        Ok(Self {
            read: repo.read.as_ref().unwrap_or(&access.read).clone(),
            commit: repo.commit.as_ref().unwrap_or(&access.commit).clone(),
            local_read: local(&repo.local_read, &access.local_read, "local-read")?,
            local_commit: local(&repo.local_commit, &access.local_commit, "local-commit")?,
            own_commit: repo.commit.is_some(),
            own_local_commit: repo.local_commit.is_some(),
            is_closed: repo.read.is_some(),
        })
    }
}

/// What one caller may do.
#[derive(Debug)]
pub(in crate::server) struct Rights {
    who: String,
    /// Of a certificate; what a report's name must be.
    certname: Option<String>,
    is_local: bool,
    monitors: bool,
    /// `None` for who may do everything.
    repos: Option<Repos>,
}

/// Of a caller who may not do everything.
#[derive(Debug, Default)]
struct Repos {
    readable: BTreeSet<RepoName>,
    committable: BTreeSet<RepoName>,
    /// Whose commits a status may show.
    shown: BTreeSet<RepoName>,
    /// Those whose committers stand in their own section.
    own_commit: BTreeSet<RepoName>,
    /// Whether every repo is readable.
    reads_all: bool,
}

impl Rights {
    /// Of somebody who may do everything.
    pub(super) fn everything(who: &str) -> Self {
        Self { who: who.to_owned(), certname: None, is_local: false, monitors: true, repos: None }
    }

    /// Of somebody with this certificate; `None` is somebody without one.
    pub(super) fn of_certificate(who: Option<&Identity>, monitor: &[Rule], lists: &BTreeMap<RepoName, Lists>) -> Self {
        let shown = who.map(|identity| (identity.certname.as_str(), identity.extensions.as_slice()));
        let is_in = |rules: &[Rule]| rules.iter().any(|rule| rule.matches(shown));
        let mut rights = Self {
            who: who.map_or("whoever shows no certificate", |identity| &identity.certname).to_owned(),
            certname: who.map(|identity| identity.certname.clone()),
            is_local: false,
            monitors: is_in(monitor),
            repos: None,
        };
        rights.take_in(lists, |lists| (is_in(&lists.read), is_in(&lists.commit), lists.own_commit));
        rights
    }

    /// Of a user of this machine.
    pub(super) fn of_local(user: &LocalUser, lists: &BTreeMap<RepoName, Lists>) -> Self {
        if user.is_owner {
            return Self::everything(&user.name);
        }
        let mut rights = Self { who: user.name.clone(), certname: None, is_local: true, monitors: false, repos: None };
        rights.take_in(lists, |lists| {
            (user.is_among(&lists.local_read), user.is_among(&lists.local_commit), lists.own_local_commit)
        });
        rights
    }

    fn take_in(&mut self, lists: &BTreeMap<RepoName, Lists>, may: impl Fn(&Lists) -> (bool, bool, bool)) {
        let mut repos = Repos::default();
        for (name, lists) in lists {
            let (reads, commits, own_commit) = may(lists);
            let sets = [
                (reads || commits, &mut repos.readable),
                (commits, &mut repos.committable),
                (reads || commits || (self.monitors && !lists.is_closed), &mut repos.shown),
                (own_commit, &mut repos.own_commit),
            ];
            for (belongs, set) in sets {
                if belongs {
                    set.insert(name.clone());
                }
            }
        }
        repos.reads_all = repos.readable.len() == lists.len();
        self.repos = Some(repos);
    }

    /// For people: a certname, or "user r10k".
    pub(super) fn who(&self) -> &str {
        &self.who
    }

    /// A name that only this caller has; `None` where he is nobody in particular, or may do everything anyway.
    pub(in crate::server) fn known_as(&self) -> Option<&str> {
        self.repos.as_ref().map(|_| self.who.as_str())
    }

    fn is_in(&self, repo: &RepoName, set: impl Fn(&Repos) -> &BTreeSet<RepoName>) -> bool {
        self.repos.as_ref().is_none_or(|repos| set(repos).contains(repo))
    }

    /// Whether a repo may be read.
    pub(in crate::server) fn may_read(&self, repo: &RepoName) -> bool {
        self.is_in(repo, |repos| &repos.readable)
    }

    /// Whether a repo may be committed to.
    pub(in crate::server) fn may_commit(&self, repo: &RepoName) -> bool {
        self.is_in(repo, |repos| &repos.committable)
    }

    /// Refuses who may not commit to a repo that he may read.
    pub(in crate::server) fn check_commit(&self, repo: &RepoName) -> Result<(), Refusal> {
        if self.may_commit(repo) { Ok(()) } else { Err(self.refuse("commit", Some(repo))) }
    }

    /// Whether a status may show the commits of a repo.
    pub(in crate::server) fn may_see(&self, repo: &RepoName) -> bool {
        self.is_in(repo, |repos| &repos.shown)
    }

    pub(super) fn may_monitor(&self) -> bool {
        self.monitors || self.may_read_any()
    }

    pub(super) fn may_read_any(&self) -> bool {
        self.repos.as_ref().is_none_or(|repos| !repos.readable.is_empty())
    }

    pub(super) fn may_commit_any(&self) -> bool {
        self.repos.as_ref().is_none_or(|repos| !repos.committable.is_empty())
    }

    /// Whether reports under this name are taken.
    pub(super) fn may_report_as(&self, name: &str) -> bool {
        self.repos.is_none() || (self.may_read_any() && self.certname.as_deref() == Some(name))
    }

    /// 403, by which list it is. `list` is one of [`Access`]; `repo` is said where the caller may read it, and cannot commit to it.
    pub(super) fn refuse(&self, list: &str, repo: Option<&RepoName>) -> Refusal {
        let local = if self.is_local { "local-" } else { "" };
        let section = match repo {
            Some(repo) if self.is_in(repo, |repos| &repos.own_commit) => format!("[repos.{repo}]"),
            _ => "[access]".to_owned(),
        };
        Refusal::new(StatusCode::FORBIDDEN, format!("{} is not in {section} {local}{list} of the primary", self.who))
    }

    /// 404 for a repo that is not there, or that the caller may not read: the same words. `known` are those that there are.
    pub(in crate::server) fn no_repo<'a>(&self, name: &str, known: impl Iterator<Item = &'a RepoName>) -> Refusal {
        let shown: String = name.chars().take(100).collect();
        let known: Vec<&str> = known.filter(|name| self.may_read(name)).map(RepoName::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Refusal::not_found(match &self.repos {
            None => format!("there is no repo {shown:?}; configured: {known}"),
            Some(_) => {
                format!("there is no repo {shown:?} that {} may read; what that is, is configured: {known}", self.who)
            }
        })
    }

    /// Of the fleet, what concerns repos that may be read. A client that has none of them is not shown.
    pub(in crate::server) fn narrow_fleet(&self, fleet: &mut Fleet) {
        let Some(repos) = &self.repos else { return };
        self.narrow_failed(&mut fleet.failed_commits);
        fleet.clients.retain_mut(|client| {
            let had_any = !client.report.repos.is_empty();
            client.report.repos.retain(|name, _| self.may_read(name));
            !had_any || !client.report.repos.is_empty()
        });
        if !repos.reads_all {
            // What is damaged is named by its path, whichever repo it is of.
            let scrubs = fleet.clients.iter_mut().map(|client| &mut client.report.scrub);
            for scrub in scrubs.chain([&mut fleet.scrub]).flatten() {
                scrub.first_unrepaired = None;
            }
        }
    }

    /// Of failed commits, those of repos that may be read.
    pub(in crate::server) fn narrow_failed(&self, failed: &mut BTreeMap<RepoName, FailedCommit>) {
        failed.retain(|name, _| self.may_read(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::{FleetMember, ScrubStatus};

    fn rules(texts: &[&str]) -> Vec<Rule> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn lists(read: &[&str], commit: &[&str], is_closed: bool) -> Lists {
        Lists {
            read: rules(read),
            commit: rules(commit),
            local_read: vec![Account::User(1)],
            local_commit: vec![Account::Group(2)],
            own_commit: is_closed,
            own_local_commit: false,
            is_closed,
        }
    }

    fn who(certname: &str, extensions: &[(&str, &str)]) -> Identity {
        Identity {
            certname: certname.into(),
            headers: Default::default(),
            extensions: extensions.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        }
    }

    fn repo(name: &str) -> RepoName {
        name.parse().unwrap()
    }

    #[test]
    fn who_may_commit_may_read_and_a_report_needs_its_own_name() {
        let lists = BTreeMap::from([(repo("a"), lists(&["compile*"], &["pp_role=deployer"], false))]);
        let (compiler, deployer) = (who("compile1", &[]), who("ci", &[("pp_role", "deployer")]));
        for (who, reads, commits, reports) in [
            (Some(&compiler), true, false, true),
            (Some(&deployer), true, true, false),
            (Some(&who("web", &[])), false, false, false),
            (None, false, false, false),
        ] {
            let rights = Rights::of_certificate(who, &rules(&["anybody"]), &lists);
            assert!(rights.may_monitor());
            let found = (rights.may_read(&repo("a")), rights.may_commit(&repo("a")), rights.may_report_as("compile1"));
            assert_eq!(found, (reads, commits, reports), "{who:?}");
            assert!(!rights.may_report_as("compile2"));
        }
    }

    #[test]
    fn a_repo_with_readers_of_its_own_is_shown_to_nobody_else_not_even_to_who_monitors() {
        let lists = BTreeMap::from([
            (repo("open"), lists(&["*"], &["ci"], false)),
            (repo("secret"), lists(&["compile1"], &["admin"], true)),
        ]);
        let rights = |certname: &str| Rights::of_certificate(Some(&who(certname, &[])), &rules(&["*"]), &lists);
        let found = |rights: &Rights| {
            ["open", "secret"].map(|name| (rights.may_read(&repo(name)), rights.may_see(&repo(name))))
        };
        assert_eq!(found(&rights("compile1")), [(true, true), (true, true)]);
        assert_eq!(found(&rights("compile2")), [(true, true), (false, false)]);
        assert!(!rights("ci").may_commit(&repo("secret")) && rights("ci").may_commit(&repo("open")));
        let nobody = Rights::of_certificate(None, &rules(&["anybody"]), &lists);
        assert_eq!(found(&nobody), [(false, true), (false, false)]);
    }

    #[test]
    fn an_empty_fleet_is_left_of_clients_of_other_repos() {
        let lists = BTreeMap::from([(repo("a"), lists(&["*"], &[], false)), (repo("b"), lists(&["x"], &[], true))]);
        let rights = Rights::of_certificate(Some(&who("c", &[])), &[], &lists);
        let member = |name: &str, repos: &[&str]| {
            let repos = repos.iter().map(|name| format!("{name:?}:{{}}")).collect::<Vec<_>>().join(",");
            serde_json::from_str(&format!(
                "{{\"name\":{name:?},\"seen\":\"\",\"seen-seconds-ago\":0,\"version\":\"1\",\"repos\":{{{repos}}}}}"
            ))
            .unwrap()
        };
        let clients: Vec<FleetMember> = vec![member("both", &["a", "b"]), member("b", &["b"]), member("none", &[])];
        let scrub = ScrubStatus { first_unrepaired: Some("secrets/password".into()), ..ScrubStatus::default() };
        let mut fleet = Fleet { clients, scrub: Some(scrub), ..Fleet::default() };
        rights.narrow_fleet(&mut fleet);
        assert_eq!(fleet.scrub.unwrap().first_unrepaired, None, "a path of whichever repo");
        let left: Vec<_> = fleet.clients.iter().map(|one| (one.name.as_str(), one.report.repos.len())).collect();
        assert_eq!(left, [("both", 1), ("none", 0)]);
    }
}
