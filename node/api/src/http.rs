//! Connections: how many, how slow they may be, and what a browser must not be made to send.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use node_host::StopSwitch;

/// How long a client may take to send a header, or a body.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How long open connections may take to end when the server stops.
const END_TIMEOUT: Duration = Duration::from_millis(500);
/// Largest body: Bitcoin Core's 32 MiB. A block of the largest weight is 8 MB in hex.
pub(crate) const MAX_BODY_BYTES: usize = 32 << 20;
/// Largest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Serves until `stop` is pressed. Connections above `max_connections` are closed at once.
pub async fn serve(listener: TcpListener, router: Router, max_connections: u32, stop: StopSwitch) {
    let connections = Arc::new(Semaphore::new(max_connections as usize));
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file handles, most likely: let some close.
                    tracing::warn!(target: "rpc", %error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            _ = stop.pressed() => break,
        };
        let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else {
            continue;
        };
        let (router, stop) = (router.clone(), stop.clone());
        tokio::spawn(async move {
            serve_connection(stream, router, &stop).await;
            drop(permit);
        });
    }
    // Those who wait for an answer get one.
    let ended = connections.acquire_many(max_connections);
    let _ = tokio::time::timeout(END_TIMEOUT, ended).await;
}

async fn serve_connection(stream: TcpStream, router: Router, stop: &StopSwitch) {
    let _ = stream.set_nodelay(true);
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = stop.pressed() => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(END_TIMEOUT, connection).await;
        }
    }
}

/// Reads a body of up to `max_bytes`.
///
/// # Errors
///
/// The reply to a body that is too large or too slow.
pub async fn read_body(body: Body, max_bytes: usize) -> Result<Bytes, Response> {
    let reading = axum::body::to_bytes(body, max_bytes);
    match tokio::time::timeout(READ_TIMEOUT, reading).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            "Request body too large\n",
        )),
        Err(_) => Err(plain(
            StatusCode::REQUEST_TIMEOUT,
            "Request body too slow\n",
        )),
    }
}

/// Refuses what a web page of another site makes a browser send: a name in `Host` that leads here only by that site's DNS, or an
/// `Origin` other than ours.
pub async fn same_site_only(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    let origin = text(header::ORIGIN);
    if !is_direct_host(host) || origin.is_some_and(|origin| !is_same_origin(origin, host)) {
        return plain(
            StatusCode::FORBIDDEN,
            "Forbidden: use the address of the node itself\n",
        );
    }
    next.run(request).await
}

/// An IP address, or `localhost`, with or without a port; or nothing (HTTP/1.0).
fn is_direct_host(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    host.is_empty() || name == "localhost" || bare.parse::<std::net::IpAddr>().is_ok()
}

fn is_same_origin(origin: &str, host: &str) -> bool {
    origin.strip_prefix("http://") == Some(host)
}

pub(crate) fn json(status: StatusCode, mut body: String) -> Response {
    body.push('\n');
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, body).into_response()
}

/// A reply of plain text.
pub(crate) fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain")], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_need_no_name_server_are_hosts() {
        for good in [
            "127.0.0.1:18443",
            "localhost",
            "localhost:1",
            "[::1]:5",
            "10.0.0.2",
            "",
        ] {
            assert!(is_direct_host(good), "{good}");
        }
        for bad in [
            "evil.example",
            "evil.example:18443",
            "127.0.0.1.evil.example:1",
            "[x]:1",
        ] {
            assert!(!is_direct_host(bad), "{bad}");
        }
    }

    #[test]
    fn a_page_of_another_site_has_another_origin() {
        assert!(is_same_origin("http://127.0.0.1:1", "127.0.0.1:1"));
        assert!(!is_same_origin("http://evil.example", "127.0.0.1:1"));
        assert!(!is_same_origin("null", "127.0.0.1:1"));
    }
}
