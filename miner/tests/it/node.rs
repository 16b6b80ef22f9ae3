//! A node as a miner sees it: `getblocktemplate` with long poll, `submitblock`, and the checks that a block deserves.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bitcoin::absolute::LockTime;
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::Hash;
use bitcoin::hex::{DisplayHex, FromHex};
use bitcoin::script::Builder;
use bitcoin::transaction::Version;
use bitcoin::{Amount, Block, BlockHash, OutPoint, ScriptBuf, Transaction, TxIn, TxOut};
use serde_json::{Value, json};

/// Stands for no answer.
const UNTOLD: &str = "no answer";
/// One hash in 256 meets it.
const BITS: &str = "2000ffff";
const COMMITMENT: &str =
    "6a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9";
/// Version of the blocks that it gives templates for.
const BLOCK_VERSION: i32 = 0x2000_0000;
/// The bits that BIP 320 leaves to miners.
const ROLLING_MASK: i32 = 0x1fff_e000;
/// As long as a node does in which nothing happens: longer than any test is patient.
const LONGEST_HOLD: Duration = Duration::from_secs(90);

/// A node that holds a chain in memory, starting at height 1.
#[derive(Clone)]
pub(crate) struct TestNode {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// What a node does when it has taken a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It closes the connection.
    NoAnswer,
    /// It goes down.
    GoesDown,
}

#[derive(Default)]
struct State {
    blocks: Vec<Block>,
    /// Answers to the next submissions instead of the true ones.
    answers: Vec<Value>,
    submissions: Vec<BlockHash>,
    long_polls: usize,
    password: Option<String>,
    down: bool,
    /// What it does with the next block instead of answering.
    fault: Option<Fault>,
    /// What of its coinbase may be changed, if it insists on its own.
    own_coinbase: Option<&'static [&'static str]>,
}

impl TestNode {
    pub(crate) fn start() -> Self {
        Self::start_at("127.0.0.1:0")
    }

    fn start_at(address: &str) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let node = Self {
            address,
            shared: Arc::default(),
        };
        let server = node.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let node = server.clone();
                std::thread::spawn(move || node.serve(stream));
            }
        });
        node
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn height(&self) -> usize {
        self.shared.state.lock().expect("no panic").blocks.len()
    }

    pub(crate) fn submissions(&self) -> usize {
        self.shared
            .state
            .lock()
            .expect("no panic")
            .submissions
            .len()
    }

    /// How many different blocks were submitted.
    pub(crate) fn different_submissions(&self) -> usize {
        let state = self.shared.state.lock().expect("no panic");
        state.submissions.iter().collect::<BTreeSet<_>>().len()
    }

    pub(crate) fn long_polls(&self) -> usize {
        self.shared.state.lock().expect("no panic").long_polls
    }

    pub(crate) fn answer_next_with(&self, answer: Value) {
        self.shared
            .state
            .lock()
            .expect("no panic")
            .answers
            .push(answer);
    }

    pub(crate) fn demand_password(&self, password: &str) {
        self.shared.state.lock().expect("no panic").password = Some(password.to_owned());
    }

    /// From now on it gives a coinbase of its own and no value for another: `mutable` says what of it may be changed.
    pub(crate) fn insist_on_its_coinbase(&self, mutable: &'static [&'static str]) {
        self.shared.state.lock().expect("no panic").own_coinbase = Some(mutable);
    }

    /// The blocks it took, in order.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        self.shared.state.lock().expect("no panic").blocks.clone()
    }

    /// From now on its blocks build on another start.
    pub(crate) fn fork(&self) {
        let mut block = bitcoin::constants::genesis_block(bitcoin::Network::Regtest);
        block.header.time += 1;
        self.shared.state.lock().expect("no panic").blocks = vec![block];
    }

    /// It takes the next block, and the miner is not told.
    pub(crate) fn fail_at_the_next_block(&self, fault: Fault) {
        self.shared.state.lock().expect("no panic").fault = Some(fault);
    }

    /// A node that is down closes every connection without an answer.
    pub(crate) fn set_down(&self, down: bool) {
        self.shared.state.lock().expect("no panic").down = down;
        self.shared.changed.notify_all();
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().expect("clone"));
        let mut stream = stream;
        while let Some((headers, body)) = read_request(&mut reader) {
            if self.shared.state.lock().expect("no panic").down {
                return;
            }
            let (status, reply) = self.answer(&headers, &body);
            if reply["result"] == UNTOLD {
                return;
            }
            let text = reply.to_string();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                text.len()
            );
            if self.shared.state.lock().expect("no panic").down
                || stream.write_all(head.as_bytes()).is_err()
                || stream.write_all(text.as_bytes()).is_err()
            {
                return;
            }
        }
    }

    fn answer(&self, headers: &str, body: &[u8]) -> (&'static str, Value) {
        let password = self.shared.state.lock().expect("no panic").password.clone();
        if password.is_some_and(|secret| !headers.contains(&secret)) {
            return ("401 Unauthorized", Value::Null);
        }
        let request: Value = serde_json::from_slice(body).expect("JSON");
        let params = &request["params"];
        let result = match request["method"].as_str() {
            Some("getblockchaininfo") => json!({ "chain": "regtest" }),
            Some("getblocktemplate") => self.template(&params[0]),
            Some("getblockheader") if self.has(&params[0]) => json!({ "confirmations": 1 }),
            Some("submitblock") => self.submit(params[0].as_str().expect("hex")),
            _ => {
                let error = json!({ "code": -32601, "message": "Method not found" });
                let id = &request["id"];
                return (
                    "404 Not Found",
                    json!({ "result": null, "error": error, "id": id }),
                );
            }
        };
        (
            "200 OK",
            json!({ "result": result, "error": null, "id": request["id"] }),
        )
    }

    fn template(&self, request: &Value) -> Value {
        assert!(
            request["rules"]
                .as_array()
                .is_some_and(|rules| rules.contains(&json!("segwit")))
        );
        let mut state = self.shared.state.lock().expect("no panic");
        if let Some(id) = request["longpollid"].as_str() {
            state.long_polls += 1;
            let waiting = |state: &mut State| state.tip().to_string() == id && !state.down;
            let held = self
                .shared
                .changed
                .wait_timeout_while(state, LONGEST_HOLD, waiting);
            state = held.expect("no panic").0;
        }
        let mut template = json!({
            "version": BLOCK_VERSION, "previousblockhash": state.tip(), "transactions": [],
            "longpollid": state.tip().to_string(),
            "curtime": 1_700_000_000 + state.blocks.len(), "bits": BITS,
            "height": state.next_height(), "default_witness_commitment": COMMITMENT,
        });
        match state.own_coinbase {
            None => template["coinbasevalue"] = json!(5_000_000_000_u64),
            Some(mutable) => {
                let coinbase = serialize(&own_coinbase(state.next_height()));
                template["coinbasetxn"] = json!({ "data": coinbase.to_lower_hex_string() });
                template["mutable"] = json!(mutable);
            }
        }
        template
    }

    fn has(&self, hash: &Value) -> bool {
        let blocks = self.blocks();
        blocks
            .iter()
            .any(|block| json!(block.block_hash()) == *hash)
    }

    fn submit(&self, hex: &str) -> Value {
        let bytes = Vec::from_hex(hex).expect("hex");
        let block: Block = deserialize(&bytes).expect("a block");
        let mut state = self.shared.state.lock().expect("no panic");
        state.submissions.push(block.block_hash());
        assert!(block.check_merkle_root() && block.check_witness_commitment());
        assert!(block.header.validate_pow(block.header.target()).is_ok());
        let version = block.header.version.to_consensus();
        assert_eq!(version & !ROLLING_MASK, BLOCK_VERSION);
        if !state.answers.is_empty() {
            return state.answers.remove(0);
        }
        if state.blocks.contains(&block) {
            return json!("duplicate");
        }
        if block.header.prev_blockhash != state.tip() {
            return json!("inconclusive");
        }
        let height = state.next_height();
        if let Some(mutable) = state.own_coinbase {
            assert_is_ours(&block, height, mutable.contains(&"coinbase/append"));
        }
        // The library reads only pushes of bytes, and heights up to 16 are opcodes.
        assert!(height <= 16 || block.bip34_block_height() == Ok(height));
        state.blocks.push(block);
        let fault = state.fault.take();
        state.down |= fault == Some(Fault::GoesDown);
        self.shared.changed.notify_all();
        fault.map_or(Value::Null, |_| json!(UNTOLD))
    }
}

