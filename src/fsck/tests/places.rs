//! What does not belong where it is, modes, and `current`.

use std::os::unix::fs::symlink;

use super::*;

#[test]
fn a_foreign_file_in_each_place() {
    let stray = plain("stray");
    let nested = format!("blobs/{}/{}", stray.dir_name(), stray.file_name());
    let generation = format!("repos/puppet-code/generations/{}", "ab".repeat(32));
    let tree = format!("trees/{}-0123456789abcdef", "ab".repeat(32));
    let places = ["blobs/x", &nested, &tree, "trees/x", &generation, "repos/puppet-code/x", "repos/-x"];
    for place in places {
        let client = Client::new();
        let stray = client.data(place);
        let parent = stray.parent().unwrap();
        if !parent.exists() {
            fs::create_dir(parent).unwrap();
            chmod(parent, 0o700);
        }
        fs::write(&stray, "x").unwrap();
        assert_eq!(client.found(), [ClientFinding::ForeignFile { path: path(place) }], "{place}");
    }
}

#[test]
fn a_blob_file_in_the_wrong_directory() {
    let client = Client::new();
    let key = plain(SHARED);
    let wrong = format!("blobs/{}/{}", plain("dev").dir_name(), key.file_name());
    fs::hard_link(client.blob_path(key), client.data(&wrong)).unwrap();
    assert_eq!(client.found(), [ClientFinding::ForeignFile { path: path(&wrong) }]);
}

#[test]
fn the_modes_of_the_ways_in() {
    let generation = |client: &Client| format!("repos/puppet-code/generations/{}", client.commit);
    type PathOf = Box<dyn Fn(&Client) -> String>;
    let places: Vec<(PathOf, u32)> = vec![
        (Box::new(|_| String::new()), 0o750),
        (Box::new(|_| "trees".into()), 0o750),
        (Box::new(|_| "repos".into()), 0o750),
        (Box::new(|_| "blobs".into()), 0o700),
        (Box::new(|_| format!("blobs/{}", plain(SHARED).dir_name())), 0o700),
        (Box::new(|_| "index".into()), 0o700),
        (Box::new(|_| "tmp".into()), 0o700),
        (Box::new(|_| "repos/puppet-code".into()), 0o755),
        (Box::new(|_| "repos/puppet-code/generations".into()), 0o755),
        (Box::new(generation), 0o755),
        (Box::new(move |client| format!("{}/ids", generation(client))), 0o755),
    ];
    for (place, wanted) in places {
        let client = Client::new();
        let place = place(&client);
        chmod(&client.data(&place), 0o711);
        let expected = ClientFinding::PlaceMode { path: path(&place), found: 0o711, wanted };
        assert_eq!(client.found(), [expected], "{place:?}");
    }
}

#[test]
fn a_current_that_is_gone() {
    let client = Client::new();
    fs::remove_file(client.farm.current()).unwrap();
    assert_eq!(client.found(), [ClientFinding::CurrentMissing { repo: TestFarm::repo() }]);
}

#[test]
fn a_current_that_is_no_link_to_a_generation() {
    let client = Client::new();
    fs::remove_file(client.farm.current()).unwrap();
    symlink("/etc", client.farm.current()).unwrap();
    assert_eq!(client.found(), [ClientFinding::CurrentOdd { repo: TestFarm::repo() }]);
    fs::remove_file(client.farm.current()).unwrap();
    fs::create_dir(client.farm.current()).unwrap();
    assert_eq!(client.found(), [ClientFinding::CurrentOdd { repo: TestFarm::repo() }]);
}

#[test]
fn a_lost_index_is_one_finding_and_not_a_farm_full_of_foreign_files() {
    let client = Client::new();
    fs::remove_dir_all(client.data("index")).unwrap();
    let mut fresh = TestFarm::new();
    fresh.close();
    fs::rename(fresh.data_dir().join("index"), client.data("index")).unwrap();
    let place = client.farm.data_dir();
    client.farm.set_raw("meta", b"path", Some(place.canonicalize().unwrap().to_str().unwrap().as_bytes()));
    let (repo, commit) = (TestFarm::repo(), client.commit);
    assert_eq!(client.found(), [ClientFinding::CurrentUnknown { repo, commit }]);
}

#[test]
fn a_data_directory_that_was_moved() {
    let client = Client::new();
    let before = client.farm.data_dir().canonicalize().unwrap().to_str().unwrap().to_owned();
    let moved = client.farm.folder().join("moved");
    fs::rename(client.farm.data_dir(), &moved).unwrap();
    let found = check(&moved, &Access::Locked, &Progress::default()).unwrap().findings;
    assert_eq!(found, [ClientFinding::DataDirMoved { before }.into()]);
}
