//! Where a server is, and what its routes are called.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use reqwest::Url;

use super::RemoteError;
use crate::values::TreePath;

/// What stands in a path as it is: RFC 3986's unreserved characters. All else is escaped.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A path's slashes stay what they are.
const ESCAPED_IN_PATH: &AsciiSet = &ESCAPED.remove(b'/');

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A primary.
    Primary(Arc<Url>),
    /// A socket of a daemon on this machine.
    Socket(PathBuf),
}

/// As it stands in a sentence: "the primary at http://127.0.0.1:8145".
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Primary(url) => write!(f, "the primary at {}", url.as_str().trim_end_matches('/')),
            Place::Socket(path) => write!(f, "the daemon behind {}", path.display()),
        }
    }
}

impl Place {
    /// The socket that an address names: `unix:/path`, or `unix:///path`; `None` where it is another kind of address.
    pub(super) fn socket(server: &str) -> Result<Option<PathBuf>, RemoteError> {
        let Some(path) = server.strip_prefix("unix:") else { return Ok(None) };
        let path = path.strip_prefix("//").unwrap_or(path);
        match path.starts_with('/') {
            true => Ok(Some(PathBuf::from(path))),
            false => Err(RemoteError::Address { address: server.to_owned() }),
        }
    }

    pub(super) fn primary(server: &str) -> Result<Self, RemoteError> {
        let wrong = || RemoteError::Address { address: server.to_owned() };
        let url = Url::parse(server).map_err(|_| wrong())?;
        match url.scheme() {
            "http" | "https" if url.has_host() && url.query().is_none() && url.fragment().is_none() => {
                Ok(Place::Primary(Arc::new(url)))
            }
            _ => Err(wrong()),
        }
    }

    /// Whether calls go over TLS.
    pub(super) fn is_secure(&self) -> bool {
        matches!(self, Place::Primary(url) if url.scheme() == "https")
    }

    /// The URL of the route with these parts, each of them escaped.
    pub(super) fn url(&self, route: &[&str]) -> Result<Url, RemoteError> {
        // A client leaves no trace of these in a URL, and so would call another route.
        if let Some(part) = route.iter().find(|part| matches!(**part, "" | "." | "..")) {
            return Err(RemoteError::Name { name: (*part).to_owned() });
        }
        let parts = route.iter().map(|part| percent_encode(part.as_bytes(), ESCAPED).to_string());
        Ok(self.with_path(&parts.collect::<Vec<_>>().join("/")))
    }

    /// The URL of a route that ends with a path inside a tree.
    pub(super) fn url_with_path(&self, route: &[&str], path: &TreePath) -> Result<Url, RemoteError> {
        let mut url = self.url(route)?;
        url.set_path(&format!("{}/{}", url.path(), encode_path(path)));
        Ok(url)
    }

    fn with_path(&self, route: &str) -> Url {
        let mut url = match self {
            Place::Primary(url) => Url::clone(url),
            // The name means nothing there, but HTTP asks for one.
            Place::Socket(_) => Url::parse("http://localhost").expect("a constant that is a URL"),
        };
        url.set_path(&format!("{}/{route}", url.path().trim_end_matches('/')));
        url
    }
}

/// The bytes of a path as they stand in URLs and in `ObjectAt::path`: plain ASCII as it is, all else percent-encoded, `/` between the parts.
pub fn encode_path(path: &TreePath) -> String {
    percent_encode(path.as_bytes(), ESCAPED_IN_PATH).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_http_with_a_host() {
        for right in [
            "http://127.0.0.1:8145",
            "https://primary:8145",
            "http://[::1]:1/",
            "http://primary.example.com/behind/a/prefix/",
        ] {
            assert!(Place::primary(right).is_ok(), "{right}");
        }
        for wrong in ["", "primary:8145", "127.0.0.1:8145", "https://", "file:///x", "http://a?b", "http://a#b"] {
            let error = Place::primary(wrong).unwrap_err().to_string();
            assert!(error.contains("http://127.0.0.1:8145"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_socket_is_named_by_its_full_path() {
        for right in ["unix:/run/a.sock", "unix:///run/a.sock"] {
            assert_eq!(Place::socket(right).unwrap(), Some(PathBuf::from("/run/a.sock")), "{right}");
        }
        for wrong in ["unix:a.sock", "unix://host/run/a.sock", "unix:"] {
            assert!(Place::socket(wrong).is_err(), "{wrong}");
        }
        assert!(matches!(Place::socket("http://a"), Ok(None)));
    }

    #[test]
    fn routes_lie_below_the_address_whatever_its_trailing_slashes() {
        for server in ["http://a/x", "http://a/x/"] {
            assert_eq!(Place::primary(server).unwrap().url(&["v1", "repos"]).unwrap().as_str(), "http://a/x/v1/repos");
        }
        let socket = Place::Socket("/run/control.sock".into());
        assert_eq!(socket.url(&["status"]).unwrap().as_str(), "http://localhost/status");
    }

    #[test]
    fn a_part_of_a_route_cannot_become_another_route() {
        let place = Place::primary("http://a").unwrap();
        assert_eq!(place.url(&["tags", "a/b?c#d%2e é"]).unwrap().path(), "/tags/a%2Fb%3Fc%23d%252e%20%C3%A9");
        for name in ["", ".", ".."] {
            let refused = place.url(&["tags", name]);
            assert!(matches!(refused, Err(RemoteError::Name { .. })), "{name:?}");
        }
    }

    #[test]
    fn any_bytes_of_a_path_survive_the_way_through_a_url() {
        let bytes: Vec<u8> = (1..=255).filter(|byte| *byte != b'/').collect();
        let path = TreePath::new(&[b"environments/", &bytes[..150], b"/", &bytes[150..]].concat()).unwrap();
        let encoded = encode_path(&path);
        assert!(encoded.is_ascii() && encoded.starts_with("environments/"), "{encoded}");
        let url = Place::primary("http://a").unwrap().url_with_path(&["files"], &path).unwrap();
        let sent = url.path().strip_prefix("/files/").unwrap();
        assert_eq!(percent_encoding::percent_decode_str(sent).collect::<Vec<u8>>(), path.as_bytes());
    }
}
