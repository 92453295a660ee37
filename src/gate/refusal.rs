//! What the gate itself answers: one line of plain text, which an agent prints as it is.

use http::{Response, StatusCode, header};

use super::admission::Turned;
use super::body::{Body, full};
use crate::puppet::{IdentityError, Revoked};

/// Why a request got no answer of Puppet Server's.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("{0}")]
    Identity(#[from] IdentityError),
    #[error("{0}")]
    Revoked(#[from] Revoked),
    #[error("this is a proxy for Puppet Server's own paths only")]
    NoPath,
    #[error("the body is larger than {} KiB, as much as is taken", limit >> 10)]
    TooLarge { limit: usize },
    #[error("the body did not arrive in time")]
    SlowBody,
    #[error("the body broke off")]
    BrokenBody,
    #[error("too many requests are held while new code is deployed; try again")]
    Crowded,
    #[error(
        "held too long: a deploy did not come to its end, or nothing is deployed here yet; see `sceneshift status` on this server"
    )]
    TooLong,
    #[error("the gate is stopping, and nothing can be served here yet")]
    Stopping,
    #[error("nobody answers at {upstream}: Puppet Server is down, or starting")]
    Unreachable { upstream: String },
    #[error("Puppet Server at {upstream} ended the connection without an answer: it was stopped, or died")]
    Broken { upstream: String },
    #[error("Puppet Server did not answer within {seconds} s (setting request-timeout)")]
    TimedOut { seconds: u64 },
}

impl From<Turned> for Refused {
    fn from(turned: Turned) -> Self {
        match turned {
            Turned::TooMany => Refused::Crowded,
            Turned::TooLong => Refused::TooLong,
            Turned::Stopping => Refused::Stopping,
        }
    }
}

impl Refused {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Refused::Identity(_) | Refused::NoPath | Refused::BrokenBody => StatusCode::BAD_REQUEST,
            Refused::Revoked(_) => StatusCode::FORBIDDEN,
            Refused::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refused::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Refused::Crowded | Refused::TooLong | Refused::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Refused::Unreachable { .. } | Refused::Broken { .. } => StatusCode::BAD_GATEWAY,
            Refused::TimedOut { .. } => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    pub(super) fn response(&self) -> Response<Body> {
        let mut response = Response::new(full(format!("sceneshift gate: {self}\n")));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
        if matches!(self, Refused::Revoked(_) | Refused::TooLarge { .. } | Refused::SlowBody | Refused::BrokenBody) {
            headers.insert(header::CONNECTION, http::HeaderValue::from_static("close"));
        }
        response
    }
}
