//! A Puppet CA in Puppet's own layout: a root, an intermediate that signs, one revocation list of each, this host's certificate and agents'.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// The certname of the host that the gate runs on.
pub const HOST: &str = "gate.example";

/// See the module.
pub struct Ca {
    dir: PathBuf,
    root: CertifiedIssuer<'static, KeyPair>,
    signer: CertifiedIssuer<'static, KeyPair>,
    serial: AtomicU64,
    revoked: Mutex<Vec<u64>>,
}

/// An agent's certificate and its key.
pub struct Certificate {
    pub der: CertificateDer<'static>,
    key: Vec<u8>,
    serial: u64,
}

impl Certificate {
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }
}

impl Ca {
    /// Makes the `ssldir` at `dir`.
    pub fn new(dir: &Path) -> Self {
        let root = CertifiedIssuer::self_signed(ca_params("Puppet Root CA"), KeyPair::generate().unwrap()).unwrap();
        let signer = CertifiedIssuer::signed_by(ca_params("Puppet CA"), KeyPair::generate().unwrap(), &root).unwrap();
        let (serial, revoked) = (AtomicU64::new(10), Mutex::default());
        let ca = Self { dir: dir.to_owned(), root, signer, serial, revoked };
        for part in ["certs", "private_keys"] {
            std::fs::create_dir_all(dir.join(part)).unwrap();
        }
        std::fs::write(dir.join("certs/ca.pem"), format!("{}{}", ca.signer.pem(), ca.root.pem())).unwrap();
        let (params, key) = (ca.params(HOST), KeyPair::generate().unwrap());
        let certificate = params.signed_by(&key, &ca.signer).unwrap();
        std::fs::write(dir.join(format!("certs/{HOST}.pem")), certificate.pem()).unwrap();
        std::fs::write(dir.join(format!("private_keys/{HOST}.pem")), key.serialize_pem()).unwrap();
        ca.write_crl(&ca.crl());
        ca
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The certificates that agents trust.
    pub fn roots(&self) -> rustls::RootCertStore {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.root.der().clone()).unwrap();
        roots.add(self.signer.der().clone()).unwrap();
        roots
    }

    /// An agent's certificate.
    pub fn agent(&self, name: &str) -> Certificate {
        self.sign(&self.params(name))
    }

    /// A host of its own: its certificate and key lie in the `ssldir`, and it is called `localhost`, too. `role` becomes the extension
    /// `pp_auth_role`, written as Puppet does.
    pub fn host(&self, name: &str, role: Option<&str>) -> Certificate {
        let mut params = self.params(name);
        params.subject_alt_names.push(rcgen::SanType::DnsName("localhost".try_into().unwrap()));
        if let Some(role) = role {
            let value = [&[0x0c, u8::try_from(role.len()).unwrap()], role.as_bytes()].concat();
            let oid = [1, 3, 6, 1, 4, 1, 34380, 1, 3, 13];
            params.custom_extensions.push(rcgen::CustomExtension::from_oid_content(&oid, value));
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.signer).unwrap();
        std::fs::write(self.dir.join(format!("certs/{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.dir.join(format!("private_keys/{name}.pem")), key.serialize_pem()).unwrap();
        let serial = u64::from_be_bytes(padded(&params.serial_number.as_ref().unwrap().to_bytes()));
        Certificate { der: certificate.der().clone(), key: key.serialize_der(), serial }
    }

    /// One that is no longer valid.
    pub fn expired(&self, name: &str) -> Certificate {
        let mut params = self.params(name);
        params.not_after = date_time_ymd(2020, 1, 1);
        self.sign(&params)
    }

    /// This host's own, as it stands in its file.
    pub fn host_pem(&self) -> String {
        std::fs::read_to_string(self.dir.join(format!("certs/{HOST}.pem"))).unwrap()
    }

    /// Puts a certificate on the revocation list.
    pub fn revoke(&self, certificate: &Certificate) {
        self.revoked.lock().unwrap().push(certificate.serial);
        self.write_crl(&self.crl());
    }

    /// What `crl.pem` holds when it is whole.
    pub fn crl(&self) -> String {
        let revoked = self.revoked.lock().unwrap();
        let list = |issuer: &CertifiedIssuer<'static, KeyPair>, revoked: &[u64]| {
            let revoked = revoked.iter().map(|serial| RevokedCertParams {
                serial_number: SerialNumber::from(*serial),
                revocation_time: date_time_ymd(2024, 1, 1),
                reason_code: None,
                invalidity_date: None,
            });
            let list = CertificateRevocationListParams {
                this_update: date_time_ymd(2024, 1, 1),
                next_update: date_time_ymd(2099, 1, 1),
                crl_number: SerialNumber::from(self.serial.fetch_add(1, SeqCst)),
                issuing_distribution_point: None,
                revoked_certs: revoked.collect(),
                key_identifier_method: KeyIdMethod::Sha256,
            };
            list.signed_by(issuer).unwrap().pem().unwrap()
        };
        format!("{}{}", list(&self.signer, &revoked), list(&self.root, &[]))
    }

    /// Replaces `crl.pem`, as Puppet does: whole, by a rename.
    pub fn write_crl(&self, text: &str) {
        let new = self.dir.join("crl.pem.new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.dir.join("crl.pem")).unwrap();
    }

    fn sign(&self, params: &CertificateParams) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.signer).unwrap();
        let serial = u64::from_be_bytes(padded(&params.serial_number.as_ref().unwrap().to_bytes()));
        Certificate { der: certificate.der().clone(), key: key.serialize_der(), serial }
    }

    fn params(&self, name: &str) -> CertificateParams {
        // Puppet puts the certname among the names of the certificate, too; one with odd characters is no DNS name.
        let names = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
        let mut params = CertificateParams::new(if names { vec![name.to_owned()] } else { Vec::new() }).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(self.serial.fetch_add(1, SeqCst)));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params
    }
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn padded(bytes: &[u8]) -> [u8; 8] {
    let mut padded = [0; 8];
    padded[8 - bytes.len()..].copy_from_slice(bytes);
    padded
}
