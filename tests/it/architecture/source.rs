//! Reads Rust sources well enough to see what they use.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// One file of `src/`, as code only.
pub(super) struct Source {
    /// From `src/` on.
    pub(super) path: String,
    /// The top-level module that it belongs to.
    pub(super) module: String,
    code: String,
}

/// Every file of `src/` that is part of the program; unit tests may use what they like.
pub(super) fn all() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, "", &mut found);
    assert!(found.len() > 20, "the sources were not found");
    found
}

fn collect(directory: &Path, prefix: &str, found: &mut Vec<Source>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{prefix}{name}");
        if entry.file_type().unwrap().is_dir() {
            if name != "tests" {
                collect(&entry.path(), &format!("{path}/"), found);
            }
        } else if name.ends_with(".rs") && !matches!(name.as_str(), "tests.rs" | "testing.rs") {
            found.push(Source::new(&path, &fs::read_to_string(entry.path()).unwrap()));
        }
    }
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let module = path.split(['/', '.']).next().unwrap_or("").to_owned();
        let code = without_comments_and_strings(text);
        // By convention unit tests end a file.
        let end = code.find("#[cfg(test)]\nmod tests {").or_else(|| end_of_code(&code)).unwrap_or(code.len());
        Self { path: path.to_owned(), module, code: code[..end].to_owned() }
    }

    /// Whether the code has this word (a path, a macro), not just as a part of a longer one.
    pub(super) fn has(&self, word: &str) -> bool {
        self.places(word).next().is_some()
    }

    /// Whether a crate is used: `name::...`, or `use name;`.
    pub(super) fn uses_crate(&self, name: &str) -> bool {
        self.places(name).any(|(before, after)| {
            let is_path = after.starts_with("::") || (before.trim_end().ends_with("use") && after.starts_with(';'));
            is_path && !before.ends_with("::")
        })
    }

    /// The top-level modules of this crate that are used.
    pub(super) fn uses_of_own_crate(&self) -> BTreeSet<String> {
        let mut used = BTreeSet::new();
        // From a file this deep, so many `super` lead to the crate's root.
        let depth = self.path.trim_end_matches(".rs").split('/').count();
        let root = vec!["super"; depth].join("::");
        for (_, after) in self.places("crate").chain(self.places(&root)) {
            match after.strip_prefix("::") {
                Some(group) if group.starts_with('{') => used.extend(heads_of_group(&group[1..])),
                Some(path) => used.extend(first_word(path)),
                None => {}
            }
        }
        used.remove("super");
        used
    }

    /// What stands before and after each place of a word.
    fn places<'a>(&'a self, word: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let part_of_word = |character: char| character.is_alphanumeric() || character == '_';
        self.code.match_indices(word).filter_map(move |(at, _)| {
            let (before, after) = (&self.code[..at], &self.code[at + word.len()..]);
            let longer = before.ends_with(part_of_word) || after.starts_with(part_of_word);
            (!longer).then_some((before, after))
        })
    }
}

/// Where the unit tests begin, however they are indented.
fn end_of_code(code: &str) -> Option<usize> {
    code.match_indices("#[cfg(test)]").map(|(at, _)| at).find(|at| {
        let rest = code[at + "#[cfg(test)]".len()..].trim_start();
        rest.starts_with("mod tests {")
    })
}

fn first_word(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect();
    (!word.is_empty()).then_some(word)
}

/// The first words of `a::b, c::{d, e}, f}`: a, c, f.
fn heads_of_group(text: &str) -> Vec<String> {
    let (mut heads, mut depth, mut start) = (Vec::new(), 0, true);
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            _ if start && !character.is_whitespace() => {
                heads.extend(first_word(&text[at..]));
                start = false;
            }
            _ => {}
        }
    }
    heads
}

/// Comments and the insides of literals become nothing.
fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if character == 'r' && (rest.starts_with("r\"") || rest.starts_with("r#")) && raw_end(rest).is_some() {
            raw_end(rest).unwrap()
        } else if character == '"' {
            string_end(rest)
        } else if character == '\'' {
            char_end(rest)
        } else {
            0
        };
        if skipped == 0 {
            code.push(character);
            rest = &rest[character.len_utf8()..];
        } else {
            rest = &rest[skipped..];
        }
    }
    code
}

fn raw_end(text: &str) -> Option<usize> {
    let hashes = text[1..].chars().take_while(|character| *character == '#').count();
    let body = text[1 + hashes..].strip_prefix('"')?;
    let closing = format!("\"{}", "#".repeat(hashes));
    Some(1 + hashes + 1 + body.find(&closing)? + closing.len())
}

fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A character's literal; 0 for a lifetime.
fn char_end(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => text[2..].find('\'').map_or(0, |end| if end == 0 { 4 } else { end + 3 }),
        Some(_) => match characters.next() {
            Some((at, '\'')) => at + 1,
            _ => 0,
        },
        None => 0,
    }
}
