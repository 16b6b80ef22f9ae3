//! One node process.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rpc_client::{Auth, Client, RpcError};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Bound of every wait.
const PATIENCE: Duration = Duration::from_secs(600);
const MICROS_PER_DAY: u64 = 86_400_000_000;

/// The program that is run: this build's, or the one that `MEND_PROGRAM` names, to compare two of them.
pub fn program() -> PathBuf {
    std::env::var_os("MEND_PROGRAM")
        .map_or_else(|| env!("CARGO_BIN_EXE_mend").into(), PathBuf::from)
}

/// A node process that is ended with its owner.
pub struct Node {
    child: Child,
    client: Client,
    cookie: PathBuf,
    /// Where it listens, as a multiaddress with its peer id.
    pub address: String,
    log: PathBuf,
}

impl Drop for Node {
    fn drop(&mut self) {
        // Both fail only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Node {
    /// Starts a node on `folder`, with `arguments` beside the usual ones, and waits until it answers.
    pub fn start(folder: &Path, genesis: &Path, arguments: &[&str]) -> Node {
        std::fs::create_dir_all(folder).expect("the temporary folder can be written");
        let log = folder.with_extension("log");
        let mut child = Command::new(program())
            .args(["node", "--json", "--exit-with-stdin"])
            .args(["--listen", "/ip4/127.0.0.1/tcp/0", "--rpc", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(folder)
            .arg("--genesis")
            .arg(genesis)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).expect("the temporary folder can be written"))
            .spawn()
            .expect("mend starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("a line");
        let ready: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("{}", std::fs::read_to_string(&log).unwrap_or_default()));
        let text = |key: &str| ready[key].as_str().expect(key).to_owned();
        let cookie = PathBuf::from(text("cookie"));
        let client = Client::new(&text("rpc"), Auth::Cookie(cookie.clone()));
        Node {
            child,
            client: client.with_timeout(PATIENCE),
            cookie,
            address: ready["listen"][0].as_str().expect("listen").to_owned(),
            log,
        }
    }

    /// Its port for peers.
    pub fn port(&self) -> u16 {
        let port = self.address.split('/').nth(4);
        port.and_then(|port| port.parse().ok()).expect("a port")
    }

    /// Any call.
    pub fn call(&self, method: &str, params: Value) -> Value {
        self.client
            .call(method, params)
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Any call, which the node may refuse, or not live to answer.
    pub fn try_call(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        self.client.call(method, params)
    }

    /// Sends SIGKILL while others still call it. It is waited for when it is dropped.
    pub fn send_kill(&self) {
        let pid = Pid::from_child(&self.child);
        // It may have ended by itself.
        let _ = kill_process(pid, Signal::KILL);
    }

    /// Lets it do nothing until [`Node::resume`]; its connections stay open.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused node go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// A call that has only to be sent: what composing its JSON takes is the caller's time.
    pub fn composed(&self, method: &str, params: Value) -> ComposedCall {
        let host = self.host();
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let body = body.to_string();
        let cookie = std::fs::read_to_string(&self.cookie).expect("the cookie can be read");
        let secret = STANDARD.encode(cookie.trim_end());
        let request = format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nAuthorization: Basic {secret}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let stream = self.connect();
        ComposedCall { stream, request }
    }

    /// Asks its HTTP server for a path, and reads nothing of the answer.
    pub fn begin_get(&self, path: &str) -> TcpStream {
        let host = self.host();
        let mut stream = self.connect();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        stream
    }

    /// A connection to its HTTP server.
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.host()).expect("the node listens");
        let bounded = stream.set_read_timeout(Some(PATIENCE));
        bounded.expect("a bound that is not zero");
        stream
    }

    fn host(&self) -> &str {
        let host = self.client.url().trim_start_matches("http://");
        host.trim_end_matches('/')
    }

    /// Waits for the chain to be so high.
    pub fn wait_for_height(&self, height: usize) {
        let told = self.call("waitforblockheight", json!([height, 0]));
        assert_eq!(told["height"], json!(height), "the chain stopped growing");
    }

