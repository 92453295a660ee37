//! The client's index, damaged one record at a time.

use super::*;
use crate::codec::{decode_commit, decode_tree, encode_tree};
use crate::findings::At;
use crate::values::{Entry, Subtree, Totals, TreeId};

impl Client {
    /// The tree of the commit at this path.
    fn subtree(&self, at: &str) -> Subtree {
        let commit = decode_commit(&self.farm.raw("commits", self.commit.as_bytes())).unwrap();
        path(at).names().fold(commit.root, |subtree, name| {
            let tree = decode_tree(&self.farm.raw("trees", subtree.id.as_bytes())).unwrap();
            match tree.get(name.as_bytes()) {
                Some(Entry::Tree(subtree)) => *subtree,
                other => panic!("{other:?}"),
            }
        })
    }

    fn at(&self, at: &str) -> At {
        At { repo: TestFarm::repo(), commit: self.commit, path: path(at) }
    }

    fn generation_key(&self) -> Vec<u8> {
        [b"puppet-code\0", &self.commit.as_bytes()[..]].concat()
    }

    /// Changes one record.
    fn edit(&self, family: &str, key: &[u8], change: impl FnOnce(&mut Vec<u8>)) {
        let mut value = self.farm.raw(family, key);
        change(&mut value);
        self.farm.set_raw(family, key, Some(&value));
    }
}

