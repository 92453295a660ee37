//! Accounts of this machine: who is at the other end of a socket, and whom the settings name.
//!
//! Deliberately absent: what an account may do (`rights.rs`).

use std::collections::BTreeSet;
use std::ffi::CString;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use tokio::net::unix::UCred;

use crate::config::LocalRule;
use crate::http::is_owner;
use crate::server::ServeError;

/// Somebody at the other end of a socket, as the kernel and the machine's account database know him.
#[derive(Debug, Clone)]
pub(in crate::server) struct LocalUser {
    /// For people: "user r10k".
    pub(super) name: String,
    /// Root, or the user that the primary runs as: those who could open the store itself.
    pub(in crate::server) is_owner: bool,
    uid: u32,
    groups: BTreeSet<u32>,
}

impl LocalUser {
    /// Blocking: the account database may be on another machine.
    pub(in crate::server) fn of(peer: &UCred) -> Self {
        let (uid, gid) = (peer.uid(), peer.gid());
        let account = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let mut groups = BTreeSet::from([gid]);
        if let Some(account) = &account
            && let Ok(name) = CString::new(account.name.as_str())
            && let Ok(found) = getgrouplist(&name, account.gid)
        {
            groups.extend(found.into_iter().map(Gid::as_raw));
        }
        let name = account.map_or_else(|| format!("user {uid}"), |account| format!("user {}", account.name));
        Self { name, is_owner: is_owner(peer), uid, groups }
    }

    /// Whether one of these is his.
    pub(super) fn is_among(&self, accounts: &[Account]) -> bool {
        accounts.iter().any(|account| match account {
            Account::User(uid) => *uid == self.uid,
            Account::Group(gid) => self.groups.contains(gid),
        })
    }
}

/// A [`LocalRule`], looked up at start: an account that is made later under the same name, or taken away, changes nothing until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Account {
    User(u32),
    Group(u32),
}

/// Looks accounts up. Blocking. `setting` says where they were named.
pub(super) fn look_up(rules: &[LocalRule], setting: &str) -> Result<Vec<Account>, ServeError> {
    let unknown = |kind, name: &String| ServeError::NoAccount { setting: setting.to_owned(), kind, name: name.clone() };
    let failed = |source| ServeError::Accounts { setting: setting.to_owned(), source };
    let found = rules.iter().map(|rule| match rule {
        LocalRule::User(name) => match User::from_name(name).map_err(failed)? {
            Some(user) => Ok(Account::User(user.uid.as_raw())),
            None => Err(unknown("user", name)),
        },
        LocalRule::Group(name) => match Group::from_name(name).map_err(failed)? {
            Some(group) => Ok(Account::Group(group.gid.as_raw())),
            None => Err(unknown("group", name)),
        },
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_himself_or_by_any_of_his_groups() {
        let user = LocalUser { name: "user a".into(), is_owner: false, uid: 7, groups: BTreeSet::from([70, 71]) };
        assert!(user.is_among(&[Account::User(8), Account::User(7)]));
        assert!(user.is_among(&[Account::Group(71)]));
        assert!(!user.is_among(&[Account::Group(7), Account::User(70)]), "a user's number is no group's");
        assert!(!user.is_among(&[]));
    }

    #[test]
    fn who_is_not_there_is_named_with_the_setting() {
        let rules = |text: &str| [text.parse::<LocalRule>().unwrap()];
        assert_eq!(look_up(&rules("root"), "x").unwrap(), [Account::User(0)]);
        assert_eq!(look_up(&rules("%root"), "x").unwrap(), [Account::Group(0)]);
        for (rule, said) in [("no-such-user", "no user \"no-such-user\""), ("%no-such", "no group \"no-such\"")] {
            let error = look_up(&rules(rule), "[access] local-commit").unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("[access] local-commit"), "{error}");
        }
    }
}
