//! Commits of some environments.

use super::*;

fn estate() -> Site {
    let site = site();
    site.write("environments/a/x", "1");
    site.write("environments/b/x", "1");
    site.write("modules/m/x", "1");
    site.commit();
    site
}

#[test]
fn only_the_named_environments_are_taken_from_staging() {
    let site = estate();
    for file in ["environments/a/x", "environments/b/x", "modules/m/x"] {
        site.write(file, "2");
    }
    let answer = site.commit_environments(&["a"]).unwrap();
    assert_eq!(answer.changes, Changes { added: 0, modified: 1, removed: 0 });
    let shown = site.shown();
    assert_eq!((&*shown["environments/a/x"], &*shown["environments/b/x"], &*shown["modules/m/x"]), ("2", "1", "1"));
    assert_eq!(site.commit().changes.modified, 2, "a full commit takes the rest");
}

#[test]
fn several_names_may_come_in_one_text() {
    let site = estate();
    site.write("environments/a/x", "2");
    site.write("environments/b/x", "2");
    assert_eq!(site.commit_environments(&[" a\tb\n"]).unwrap().changes.modified, 2);
}

#[test]
fn a_text_without_a_name_takes_nothing_but_finds_what_is_gone() {
    let site = estate();
    site.write("modules/m/x", "2");
    site.write("environments/a/x", "2");
    assert!(!site.commit_environments(&[" "]).unwrap().created, "an environment under deployment is not taken unnamed");
    site.remove("environments/b");
    assert_eq!(site.commit_environments(&["", ""]).unwrap().changes, Changes { added: 0, modified: 0, removed: 1 });
    assert_eq!(site.content("environments/a/x").as_deref(), Some("1"));
}

#[test]
fn an_environment_that_is_gone_is_removed_even_unnamed() {
    let site = estate();
    site.remove("environments/b");
    site.write("environments/new/x", "1");
    site.commit_environments(&["a"]).unwrap();
    let environments: Vec<_> = site.shown().into_keys().filter(|path| path.starts_with("environments")).collect();
    assert_eq!(environments, ["environments/a/x"], "b went, new waits until it is named");
    site.commit_environments(&["new"]).unwrap();
    assert_eq!(site.content("environments/new/x").as_deref(), Some("1"));
}

#[test]
fn a_named_environment_that_is_gone_is_removed() {
    let site = estate();
    site.remove("environments/b");
    let answer = site.commit_environments(&["b"]).unwrap();
    assert_eq!(answer.changes, Changes { added: 0, modified: 0, removed: 1 });
}

#[test]
fn a_name_that_nobody_knows_is_refused() {
    let site = estate();
    let head = site.head();
    site.write("environments/README", "not an environment");
    for name in ["nobody", "README"] {
        let error = site.commit_environments(&["a", name]).unwrap_err();
        assert!(
            matches!(&error, IngestError::UnknownEnvironment { environments } if environments.len() == 1),
            "{error}"
        );
        assert!(error.to_string().contains(&format!("environments/{name}")), "{error}");
    }
    let error = site.commit_environments(&["../a"]).unwrap_err();
    assert!(matches!(error, IngestError::BadEnvironmentName { .. }), "{error}");
    assert_eq!(site.head(), head);
}

#[test]
fn without_a_head_all_of_staging_is_committed() {
    let site = site();
    site.write("environments/a/x", "1");
    site.write("modules/m/x", "1");
    assert_eq!(site.commit_environments(&["a"]).unwrap().changes.added, 2);
}

#[test]
fn an_environment_may_be_a_link() {
    let site = estate();
    site.link("environments/c", "a");
    site.commit_environments(&["c"]).unwrap();
    assert_eq!(site.content("environments/c").as_deref(), Some("-> a"));
    site.remove("environments/c");
    site.commit_environments(&["a"]).unwrap();
    assert_eq!(site.content("environments/c"), None);
}

#[test]
fn environments_that_did_not_change_make_no_commit() {
    let site = estate();
    site.write("modules/m/x", "2");
    assert!(!site.commit_environments(&["a", "b"]).unwrap().created);
}

#[test]
fn another_environment_under_deployment_is_in_nobodys_way() {
    let site = estate();
    site.write("environments/a/x", "2");
    let file = inode(&site.at("environments/a/x"));
    let clock = Watched::new(|count, stat| {
        if stat.inode == file {
            site.write(&format!("environments/new{count}/x"), "1");
            site.write("environments/b/x", format!("{count}"));
        }
    });
    let request = environments(&["a"]);
    let answer = commit_by(&clock, &site.store, &site.repo, &request, &Progress::default()).unwrap();
    assert_eq!(answer.changes.modified, 1);
}

#[test]
fn the_last_environments_do_not_go_by_accident() {
    let site = estate();
    let head = site.head();
    site.remove("environments");
    for request in [CommitRequest::default(), environments(&["a"])] {
        let error = site.request(&request).unwrap_err();
        assert!(matches!(error, IngestError::WouldBeEmpty { removed: 2, .. }), "{error}");
        assert_eq!(site.head(), head);
    }
    let meant = CommitRequest { allow_empty: true, ..environments(&["a"]) };
    site.request(&meant).unwrap();
    assert_eq!(site.shown().into_keys().collect::<Vec<_>>(), ["environments", "modules/m/x"]);
}

#[test]
fn an_empty_staging_is_taken_for_a_lost_mount() {
    let site = site();
    let error = site.try_commit().unwrap_err();
    assert!(matches!(error, IngestError::WouldBeEmpty { removed: 0, .. }), "{error}");
    let meant = CommitRequest { allow_empty: true, ..CommitRequest::default() };
    assert!(site.request(&meant).unwrap().created);
}

#[test]
fn a_repo_without_environments_takes_no_names() {
    let mut site = site();
    site.repo.environments_dir = TreePath::root();
    site.write("x", "1");
    site.commit();
    let error = site.commit_environments(&["x"]).unwrap_err();
    assert!(matches!(error, IngestError::NoEnvironments { .. }), "{error}");
}

#[test]
fn another_environments_dir_is_a_commit_of_its_own() {
    let mut site = estate();
    site.repo.environments_dir = path("modules");
    let answer = site.commit();
    assert!(answer.created);
    assert_eq!(answer.changes, Changes::default());
    assert!(!site.commit().created);
}
