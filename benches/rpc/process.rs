//! Processes that end with their owner.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rpc_client::{Auth, Client};
use serde_json::Value;

/// A process that is ended with its owner.
pub(crate) struct Owned(pub(crate) Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A node that serves.
pub(crate) struct Node {
    _process: Owned,
    pub(crate) url: String,
    pub(crate) cookie: String,
    pub(crate) client: Client,
}

impl Node {
    /// Starts a node on the network that `genesis` names.
    pub(crate) fn start(folder: &Path, genesis: &str) -> Node {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mend"))
            .args(["node", "--json", "--log", "error", "--mempool", "500"])
            .args(["--genesis", genesis, "--listen", "/ip4/127.0.0.1/tcp/0"])
            .args(["--rpc", "127.0.0.1:0", "--data-dir"])
            .arg(folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("mend starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("a line");
        let ready: Value = serde_json::from_str(&line).expect("one line of JSON");
        let text = |key: &str| ready[key].as_str().expect(key).to_owned();
        let (url, cookie) = (text("rpc"), text("cookie"));
        Node {
            client: Client::new(&url, Auth::Cookie(cookie.clone().into())),
            _process: Owned(child),
            url,
            cookie,
        }
    }
}

/// The body of a page.
pub(crate) fn get(url: &str, path: &str) -> String {
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host).expect("the node listens");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    body.to_owned()
}
