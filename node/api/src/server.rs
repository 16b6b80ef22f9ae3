//! HTTP in front of the calls: who may call, and how much at once.
//!
//! Status codes, headers and words are Bitcoin Core's (`src/httprpc.cpp`, `src/httpserver.cpp`). Every reply has a
//! `Content-Length`.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::error_handling::HandleErrorLayer;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http_server::{AllowedHosts, Connection, json, plain};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, SemaphorePermit};
use tower::ServiceBuilder;
use tower::limit::GlobalConcurrencyLimitLayer;

use crate::auth::{User, Users};
use crate::limits::{
    LARGE_BODIES, MAX_BATCH_REPLY_BYTES, MAX_BODY_BYTES, MAX_CONNECTIONS, MAX_PUBLIC_ANSWERS,
    SMALL_BODY_BYTES, WORK_QUEUE, WRONG_PASSWORD_PAUSE,
};
use crate::rpc::error::{Failure, code};
use crate::rpc::reply::Reply;
use crate::rpc::request::{self, Asked, Refused, Request, Version};
use crate::rpc::table;
use crate::work::{Busy, Workers};
use crate::{Api, health, metrics, rest, stream};

/// What is served, to whom.
#[derive(Debug)]
pub struct ServerOptions {
    /// Who may call.
    pub users: Users,
    /// Whether `/rest/` is served.
    pub rest: bool,
    /// Names of hosts by which it may be called, beside addresses and `localhost`.
    pub hosts: AllowedHosts,
}

/// The RPC server of one node.
#[derive(Clone)]
pub struct Service {
    shared: Arc<Shared>,
}

struct Shared {
    api: Api,
    options: ServerOptions,
    workers: Workers,
    queue: Semaphore,
    large_bodies: Semaphore,
}

impl Service {
    /// A server that is not yet open.
    pub fn new(api: Api, options: ServerOptions) -> Service {
        Service {
            shared: Arc::new(Shared {
                api,
                options,
                workers: Workers::default(),
                queue: Semaphore::new(WORK_QUEUE),
                large_bodies: Semaphore::new(LARGE_BODIES),
            }),
        }
    }

    /// Serves until the node stops.
    pub async fn serve(self, listener: TcpListener) {
        let stop = self.shared.api.stop().clone();
        let stopped = async {
            stop.pressed().await;
        };
        http_server::serve(&listener, self.router(), MAX_CONNECTIONS, stopped).await;
    }

    fn router(&self) -> Router {
        let api = &self.shared.api;
        let mut public = Router::new()
            .route("/metrics", get(metrics::handler))
            .route("/health", get(health::handler))
            .with_state(api.clone());
        if self.shared.options.rest {
            public = public.merge(rest::router(api.clone()));
        }
        let shedding = ServiceBuilder::new()
            .layer(HandleErrorLayer::new(async |_: tower::BoxError| busy()))
            .load_shed()
            .layer(GlobalConcurrencyLimitLayer::new(MAX_PUBLIC_ANSWERS));
        let calls = Router::new()
            .route("/", any(json_rpc))
            .route("/wallet/{name}", any(json_rpc))
            .with_state(Arc::clone(&self.shared));
        let hosts = self.shared.options.hosts.clone();
        public
            .layer(shedding)
            .merge(stream::router(api.clone()))
            .merge(calls)
            .layer(middleware::from_fn_with_state(
                hosts,
                http_server::same_site_only,
            ))
    }
}

/// The reply when more is asked at once than there are places for.
fn busy() -> Response {
    let text = "Work queue depth exceeded\n";
    plain(StatusCode::SERVICE_UNAVAILABLE, text)
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
    if let Some(connection) = parts.extensions.get::<Connection>() {
        connection.prove();
    }
    let (body, _large) = match read_body(&shared, &parts.headers, body).await {
        Ok(read) => read,
        Err(refusal) => return refusal,
    };
    match request::parse_off_worker(body).await {
        Asked::Single(asked) => single(&shared, &user, asked).await,
        Asked::Batch(batch) => batched(&shared, &user, batch).await,
    }
}

