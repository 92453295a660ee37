//! Whether what was delivered is what was committed. Figures of something else would be worth nothing.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// An error that names the first path at which two trees differ. Links are followed, and directories without files do not count: git knows none.
pub(crate) fn same(expected: &Path, found: &Path) -> Result<(), String> {
    let differs = || format!("{} is not as {}", found.display(), expected.display());
    let metadata = |path: &Path| fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()));
    match (metadata(expected)?.is_dir(), metadata(found)?.is_dir()) {
        (true, true) => {
            let inside = names(expected)?;
            if inside != names(found)? {
                return Err(differs());
            }
            inside.iter().try_for_each(|name| same(&expected.join(name), &found.join(name)))
        }
        (false, false) => {
            let read = |path: &Path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
            if read(expected)? == read(found)? { Ok(()) } else { Err(differs()) }
        }
        _ => Err(differs()),
    }
}

fn names(folder: &Path) -> Result<Vec<OsString>, String> {
    let names = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
    let mut names: Vec<OsString> = names.map_err(|error: std::io::Error| format!("{}: {error}", folder.display()))?;
    names.retain(|name| !is_empty(&folder.join(name)));
    names.sort();
    Ok(names)
}

/// Whether no file lies below a directory.
fn is_empty(path: &Path) -> bool {
    let Ok(mut entries) = fs::read_dir(path) else { return false };
    entries.all(|entry| entry.is_ok_and(|entry| is_empty(&entry.path())))
}
