//! Signatures of heads: that a commit is the newest one of a repo is said by who has the key, not by who answers (`storage-format.md` §14).
//!
//! Ed25519, keys as OpenSSL writes them: PKCS#8 in PEM for the private one, SubjectPublicKeyInfo in PEM for the public one.
//!
//! - What is signed begins with a context of its own, so that no signature made for anything else is one of these.
//! - A signature names repo and sequence besides the commit, so that both are known to be true before anything is fetched.
//! - A private key is never shown, and is refused where others can read its file.
//!
//! Deliberately absent: who signs and who asks for a signature, which are the server's and the client's; storing signatures: they follow
//! from key and commit, so that a key can be replaced without a trace in the store.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};

use crate::values::{CommitId, RepoName};

/// Changing it makes every signature worthless.
const CONTEXT: &[u8] = b"sceneshift 2026-11-25 head signature v1\0";

/// What a SubjectPublicKeyInfo of Ed25519 begins with (RFC 8410); the 32 bytes of the key follow.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Mode bits that a private key's file must not have: others' reading, and anybody else's writing. Its group may read it.
const EXPOSED: u32 = 0o027;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Its file cannot be read.
    #[error("cannot read the key {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others could take it.
    #[error("the private key {} has mode {mode:04o}, so that others can read or change it: `chmod 0600` it, and replace it where they may have", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is no private key, or one of another kind.
    #[error("{} holds no private Ed25519 key; make one with `openssl genpkey -algorithm ed25519 -out key.pem`", path.display())]
    NotPrivate {
        /// The file.
        path: PathBuf,
    },
    /// It is no public key, or one of another kind.
    #[error("{} holds no public Ed25519 key; `openssl pkey -in key.pem -pubout` writes it", path.display())]
    NotPublic {
        /// The file.
        path: PathBuf,
    },
}

/// What makes signatures.
#[derive(Debug)]
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// Reads a private key. Blocks.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::Read { path: path.to_owned(), source };
        let mode = fs::metadata(path).map_err(failed)?.mode() & 0o7777;
        if mode & EXPOSED != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode });
        }
        let text = fs::read(path).map_err(failed)?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(&text).ok();
        // OpenSSL writes the private key alone; the public one follows from it.
        let pair = key.and_then(|key| Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der()).ok());
        pair.map(Self).ok_or_else(|| KeyError::NotPrivate { path: path.to_owned() })
    }

    /// Signs a head, in base64. The same key and head always give the same text.
    pub fn sign(&self, repo: &RepoName, sequence: u64, commit: &CommitId) -> String {
        BASE64_STANDARD.encode(self.0.sign(&message(repo, sequence, commit)))
    }
}

/// What verifies signatures.
#[derive(Debug, Clone)]
pub struct VerifyingKey([u8; 32]);

impl VerifyingKey {
    /// Reads a public key. Blocks.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let text = fs::read(path).map_err(|source| KeyError::Read { path: path.to_owned(), source })?;
        let info = SubjectPublicKeyInfoDer::from_pem_slice(&text).ok();
        let key = info.and_then(|info| info.strip_prefix(&SPKI_PREFIX)?.try_into().ok());
        key.map(Self).ok_or_else(|| KeyError::NotPublic { path: path.to_owned() })
    }

    /// Whether this key's owner signed this head.
    pub fn verifies(&self, repo: &RepoName, sequence: u64, commit: &CommitId, signature: &str) -> bool {
        let Ok(signature) = BASE64_STANDARD.decode(signature) else { return false };
        let key = UnparsedPublicKey::new(&ED25519, &self.0);
        key.verify(&message(repo, sequence, commit), &signature).is_ok()
    }
}