impl State {
    fn tip(&self) -> BlockHash {
        self.blocks
            .last()
            .map_or(BlockHash::all_zeros(), Block::block_hash)
    }

    fn next_height(&self) -> u64 {
        self.blocks.len() as u64 + 1
    }
}

/// The node's own coinbase, without witness, as it gives it to miners.
fn own_coinbase(height: u64) -> Transaction {
    let height = Builder::new().push_int(height as i64);
    let output = |value, script_pubkey| TxOut {
        value,
        script_pubkey,
    };
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: height.push_slice(b"the node's").into_script(),
            ..TxIn::default()
        }],
        output: vec![
            output(Amount::from_int_btc(50), ScriptBuf::from_bytes(vec![0x52])),
            output(
                Amount::ZERO,
                ScriptBuf::from_hex(COMMITMENT).expect("a script"),
            ),
        ],
    }
}

/// A block must have the coinbase that was given, but for an appended extra nonce where that is allowed.
fn assert_is_ours(block: &Block, height: u64, may_append: bool) {
    let (given, got) = (own_coinbase(height), &block.txdata[0]);
    assert_eq!(
        (got.version, got.lock_time),
        (given.version, given.lock_time)
    );
    assert_eq!(got.output, given.output);
    let (given, got) = (&given.input[0], &got.input[0]);
    assert_eq!(got.sequence, given.sequence);
    if may_append {
        assert!(
            got.script_sig
                .as_bytes()
                .starts_with(given.script_sig.as_bytes())
        );
        assert!(got.script_sig.len() > given.script_sig.len());
    } else {
        assert_eq!(got.script_sig, given.script_sig);
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut headers = String::new();
    loop {
        let start = headers.len();
        if reader.read_line(&mut headers).ok()? == 0 {
            return None;
        }
        if headers[start..].trim().is_empty() {
            break;
        }
    }
    let length = headers
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length:")
                .map(str::to_owned)
        })
        .and_then(|length| length.trim().parse().ok())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((headers, body))
}
