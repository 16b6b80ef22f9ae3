//! Requests: how long they may take, what a browser must not be made to send, and plain replies.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::limits::READ_TIMEOUT;

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

/// Names in `Host` that lead here although a name server is asked for them.
#[derive(Clone, Debug, Default)]
pub struct AllowedHosts(Arc<[String]>);

impl AllowedHosts {
    /// Allows `names`, whatever their case, beside addresses and `localhost`.
    pub fn new(names: &[String]) -> AllowedHosts {
        AllowedHosts(names.iter().map(|name| plain_name(name)).collect())
    }

    /// Whether `host` is an IP address, `localhost` or an allowed name, with or without a port; or nothing (HTTP/1.0).
    fn contains(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let bare = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
            .unwrap_or(name);
        let name = plain_name(name);
        host.is_empty()
            || name == "localhost"
            || bare.parse::<std::net::IpAddr>().is_ok()
            || self.0.contains(&name)
    }
}

/// Names of hosts are the same in any case, and with the dot of the root behind them.
fn plain_name(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// Refuses what a web page of another site makes a browser send: a name in `Host` that leads here only by that site's DNS, or an
/// `Origin` other than ours.
pub async fn same_site_only(
    State(hosts): State<AllowedHosts>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    let origin = text(header::ORIGIN);
    if !hosts.contains(host) || origin.is_some_and(|origin| !is_same_origin(origin, host)) {
        return plain(
            StatusCode::FORBIDDEN,
            "Forbidden: use the node's IP address or localhost, or allow the host's name with --rpcallowhost\n",
        );
    }
    next.run(request).await
}

fn is_same_origin(origin: &str, host: &str) -> bool {
    origin.strip_prefix("http://") == Some(host)
}

/// A reply of JSON, with a line end behind it.
pub fn json(status: StatusCode, mut body: String) -> Response {
    body.push('\n');
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, body).into_response()
}

/// A reply of plain text.
pub fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain")], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_allowed_names_are_hosts() {
        let hosts = AllowedHosts::new(&["Mend-1.lab.svc.".to_owned()]);
        for good in [
            "127.0.0.1:18443",
            "localhost",
            "localhost:1",
            "LOCALHOST:1",
            "localhost.",
            "LocalHost.:18443",
            "mend-1.lab.svc:18443",
            "MEND-1.lab.svc.",
            "[::1]:5",
            "10.0.0.2",
            "",
        ] {
            assert!(hosts.contains(good), "{good}");
        }
        for bad in [
            "evil.example",
            "evil.example:18443",
            "127.0.0.1.evil.example:1",
            "mend-1.lab.svc.evil.example",
            "mend-2.lab.svc",
            "localhost..",
            "[x]:1",
        ] {
            assert!(!hosts.contains(bad), "{bad}");
        }
        assert!(!AllowedHosts::default().contains("mend-1.lab.svc"));
    }

    #[test]
    fn a_page_of_another_site_has_another_origin() {
        assert!(is_same_origin("http://127.0.0.1:1", "127.0.0.1:1"));
        assert!(!is_same_origin("http://evil.example", "127.0.0.1:1"));
        assert!(!is_same_origin("null", "127.0.0.1:1"));
    }
}
