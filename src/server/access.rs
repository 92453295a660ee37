//! Who may do what: over TLS by the certificate that a connection has shown, on a socket by the account at its other end.
//!
//! ```text
//! rights.rs  what one caller may do, on each repo
//! local.rs   accounts of this machine
//! ```
//!
//! - What is not known to need less needs the right to commit.
//! - A request is looked at twice: here, whether its caller has such a right on any repo; where the repo is known, whether on that one (see
//!   [`super::extract::Repo`]). What is about several repos shows those that the caller may read.
//! - Plain HTTP knows nobody: it is for loopback, where the operator has not said otherwise.

mod local;
mod rights;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;

use super::ServeError;
use super::state::Shared;
use crate::config::{PrimaryConfig, Rule};
use crate::http::Refusal;
use crate::puppet::{Certificates, Certified};
use crate::values::RepoName;
pub(super) use local::LocalUser;
use rights::Lists;
pub(super) use rights::Rights;

/// TLS, where there is any, and who may do what.
pub(super) struct Guard {
    /// Where there is TLS.
    pub(super) certificates: Option<Arc<Certificates>>,
    monitor: Vec<Rule>,
    lists: BTreeMap<RepoName, Lists>,
}

impl Guard {
    /// Reads the certificates and looks accounts up. Blocking.
    pub(super) fn open(config: &PrimaryConfig) -> Result<Self, ServeError> {
        let access = config.access.clone().unwrap_or_default();
        let lists = config.repos.iter().map(|(name, repo)| Ok((name.clone(), Lists::new(&access, name, repo)?)));
        Ok(Self {
            certificates: config.puppet.as_ref().map(Certificates::open).transpose()?.map(Arc::new),
            lists: lists.collect::<Result<_, ServeError>>()?,
            monitor: access.monitor,
        })
    }

    fn rights(&self, caller: &Caller) -> Result<Rights, Refusal> {
        match (caller, &self.certificates) {
            (Caller::Local(user), _) => Ok(Rights::of_local(user, &self.lists)),
            (Caller::Plain, None) => Ok(Rights::everything("anybody")),
            (Caller::Tls(certified), Some(certificates)) => {
                let who = certified.as_ref().map(|certified| certified.identity(certificates)).transpose();
                let who = who.map_err(|revoked| Refusal::new(StatusCode::FORBIDDEN, revoked.to_string()))?;
                Ok(Rights::of_certificate(who, &self.monitor, &self.lists))
            }
            // Neither comes about; if it did, nobody should get in by it.
            (Caller::Plain, Some(_)) | (Caller::Tls(_), None) => Err(unknown()),
        }
    }
}

fn unknown() -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, "this connection is not known")
}

/// Who is at the other end of a connection. Each of its requests carries it.
#[derive(Clone)]
pub(super) enum Caller {
    /// Plain HTTP: nobody in particular.
    Plain,
    /// TLS, with a certificate or without.
    Tls(Option<Arc<Certified>>),
    /// A socket.
    Local(Arc<LocalUser>),
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Need {
    Monitor,
    Read,
    /// To report as this client.
    Report(String),
    Commit,
}

impl Need {
    fn of(method: &Method, path: &str) -> Self {
        let is_reading = matches!(*method, Method::GET | Method::HEAD);
        let steps: Vec<&str> = path.split('/').skip(1).collect();
        match steps.as_slice() {
            ["healthz" | "readyz" | "metrics"] | ["status", "v1", "services"] => Need::Monitor,
            ["v1", "repos", _, "fetch" | "objects"] => Need::Read,
            ["v1", "clients", name] if *method == Method::POST => {
                Need::Report(percent_decode_str(name).decode_utf8_lossy().into_owned())
            }
            ["v1", ..] if is_reading => Need::Read,
            _ => Need::Commit,
        }
    }

