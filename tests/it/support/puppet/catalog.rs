//! Of which versions a catalog is made.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::code::PARTS;

/// What a catalog of such an environment (`code.rs`) is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// All of it is of this version.
    Whole(String),
    /// Parts of it are of different versions: each part and its version.
    Mixed(BTreeMap<String, String>),
    /// Some parts are there, others are not.
    Partial(BTreeSet<String>),
    /// Nothing is in it: an agent would believe that nothing is to be done.
    Empty,
}

#[derive(Deserialize)]
struct Catalog {
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(rename = "type")]
    kind: String,
    title: String,
}

/// The version that a catalog says it was made of; `None` where it says none, or is no catalog.
pub fn code_id(json: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Versioned {
        code_id: Option<String>,
    }
    serde_json::from_slice::<Versioned>(json).ok()?.code_id
}

/// The titles of all that a catalog notifies.
pub fn notified(json: &[u8]) -> Result<Vec<String>, serde_json::Error> {
    let catalog: Catalog = serde_json::from_slice(json)?;
    let notified = catalog.resources.into_iter().filter(|resource| resource.kind == "Notify");
    Ok(notified.map(|resource| resource.title).collect())
}

impl Verdict {
    /// Judges the JSON of a catalog. Fails on what is none.
    pub fn of(json: &[u8]) -> Result<Self, serde_json::Error> {
        let part = |title: &String| title.split_once(' ').map(|(part, version)| (part.to_owned(), version.to_owned()));
        let parts: BTreeMap<String, String> = notified(json)?.iter().filter_map(part).collect();
        let versions: BTreeSet<&String> = parts.values().collect();
        Ok(match versions.first() {
            None => Self::Empty,
            Some(_) if versions.len() > 1 => Self::Mixed(parts),
            Some(_) if !PARTS.iter().all(|part| parts.contains_key(*part)) => {
                Self::Partial(parts.into_keys().collect())
            }
            Some(version) => Self::Whole((*version).clone()),
        })
    }

    pub fn is_torn(&self) -> bool {
        !matches!(self, Self::Whole(_))
    }

    /// What kind of tear it is; of two versions, the parts of the one set against those of the other.
    pub fn kind(&self) -> String {
        match self {
            Self::Whole(_) => "whole".to_owned(),
            Self::Partial(_) => "partial".to_owned(),
            Self::Empty => "empty".to_owned(),
            Self::Mixed(parts) => {
                let mut sides: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
                for (part, version) in parts {
                    sides.entry(version).or_default().push(part);
                }
                // From the version of A, which is read first.
                let first = parts.get("A").map(String::as_str).unwrap_or_default();
                let mut sides: Vec<(bool, String)> =
                    sides.into_iter().map(|(version, parts)| (version != first, parts.join("+"))).collect();
                sides.sort();
                format!("mixed: {}", sides.into_iter().map(|(_, parts)| parts).collect::<Vec<_>>().join(" | "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(titles: &[&str]) -> Verdict {
        let resource = |title: &&str| format!(r#"{{"type":"Notify","title":"{title}"}}"#);
        let resources: Vec<String> = titles.iter().map(resource).collect();
        let json = format!(r#"{{"resources":[{{"type":"Stage","title":"main v9"}},{}]}}"#, resources.join(","));
        Verdict::of(json.replace(",]", "]").as_bytes()).unwrap()
    }

    #[test]
    fn the_tests_own_eyes_see_every_kind_of_tear() {
        let whole: Vec<String> = PARTS.iter().map(|part| format!("{part} v1")).collect();
        let whole: Vec<&str> = whole.iter().map(String::as_str).collect();
        assert_eq!(verdict(&whole), Verdict::Whole("v1".into()));
        let mixed = [&whole[..6], &["func v2"]].concat();
        assert_eq!(verdict(&mixed).kind(), "mixed: A+B+epp+erb+file+hiera | func");
        assert_eq!(verdict(&whole[..6]).kind(), "partial");
        assert_eq!(verdict(&[]), Verdict::Empty);
        assert!(Verdict::of(b"Not found").is_err());
    }
}
