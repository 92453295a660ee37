//! What can go wrong with a call.

use std::error::Error;
use std::fmt;

use super::Place;

/// Why a call gave no answer, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// A text that is not the address of a server.
    #[error(
        "{address:?} is not the address of a primary; write it like http://127.0.0.1:8145, https://primary.example.com:8145 or unix:/run/sceneshift/primary.sock"
    )]
    Address {
        /// The text.
        address: String,
    },
    /// TLS without a certificate to show.
    #[error("{address} needs a certificate of this host; say in [puppet] of the configuration where Puppet keeps it")]
    NoCertificates {
        /// The address.
        address: String,
    },
    /// A name that no route can hold.
    #[error("{name:?} cannot be used as a name")]
    Name {
        /// The name.
        name: String,
    },
    /// The HTTP client could not be set up.
    #[error("cannot set up an HTTP client")]
    Setup(#[source] reqwest::Error),
    /// Nobody answers there.
    #[error("cannot connect to {place} ({})", is_it_running(place))]
    Unreachable {
        /// Where.
        place: Place,
        /// What the system said.
        source: TransportError,
    },
    /// No answer came in time.
    #[error("{place} did not answer in time (is it overloaded, or its disk stuck? its log may say)")]
    TimedOut {
        /// Where.
        place: Place,
    },
    /// The connection broke in the middle of a request or an answer.
    #[error("the connection to {place} broke (was it stopped?)")]
    Broken {
        /// Where.
        place: Place,
        /// What the system said.
        source: TransportError,
    },
    /// The server understood, and refused.
    #[error("{detail}")]
    Problem {
        /// The HTTP status.
        status: u16,
        /// What was wrong and what to do about it, in the server's words.
        detail: String,
        /// Paths that it is about.
        paths: Vec<String>,
    },
    /// Something answered, but not as a sceneshift of this version does.
    #[error("{place} gave an answer that makes no sense (is it a sceneshift of the same version?)")]
    Protocol {
        /// Where.
        place: Place,
        /// What makes no sense.
        source: ProtocolError,
    },
}

/// What makes no sense in an answer.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// An error without a problem document.
    #[error("status {0} without a problem document")]
    Status(u16),
    /// A document with other fields.
    #[error("the JSON document is not the one expected")]
    Document(#[source] serde_json::Error),
    /// A document without end.
    #[error("a document of more than {0} bytes")]
    TooLarge(usize),
    /// A body of another kind.
    #[error("the media type {found:?} where {expected} was expected")]
    MediaType {
        /// What came.
        found: String,
        /// What should have come.
        expected: &'static str,
    },
}

/// A failure below HTTP. Shows only its root ("Connection refused"): what lies between names the HTTP library's parts.
#[derive(Debug)]
pub struct TransportError(reqwest::Error);

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut root: &dyn Error = &self.0;
        while let Some(deeper) = root.source() {
            root = deeper;
        }
        fmt::Display::fmt(root, f)
    }
}

impl Error for TransportError {}

impl RemoteError {
    pub(super) fn transport(place: &Place, error: reqwest::Error) -> Self {
        let (place, timeout, connect) = (place.clone(), error.is_timeout(), error.is_connect());
        let source = TransportError(error.without_url());
        match (connect, timeout) {
            (true, _) => Self::Unreachable { place, source },
            (false, true) => Self::TimedOut { place },
            (false, false) => Self::Broken { place, source },
        }
    }

    /// The HTTP status that the server refused with.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Problem { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether nobody answers at the address at all.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// Whether the primary is not there, stopped meanwhile, or is about to stop.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Broken { .. } | Self::Problem { status: 503, .. })
    }

    /// Paths that the server's refusal is about.
    pub fn paths(&self) -> &[String] {
        match self {
            Self::Problem { paths, .. } => paths,
            _ => &[],
        }
    }
}

fn is_it_running(place: &Place) -> &'static str {
    match place {
        Place::Primary(_) => "is `sceneshift serve` running there, and is this the address that it listens on?",
        Place::Socket(_) => {
            "is the daemon running, and may you use this socket? Its control socket is for root and its own user"
        }
    }
}
