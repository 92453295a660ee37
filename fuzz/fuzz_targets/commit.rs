//! Commits: what is accepted is canonical, keeps the rules, and can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sceneshift::codec::{decode_commit, encode_commit};
use sceneshift::values::CommitId;
use sceneshift::wire::api::CommitInfo;
use sceneshift_fuzz::bounded;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(commit) = bounded(4096 + 4 * bytes.len(), || decode_commit(bytes)) {
        assert_eq!(encode_commit(&commit), bytes);
        assert_eq!(commit.check(), Ok(()));
        let info = CommitInfo::of(CommitId::of(bytes), &commit, Vec::new());
        let text = serde_json::to_string(&info).expect("plain data is plain JSON");
        assert_eq!(serde_json::from_str::<CommitInfo>(&text).ok(), Some(info));
    }
});
