//! HTTP in front of the calls: who may call, and how much at once.
//!
//! Status codes, headers and words are Bitcoin Core's (`src/httprpc.cpp`, `src/httpserver.cpp`). Every reply has a
//! `Content-Length`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::args::Args;
use super::auth::{User, Users};
use super::error::{Failure, code};
use super::http;
use super::registry::{self, Handler};
use super::request::{self, Asked, Refused, Reply, Request, Version};
use crate::Api;
use crate::{metrics, rest};

/// Largest body: Bitcoin Core's 32 MiB. A block of the largest weight is 8 MB in hex.
pub(super) const MAX_BODY_BYTES: usize = 32 << 20;
/// Bodies above this are read on a blocking thread.
const SMALL_BODY_BYTES: usize = 64 << 10;
/// Connections at once; more are closed at once.
const MAX_CONNECTIONS: u32 = 512;
/// Requests at once, worked on or in the queue; more get 503.
const WORK_QUEUE: usize = 256;
/// Calls that move the chain at once. What only looks something up has fewer threads, which give way: `host::Background`.
const DRIVERS: usize = 8;
/// Calls that wait at once (long polls, `wait...`); more get 503.
const MAX_WAITING: usize = 128;
/// How long a wrong password is kept waiting, as in Bitcoin Core.
const WRONG_PASSWORD_PAUSE: Duration = Duration::from_millis(250);

/// What is served, to whom.
#[derive(Debug)]
pub struct ServerOptions {
    /// Who may call.
    pub users: Users,
    /// Whether `/rest/` is served.
    pub rest: bool,
}

/// The RPC server of one node.
#[derive(Clone)]
pub struct Service {
    shared: Arc<Shared>,
}

struct Shared {
    node: Api,
    options: ServerOptions,
    queue: Semaphore,
    drivers: Semaphore,
    waiting: Semaphore,
}

impl Service {
    /// A server that is not yet open.
    pub fn new(node: Api, options: ServerOptions) -> Service {
        Service {
            shared: Arc::new(Shared {
                node,
                options,
                queue: Semaphore::new(WORK_QUEUE),
                drivers: Semaphore::new(DRIVERS),
                waiting: Semaphore::new(MAX_WAITING),
            }),
        }
    }

    /// Serves until the node stops.
    pub async fn serve(self, listener: TcpListener) {
        let stop = self.shared.node.stop().clone();
        http::serve(listener, self.router(), MAX_CONNECTIONS, stop).await;
    }

    fn router(&self) -> Router {
        let mut router = Router::new()
            .route("/metrics", get(metrics::handler))
            .route("/events", get(super::stream::handler))
            .with_state(self.shared.node.clone());
        if self.shared.options.rest {
            router = router.merge(rest::router(self.shared.node.clone()));
        }
        let calls = Router::new()
            .route("/", any(json_rpc))
            .route("/wallet/{name}", any(json_rpc))
            .with_state(Arc::clone(&self.shared));
        router
            .merge(calls)
            .layer(middleware::from_fn(http::same_site_only))
    }
}

async fn json_rpc(State(shared): State<Arc<Shared>>, request: HttpRequest) -> Response {
    let (parts, body) = request.into_parts();
    if parts.method != Method::POST {
        let text = "JSONRPC server handles only POST requests\n";
        return plain(StatusCode::METHOD_NOT_ALLOWED, text);
    }
    let user = match authorized(&shared, &parts.headers).await {
        Ok(user) => user,
        Err(refusal) => return refusal,
    };
    let Ok(_place) = shared.queue.try_acquire() else {
        let text = "Work queue depth exceeded\n";
        return plain(StatusCode::SERVICE_UNAVAILABLE, text);
    };
    let body = match http::read_body(body, MAX_BODY_BYTES).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    match parse(body).await {
        Asked::Single(asked) => single(&shared, &user, asked).await,
        Asked::Batch(batch) => batched(&shared, &user, batch).await,
    }
}

async fn authorized(shared: &Shared, headers: &HeaderMap) -> Result<User, Response> {
    let given = headers.get(header::AUTHORIZATION);
    let given = given.and_then(|value| value.to_str().ok());
    if let Some(user) = given.and_then(|given| shared.options.users.check(given)) {
        return Ok(user);
    }
    if given.is_some() {
        tracing::warn!(target: "rpc", "wrong user or password");
        tokio::time::sleep(WRONG_PASSWORD_PAUSE).await;
    }
    let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"jsonrpc\"")];
    Err((StatusCode::UNAUTHORIZED, ask).into_response())
}

