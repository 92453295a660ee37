//! Who may do what: over TLS, by the certificate that a connection has shown.
//!
//! What is not known to need less needs the right to commit. Plain HTTP knows nobody: it is for loopback, where the operator has not said otherwise.
//!
//! Deliberately absent: rights on single repos. Whoever may read may read them all.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;

use super::state::Shared;
use crate::config::{Access, Rule};
use crate::http::Refusal;
use crate::puppet::{Certificates, Certified, Identity};

/// TLS, and who may do what over it.
pub(super) struct Guard {
    pub(super) certificates: Arc<Certificates>,
    pub(super) access: Access,
}

/// Who is at the other end of a connection. Each of its requests carries it.
#[derive(Clone)]
pub(super) enum Caller {
    /// Plain HTTP: nobody in particular.
    Plain,
    /// TLS, with a certificate or without.
    Tls(Option<Arc<Certified>>),
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Right {
    Monitor,
    Read,
    /// To report as this client.
    Report(String),
    Commit,
}

impl Right {
    fn of(method: &Method, path: &str) -> Self {
        let is_reading = matches!(*method, Method::GET | Method::HEAD);
        let steps: Vec<&str> = path.split('/').skip(1).collect();
        match steps.as_slice() {
            ["healthz" | "readyz" | "metrics"] | ["status", "v1", "services"] => Right::Monitor,
            ["v1", "repos", _, "fetch" | "objects"] => Right::Read,
            ["v1", "clients", name] if *method == Method::POST => {
                Right::Report(percent_decode_str(name).decode_utf8_lossy().into_owned())
            }
            ["v1", ..] if is_reading => Right::Read,
            _ => Right::Commit,
        }
    }

    /// Whether somebody has it. Who may commit may read; who may read may monitor.
    fn belongs_to(&self, who: Option<&Identity>, access: &Access) -> bool {
        let who = who.map(|identity| (identity.certname.as_str(), identity.extensions.as_slice()));
        let is_in = |rules: &[Rule]| rules.iter().any(|rule| rule.matches(who));
        let (commits, reads) = (is_in(&access.commit), is_in(&access.read));
        match self {
            Right::Monitor => is_in(&access.monitor) || reads || commits,
            Right::Read => reads || commits,
            Right::Report(name) => (reads || commits) && who.is_some_and(|(certname, _)| certname == name),
            Right::Commit => commits,
        }
    }

    fn setting(&self) -> &'static str {
        match self {
            Right::Monitor => "monitor",
            Right::Read | Right::Report(_) => "read",
            Right::Commit => "commit",
        }
    }
}

/// Lets a request pass whose caller may make it.
pub(super) async fn check(State(primary): State<Shared>, request: Request<Body>, next: Next) -> Response {
    let allowed = match (&primary.guard, request.extensions().get::<Caller>()) {
        (Some(guard), Some(Caller::Tls(certified))) => allow(guard, certified.as_deref(), &request),
        (None, Some(Caller::Plain)) => Ok(()),
        // Neither comes about; if it did, nobody should get in by it.
        _ => Err(Refusal::new(StatusCode::FORBIDDEN, "this connection is not known")),
    };
    match allowed {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

fn allow(guard: &Guard, certified: Option<&Certified>, request: &Request<Body>) -> Result<(), Refusal> {
    let forbidden = |detail: String| Refusal::new(StatusCode::FORBIDDEN, detail);
    let who = match certified.map(|certified| certified.identity(&guard.certificates)).transpose() {
        Ok(who) => who,
        Err(revoked) => return Err(forbidden(revoked.to_string())),
    };
    let right = Right::of(request.method(), request.uri().path());
    if right.belongs_to(who, &guard.access) {
        return Ok(());
    }
    let name = who.map_or("whoever shows no certificate", |identity| identity.certname.as_str());
    tracing::warn!(caller = name, method = %request.method(), path = request.uri().path(), "refused");
    match &right {
        Right::Report(asked) if Right::Read.belongs_to(who, &guard.access) => {
            Err(forbidden(format!("{name} cannot report as {asked:?}: under TLS a client's name is its certname")))
        }
        _ => Err(forbidden(format!("{name} is not in [access] {} of the primary", right.setting()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(method: &Method, path: &str) -> Right {
        Right::of(method, path)
    }

    #[test]
    fn what_is_not_known_to_need_less_needs_the_right_to_commit() {
        for path in ["/healthz", "/metrics", "/status/v1/services"] {
            assert_eq!(right(&Method::GET, path), Right::Monitor, "{path}");
        }
        for path in ["/v1/repos", "/v1/repos/a/head", "/v1/repos/a/commits/head/files/x/y", "/v1/clients"] {
            assert_eq!(right(&Method::GET, path), Right::Read, "{path}");
        }
        for path in ["/v1/repos/a/fetch", "/v1/repos/a/objects"] {
            assert_eq!(right(&Method::POST, path), Right::Read, "{path}");
        }
        assert_eq!(right(&Method::POST, "/v1/clients/a%2eb"), Right::Report("a.b".into()));
        for path in
            ["/v1/repos/a/commits", "/v1/repos/a/gc", "/file-sync/v1/commit", "/v2/x", "//v1/repos/a/fetch", "/"]
        {
            assert_eq!(right(&Method::POST, path), Right::Commit, "{path}");
        }
        assert_eq!(right(&Method::PUT, "/v1/repos/a/tags/x"), Right::Commit);
        assert_eq!(right(&Method::DELETE, "/v1/clients/a"), Right::Commit);
    }

    #[test]
    fn who_may_commit_may_read_and_a_report_needs_its_own_name() {
        let rules = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let access =
            Access { read: rules(&["compile*"]), commit: rules(&["pp_role=deployer"]), monitor: rules(&["anybody"]) };
        let who = |certname: &str, extensions: &[(&str, &str)]| Identity {
            certname: certname.into(),
            headers: Default::default(),
            extensions: extensions.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        };
        let (compiler, deployer) = (who("compile1", &[]), who("ci", &[("pp_role", "deployer")]));
        for (right, by_compiler, by_deployer, by_stranger) in [
            (Right::Monitor, true, true, true),
            (Right::Read, true, true, false),
            (Right::Report("compile1".into()), true, false, false),
            (Right::Report("compile2".into()), false, false, false),
            (Right::Commit, false, true, false),
        ] {
            let found = [Some(&compiler), Some(&deployer), None].map(|who| right.belongs_to(who, &access));
            assert_eq!(found, [by_compiler, by_deployer, by_stranger], "{right:?}");
        }
    }
}
