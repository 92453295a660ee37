//! The name in an agent's certificate, and the headers by which a proxy tells it to Puppet Server.
//!
//! Puppet Server with `allow-header-cert-info` believes these headers from anybody, and does not compare them with each other. So all of them are
//! made here from one certificate that was verified.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use x509_parser::asn1_rs::Utf8String;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::EXTENSIONS;

/// "SUCCESS", exactly: Puppet Server takes anything else for a failure.
const VERIFY: HeaderName = HeaderName::from_static("x-client-verify");
const DN: HeaderName = HeaderName::from_static("x-client-dn");
const CERT: HeaderName = HeaderName::from_static("x-client-cert");

/// Object identifiers of Puppet's registered extensions, with the names that [`EXTENSIONS`] has.
const OIDS: [(&str, &str); EXTENSIONS.len()] =
    [("1.3.6.1.4.1.34380.1.1.13", EXTENSIONS[0]), ("1.3.6.1.4.1.34380.1.3.13", EXTENSIONS[1])];

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certname.
    pub certname: String,
    /// The headers that tell Puppet Server.
    pub headers: HeaderMap,
    /// The extensions of the certificate that access may be given by, with their values.
    pub extensions: Vec<(String, String)>,
}

/// Why a certificate or header names nobody.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It is no certificate.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// Not exactly one common name.
    #[error("the certificate has {0} common names; Puppet's have one")]
    CommonNames(usize),
    /// A name that Puppet would not sign, and that could be mistaken for another in a header.
    #[error("{0:?} is no certname")]
    Certname(String),
    /// A header stands there twice: which one counts would be up to the reader.
    #[error("the header {0} stands there twice")]
    Twice(HeaderName),
}

/// Whether a header tells Puppet Server who asks: from outside it is never believed. Also where a server takes `_` for `-`.
pub fn is_identity_header(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.len() >= 9
        && name.is_char_boundary(9)
        && matches!(&name[..9], "x-client-" | "x_client_" | "x-client_" | "x_client-")
}

impl Identity {
    /// That of a certificate which was verified, in DER.
    pub fn of_certificate(der: &[u8]) -> Result<Self, IdentityError> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| IdentityError::Unreadable)?;
        let names: Vec<_> = certificate.subject().iter_common_name().map(|name| name.as_str().unwrap_or("")).collect();
        let [certname] = names.as_slice() else { return Err(IdentityError::CommonNames(names.len())) };
        check(certname)?;
        let mut headers = HeaderMap::new();
        headers.insert(VERIFY, HeaderValue::from_static("SUCCESS"));
        headers.insert(DN, ascii(&format!("CN={certname}")));
        headers.insert(CERT, ascii(&utf8_percent_encode(&pem(der), NON_ALPHANUMERIC).to_string()));
        Ok(Self { certname: (*certname).to_owned(), headers, extensions: extensions(&certificate) })
    }

    /// What a load balancer that ended TLS says; `None` where it says that nobody was verified.
    pub fn of_headers(headers: &HeaderMap) -> Result<Option<Self>, IdentityError> {
        let one = |name: &HeaderName| {
            let mut values = headers.get_all(name).iter();
            match (values.next(), values.next()) {
                (_, Some(_)) => Err(IdentityError::Twice(name.clone())),
                (value, None) => Ok(value.cloned()),
            }
        };
        let (verify, dn, cert) = (one(&VERIFY)?, one(&DN)?, one(&CERT)?);
        let (Some(verify), Some(dn)) = (verify, dn) else { return Ok(None) };
        if verify.as_bytes() != b"SUCCESS" {
            return Ok(None);
        }
        let certname = common_name(dn.to_str().unwrap_or(""))?;
        check(&certname)?;
        let mut told = HeaderMap::new();
        told.insert(VERIFY, verify);
        told.insert(DN, ascii(&format!("CN={certname}")));
        if let Some(cert) = cert {
            told.insert(CERT, cert);
        }
        Ok(Some(Self { certname, headers: told, extensions: Vec::new() }))
    }
}

