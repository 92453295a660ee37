//! Checked names: of entries, of repos, and the targets of symbolic links (`storage-format.md` §3, §4).

use std::borrow::Borrow;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;

/// The name of one entry: 1 to 255 bytes, no NUL, no `/`, not `.` or `..`. Any other bytes, UTF-8 or not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

/// Why bytes are not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No bytes at all.
    #[error("an empty name")]
    Empty,
    /// More than 255 bytes.
    #[error("a name of {0} bytes; 255 are the limit")]
    TooLong(usize),
    /// `.` or `..`.
    #[error("the name {0:?}, which means a directory itself or its parent")]
    Dots(String),
    /// A NUL byte or a `/` in it.
    #[error("a name with the forbidden byte {0:?}")]
    Forbidden(char),
}

impl Name {
    /// The longest name, in bytes.
    pub const MAX: usize = 255;

    /// Checks and takes the bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, NameError> {
        match bytes {
            [] => Err(NameError::Empty),
            b"." | b".." => Err(NameError::Dots(String::from_utf8_lossy(bytes).into_owned())),
            _ if bytes.len() > Self::MAX => Err(NameError::TooLong(bytes.len())),
            _ => match bytes.iter().find(|byte| matches!(byte, 0 | b'/')) {
                Some(byte) => Err(NameError::Forbidden(char::from(*byte))),
                None => Ok(Self(bytes.into())),
            },
        }
    }

    /// The bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name as the operating system's string type.
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// For people: bytes that are not UTF-8 are replaced, control characters escaped.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display_bytes(&self.0, f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// Where a symbolic link points, as it is written: 1 to 4,095 bytes, no NUL.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target(Box<[u8]>);

/// Why bytes are not the target of a symbolic link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No bytes at all.
    #[error("an empty link target")]
    Empty,
    /// More than 4,095 bytes.
    #[error("a link target of {0} bytes; 4095 are the limit")]
    TooLong(usize),
    /// A NUL byte in it.
    #[error("a link target with a NUL byte")]
    Nul,
}

impl Target {
    /// The longest target, in bytes: Linux's `PATH_MAX` less its NUL.
    pub const MAX: usize = 4095;

    /// Checks and takes the bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, TargetError> {
        match bytes {
            [] => Err(TargetError::Empty),
            _ if bytes.len() > Self::MAX => Err(TargetError::TooLong(bytes.len())),
            _ if bytes.contains(&0) => Err(TargetError::Nul),
            _ => Ok(Self(bytes.into())),
        }
    }

    /// The bytes of the target.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The steps of the way: names, `.` and `..`. A slash at the end is a step `.`, as the kernel has it: only a directory can be stayed in.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        let last = self.0.ends_with(b"/").then_some(b".".as_slice());
        self.0.split(|byte| *byte == b'/').filter(|step| !step.is_empty()).chain(last)
    }

    /// Whether resolution starts at the machine's root.
    pub fn is_absolute(&self) -> bool {
        self.0.first() == Some(&b'/')
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display_bytes(&self.0, f)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// Why a text is not the name of a repo.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a repo name: 1 to 64 of letters, digits, '.', '_', '-', beginning with a letter or digit")]
pub struct RepoNameError(String);

/// Why a text is not a tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a tag: 1 to 64 of letters, digits, '.', '_', '-', beginning with a letter or digit")]
pub struct TagNameError(String);

macro_rules! plain_word {
    ($(#[$doc:meta])* $name:ident, $error:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The name's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, $error> {
                if is_plain_word(text) { Ok(Self(text.into())) } else { Err($error(text.chars().take(100).collect())) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

plain_word! {
    /// The name of a repo: 1 to 64 of `A-Z a-z 0-9 . _ -`, the first a letter or a digit.
    RepoName, RepoNameError
}
plain_word! {
    /// A name that a person gave a commit, so that GC keeps it. Formed like a [`RepoName`].
    TagName, TagNameError
}

fn is_plain_word(text: &str) -> bool {
    let first_fits = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest_fits = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    first_fits && rest_fits && text.len() <= 64
}

/// Writes bytes for people: invalid UTF-8 replaced, control characters escaped so that no name can spoil a terminal.
pub(super) fn display_bytes(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    use fmt::Write;
    for character in String::from_utf8_lossy(bytes).chars() {
        if character.is_control() {
            write!(f, "{}", character.escape_default())?;
        } else {
            f.write_char(character)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_a_directory_cannot_be_made() {
        assert_eq!(Name::new(b""), Err(NameError::Empty));
        assert!(matches!(Name::new(b"."), Err(NameError::Dots(_))));
        assert!(matches!(Name::new(b".."), Err(NameError::Dots(_))));
        assert_eq!(Name::new(b"a/b"), Err(NameError::Forbidden('/')));
        assert_eq!(Name::new(b"a\0b"), Err(NameError::Forbidden('\0')));
    }

    #[test]
    fn a_name_may_have_255_bytes_and_no_more() {
        assert!(Name::new(&[0xff; 255]).is_ok());
        assert_eq!(Name::new(&[b'a'; 256]), Err(NameError::TooLong(256)));
    }

    #[test]
    fn every_other_byte_may_stand_in_a_name() {
        for byte in (1..=255).filter(|byte| *byte != b'/' && *byte != b'.') {
            assert!(Name::new(&[byte]).is_ok(), "byte {byte}");
        }
        assert!(Name::new(b"...").is_ok());
        assert!(Name::new(b".git").is_ok());
    }

    #[test]
    fn a_target_may_have_4095_bytes_and_no_nul() {
        assert!(Target::new(&[b'a'; 4095]).is_ok());
        assert_eq!(Target::new(&[b'a'; 4096]), Err(TargetError::TooLong(4096)));
        assert_eq!(Target::new(b""), Err(TargetError::Empty));
        assert_eq!(Target::new(b"a\0"), Err(TargetError::Nul));
    }

    #[test]
    fn a_slash_at_the_end_of_a_target_is_a_step() {
        let steps = |text: &[u8]| Target::new(text).unwrap().steps().map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert_eq!(steps(b"..//a/./b"), [&b".."[..], b"a", b".", b"b"]);
        assert_eq!(steps(b"a//"), [b"a", &b"."[..]]);
        assert_eq!(steps(b"/a"), [b"a"]);
    }

    #[test]
    fn a_repo_name_is_a_plain_word() {
        for right in ["puppet-code", "a", "0.x_y", &"a".repeat(64)] {
            assert!(right.parse::<RepoName>().is_ok(), "{right:?}");
        }
        for wrong in ["", ".", "..", "-a", ".a", "a/b", "a b", "ä", &"a".repeat(65)] {
            assert!(wrong.parse::<RepoName>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_name_shown_to_people_cannot_spoil_their_terminal() {
        assert_eq!(Name::new(b"a\x1b[2J\n").unwrap().to_string(), "a\\u{1b}[2J\\n");
    }
}
