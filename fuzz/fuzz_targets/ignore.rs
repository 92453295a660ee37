//! The `ignore` patterns of a repo, from its settings: no pattern and no path breaks them, and one that is none is named.
//!
//! The input is patterns, a line each, and the path in the last line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sceneshift::ingest::fuzzing::leaves_out;
use sceneshift::values::TreePath;

fuzz_target!(|input: &[u8]| {
    let cut = input.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    let (Ok(patterns), Ok(path)) = (std::str::from_utf8(&input[..cut]), TreePath::new(input[cut..].trim_ascii_start()))
    else {
        return;
    };
    let patterns: Vec<String> = patterns.lines().map(ToOwned::to_owned).collect();
    for is_dir in [false, true] {
        let found = match leaves_out(&patterns, &path, is_dir) {
            Ok(found) => found,
            Err(error) => {
                assert!(error.to_string().contains("fuzzed"), "{error}");
                continue;
            }
        };
        // A last pattern of one exact name decides, whatever stands before it.
        let Some(name) = path.name().and_then(|name| std::str::from_utf8(name.as_bytes()).ok().map(ToOwned::to_owned))
        else {
            continue;
        };
        if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let last = |pattern: String| leaves_out(&[patterns.as_slice(), &[pattern]].concat(), &path, is_dir);
            assert!(last(name.clone()).expect("the patterns are good"), "{name} does not leave out {path:?}");
            assert!(!last(format!("!{name}")).expect("the patterns are good"), "!{name} leaves out {path:?}");
            assert!(
                found || !last(format!("#{name}")).expect("the patterns are good"),
                "a comment leaves something out"
            );
        }
    }
});