/// The values of the extensions in [`EXTENSIONS`], by Puppet's names. Puppet writes a value as a UTF8String.
fn extensions(certificate: &X509Certificate<'_>) -> Vec<(String, String)> {
    let named = certificate.extensions().iter().filter_map(|extension| {
        let (_, name) = OIDS.iter().find(|(oid, _)| extension.oid.to_id_string() == *oid)?;
        let (_, value) = Utf8String::from_der(extension.value).ok()?;
        Some(((*name).to_owned(), value.string()))
    });
    named.collect()
}

/// The common name of a DN, as RFC 2253 (`CN=a,O=b`) or as OpenSSL once wrote it (`/O=b/CN=a`).
fn common_name(dn: &str) -> Result<String, IdentityError> {
    let parts = dn.split(['/', ',']).map(str::trim);
    let names: Vec<_> = parts.filter_map(|part| part.strip_prefix("CN=").or(part.strip_prefix("cn="))).collect();
    match names.as_slice() {
        [name] => Ok((*name).to_owned()),
        _ => Err(IdentityError::Certname(dn.to_owned())),
    }
}

/// Puppet signs printable ASCII without a slash; what is special in a DN is refused besides.
fn check(certname: &str) -> Result<(), IdentityError> {
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) && !b"/,+\"\\<>;=#".contains(&byte);
    match !certname.is_empty() && certname.bytes().all(is_plain) {
        true => Ok(()),
        false => Err(IdentityError::Certname(certname.to_owned())),
    }
}

fn pem(der: &[u8]) -> String {
    let body = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> = body.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("only printable ASCII comes here")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        all.iter().map(pair).collect()
    }

    #[test]
    fn headers_that_tell_who_asks_are_known_in_every_spelling() {
        for name in ["x-client-verify", "x-client-dn", "x-client-cert", "x_client_dn", "x-client-anything"] {
            assert!(is_identity_header(&HeaderName::from_static(name)), "{name}");
        }
        for name in ["x-clientele", "host", "x-puppet-version"] {
            assert!(!is_identity_header(&HeaderName::from_static(name)), "{name}");
        }
    }

    #[test]
    fn a_load_balancer_says_who_asks_in_either_form_of_a_dn() {
        for dn in ["CN=node1", "CN=node1,O=x,C=US", "/C=US/O=x/CN=node1"] {
            let told = headers(&[("x-client-verify", "SUCCESS"), ("x-client-cert", "abc")]);
            let mut told = told;
            told.insert(DN, HeaderValue::from_static(dn));
            let identity = Identity::of_headers(&told).unwrap().unwrap();
            assert_eq!((identity.certname.as_str(), identity.headers[DN].to_str().unwrap()), ("node1", "CN=node1"));
            assert_eq!(identity.headers[CERT], "abc");
        }
    }

    #[test]
    fn half_a_word_of_a_load_balancer_is_none() {
        for told in [
            headers(&[]),
            headers(&[("x-client-dn", "CN=node1")]),
            headers(&[("x-client-verify", "SUCCESS")]),
            headers(&[("x-client-verify", "success"), ("x-client-dn", "CN=node1")]),
            headers(&[("x-client-verify", "FAILED:x"), ("x-client-dn", "CN=node1")]),
        ] {
            assert!(Identity::of_headers(&told).unwrap().is_none(), "{told:?}");
        }
        let mut twice = headers(&[("x-client-verify", "SUCCESS"), ("x-client-dn", "CN=a")]);
        twice.append(DN, HeaderValue::from_static("CN=b"));
        assert!(matches!(Identity::of_headers(&twice), Err(IdentityError::Twice(_))));
        for dn in ["CN=a,CN=b", "node1", "CN=", "CN=a\\,b"] {
            let told = headers(&[("x-client-verify", "SUCCESS")]);
            let mut told = told;
            told.insert(DN, HeaderValue::from_static(dn));
            assert!(Identity::of_headers(&told).is_err(), "{dn}");
        }
    }
}
