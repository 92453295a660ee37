//! Who may do what on a primary: over TLS by certificate, on its socket by account.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// Who may do what. Each list names certificates of the Puppet CA, or accounts of this machine.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Access {
    /// May read code and history, and report: every client.
    #[serde(default)]
    pub read: Vec<Rule>,
    /// May commit, roll back, tag and collect garbage. May read, too.
    #[serde(default)]
    pub commit: Vec<Rule>,
    /// May ask for health, status and metrics; whoever may read may that, too.
    #[serde(default)]
    pub monitor: Vec<Rule>,
    /// May read code and history on the primary's socket, besides root and the daemon's own user.
    #[serde(default)]
    pub local_read: Vec<LocalRule>,
    /// May commit, roll back, tag and collect garbage there, and read, too.
    #[serde(default)]
    pub local_commit: Vec<LocalRule>,
}

/// An account of this machine: `"r10k"` is a user, `"%deploy"` whoever is in a group. Whether there is such a one is not looked at here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalRule {
    /// This user.
    User(String),
    /// Whoever is in this group.
    Group(String),
}

/// Why a text is no account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no account of this machine; write a user like \"r10k\", or a group like \"%deploy\"")]
pub struct LocalRuleError(String);

impl FromStr for LocalRule {
    type Err = LocalRuleError;

    fn from_str(text: &str) -> Result<Self, LocalRuleError> {
        let (is_group, name) = text.strip_prefix('%').map_or((false, text), |name| (true, name));
        let fits = |letter: char| letter.is_alphanumeric() || "._-$@\\".contains(letter);
        match !name.is_empty() && name.chars().all(fits) {
            true if is_group => Ok(LocalRule::Group(name.to_owned())),
            true => Ok(LocalRule::User(name.to_owned())),
            false => Err(LocalRuleError(text.to_owned())),
        }
    }
}

impl<'de> Deserialize<'de> for LocalRule {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// `"anybody"`: also without a certificate.
    Anybody,
    /// A certname, in which `*` stands for any characters.
    Certname(String),
    /// `"pp_role=…"`, `"pp_auth_role=…"`: an extension of the certificate with this value.
    Extension(String, String),
}

/// The extensions that can be named, as Puppet calls them.
pub const EXTENSIONS: [&str; 2] = ["pp_role", "pp_auth_role"];

/// Why a text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names nobody; write a certname like \"compile*.example.com\", \"pp_auth_role=compiler\", \"pp_role=…\", or \"anybody\""
)]
pub struct RuleError(String);

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let is_certname = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-*@ ".contains(&byte))
        };
        match text.split_once('=') {
            _ if text == "anybody" => Ok(Rule::Anybody),
            Some((name, value)) if EXTENSIONS.contains(&name) && !value.is_empty() => {
                Ok(Rule::Extension(name.to_owned(), value.to_owned()))
            }
            None if is_certname(text) => Ok(Rule::Certname(text.to_owned())),
            _ => Err(RuleError(text.to_owned())),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Anybody => f.write_str("anybody"),
            Rule::Certname(pattern) => f.write_str(pattern),
            Rule::Extension(name, value) => write!(f, "{name}={value}"),
        }
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Rule {
    /// Whether it names whoever has this certname and these extensions; `None` is somebody without a certificate.
    pub fn matches(&self, who: Option<(&str, &[(String, String)])>) -> bool {
        match (self, who) {
            (Rule::Anybody, _) => true,
            (_, None) => false,
            (Rule::Certname(pattern), Some((certname, _))) => is_like(pattern.as_bytes(), certname.as_bytes()),
            (Rule::Extension(name, value), Some((_, extensions))) => {
                extensions.iter().any(|(has, is)| has == name && is == value)
            }
        }
    }
}

/// Whether a text is like a pattern, in which `*` stands for any characters, or none.
fn is_like(pattern: &[u8], text: &[u8]) -> bool {
    let mut parts = pattern.split(|byte| *byte == b'*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&[u8]> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        // The first place will do: what follows can only gain by more room.
        let Some(at) = (0..=rest.len().saturating_sub(part.len())).find(|at| rest[*at..].starts_with(part)) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certnames_are_matched_by_patterns() {
        let like = |pattern: &str, text: &str| is_like(pattern.as_bytes(), text.as_bytes());
        for (pattern, text) in [
            ("a.example", "a.example"),
            ("*", "anything"),
            ("*", ""),
            ("compile*.example", "compile12.example"),
            ("compile*.example", "compile.example"),
            ("*.example", "a.b.example"),
            ("a*b*c", "a-bb-b-c"),
            ("a**c", "abc"),
        ] {
            assert!(like(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a.example", "a.example.org"),
            ("a.example", "b.a.example"),
            ("compile*.example", "compile1.example.org"),
            ("a*a", "a"),
            ("a*b*c", "acb"),
            ("ab*ba", "aba"),
        ] {
            assert!(!like(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_local_rule_names_a_user_or_with_a_percent_sign_a_group() {
        assert_eq!("r10k".parse(), Ok(LocalRule::User("r10k".into())));
        assert_eq!("%deploy-1".parse(), Ok(LocalRule::Group("deploy-1".into())));
        for wrong in ["", "%", "%%x", "a b", "a:b", "*"] {
            assert!(wrong.parse::<LocalRule>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rule_names_a_certificate_by_its_name_or_its_extensions() {
        let rule = |text: &str| text.parse::<Rule>().unwrap();
        let extensions = [("pp_auth_role".to_owned(), "compiler".to_owned())];
        let who = Some(("node1", extensions.as_slice()));
        assert!(
            rule("node*").matches(who) && rule("pp_auth_role=compiler").matches(who) && rule("anybody").matches(None)
        );
        assert!(!rule("pp_role=compiler").matches(who) && !rule("pp_auth_role=comp").matches(who));
        assert!(!rule("*").matches(None), "a pattern asks for a certificate");
        for wrong in ["", "a=b", "pp_role=", "a/b", "pp_roles=x", "ä"] {
            assert!(wrong.parse::<Rule>().is_err(), "{wrong}");
        }
    }
}