    /// Waits until `ready` is true, looking every 20 ms.
    pub fn wait_until(&self, what: &str, ready: impl Fn(&Node) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !ready(self) {
            assert!(Instant::now() < deadline, "waited in vain: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A number of its page of metrics; `name` with its labels.
    pub fn metric(&self, name: &str) -> f64 {
        let host = self.host();
        let mut stream = self.connect();
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("an answer");
        let value = |line: &str| line.strip_prefix(name)?.trim().parse().ok();
        page.lines().find_map(value).expect("the node tells it")
    }

    /// Number of connections.
    pub fn connections(&self) -> u64 {
        let count = self.call("getconnectioncount", json!([]));
        count.as_u64().expect("a number")
    }

    /// Bytes that its sockets carried, both ways.
    pub fn wire_bytes(&self) -> (u64, u64) {
        let totals = self.call("getnettotals", json!([]));
        let number = |key: &str| totals[key].as_u64().expect("a number");
        (number("totalbytesrecv"), number("totalbytessent"))
    }

    /// User and system time so far, in seconds; 0 where the system does not tell.
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds_of(self.child.id())
    }

    /// Peak resident memory so far, in MiB; 0 where the system does not tell.
    pub fn peak_mib(&self) -> f64 {
        self.memory_mib("VmHWM:")
    }

    /// Resident memory now, in MiB; 0 where the system does not tell.
    pub fn resident_mib(&self) -> f64 {
        self.memory_mib("VmRSS:")
    }

    fn memory_mib(&self, name: &str) -> f64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        kib.map_or(0.0, |kib: f64| kib / 1024.0)
    }

    /// Ends it as a power cut does.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("a child can be waited for");
    }

    /// Everything it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("its log can be read")
    }

    /// When it first logged a line with both words, in microseconds of the day.
    pub fn logged_at(&self, what: &str, word: &str) -> Option<u64> {
        let log = self.log();
        let mut lines = log.lines();
        let line = lines.find(|line| line.contains(what) && line.contains(word))?;
        micros_of_day(line)
    }

    /// Stops it cleanly and gives how long that took.
    pub fn stop(mut self) -> Duration {
        let began = Instant::now();
        drop(self.child.stdin.take());
        let ended = self.child.wait().expect("a child can be waited for");
        assert!(ended.success(), "{}", self.log());
        began.elapsed()
    }
}

/// A call that waits to be sent, on a connection of its own.
pub struct ComposedCall {
    stream: TcpStream,
    request: String,
}

impl ComposedCall {
    /// Sends it and does not wait: the call goes on while the result lives.
    pub fn begin(mut self) -> TcpStream {
        self.stream
            .write_all(self.request.as_bytes())
            .expect("sent");
        self.stream
    }

    /// Sends it and gives its result.
    pub fn send(mut self) -> Value {
        self.stream
            .write_all(self.request.as_bytes())
            .expect("sent");
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).expect("an answer");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let mut reply: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"));
        assert!(reply["error"].is_null(), "{reply}");
        reply["result"].take()
    }
}

/// User and system time of a process so far, in seconds; 0 where the system does not tell.
pub fn cpu_seconds_of(pid: u32) -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or("");
    let fields = after_name.split_whitespace().skip(11).take(2);
    fields
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / TICKS_PER_SECOND
}

/// This machine's clock, in microseconds of the day (UTC), as log lines show it.
pub fn now_micros_of_day() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = since.expect("after 1970").as_micros();
    u64::try_from(micros).expect("fits for 500,000 years") % MICROS_PER_DAY
}

/// Microseconds from one time of the day to a later one, also over midnight.
pub fn micros_between(earlier: u64, later: u64) -> u64 {
    (later + MICROS_PER_DAY - earlier) % MICROS_PER_DAY
}

/// The time of the day at the start of a log line: `2026-01-31T23:59:59.123456Z ...`.
fn micros_of_day(line: &str) -> Option<u64> {
    let time = line.split_once('T')?.1.split_once('Z')?.0;
    let mut parts = time.split([':', '.']);
    let mut next = || parts.next()?.parse::<u64>().ok();
    let (hours, minutes, seconds, micros) = (next()?, next()?, next()?, next()?);
    Some(((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros)
}
