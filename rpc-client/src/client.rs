//! [`Client`]: one node's RPC, called from any thread.

use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::auth::Auth;
use crate::error::RpcError;

/// How long a call may take unless [`Client::with_timeout`] says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest reply that is read: a block of the largest weight with all details in JSON stays far below.
const MAX_REPLY_BYTES: u64 = 512 << 20;
/// How much of a strange reply is shown.
const SHOWN_BODY_CHARS: usize = 200;

/// A node's RPC. Blocking; connections are kept alive and shared by clones.
#[derive(Clone)]
pub struct Client {
    url: Result<String, String>,
    auth: Auth,
    timeout: Duration,
    agent: ureq::Agent,
    shared: Arc<Shared>,
}

/// What clones of a client share.
#[derive(Default)]
struct Shared {
    next_id: AtomicU64,
    /// The `Authorization` header; read again after a 401, since a restarted node has a new cookie.
    authorization: Mutex<Option<String>>,
}

impl Client {
    /// A client of the node at `url`: `http://127.0.0.1:18443`, a bare `host:port`, or with `user:password@` in front of the
    /// host (which counts when `auth` is [`Auth::None`]). Nothing is sent yet; a wrong address is told by the first call.
    pub fn new(url: &str, auth: Auth) -> Client {
        let (url, auth) = match split_url(url) {
            Some((url, from_url)) => (Ok(url), choose_auth(auth, from_url)),
            None => (Err(url.to_owned()), auth),
        };
        Client {
            url,
            auth,
            timeout: DEFAULT_TIMEOUT,
            agent: new_agent(DEFAULT_TIMEOUT),
            shared: Arc::default(),
        }
    }

    /// The same, but a call may take `timeout`; zero means for ever, as for the `wait...` calls.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Client {
        self.timeout = timeout;
        self.agent = new_agent(timeout);
        self
    }

    /// Where calls go to.
    pub fn url(&self) -> &str {
        match &self.url {
            Ok(url) | Err(url) => url,
        }
    }

    /// Calls `method`. `params` is an array (by position), an object (by name) or null.
    ///
    /// # Errors
    ///
    /// [`RpcError::Rpc`] when the node refuses, another variant when it could not be asked.
    pub fn call(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        let text = self.call_text(method, params)?;
        serde_json::from_str(&text).map_err(|_| self.strange(200, text.as_bytes()))
    }

    /// As [`Client::call`], but gives the result's JSON as the node wrote it: digits of amounts and order of names are kept.
    ///
    /// # Errors
    ///
    /// As [`Client::call`].
    pub fn call_text(&self, method: &str, params: Value) -> Result<String, RpcError> {
        let (status, body) = self.post(&self.request(method, params))?;
        serde_json::from_slice::<Reply<'_>>(&body)
            .ok()
            .and_then(Reply::outcome)
            .unwrap_or_else(|| Err(self.strange(status, &body)))
    }

    /// Calls several methods in one round trip. The results come in the order of the calls.
    ///
    /// # Errors
    ///
    /// When the node could not be asked at all; what a single call answers is in its place.
    pub fn call_batch(
        &self,
        calls: &[(&str, Value)],
    ) -> Result<Vec<Result<Value, RpcError>>, RpcError> {
        let requests: Vec<Value> = calls
            .iter()
            .map(|(method, params)| self.request(method, params.clone()))
            .collect();
        let (status, body) = self.post(&Value::Array(requests.clone()))?;
        let replies: Vec<Reply<'_>> =
            serde_json::from_slice(&body).map_err(|_| self.strange(status, &body))?;
        // Servers may answer a batch in any order.
        let mut by_id: BTreeMap<u64, Reply<'_>> = replies
            .into_iter()
            .filter_map(|reply| Some((reply.id.as_u64()?, reply)))
            .collect();
        requests
            .iter()
            .map(|request| {
                let text = request["id"]
                    .as_u64()
                    .and_then(|id| by_id.remove(&id))
                    .and_then(Reply::outcome)
                    .ok_or_else(|| self.strange(status, &body))?;
                Ok(text.and_then(|text| {
                    serde_json::from_str(&text).map_err(|_| self.strange(status, &body))
                }))
            })
            .collect()
    }

    fn request(&self, method: &str, params: Value) -> Value {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let params = if params.is_null() { json!([]) } else { params };
        json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
    }

    /// Sends a request (or a batch) and gives status and body of what comes back, unless it says that we are not known.
    fn post(&self, request: &Value) -> Result<(u16, Vec<u8>), RpcError> {
        let body = request.to_string();
        let (status, reply) = self.exchange(&body, self.authorization(false)?)?;
        let (status, reply) = if status == 401 && matches!(self.auth, Auth::Cookie(_)) {
            self.exchange(&body, self.authorization(true)?)?
        } else {
            (status, reply)
        };
        if status == 401 {
            return Err(RpcError::Unauthorized {
                url: self.url().to_owned(),
            });
        }
        Ok((status, reply))
    }

    fn exchange(
        &self,
        body: &str,
        authorization: Option<String>,
    ) -> Result<(u16, Vec<u8>), RpcError> {
        let url = self
            .url
            .as_ref()
            .map_err(|url| RpcError::Url { url: url.clone() })?;
        let mut request = self.agent.post(url).content_type("application/json");
        if let Some(value) = authorization {
            request = request.header("Authorization", value);
        }
        let mut response = request.send(body).map_err(|error| self.transport(&error))?;
        let status = response.status().as_u16();
        let reply = response
            .body_mut()
            .with_config()
            .limit(MAX_REPLY_BYTES)
            .read_to_vec()
            .map_err(|error| self.transport(&error))?;
        Ok((status, reply))
    }

    /// The `Authorization` header, read from the cookie file if it is not known or `again` is wanted.
    fn authorization(&self, again: bool) -> Result<Option<String>, RpcError> {
        let mut known = self
            .shared
            .authorization
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if known.is_none() || again {
            *known = self.auth.header()?;
        }
        Ok(known.clone())
    }

    fn transport(&self, error: &ureq::Error) -> RpcError {
        let url = self.url().to_owned();
        match error {
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                RpcError::Connect {
                    url,
                    problem: "no answer".to_owned(),
                }
            }
            ureq::Error::Timeout(_) => RpcError::Timeout {
                url,
                seconds: self.timeout.as_secs(),
            },
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => RpcError::Url { url },
            ureq::Error::Io(problem) if problem.kind() == ErrorKind::ConnectionRefused => {
                RpcError::Connect {
                    url,
                    problem: problem.to_string(),
                }
            }
            ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => RpcError::Connect {
                url,
                problem: error.to_string(),
            },
            // The request may have been read before it went wrong.
            other => RpcError::Lost {
                url,
                problem: other.to_string(),
            },
        }
    }

    /// The error for a body that is no JSON-RPC reply.
    fn strange(&self, status: u16, body: &[u8]) -> RpcError {
        let text = String::from_utf8_lossy(body);
        RpcError::Http {
            url: self.url().to_owned(),
            status,
            body: text.trim().chars().take(SHOWN_BODY_CHARS).collect(),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("url", &self.url)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

fn new_agent(timeout: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        // A node is asked directly, whatever the environment says about proxies.
        .proxy(None)
        .max_redirects(0)
        .timeout_connect(Some(Duration::from_secs(5)))
        .timeout_global((!timeout.is_zero()).then_some(timeout))
        .build()
        .new_agent()
}

/// One reply, of JSON-RPC 1 (both members) or 2 (one of them).
#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(default)]
    id: Value,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    jsonrpc: Option<Value>,
}

impl Reply<'_> {
    /// The result's text, or the error. `None`: this is not a reply.
    fn outcome(self) -> Option<Result<String, RpcError>> {
        let Some(error) = self.error else {
            return match self.result {
                Some(result) => Some(Ok(result.get().to_owned())),
                // `Option` reads a null as absent. A reply of version 1 or 2 with neither member set says null.
                None if !self.id.is_null() || self.jsonrpc.is_some() => Some(Ok("null".to_owned())),
                None => None,
            };
        };
        Some(Err(RpcError::Rpc {
            code: error["code"].as_i64().unwrap_or(-1),
            message: match error["message"].as_str() {
                Some(message) => message.to_owned(),
                None => error.to_string(),
            },
        }))
    }
}