/// Reads a body. A large one has a place, which is held until the reply is made.
async fn read_body<'a>(
    shared: &'a Shared,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, Option<SemaphorePermit<'a>>), Response> {
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|text| text.to_str().ok()?.parse().ok());
    let is_small = length.is_some_and(|length: usize| length <= SMALL_BODY_BYTES);
    let place = match is_small {
        true => None,
        false => shared.large_bodies.acquire().await.ok(),
    };
    Ok((http_server::read_body(body, MAX_BODY_BYTES).await?, place))
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
            let notification = is_notification(&request);
            let (version, id) = (request.version, request.id.clone());
            let immediate =
                table::find(&request.method).is_some_and(|call| call.handler.is_immediate());
            let place = shared.queue.try_acquire();
            if place.is_err() && !immediate {
                return busy();
            }
            let Ok(result) = shared.workers.call(&shared.api, request).await else {
                return busy();
            };
            if notification {
                return StatusCode::NO_CONTENT.into_response();
            }
            (version, id, result)
        }
        Err(refused) => (refused.version, refused.id, Err(refused.failure)),
    };
    let status = request::http_status(version, &result);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    json(status, request::reply_json(version, id.as_ref(), &result))
}

/// Whether there is to be no reply.
fn is_notification(request: &Request) -> bool {
    request.version == Version::Two && request.id.is_none()
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
    let Ok(_place) = shared.queue.try_acquire() else {
        return busy();
    };
    let empty = batch.is_empty();
    let mut replies = Replies::default();
    for asked in batch {
        let (version, id, result) = match asked {
            Ok(request) => {
                let notification = is_notification(&request);
                let (version, id) = (request.version, request.id.clone());
                let result = next_of_batch(shared, request, replies.is_full()).await;
                if notification {
                    continue;
                }
                (version, id, result)
            }
            Err(refused) => (refused.version, refused.id, Err(refused.failure)),
        };
        replies.push(request::reply_json(version, id.as_ref(), &result));
    }
    if replies.texts.is_empty() && !empty {
        return StatusCode::NO_CONTENT.into_response();
    }
    json(StatusCode::OK, format!("[{}]", replies.texts.join(",")))
}

/// The replies to a batch so far.
#[derive(Debug, Default)]
struct Replies {
    texts: Vec<String>,
    bytes: usize,
}

impl Replies {
    fn push(&mut self, text: String) {
        self.bytes += text.len();
        self.texts.push(text);
    }

    /// Whether nothing more is carried out for this batch.
    fn is_full(&self) -> bool {
        self.bytes > MAX_BATCH_REPLY_BYTES
    }
}

/// One call of a batch; `is_full`: its replies are too large already.
async fn next_of_batch(shared: &Shared, request: Request, is_full: bool) -> Result<Reply, Failure> {
    if shared.api.stop().is_pressed() {
        return Err(Failure::misc("Shutting down"));
    }
    if is_full {
        let text = format!(
            "the replies to this batch have more than {MAX_BATCH_REPLY_BYTES} bytes already; send smaller batches"
        );
        return Err(Failure::new(code::LIMIT, text));
    }
    let result = shared.workers.call(&shared.api, request).await;
    result.unwrap_or_else(|Busy| Err(Failure::new(code::LIMIT, "too many calls wait")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_over_when_its_replies_are_too_large() {
        let mut replies = Replies::default();
        let text = "x".repeat(8 << 20);
        let mut carried_out = 0;
        while !replies.is_full() {
            replies.push(text.clone());
            carried_out += 1;
        }
        assert_eq!(carried_out, MAX_BATCH_REPLY_BYTES / text.len() + 1);
        let held: usize = replies.texts.iter().map(String::len).sum();
        assert!(
            held <= MAX_BATCH_REPLY_BYTES + text.len(),
            "one reply beyond it at most"
        );
    }
}
