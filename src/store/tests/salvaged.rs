//! What is saved of a store whose log rots.

use super::*;
use crate::progress::Progress;
use crate::store::{DAMAGED, Salvage};

const FILES: [(&str, &[u8]); 3] = [("a", b"a"), ("b/c", b"c"), ("z", b"z")];

#[test]
fn one_rotten_record_of_the_log_costs_itself_and_what_stands_beside_it_only() {
    let mut store = Fixture::new();
    let large = noise(1, 5 << 20);
    let files: Vec<(&str, &[u8])> = FILES.into_iter().chain([("large", large.as_slice())]).collect();
    let (head, _) = store.commit_files("code", &files);
    let data = store.close();
    let log = std::fs::read_dir(data.join("store")).unwrap().map(|entry| entry.unwrap().path());
    let log = log.max_by_key(|path| std::fs::metadata(path).unwrap().len()).unwrap();
    let sound = std::fs::read(&log).unwrap();
    for percent in (5..95).step_by(10) {
        let mut bytes = sound.clone();
        let at = bytes.len() * percent / 100;
        bytes[at] ^= 0x5a;
        std::fs::write(&log, &bytes).unwrap();
        let opened = DataDir::open(&data, Kind::Primary).unwrap();
        assert!(Store::open(&opened).unwrap_err().is_refusal(), "{percent}: it would go back in silence");
        let salvage = Salvage::new(&opened, &Progress::default()).unwrap();
        assert_eq!(salvage.store().head(&repo_name("code")).unwrap(), Some(head), "{percent}");
        let mut missing = Vec::new();
        for (_, content) in &files {
            let whole = salvage.store().copy_blob(&BlobId::of(content), &mut std::io::sink());
            missing.extend((!matches!(whole, Ok(Some(_)))).then_some(content.len()));
        }
        assert!(missing.len() <= 1, "{percent}: {missing:?}");
        assert!(salvage.saved.log_has_gap, "{percent}");
        drop(salvage);
        std::fs::write(&log, &sound).unwrap();
    }
}

#[test]
fn a_log_that_was_cut_short_by_a_power_cut_is_no_damage() {
    let mut store = Fixture::new();
    let (first, _) = store.commit_files("code", &FILES);
    let written = b"a record that was never finished".repeat(40);
    let data = store.close();
    let log = std::fs::read_dir(data.join("store")).unwrap().map(|entry| entry.unwrap().path());
    let log = log.filter(|path| path.extension().is_some_and(|kind| kind == "log")).max().unwrap();
    let mut bytes = std::fs::read(&log).unwrap();
    // A header that promises more than is there, and one whose bytes are wrong.
    for torn in [[&[1, 2, 3, 4, 0xff, 0x7f, 1][..], &written].concat(), [&[1, 2, 3, 4, 9, 0, 1][..], &written].concat()]
    {
        let end = bytes.len();
        bytes.extend_from_slice(&torn);
        std::fs::write(&log, &bytes).unwrap();
        bytes.truncate(end);
        store.reopen();
        assert_eq!(store.head(&repo_name("code")).unwrap(), Some(first));
        store.close();
    }
}

#[test]
fn the_old_store_is_kept_and_was_not_written_to() {
    let mut store = Fixture::new();
    let (head, _) = store.commit_files("code", &FILES);
    let data = store.close();
    let shown = |folder: &std::path::Path| {
        let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let mut all: Vec<_> = all.map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap())).collect();
        all.sort();
        all
    };
    let before = shown(&data.join("store"));
    let opened = DataDir::open(&data, Kind::Primary).unwrap();
    let saved = Salvage::new(&opened, &Progress::default()).unwrap().put_in_place().unwrap();
    assert_eq!((saved.commits, saved.wrong, saved.gaps, saved.list_read), (1, 0, 0, true));
    assert_eq!(shown(&data.join(DAMAGED)), before);
    assert_eq!(Store::open(&opened).unwrap().head(&repo_name("code")).unwrap(), Some(head));
}