    /// Refuses who has no such right at all.
    fn check(&self, rights: &Rights) -> Result<(), Refusal> {
        match self {
            Need::Monitor if !rights.may_monitor() => Err(rights.refuse("monitor", None)),
            Need::Read | Need::Report(_) if !rights.may_read_any() => Err(rights.refuse("read", None)),
            Need::Report(name) if !rights.may_report_as(name) => Err(Refusal::new(
                StatusCode::FORBIDDEN,
                format!("{} cannot report as {name:?}: under TLS a client's name is its certname", rights.who()),
            )),
            Need::Commit if !rights.may_commit_any() => Err(rights.refuse("commit", None)),
            _ => Ok(()),
        }
    }
}

/// What a request asks for, and what its caller may do: each request that was let in carries it.
#[derive(Clone)]
pub(super) struct Asked {
    need: Need,
    rights: Arc<Rights>,
}

impl Asked {
    /// What a request carries. Without it nobody has looked at the caller, and nothing is answered.
    pub(super) fn of(parts: &Parts) -> Result<&Self, Refusal> {
        parts.extensions.get::<Self>().ok_or_else(unknown)
    }

    /// What its caller may do.
    pub(super) fn rights(&self) -> &Arc<Rights> {
        &self.rights
    }

    /// Refuses a request about this repo, which the caller may read.
    pub(super) fn check(&self, repo: &RepoName) -> Result<(), Refusal> {
        match self.need {
            Need::Commit => self.rights.check_commit(repo),
            Need::Monitor | Need::Read | Need::Report(_) => Ok(()),
        }
    }
}

/// What the caller may do, for a handler.
pub(super) struct Allowed(pub(super) Arc<Rights>);

impl FromRequestParts<Shared> for Allowed {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Refusal> {
        Asked::of(parts).map(|asked| Self(Arc::clone(asked.rights())))
    }
}

/// Lets root and the daemon's own user pass: those whom the mode of the control socket lets in.
pub(super) async fn only_owner(request: Request<Body>, next: Next) -> Response {
    match request.extensions().get::<Caller>() {
        Some(Caller::Local(user)) if user.is_owner => next.run(request).await,
        _ => unknown().into_response(),
    }
}

/// Lets a request pass whose caller may make it.
pub(super) async fn check(State(primary): State<Shared>, mut request: Request<Body>, next: Next) -> Response {
    let need = Need::of(request.method(), request.uri().path());
    let rights = match request.extensions().get::<Caller>() {
        Some(caller) => primary.guard.rights(caller),
        None => Err(unknown()),
    };
    let allowed = rights.and_then(|rights| {
        need.check(&rights).inspect_err(|_| {
            tracing::warn!(caller = rights.who(), method = %request.method(), path = request.uri().path(), "refused");
        })?;
        Ok(rights)
    });
    match allowed {
        Ok(rights) => {
            request.extensions_mut().insert(Asked { need, rights: Arc::new(rights) });
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_to_need_less_needs_the_right_to_commit() {
        let need = |method: &Method, path: &str| Need::of(method, path);
        for path in ["/healthz", "/metrics", "/status/v1/services"] {
            assert_eq!(need(&Method::GET, path), Need::Monitor, "{path}");
        }
        for path in ["/v1/repos", "/v1/repos/a/head", "/v1/repos/a/commits/head/files/x/y", "/v1/clients"] {
            assert_eq!(need(&Method::GET, path), Need::Read, "{path}");
        }
        for path in ["/v1/repos/a/fetch", "/v1/repos/a/objects"] {
            assert_eq!(need(&Method::POST, path), Need::Read, "{path}");
        }
        assert_eq!(need(&Method::POST, "/v1/clients/a%2eb"), Need::Report("a.b".into()));
        for path in
            ["/v1/repos/a/commits", "/v1/repos/a/gc", "/file-sync/v1/commit", "/v2/x", "//v1/repos/a/fetch", "/"]
        {
            assert_eq!(need(&Method::POST, path), Need::Commit, "{path}");
        }
        assert_eq!(need(&Method::PUT, "/v1/repos/a/tags/x"), Need::Commit);
        assert_eq!(need(&Method::DELETE, "/v1/clients/a"), Need::Commit);
    }
}
