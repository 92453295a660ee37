//! Trees: what is accepted is canonical, and reading allocates in proportion to what is there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sceneshift::codec::{decode_tree, encode_tree};
use sceneshift::values::Tree;
use sceneshift_fuzz::bounded;

fuzz_target!(|bytes: &[u8]| {
    // The smallest entry has 6 bytes and takes 80, which stand three times while the list grows.
    if let Ok(tree) = bounded(4096 + 48 * bytes.len(), || decode_tree(bytes)) {
        assert_eq!(encode_tree(&tree), bytes);
        let entries = tree.entries().iter().rev().cloned().collect();
        assert_eq!(Tree::from_entries(entries), Ok(tree));
    }
});