/// Splits an address into a URL without credentials, and the credentials. `None`: it is not an address.
fn split_url(given: &str) -> Option<(String, Auth)> {
    let rest = match given.split_once("://") {
        Some(("http", rest)) => rest,
        Some(_) => return None,
        None => given,
    };
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let (auth, host) = match authority.rsplit_once('@') {
        Some((credentials, host)) => {
            let (user, password) = credentials.split_once(':')?;
            (Auth::UserPass(user.to_owned(), password.to_owned()), host)
        }
        None => (Auth::None, authority),
    };
    let (name, port) = host.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    let plain = !name.is_empty() && !name.contains(char::is_whitespace);
    plain.then(|| (format!("http://{name}:{port}{path}"), auth))
}

fn choose_auth(given: Auth, from_url: Auth) -> Auth {
    if given == Auth::None { from_url } else { given }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_with_and_without_scheme_and_credentials() {
        let plain = |text: &str| split_url(text).map(|(url, _)| url);
        let wanted = Some("http://127.0.0.1:18443/".to_owned());
        assert_eq!(plain("127.0.0.1:18443"), wanted);
        assert_eq!(plain("http://127.0.0.1:18443"), wanted);
        assert_eq!(plain("http://u:p@127.0.0.1:18443/"), wanted);
        assert_eq!(plain("[::1]:1"), Some("http://[::1]:1/".to_owned()));
        for wrong in ["127.0.0.1", "https://a:1", "a:b", "a:70000", ":1", "a b:1"] {
            assert_eq!(plain(wrong), None, "{wrong}");
        }
        let (_, auth) = split_url("http://u:p:q@h:1").expect("valid");
        assert_eq!(auth, Auth::UserPass("u".into(), "p:q".into()));
    }

    fn outcome(reply: &str) -> Option<Result<String, RpcError>> {
        serde_json::from_str::<Reply<'_>>(reply).ok()?.outcome()
    }

    #[test]
    fn both_dialects_are_understood() {
        let text = |reply| outcome(reply).expect("a reply").expect("no error");
        assert_eq!(text(r#"{"result":null,"error":null,"id":1}"#), "null");
        assert_eq!(text(r#"{"jsonrpc":"2.0","result":0.10,"id":1}"#), "0.10");
        let failed = r#"{"result":null,"error":{"code":-8,"message":"no"},"id":1}"#;
        let error = outcome(failed).expect("a reply").expect_err("an error");
        assert_eq!(error.code(), Some(-8));
        assert!(outcome("{}").is_none() && outcome("[]").is_none());
    }
}