fn message(repo: &RepoName, sequence: u64, commit: &CommitId) -> Vec<u8> {
    let name = repo.as_str().as_bytes();
    // A name has at most 64 bytes.
    let length = [u8::try_from(name.len()).unwrap_or(u8::MAX)];
    [CONTEXT, &length, name, &sequence.to_le_bytes(), commit.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Made by `openssl genpkey -algorithm ed25519`, and by `openssl pkey -pubout` of it. Worth nothing.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINpfzYTxIZ9U018QC+peuvn40VnnqVDoHOevjfMNBJu6\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAjTr2do6apC+66iIBvJdRZvBMcODPwi07/9lGbc6sA0w=\n-----END PUBLIC KEY-----\n";
    const OTHER: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAxosvCVpjyRKklfgdUiznirJAiPMETQ/LTPu2cLchNRQ=\n-----END PUBLIC KEY-----\n";

    /// `openssl genpkey -algorithm ec -pkeyopt ec_paramgen_curve:P-256`, likewise.
    const ELLIPTIC: &str = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQDfK2CPKocUa7wvv\nQP4Yah+vu7x2dmUWKIFiGPLmKBuhRANCAASXg6fNxnDEf+gglxbzMtlDJHO1geFL\nxee8j2e4Omuyd/mrk+Xtp7LGm90UdWabD4oT0FfD3GME0PAenRm99Il5\n-----END PRIVATE KEY-----\n";
    const ELLIPTIC_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEl4OnzcZwxH/oIJcW8zLZQyRztYHh\nS8XnvI9nuDprsnf5q5Pl7aeyxpvdFHVmmw+KE9BXw9xjBNDwHp0ZvfSJeQ==\n-----END PUBLIC KEY-----\n";

    fn file(folder: &tempfile::TempDir, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_signature_holds_for_its_head_and_for_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::read(&file(&folder, "key", PRIVATE, 0o600)).unwrap();
        let public = VerifyingKey::read(&file(&folder, "pub", PUBLIC, 0o644)).unwrap();
        let other = VerifyingKey::read(&file(&folder, "other", OTHER, 0o644)).unwrap();
        let (repo, commit): (RepoName, _) = ("code".parse().unwrap(), CommitId::of(b"a"));
        let signature = key.sign(&repo, 7, &commit);
        assert_eq!(key.sign(&repo, 7, &commit), signature);
        assert!(public.verifies(&repo, 7, &commit, &signature));
        assert!(!other.verifies(&repo, 7, &commit, &signature));
        assert!(!public.verifies(&repo, 8, &commit, &signature));
        assert!(!public.verifies(&"cod".parse().unwrap(), 7, &commit, &signature));
        assert!(!public.verifies(&repo, 7, &CommitId::of(b"b"), &signature));
        for wrong in ["", "AAAA", "not base64", &signature[4..], &format!("{signature}AAAA")] {
            assert!(!public.verifies(&repo, 7, &commit, wrong), "{wrong}");
        }
    }

    /// The bytes are a promise: a client of today must believe a primary of tomorrow.
    #[test]
    fn what_is_signed_is_pinned() {
        let (repo, commit): (RepoName, _) = ("code".parse().unwrap(), CommitId::from_bytes([7; 32]));
        let expected =
            [b"sceneshift 2026-11-25 head signature v1\0\x04code\x01\x02\0\0\0\0\0\0", &[7; 32][..]].concat();
        assert_eq!(message(&repo, 0x201, &commit), expected);
    }

    #[test]
    fn what_is_no_key_or_another_kind_of_key_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("empty", ""), ("public", PUBLIC), ("elliptic", ELLIPTIC), ("text", "key = 1")] {
            let error = SigningKey::read(&file(&folder, name, text, 0o600)).unwrap_err();
            assert!(matches!(error, KeyError::NotPrivate { .. }), "{name}: {error}");
            assert!(error.to_string().contains(name), "{error}");
        }
        for (name, text) in [("empty", ""), ("private", PRIVATE), ("elliptic", ELLIPTIC_PUBLIC), ("text", "key = 1")] {
            let error = VerifyingKey::read(&file(&folder, name, text, 0o644)).unwrap_err();
            assert!(matches!(error, KeyError::NotPublic { .. }), "{name}: {error}");
        }
        assert!(matches!(SigningKey::read(&folder.path().join("none")), Err(KeyError::Read { .. })));
        assert!(matches!(VerifyingKey::read(&folder.path().join("none")), Err(KeyError::Read { .. })));
    }

    #[test]
    fn a_private_key_that_others_can_read_or_change_is_refused_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        for (mode, refused) in
            [(0o600, false), (0o400, false), (0o640, false), (0o644, true), (0o660, true), (0o604, true)]
        {
            let read = SigningKey::read(&file(&folder, "key", PRIVATE, mode));
            assert_eq!(matches!(read, Err(KeyError::Exposed { .. })), refused, "{mode:o}");
            if let Ok(key) = read {
                assert!(
                    !format!("{key:?}").contains("MC4CAQAwBQYDK2VwBCIEINpfzYTxIZ9U018QC+peuvn40VnnqVDoHOevjfMNBJu6"),
                    "{key:?}"
                );
            }
        }
    }
}
