//! The files of Puppet's `ssldir`, as TLS needs them: the CA, its revocation lists, this host's certificate and key.
//!
//! The files are looked at again every few seconds by whoever serves with them; what cannot be read then is logged, and what was read before stays
//! in use: a half-written revocation list must not lock everybody out.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

use super::{Identity, IdentityError};
use crate::config::Puppet;
use crate::tls;

/// Why the certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {}; are ssl-dir and certname in [puppet] right, and may this user read it?", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{} holds no {what} in PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// The pieces do not fit together.
    #[error("the certificates in {} cannot be used for TLS", ssl_dir.display())]
    Tls {
        /// Where they are.
        ssl_dir: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// The CA or its revocation lists cannot be used.
    #[error("nobody can be verified with {} and {}", ca.display(), crl.display())]
    Verifier {
        /// The CA's certificates.
        ca: PathBuf,
        /// Its revocation lists.
        crl: PathBuf,
        /// What is wrong.
        source: rustls::server::VerifierBuilderError,
    },
    /// A CA of the chain has no revocation list: nobody whom it signed could be verified.
    #[error(
        "{} holds no revocation list of {issuer}, whose certificate is in {}; it may be half written, or copied without all of its parts",
        crl.display(),
        ca.display()
    )]
    NoList {
        /// The CA's certificates.
        ca: PathBuf,
        /// Its revocation lists.
        crl: PathBuf,
        /// Whose list is missing.
        issuer: String,
    },
    /// The host's own certificate names nobody.
    #[error("{}", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: IdentityError,
    },
}

/// One state of the files, read and checked.
#[derive(Debug)]
pub struct Material {
    /// To serve agents: their certificates are optional, and verified where they come.
    pub server: Arc<ServerConfig>,
    /// To ask servers of this CA, with this host's certificate. A server whose certificate is revoked is not believed.
    pub client: ClientConfig,
    /// To look again at a certificate on an open connection.
    pub verifier: Arc<dyn ClientCertVerifier>,
    /// This host, as Puppet Server is told.
    pub host: Identity,
    stamp: Stamp,
}

/// The files, and what they held when they were last read.
#[derive(Debug)]
pub struct Certificates {
    files: Files,
    current: Mutex<Arc<Material>>,
}

#[derive(Debug, Clone)]
struct Files {
    ssl_dir: PathBuf,
    ca: PathBuf,
    crl: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

/// What changes when a file does: inode, size, mtime, ctime of each.
type Stamp = Vec<Option<(u64, u64, i64, i64, i64, i64)>>;

impl Certificates {
    /// Reads the files. Blocking.
    pub fn open(settings: &Puppet) -> Result<Self, CertificateError> {
        let (dir, name) = (&settings.ssl_dir, &settings.certname);
        let files = Files {
            ssl_dir: dir.clone(),
            ca: dir.join("certs/ca.pem"),
            crl: settings.crl_file.clone().unwrap_or_else(|| dir.join("crl.pem")),
            certificate: dir.join(format!("certs/{name}.pem")),
            key: dir.join(format!("private_keys/{name}.pem")),
        };
        let current = Mutex::new(Arc::new(files.read()?));
        Ok(Self { files, current })
    }

    /// What was read last.
    pub fn current(&self) -> Arc<Material> {
        Arc::clone(&self.current.lock().expect("no holder of this lock panics"))
    }

    /// Reads the files again where one has changed; says whether it did. Blocking.
    pub fn refresh(&self) -> Result<bool, CertificateError> {
        if self.files.stamp() == self.current().stamp {
            return Ok(false);
        }
        let material = Arc::new(self.files.read()?);
        *self.current.lock().expect("no holder of this lock panics") = material;
        Ok(true)
    }
}

impl Files {
    fn stamp(&self) -> Stamp {
        let stat = |path: &PathBuf| {
            let stat = std::fs::metadata(path).ok()?;
            Some((stat.ino(), stat.size(), stat.mtime(), stat.mtime_nsec(), stat.ctime(), stat.ctime_nsec()))
        };
        [&self.ca, &self.crl, &self.certificate, &self.key].into_iter().map(stat).collect()
    }

    fn read(&self) -> Result<Material, CertificateError> {
        // Taken before: a change while reading is seen next time.
        let stamp = self.stamp();
        let provider = tls::provider();
        let unfit = |source| CertificateError::Tls { ssl_dir: self.ssl_dir.clone(), source };
        let mut roots = RootCertStore::empty();
        let authorities = all::<CertificateDer<'static>>(&self.ca, "certificate")?;
        let lists = all::<CertificateRevocationListDer<'static>>(&self.crl, "revocation list")?;
        if let Some(issuer) = without_list(&authorities, &lists) {
            return Err(CertificateError::NoList { ca: self.ca.clone(), crl: self.crl.clone(), issuer });
        }
        for certificate in authorities {
            roots.add(certificate).map_err(unfit)?;
        }
        let roots = Arc::new(roots);
        let servers = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .with_crls(lists.clone())
            .build()
            .map_err(|source| CertificateError::Verifier { ca: self.ca.clone(), crl: self.crl.clone(), source })?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .with_crls(lists)
            .allow_unauthenticated()
            .build()
            .map_err(|source| CertificateError::Verifier { ca: self.ca.clone(), crl: self.crl.clone(), source })?;
        let chain = all::<CertificateDer<'static>>(&self.certificate, "certificate")?;
        let host = Identity::of_certificate(&chain[0])
            .map_err(|source| CertificateError::Identity { path: self.certificate.clone(), source })?;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?).map_err(|_| CertificateError::Pem {
            path: self.key.clone(),
            what: "private key (without a passphrase)",
        })?;
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .with_client_cert_verifier(Arc::clone(&verifier))
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(unfit)?;
        // A resumed session would pass by the verifier: its certificate may be revoked since. Agents do not resume.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .with_webpki_verifier(servers)
            .with_client_auth_cert(chain, key)
            .map_err(unfit)?;
        Ok(Material { server: Arc::new(server), client, verifier, host, stamp })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    std::fs::read(path).map_err(|source| CertificateError::Read { path: path.to_owned(), source })
}

/// The name of a CA that none of these lists is from. A file that was cut between two lists reads well, and would lock everybody out.
fn without_list(authorities: &[CertificateDer<'_>], lists: &[CertificateRevocationListDer<'_>]) -> Option<String> {
    let lists = lists.iter().filter_map(|list| CertificateRevocationList::from_der(list).ok());
    let issuers: Vec<Vec<u8>> = lists.map(|(_, list)| list.issuer().as_raw().to_vec()).collect();
    authorities.iter().find_map(|authority| {
        let (_, authority) = X509Certificate::from_der(authority).ok()?;
        let subject = authority.subject();
        (!issuers.iter().any(|issuer| issuer == subject.as_raw())).then(|| subject.to_string())
    })
}

/// All things of a kind in a PEM file: at least one.
fn all<T: PemObject>(path: &Path, what: &'static str) -> Result<Vec<T>, CertificateError> {
    let text = read(path)?;
    let found: Result<Vec<T>, pem::Error> = T::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(CertificateError::Pem { path: path.to_owned(), what }),
    }
}
