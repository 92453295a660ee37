//! What holds for every route of either daemon.

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use tower_http::trace::{DefaultOnFailure, TraceLayer};
use tracing::Level;

use super::Refusal;

/// The largest body of a request, in bytes, where a route does not say otherwise.
const BODY: usize = 1 << 20;

/// Gives routes what all of them have: problem documents for unknown ones, a limit on bodies, no web pages, traces.
pub fn finish_routes<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(BODY))
        .layer(from_fn(no_browsers))
        .layer(TraceLayer::new_for_http().on_failure(DefaultOnFailure::new().level(Level::DEBUG)))
}

async fn no_route(uri: Uri) -> Refusal {
    Refusal::not_found(format!("there is no route {}", uri.path()))
}

async fn no_method(method: Method, uri: Uri) -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not allowed on {}", uri.path()))
}

/// A browser adds `Origin` to what a page makes it send elsewhere, programs do not: so no page that somebody looks at on a server can
/// commit, sync or roll back.
pub async fn no_browsers(request: Request<Body>, next: Next) -> Response {
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !is_safe && request.headers().contains_key(header::ORIGIN) {
        return Refusal::new(StatusCode::FORBIDDEN, "requests from a web page (with an Origin header) are not taken")
            .into_response();
    }
    next.run(request).await
}
