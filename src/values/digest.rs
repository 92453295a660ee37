//! Ids: BLAKE3 digests, a distinct type for each kind of object (`storage-format.md` §2).

use std::fmt;
use std::str::FromStr;

/// Changing either string changes every id of its kind: a new storage format.
const TREE_CONTEXT: &str = "sceneshift 2026-11-24 tree v1";
const COMMIT_CONTEXT: &str = "sceneshift 2026-11-24 commit v1";

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an id: 64 lower-case hexadecimal digits are expected")]
pub struct ParseIdError(String);

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The id with these bytes. Says nothing about whether such an object exists.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes of the digest.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first 12 hexadecimal digits, for people.
            pub fn short(&self) -> String {
                let mut text = self.to_string();
                text.truncate(12);
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            /// Accepts exactly what `Display` prints.
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let lower = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
                match blake3::Hash::from_hex(text) {
                    Ok(hash) if lower => Ok(Self(*hash.as_bytes())),
                    _ => Err(ParseIdError(text.chars().take(100).collect())),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id_type! {
    /// The content of one file: plain BLAKE3 of its bytes, what `b3sum` prints.
    BlobId
}
id_type! {
    /// One directory: BLAKE3 in derive-key mode over its canonical bytes.
    TreeId
}
id_type! {
    /// One commit: BLAKE3 in derive-key mode over its canonical bytes.
    CommitId
}

impl BlobId {
    /// The id of a file with this content.
    pub fn of(content: &[u8]) -> Self {
        Self(*blake3::hash(content).as_bytes())
    }
}

impl TreeId {
    /// The id of the tree with these canonical bytes.
    pub fn of(canonical: &[u8]) -> Self {
        Self(blake3::derive_key(TREE_CONTEXT, canonical))
    }
}

impl CommitId {
    /// The id of the commit with these canonical bytes.
    pub fn of(canonical: &[u8]) -> Self {
        Self(blake3::derive_key(COMMIT_CONTEXT, canonical))
    }
}

/// Hashes a blob piece by piece.
#[derive(Debug, Default)]
pub struct Hasher(Box<blake3::Hasher>);

impl Hasher {
    /// A hasher that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the blob.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The id of everything seen so far.
    pub fn id(&self) -> BlobId {
        BlobId(*self.0.finalize().as_bytes())
    }
}

/// So that whatever copies bytes can be made to hash them.
impl std::io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_id_is_what_b3sum_prints() {
        // The empty input of BLAKE3's own published test vectors.
        let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(BlobId::of(b"").to_string(), empty);
        let mut hasher = Hasher::new();
        hasher.update(b"a");
        hasher.update(b"bc");
        assert_eq!(hasher.id(), BlobId::of(b"abc"));
    }

    #[test]
    fn the_same_bytes_have_another_id_in_each_kind() {
        let bytes = b"the same bytes";
        assert_ne!(BlobId::of(bytes).as_bytes(), TreeId::of(bytes).as_bytes());
        assert_ne!(TreeId::of(bytes).as_bytes(), CommitId::of(bytes).as_bytes());
    }

    #[test]
    fn only_sixty_four_lower_case_digits_parse() {
        let id = BlobId::of(b"x");
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "ab", &id.to_string().to_uppercase(), &format!("{id}0"), &id.to_string().replace('0', "g")] {
            assert!(wrong.parse::<BlobId>().is_err(), "{wrong:?} must not parse");
        }
    }
}
