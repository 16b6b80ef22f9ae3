//! HTTP in front of the calls: who may call, and how much at once.
//!
//! Status codes, headers and words are Bitcoin Core's (`src/httprpc.cpp`, `src/httpserver.cpp`). Every reply has a
//! `Content-Length`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::auth::{User, Users};
use crate::http::{self, MAX_BODY_BYTES, json, plain};
use crate::rpc::args::Args;
use crate::rpc::call::Handler;
use crate::rpc::error::{Failure, code};
use crate::rpc::reply::Reply;
use crate::rpc::request::{self, Asked, Refused, Request, Version};
use crate::rpc::table;
use crate::{Api, metrics, rest, stream};

/// Connections at once; more are closed at once.
const MAX_CONNECTIONS: u32 = 512;
/// Requests at once, worked on or in the queue; more get 503.
const WORK_QUEUE: usize = 256;
/// Calls that move the chain at once. What only looks something up has fewer threads, which give way: `host::Background`.
const WRITERS: usize = 8;
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
    writers: Semaphore,
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
                writers: Semaphore::new(WRITERS),
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
            .route("/events", get(stream::handler))
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
    match request::parse_off_worker(body).await {
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
    let call = table::find(&request.method)
        .ok_or_else(|| Failure::new(code::METHOD_NOT_FOUND, "Method not found"))?;
    let args = Args::new(call.description(), request.params)?;
    let node = shared.node.clone();
    let running = node.activity().begin(call.name, node.clock().mono());
    let result = match call.handler {
        Handler::Read(work) => {
            let worker = node.clone();
            let working = node.background().short(move || work(&worker, &args));
            working.await.unwrap_or_else(lost)
        }
        Handler::Scan(scan) => {
            let scanner = node.clone();
            let scanning = node.background().long(move || scan(&scanner, &args));
            scanning.await.unwrap_or_else(lost)
        }
        Handler::Write(write) => {
            let _permit = shared.writers.acquire().await;
            let writer = node.clone();
            let writing = tokio::task::spawn_blocking(move || write(&writer, &args));
            writing.await.unwrap_or_else(lost)
        }
        Handler::Table(show) => show(table::GROUPS, &args),
        Handler::Wait(wait) => match shared.waiting.try_acquire() {
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
