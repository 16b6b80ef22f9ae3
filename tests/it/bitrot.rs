//! Nodes on damaged databases beside an honest one: each is whole again within the time that anything may take here, and nothing is
//! told that is not so.
//!
//! `MEND_BITROT_NODES=N` plays N damages instead of the few that are played by default.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{Node, PATIENCE, refused, told};

const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
const REGTEST: [&str; 2] = ["--genesis", "bitcoin-regtest"];

fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn json(node: &Node, args: &[&str]) -> Value {
    serde_json::from_str(&node.call(args)).expect("JSON")
}

fn coins(node: &Node) -> Value {
    let info = json(node, &["gettxoutsetinfo", "muhash"]);
    serde_json::json!([info["bestblock"], info["txouts"], info["muhash"]])
}

/// Numbers that are as good as random (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut n = self.0;
        n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((n ^ n >> 31) % limit as u64).expect("small")
    }
}

/// Flips a bit, ruins a page or cuts the file, and tells which.
fn damage(content: &mut Vec<u8>, dice: &mut Dice) -> String {
    let at = dice.below(content.len());
    match dice.below(4) {
        0 => {
            let page = at / 4096 * 4096;
            let end = content.len().min(page + 4096);
            content[page..end].fill(0x77);
            format!("the page at {page} in ruins")
        }
        1 => {
            content.truncate(at);
            format!("cut at {at}")
        }
        _ => {
            content[at] ^= 1 << dice.below(8);
            format!("a bit of byte {at} flipped")
        }
    }
}

/// The database of a node that mined 150 blocks, and the node, which runs.
fn honest(dir: &Path) -> (Vec<u8>, Node) {
    let node = Node::start(dir, &REGTEST);
    node.call(&["generatetoaddress", "150", ADDRESS]);
    node.stop();
    let file = fs::read(dir.join("chain.redb")).expect("the database");
    (file, Node::start(dir, &REGTEST))
}

fn write_database(dir: &Path, content: &[u8]) {
    fs::create_dir_all(dir).expect("made");
    fs::write(dir.join("chain.redb"), content).expect("written");
}

#[test]
fn a_node_on_a_damaged_database_is_whole_again_beside_an_honest_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, honest) = honest(&folder.path().join("honest"));
    let address = honest.started["listen"][0]
        .as_str()
        .expect("an address")
        .to_owned();
    let given = std::env::var("MEND_BITROT_NODES").ok();
    let count = given.map_or(6, |count| count.parse().expect("a number"));
    let mut dice = Dice(7);
    for number in 0..count {
        let dir = folder.path().join(format!("hurt-{number}"));
        let mut content = file.clone();
        let case = damage(&mut content, &mut dice);
        write_database(&dir, &content);
        let more = ["--connect", &address, "--scrub", "100M"];
        let hurt = Node::start(&dir, &[&REGTEST[..], &more].concat());
        eventually(&format!("the tip: {case}"), || {
            hurt.call(&["getbestblockhash"]) == honest.call(&["getbestblockhash"])
        });
        eventually(&format!("a scrub without findings: {case}"), || {
            let info = json(&hurt, &["getscrubinfo"]);
            info["rounds"].as_u64() >= Some(1) && info["waiting"] == 0
        });
        assert_eq!(coins(&hurt), coins(&honest), "{case}");
        let tips = json(&hurt, &["getchaintips"]);
        assert_eq!(tips.as_array().map(Vec::len), Some(1), "{case}: {tips}");
        honest.call(&["generatetoaddress", "1", ADDRESS]);
        eventually(&format!("one more block: {case}"), || {
            hurt.call(&["getbestblockhash"]) == honest.call(&["getbestblockhash"])
        });
        assert_eq!(
            json(&honest, &["listbanned"]),
            serde_json::json!([]),
            "{case}"
        );
        let (code, text) = hurt.stopped();
        assert_eq!(code, Some(0), "{case}: {text}");
        assert!(!text.contains("panicked"), "{case}: {text}");
        fs::remove_dir_all(dir).expect("removed");
    }
}

#[test]
fn a_node_that_shall_stop_names_a_remedy_that_works() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut file, honest) = honest(&folder.path().join("honest"));
    honest.stop();
    file[..4096].fill(0x77);
    let dir = folder.path().join("hurt");
    write_database(&dir, &file);
    let dir = dir.to_str().expect("text");
    let place = ["--data-dir", dir, REGTEST[0], REGTEST[1]];
    let start = [
        &["node", "--on-damage", "stop", "--rpc", "127.0.0.1:0"][..],
        &place,
    ]
    .concat();
    let (code, text) = refused(&start);
    assert_eq!((code, text.lines().count()), (1, 1), "{text}");
    assert!(text.contains("mend verify --repair"), "{text}");
    let repaired = told(&[&["verify", "--repair"][..], &place].concat());
    assert!(
        repaired.contains("healed: ") && repaired.contains(" 0 problems"),
        "{repaired}"
    );
    let node = Node::start(
        Path::new(dir),
        &[&REGTEST[..], &["--on-damage", "stop"]].concat(),
    );
    assert_eq!(node.call(&["getblockcount"]), "150");
    node.stop();
}
