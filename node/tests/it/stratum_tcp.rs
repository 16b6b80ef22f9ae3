//! A miner on a TCP connection.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::stratum_client::{ClientJob, Try};

const PATIENCE: Duration = Duration::from_secs(30);

/// A connection and what the node told on it.
pub(crate) struct Miner {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
    pub(crate) extra_nonce_1: String,
    pub(crate) difficulty: f64,
    pub(crate) job: Option<ClientJob>,
    pub(crate) version_mask: u32,
    worker: String,
    next_id: u64,
    tries: u32,
}

impl Miner {
    /// Connects to `stratum+tcp://HOST:PORT`.
    pub(crate) fn connect(url: &str) -> Miner {
        let address = url.strip_prefix("stratum+tcp://").expect("a URL");
        let stream = TcpStream::connect(address).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.set_write_timeout(Some(PATIENCE)).expect("set");
        stream.set_nodelay(true).expect("set");
        Miner {
            reader: BufReader::new(stream.try_clone().expect("cloned")),
            stream,
            extra_nonce_1: String::new(),
            difficulty: f64::NAN,
            job: None,
            version_mask: 0,
            worker: String::new(),
            next_id: 0,
            tries: 0,
        }
    }

    /// Sends a line as it is.
    pub(crate) fn send(&mut self, line: &str) {
        self.try_send(format!("{line}\n").as_bytes()).expect("sent");
    }

    /// Sends bytes as they are.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next line; `None` when the node closed the connection.
    pub(crate) fn read(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
        let line: Value = serde_json::from_str(&line).expect("JSON");
        match line["method"].as_str() {
            Some("mining.notify") => self.job = Some(ClientJob::read(&line["params"])),
            Some("mining.set_difficulty") => {
                self.difficulty = line["params"][0].as_f64().expect("a number");
            }
            _ => {}
        }
        Some(line)
    }

    /// A request and its answer; what else comes meanwhile is taken in.
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        let request = json!({"id": id, "method": method, "params": params});
        self.send(&request.to_string());
        loop {
            let line = self.read().expect("an answer");
            if line["id"] == id {
                return line;
            }
        }
    }

    /// Subscribes and authorizes, with version rolling if `roll`; waits for the first job.
    pub(crate) fn log_in(&mut self, worker: &str, roll: bool) {
        if roll {
            let wanted = json!([["version-rolling"], {"version-rolling.mask": "ffffffff"}]);
            let answer = self.ask("mining.configure", wanted);
            let mask = answer["result"]["version-rolling.mask"].as_str();
            self.version_mask = u32::from_str_radix(mask.expect("granted"), 16).expect("hex");
        }
        let answer = self.ask("mining.subscribe", json!(["scripted/1"]));
        let extra_nonce_1 = answer["result"][1].as_str().expect("hex");
        extra_nonce_1.clone_into(&mut self.extra_nonce_1);
        let answer = self.ask("mining.authorize", json!([worker, "x"]));
        assert_eq!(answer["result"], true, "{answer}");
        worker.clone_into(&mut self.worker);
        while self.job.is_none() {
            self.read().expect("a job");
        }
    }

    /// Takes in lines until the job is on another parent than `previous`.
    pub(crate) fn wait_for_another_parent(&mut self, previous: &str) -> ClientJob {
        loop {
            if let Some(job) = self.job.as_ref().filter(|job| job.previous != previous) {
                return job.clone();
            }
            self.read().expect("a new job");
        }
    }

    /// A share of the current job; never the same twice. Rolls the version if that was agreed on.
    pub(crate) fn find_share(&mut self) -> (ClientJob, Try) {
        let job = self.job.clone().expect("a job");
        self.tries += 1;
        let from = Try {
            version_bits: (self.tries << 13) & self.version_mask,
            ..job.first_try(self.tries)
        };
        let (share, _) = job.share(&self.extra_nonce_1, from, self.difficulty, true);
        (job, share)
    }

    /// Finds a share and submits it; gives the answer.
    pub(crate) fn mine(&mut self) -> Value {
        let (job, share) = self.find_share();
        self.submit(&job, &share)
    }

    /// Submits a share; gives the answer.
    pub(crate) fn submit(&mut self, job: &ClientJob, share: &Try) -> Value {
        let params = if self.version_mask == 0 {
            share.params(&self.worker, &job.id)
        } else {
            share.params_with_version(&self.worker, &job.id)
        };
        self.ask("mining.submit", json!(params))
    }
}
