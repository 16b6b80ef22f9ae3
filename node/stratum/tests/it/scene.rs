//! A Stratum session with a clock of its own, and what it was told.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::hashes::Hash;
use bitcoin::{Amount, Block, BlockHash, CompactTarget, ScriptBuf};
use chain::{Height, Timestamp};
use node_core::{BlockTemplate, Now};
use node_stratum::{Act, Session, Work};
use p2p::Mono;
use serde_json::{Value, json};

use crate::stratum_client::{ClientJob, Try};

pub(crate) const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
pub(crate) const TIME: u32 = 1_700_000_000;
pub(crate) const MAX_FUTURE_S: u32 = 7_200;
/// One hash in two is a block.
pub(crate) const TRIVIAL: u32 = 0x207f_ffff;
/// One hash in 512: the network is harder than the first share.
pub(crate) const EASY: u32 = 0x1f7f_ffff;

/// A session with a clock and what it was told.
pub(crate) struct Scene {
    pub(crate) session: Session,
    pub(crate) now: Now,
    pub(crate) tip: BlockHash,
    pub(crate) extra_nonce_1: String,
    pub(crate) difficulty: f64,
    pub(crate) job: Option<ClientJob>,
    pub(crate) submitted: Vec<Block>,
    pub(crate) closed: Option<&'static str>,
    pub(crate) sent: Vec<Value>,
    pub(crate) next_id: u64,
}

pub(crate) fn tip(number: u8) -> BlockHash {
    BlockHash::from_byte_array([number; 32])
}

pub(crate) fn work(parent: BlockHash, bits: u32) -> Arc<Work> {
    let template = BlockTemplate {
        parent,
        height: Height(7),
        bits: CompactTarget::from_consensus(bits),
        min_time: Timestamp(TIME - 100),
        max_time: Timestamp(u32::MAX),
        max_ahead_s: MAX_FUTURE_S,
        time: Timestamp(TIME),
        coinbase_value: Amount::from_sat(5_000_000_000),
        transactions: Arc::new(Vec::new()),
        pool_sequence: 1,
    };
    Arc::new(Work::new(template))
}

impl Scene {
    pub(crate) fn new(bits: u32) -> Scene {
        Scene::paying(bits, Some(ScriptBuf::from_bytes(vec![0x51])))
    }

    pub(crate) fn paying(bits: u32, payout: Option<ScriptBuf>) -> Scene {
        let now = Now {
            mono: Mono::ZERO,
            wall: Timestamp(TIME),
        };
        Scene {
            session: Session::new(now, 0xabcd_0123, payout, work(tip(1), bits)),
            now,
            tip: tip(1),
            extra_nonce_1: String::new(),
            difficulty: f64::NAN,
            job: None,
            submitted: Vec::new(),
            closed: None,
            sent: Vec::new(),
            next_id: 0,
        }
    }

    /// Subscribed and authorized as `worker`.
    pub(crate) fn mining(bits: u32) -> Scene {
        let mut scene = Scene::new(bits);
        scene.good("mining.subscribe", json!(["test/1"]));
        scene.good("mining.authorize", json!(["worker", "x"]));
        scene
    }

    pub(crate) fn take(&mut self, acts: Vec<Act>) -> Vec<Value> {
        let mut lines: Vec<Value> = Vec::new();
        for act in acts {
            match act {
                Act::Send(line) => {
                    assert!(line.ends_with('\n') && line.matches('\n').count() == 1);
                    lines.push(serde_json::from_str(&line).expect("JSON"));
                }
                Act::Submit(found) => self.submitted.push(found.block()),
                Act::Close(reason) => self.closed = Some(reason),
            }
        }
        for line in &lines {
            let params = &line["params"];
            match line["method"].as_str() {
                Some("mining.notify") => self.job = Some(ClientJob::read(params)),
                Some("mining.set_difficulty") => {
                    self.difficulty = params[0].as_f64().expect("a number");
                }
                _ => {}
            }
        }
        self.sent.extend(lines.clone());
        lines
    }

    /// A line as it is; gives what comes back.
    pub(crate) fn line(&mut self, line: &str) -> Vec<Value> {
        let acts = self.session.handle(self.now, &self.tip, line.as_bytes());
        self.take(acts)
    }

    /// A request; gives its answer, which must be the first line.
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        let request = json!({"id": id, "method": method, "params": params});
        let lines = self.line(&request.to_string());
        assert_eq!(lines[0]["id"], id, "the answer comes first");
        let result = &lines[0]["result"];
        if method == "mining.subscribe" {
            result[1]
                .as_str()
                .unwrap_or_default()
                .clone_into(&mut self.extra_nonce_1);
        }
        lines[0].clone()
    }

    pub(crate) fn good(&mut self, method: &str, params: Value) -> Value {
        let answer = self.ask(method, params);
        assert_eq!(answer["error"], Value::Null, "{answer}");
        answer["result"].clone()
    }

    /// The code of a refusal.
    pub(crate) fn refused(&mut self, method: &str, params: Value) -> i64 {
        let answer = self.ask(method, params);
        assert_eq!(answer["result"], Value::Null, "{answer}");
        assert!(answer["error"][1].is_string(), "{answer}");
        answer["error"][0].as_i64().expect("a code")
    }

    pub(crate) fn job(&self) -> ClientJob {
        self.job.clone().expect("a job")
    }

    /// A share of the current job that has the difficulty asked for, and a nonce from `nonce` on.
    pub(crate) fn share(&self, extra_nonce_2: u32, nonce: u32) -> Try {
        let job = self.job();
        let from = Try {
            nonce,
            ..job.first_try(extra_nonce_2)
        };
        job.share(&self.extra_nonce_1, from, self.difficulty, true)
            .0
    }

    pub(crate) fn submit(&mut self, share: &Try) -> Value {
        let job = self.job().id;
        self.ask("mining.submit", json!(share.params("worker", &job)))
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        self.now.mono = self.now.mono + Duration::from_secs(seconds);
    }

    pub(crate) fn give_work(&mut self, work: Arc<Work>) -> Vec<Value> {
        self.tip = work.parent();
        let acts = self.session.work_changed(self.now, work);
        self.take(acts)
    }
}

pub(crate) fn code(answer: &Value) -> i64 {
    answer["error"][0].as_i64().unwrap_or(0)
}
