//! One request, from its head to its answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::oneshot;

use super::Gate;
use super::access_log::Served;
use super::admission::{Asked, Ticket, Turned};
use super::body::{Body, Noted, full, read_whole};
use super::headers::{for_upstream, remove_hop_by_hop};
use super::live::Stamp;
use super::peer::Peer;
use super::refusal::Refused;
use crate::config::GateScope;
use crate::pause::Scope;
use crate::puppet::{Form, Route, environments};

/// The commit that an answer was made of.
const COMMIT: HeaderName = HeaderName::from_static("x-sceneshift-commit");
/// The id of the environment's tree that an answer was made of.
const CODE_ID: HeaderName = HeaderName::from_static("x-sceneshift-code-id");

/// How requests are counted that nobody waited for to the end, as nginx does.
const GONE: u16 = 499;

/// What is noted of a request while it is answered; written when it goes.
pub(super) struct Note {
    gate: Arc<Gate>,
    began: Instant,
    route: Route,
    method: Method,
    path: String,
    certname: Option<String>,
    scope: Option<Scope>,
    status: u16,
    bytes: u64,
    held: Duration,
    upstream: Duration,
    stamp: Stamp,
}

impl Note {
    pub(super) fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let metrics = &self.gate.metrics;
        metrics.count_request(self.route, self.status);
        if !self.held.is_zero() {
            metrics.observe_held(self.held);
        }
        let environment = self.scope.take().map(|scope| match scope {
            Scope::Everything => "*".to_owned(),
            Scope::Environments(names) => names.join(","),
        });
        self.gate.log.write(&Served {
            time: jiff::Timestamp::now().to_string(),
            certname: self.certname.take(),
            method: self.method.to_string(),
            path: std::mem::take(&mut self.path),
            environment,
            status: self.status,
            bytes: self.bytes,
            held_ms: milliseconds(self.held),
            upstream_ms: milliseconds(self.upstream),
            total_ms: milliseconds(self.began.elapsed()),
            commit: self.stamp.commit.take(),
            code_id: self.stamp.code_id.take(),
        });
    }
}

/// With three digits after the point.
fn milliseconds(duration: Duration) -> f64 {
    f64::from(u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)) / 1000.0
}

impl Gate {
    /// Answers a request. Dropping the future, because the agent hung up, ends what is held, and leaves to Puppet Server what it has begun.
    pub(super) async fn answer(self: &Arc<Self>, peer: &Peer, request: Request<Incoming>) -> Response<Body> {
        let route = Route::of(request.uri().path());
        let mut note = Note {
            gate: Arc::clone(self),
            began: Instant::now(),
            route,
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            certname: None,
            scope: None,
            status: GONE,
            bytes: 0,
            held: Duration::ZERO,
            upstream: Duration::ZERO,
            stamp: Stamp::default(),
        };
        let response = match self.try_answer(peer, request, &mut note).await {
            Ok(response) => response,
            Err(refused) => {
                if refused.status().is_server_error() {
                    tracing::warn!(path = note.path, certname = note.certname, "{refused}");
                }
                refused.response()
            }
        };
        note.status = response.status().as_u16();
        response.map(|body| Noted::new(body, note).boxed_unsync())
    }

    async fn try_answer(
        self: &Arc<Self>,
        peer: &Peer,
        request: Request<Incoming>,
        note: &mut Note,
    ) -> Result<Response<Body>, Refused> {
        let identity = peer.identity(request.headers(), &self.certificates)?;
        note.certname = identity.as_ref().map(|identity| identity.certname.clone());
        let (mut head, body) = request.into_parts();
        let Some(path) = head.uri.path_and_query().filter(|path| path.as_str().starts_with('/')).cloned() else {
            return Err(Refused::NoPath);
        };
        let form = is_form(head.headers.get(header::CONTENT_TYPE));
        for_upstream(&mut head.headers, identity.as_ref());
        if !note.route.reads_code() {
            let request = Request::from_parts(head, body.boxed_unsync());
            let begun = Instant::now();
            let sent = tokio::time::timeout(self.settings.request_timeout, self.upstream.send(request, path)).await;
            note.upstream = begun.elapsed();
            return Ok(passed_back(sent.map_err(|_| self.timed_out())??));
        }

        let whole = read_whole(body, &self.memory, identity.is_none()).await?;
        let form = match (whole.bytes.is_empty(), form) {
            (true, _) => Form::None,
            (false, true) => Form::Fields(&whole.bytes),
            (false, false) => Form::Opaque,
        };
        let scope = match self.settings.scope {
            GateScope::All => Scope::Everything,
            GateScope::Environment => environments(path.query(), form),
        };
        // For people, what was asked for, whatever is held for it.
        note.scope = Some(environments(path.query(), form));
        let asked = Asked {
            scope,
            route: note.route,
            certname: note.certname.clone(),
            connection: peer.id,
            what: format!("{} {}", note.method, note.path),
        };
        let ticket = self.enter(asked, note).await?;
        let share = whole.share;
        let request = Request::from_parts(head, full(whole.bytes));
        let gate = Arc::clone(self);
        let (sender, receiver) = oneshot::channel();
        let begun = Instant::now();
        // A task of its own: Puppet Server goes on when the agent has gone, and so the request runs on.
        tokio::spawn(async move {
            let sent = tokio::time::timeout(gate.settings.request_timeout, gate.upstream.send(request, path)).await;
            drop((ticket, share));
            let _ = sender.send(sent.unwrap_or_else(|_| Err(gate.timed_out())));
        });
        let sent = receiver.await;
        note.upstream = begun.elapsed();
        let sent = sent.unwrap_or_else(|_| Err(Refused::Broken { upstream: self.settings.upstream.clone() }))?;
        let mut response = passed_back(sent);
        for (name, id) in [(COMMIT, &note.stamp.commit), (CODE_ID, &note.stamp.code_id)] {
            if let Some(value) = id.as_ref().and_then(|id| HeaderValue::from_str(id).ok()) {
                response.headers_mut().insert(name, value);
            }
        }
        Ok(response)
    }

    /// Waits for its turn. How long that took is noted also when nobody waits any more.
    async fn enter(&self, asked: Asked, note: &mut Note) -> Result<Ticket, Refused> {
        struct Waiting<'a> {
            since: Instant,
            held: &'a mut Duration,
        }
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                *self.held = self.since.elapsed();
            }
        }
        let waiting = Waiting { since: Instant::now(), held: &mut note.held };
        let outcome = self.admission.enter(asked).await;
        drop(waiting);
        match &outcome {
            Ok(ticket) => {
                note.held = ticket.held;
                note.stamp = ticket.stamp.clone();
            }
            // There was no room to hold it.
            Err(Turned::TooMany) => note.held = Duration::ZERO,
            Err(Turned::TooLong | Turned::Stopping) => {}
        }
        Ok(outcome?)
    }

    fn timed_out(&self) -> Refused {
        Refused::TimedOut { seconds: self.settings.request_timeout.as_secs() }
    }
}

/// An answer of Puppet Server's, as it goes to the agent.
fn passed_back(response: Response<Incoming>) -> Response<Body> {
    let mut response = response.map(BodyExt::boxed_unsync);
    remove_hop_by_hop(response.headers_mut());
    for name in [COMMIT, CODE_ID] {
        response.headers_mut().remove(name);
    }
    response
}

fn is_form(content_type: Option<&HeaderValue>) -> bool {
    let text = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}
