//! What callers hear while the node opens its chain: -28, so that they wait and ask again.

use axum::Router;
use axum::extract::Request as HttpRequest;
use axum::http::StatusCode;
use axum::response::Response;
use http_server::{json, plain, read_body};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::limits::{MAX_BODY_BYTES, MAX_WARM_UP_CONNECTIONS};
use crate::rpc::error::{Failure, code};
use crate::rpc::request::{self, Asked, Refused, Request};

/// Answers every call with -28 until it is ended. It looks at no password, for it tells nothing.
#[derive(Debug)]
pub struct WarmUp {
    end: oneshot::Sender<()>,
    serving: JoinHandle<TcpListener>,
}

impl WarmUp {
    /// Begins to answer. Call from within a runtime.
    ///
    /// # Errors
    ///
    /// As the system says.
    pub fn start(listener: std::net::TcpListener) -> std::io::Result<WarmUp> {
        let listener = TcpListener::from_std(listener)?;
        let (end, ended) = oneshot::channel();
        let serving = tokio::spawn(async move {
            let router = Router::new().fallback(answer);
            let ended = async {
                // It ends as well when nobody is left to end it.
                let _ = ended.await;
            };
            http_server::serve(&listener, router, MAX_WARM_UP_CONNECTIONS, ended).await;
            listener
        });
        Ok(WarmUp { end, serving })
    }

    /// Ends, and gives the listener back. Connections that are open are closed after their answer.
    ///
    /// # Errors
    ///
    /// When it panicked.
    pub async fn end(self) -> Result<TcpListener, tokio::task::JoinError> {
        drop(self.end);
        self.serving.await
    }
}

async fn answer(request: HttpRequest) -> Response {
    let path = request.uri().path();
    if path != "/" && !path.starts_with("/wallet/") {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "Starting\n");
    }
    let body = match read_body(request.into_body(), MAX_BODY_BYTES).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    match request::parse_off_worker(body).await {
        Asked::Single(asked) => {
            let (status, text) = refused(asked);
            json(status, text)
        }
        Asked::Batch(batch) => {
            let replies: Vec<String> = batch.into_iter().map(|asked| refused(asked).1).collect();
            json(StatusCode::OK, format!("[{}]", replies.join(",")))
        }
    }
}

fn refused(asked: Result<Request, Refused>) -> (StatusCode, String) {
    let (version, id) = match asked {
        Ok(request) => (request.version, request.id),
        Err(refused) => (refused.version, refused.id),
    };
    let result = Err(Failure::new(code::IN_WARMUP, "Loading block index…"));
    let status = request::http_status(version, &result);
    (
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        request::reply_json(version, id.as_ref(), &result),
    )
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use rpc_client::{Auth, Client, RpcError};
    use serde_json::json;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn callers_are_told_to_wait_until_it_ends() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let warm_up = WarmUp::start(listener).unwrap();
        let client = Client::new(&url, Auth::UserPass("a".to_owned(), "b".to_owned()));
        let asked = tokio::task::spawn_blocking(move || client.call("getblockcount", json!([])));
        match asked.await.unwrap() {
            Err(RpcError::Rpc { code, message }) => {
                assert_eq!((code, message.as_str()), (-28, "Loading block index…"));
            }
            other => panic!("{other:?}"),
        }
        let listener = warm_up.end().await.unwrap();
        assert_eq!(url, format!("http://{}", listener.local_addr().unwrap()));
    }
}
