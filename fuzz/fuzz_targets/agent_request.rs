//! What an agent asks the gate for: no spelling of a path or a form makes a request seem to read less code than Puppet Server would read.
//!
//! The input is a path, a query and a form, a line each.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sceneshift::pause::Scope;
use sceneshift::puppet::{Form, Route, environments};

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(3, |byte| *byte == b'\n');
    let [path, query, form] = [(); 3].map(|()| lines.next().unwrap_or_default());
    if let Ok(path) = std::str::from_utf8(path) {
        check_path(path);
    }
    let Ok(query) = std::str::from_utf8(query) else { return };
    // As a server reads it that takes any of several names: each of them must be among those that are waited for.
    let fields = [query.as_bytes(), form].map(|text| form_urlencoded::parse(text).collect::<Vec<_>>());
    let named: Vec<&str> =
        fields.iter().flatten().filter(|(key, _)| key == "environment").map(|(_, name)| &**name).collect();
    match environments(Some(query), Form::Fields(form)) {
        Scope::Everything => {}
        Scope::Environments(scope) => {
            assert!(
                !scope.is_empty() && named.iter().all(|name| scope.iter().any(|one| one == name)),
                "{named:?}: {scope:?}"
            );
        }
    }
    assert_eq!(environments(Some(query), Form::Opaque), Scope::Everything);
});

/// Whoever resolves its dots after decoding it, or drops what follows a semicolon, does not arrive at code.
fn check_path(path: &str) {
    if Route::of(path).reads_code() {
        return;
    }
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    let mut steps: Vec<&str> = Vec::new();
    for step in decoded.split('/').map(|step| step.split(';').next().unwrap_or_default()) {
        match step {
            "" | "." => {}
            ".." => drop(steps.pop()),
            step => steps.push(step),
        }
    }
    // Decoded already: a percent sign that is left stands for itself.
    let resolved = format!("/{}", steps.join("/")).replace('%', "%25");
    assert!(!Route::of(&resolved).reads_code(), "{path} is {resolved} to others");
}