fn blob_key(key: BlobKey) -> Vec<u8> {
    [&key.id.as_bytes()[..], &[u8::from(key.executable)]].concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_tree_with_other_bytes() {
    let client = Client::new();
    let id = client.subtree("environments/production/manifests").id;
    client.edit("trees", id.as_bytes(), |value| *value.last_mut().unwrap() ^= 1);
    assert_eq!(client.found(), [ClientFinding::IndexTreeDamaged { id }]);
}

#[test]
fn a_missing_tree() {
    let client = Client::new();
    let id = client.subtree("environments/dev/manifests").id;
    client.farm.set_raw("trees", id.as_bytes(), None);
    let at = client.at("environments/dev/manifests");
    assert_eq!(client.found(), [ClientFinding::IndexTreeMissing { id, at }]);
}

#[test]
fn a_tree_whose_totals_are_not_those_of_its_entry() {
    let mut client = Client::new();
    // Only a primary that lies can bring such a commit.
    client.farm.reopen();
    let inner = client.farm.commit(&TestFarm::repo(), &client.farm.staging().join("empty"));
    let inner = client.farm.farm().index().commit(&inner).unwrap().unwrap().root;
    client.farm.close();
    let lying = Subtree { totals: Totals { files: 7, ..inner.totals }, ..inner };
    let tree = crate::values::Tree::from_entries(vec![(path("x").name().unwrap(), Entry::Tree(lying))]).unwrap();
    let canonical = encode_tree(&tree);
    client.farm.set_raw("trees", TreeId::of(&canonical).as_bytes(), Some(&canonical));
    let mut commit = decode_commit(&client.farm.raw("commits", client.commit.as_bytes())).unwrap();
    commit.root = Subtree { id: TreeId::of(&canonical), totals: tree.totals() };
    commit.repo = "other".parse().unwrap();
    let canonical = crate::codec::encode_commit(&commit);
    let id = CommitId::of(&canonical);
    client.farm.set_raw("commits", id.as_bytes(), Some(&canonical));
    client.farm.reopen();
    client.farm.build(&commit.repo, id);
    client.farm.close();
    let at = At { repo: commit.repo, commit: id, path: path("x") };
    assert_eq!(client.found(), [ClientFinding::IndexTreeTotals { id: inner.id, at }]);
}

#[test]
fn a_commit_with_other_bytes() {
    let client = Client::new();
    client.edit("commits", client.commit.as_bytes(), |value| value.truncate(20));
    assert_eq!(client.found(), [ClientFinding::IndexCommitDamaged { id: client.commit }]);
}

#[test]
fn a_missing_commit() {
    let client = Client::new();
    client.farm.set_raw("commits", client.commit.as_bytes(), None);
    let (repo, commit) = (TestFarm::repo(), client.commit);
    assert_eq!(client.found(), [ClientFinding::IndexCommitMissing { repo, commit }]);
}

#[test]
fn a_blob_that_nothing_vouches_for() {
    let client = Client::new();
    client.farm.set_raw("blobs", &blob_key(plain("dev")), None);
    let at = client.at("environments/dev/manifests/site.pp");
    assert_eq!(client.found(), [ClientFinding::IndexBlobMissing { file: file(plain("dev")), at }]);
}

#[test]
fn a_blob_of_another_size_than_the_index_says() {
    let client = Client::new();
    client.edit("blobs", &blob_key(plain("dev")), |value| value[0] ^= 1);
    assert_eq!(client.found(), [ClientFinding::IndexBlobSize { file: file(plain("dev")) }]);
}

#[test]
fn a_record_of_a_blob_that_is_none() {
    let client = Client::new();
    let key = blob_key(plain("dev"));
    client.edit("blobs", &key, |value| value.truncate(12));
    let expected = ClientFinding::IndexRecordUnreadable { family: "blobs".into(), key: hex(&key) };
    assert_eq!(client.found(), [expected]);
}

#[test]
fn a_record_of_a_shared_tree_that_is_none() {
    let client = Client::new();
    let name = client.tree_name("environments/production/modules/apache");
    client.edit("built", name.as_bytes(), |value| value.push(0));
    let expected = ClientFinding::IndexRecordUnreadable { family: "built".into(), key: hex(name.as_bytes()) };
    assert_eq!(client.found(), [expected]);
}

#[test]
fn a_shared_tree_that_nothing_vouches_for() {
    let client = Client::new();
    let name = client.tree_name("environments/production");
    client.farm.set_raw("built", name.as_bytes(), None);
    let expected = ClientFinding::SharedTreeUnvouched { tree: name, holder: client.root() };
    assert_eq!(client.found(), [expected]);
}

#[test]
fn a_record_of_a_shared_tree_with_other_links_inside() {
    let client = Client::new();
    let (outer, inner) =
        (client.tree_name("environments/production"), client.tree_name("environments/production/modules/apache"));
    let empty = client.farm.raw("built", inner.as_bytes());
    client.farm.set_raw("built", outer.as_bytes(), Some(&empty));
    assert_eq!(client.found(), [ClientFinding::IndexTreeLinks { tree: outer }]);
}

#[test]
fn a_record_of_a_generation_with_another_layout() {
    let client = Client::new();
    // After the two times stand the rules of the layout.
    client.edit("generations", &client.generation_key(), |value| value[16] ^= 1);
    let (repo, commit) = (TestFarm::repo(), client.commit);
    assert_eq!(client.found(), [ClientFinding::IndexGenerationLinks { repo, commit }]);
}

#[test]
fn a_record_of_a_generation_that_is_none() {
    let client = Client::new();
    let key = client.generation_key();
    client.edit("generations", &key, |value| value.truncate(10));
    let (repo, commit) = (TestFarm::repo(), client.commit);
    let unreadable = ClientFinding::IndexRecordUnreadable { family: "generations".into(), key: hex(&key) };
    assert_eq!(client.found(), [ClientFinding::CurrentUnknown { repo, commit }, unreadable]);
}

#[test]
fn a_record_of_a_chunk_that_is_none() {
    let client = Client::new();
    client.farm.set_raw("chunks", &[7; 32], Some(b"short"));
    let expected = ClientFinding::IndexRecordUnreadable { family: "chunks".into(), key: hex(&[7; 32]) };
    assert_eq!(client.found(), [expected]);
}

#[test]
fn a_damaged_block_of_the_index() {
    let client = Client::new();
    // Closing wrote the records to the log; opening it for writing makes a table of them.
    client.farm.flush("blobs");
    // The key of a blob file that is not executable ends in 0; in a tree its id is followed by a size, which does not begin with 0.
    let key = [plain("dev").id.as_bytes().as_slice(), &[0]].concat();
    let table = fs::read_dir(client.data("index")).unwrap().map(|entry| entry.unwrap().path()).find(|path| {
        let is_table = path.extension().is_some_and(|kind| kind == "sst");
        is_table && fs::read(path).unwrap().windows(key.len()).any(|window| window == key)
    });
    let table = table.expect("the blobs' records stand in a table");
    let mut bytes = fs::read(&table).unwrap();
    bytes[10] ^= 1;
    fs::write(&table, bytes).unwrap();
    assert_eq!(client.found(), [ClientFinding::IndexBlocksDamaged { family: "blobs".into() }]);
}
