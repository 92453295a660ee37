//! What random trees found once, and what nobody should have to find again.

use super::assert_same;
use crate::support::tree::Tree;

#[test]
fn a_file_becomes_a_directory_and_a_file_again() {
    let mut file = Tree::default();
    file.file("environments/a/modules/m", 1, 10);
    let mut directory = Tree::default();
    directory.file("environments/a/modules/m/manifests/init.pp", 1, 10);
    assert_same(&[&file, &directory, &file]);
}