pub(super) async fn parse(body: Bytes) -> Asked {
    if body.len() <= SMALL_BODY_BYTES {
        return request::parse(&body);
    }
    let parsed = tokio::task::spawn_blocking(move || request::parse(&body)).await;
    parsed.unwrap_or_else(|_| Asked::Batch(Vec::new()))
}

async fn single(shared: &Shared, user: &User, asked: Result<Request, Refused>) -> Response {
    let (version, id, result) = match asked {
        Ok(request) => {
            if !shared.options.users.may_call(user, &request.method) {
                return StatusCode::FORBIDDEN.into_response();
            }
            let notification = request.version == Version::Two && request.id.is_none();
            let (version, id) = (request.version, request.id.clone());
            let result = call(shared, request).await;
            if notification {
                return StatusCode::NO_CONTENT.into_response();
            }
            (version, id, result)
        }
        Err(refused) => (refused.version, refused.id, Err(refused.failure)),
    };
    if let Err(failure) = &result
        && failure.code == TOO_MANY_WAITING
    {
        return plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "Work queue depth exceeded\n",
        );
    }
    let status = request::http_status(version, &result);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    json(status, request::reply_json(version, id.as_ref(), &result))
}

async fn batched(shared: &Shared, user: &User, batch: Vec<Result<Request, Refused>>) -> Response {
    let users = &shared.options.users;
    let allowed = |asked: &Result<Request, Refused>| match asked {
        Ok(request) => users.may_call(user, &request.method),
        Err(_) => true,
    };
    if !batch.iter().all(allowed) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let empty = batch.is_empty();
    let mut replies = Vec::with_capacity(batch.len());
    for asked in batch {
        match asked {
            Ok(request) => {
                let notification = request.version == Version::Two && request.id.is_none();
                let (version, id) = (request.version, request.id.clone());
                let result = call(shared, request).await;
                if !notification {
                    replies.push(request::reply_json(version, id.as_ref(), &result));
                }
            }
            Err(Refused {
                version,
                id,
                failure,
            }) => replies.push(request::reply_json(version, id.as_ref(), &Err(failure))),
        }
    }
    if replies.is_empty() && !empty {
        return StatusCode::NO_CONTENT.into_response();
    }
    json(StatusCode::OK, format!("[{}]", replies.join(",")))
}

/// Not one of Bitcoin Core's codes: becomes HTTP 503.
const TOO_MANY_WAITING: i32 = -32_050;

/// Carries out one call.
async fn call(shared: &Shared, request: Request) -> Result<Reply, Failure> {
    let call = registry::find(&request.method)
        .ok_or_else(|| Failure::new(code::METHOD_NOT_FOUND, "Method not found"))?;
    let args = Args::new(call, request.params)?;
    let node = shared.node.clone();
    let running = node.activity().begin(call.name, node.clock().mono());
    let result = match call.handler {
        Handler::Works(work) => {
            let worker = node.clone();
            let working = node.background().read(move || work(&worker, &args));
            working.await.unwrap_or_else(lost)
        }
        Handler::Walks(walk) => {
            let walker = node.clone();
            let walking = node.background().walk(move || walk(&walker, &args));
            walking.await.unwrap_or_else(lost)
        }
        Handler::Drives(drive) => {
            let _permit = shared.drivers.acquire().await;
            let driver = node.clone();
            let driving = tokio::task::spawn_blocking(move || drive(&driver, &args));
            driving.await.unwrap_or_else(lost)
        }
        Handler::Waits(wait) => match shared.waiting.try_acquire() {
            Err(_) => Err(Failure::new(TOO_MANY_WAITING, "too many calls wait")),
            Ok(_permit) => tokio::select! {
                result = wait(node.clone(), args) => result,
                _ = node.stop().pressed() => Err(Failure::misc("Shutting down")),
            },
        },
    };
    node.activity()
        .end(&running, result.is_err(), node.clock().mono());
    result
}

/// What is answered when the work panicked.
fn lost(error: impl std::fmt::Display) -> Result<Reply, Failure> {
    tracing::error!(target: "rpc", %error, "a call was lost");
    Err(Failure::internal("internal error, see the node's log"))
}

/// A result as JSON text.
pub fn reply(result: &impl serde::Serialize) -> Result<Reply, Failure> {
    serde_json::value::to_raw_value(result)
        .map_err(|error| Failure::internal(format!("result cannot be written: {error}")))
}

/// The result null.
pub fn null() -> Result<Reply, Failure> {
    Ok(RawValue::NULL.to_owned())
}

pub(super) fn json(status: StatusCode, mut body: String) -> Response {
    body.push('\n');
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, body).into_response()
}

/// A reply of plain text.
pub fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain")], text).into_response()
}
