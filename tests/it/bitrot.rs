//! Nodes on damaged databases beside an honest one: each is whole again within the time that anything may take here, and nothing is
//! told that is not so.
//!
//! `MEND_BITROT_NODES=N` plays N damages instead of the few that are played by default, `MEND_BITROT_SEED=N` others; what healed them is told
//! (`--nocapture`).
#![expect(clippy::print_stdout, reason = "it tells what healed them")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{Node, PATIENCE, refused, told};
use crate::support::{payments, write_genesis};

const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

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

/// The tip and its coins; `None` while a node heals.
fn coins(node: &Node) -> Option<Value> {
    let told = node.cli(&["gettxoutsetinfo", "muhash"]);
    if !told.status.success() {
        let problem = String::from_utf8_lossy(&told.stderr);
        assert!(problem.contains("damage is being healed"), "{problem}");
        return None;
    }
    let info: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    let told = [&info["bestblock"], &info["txouts"], &info["muhash"]];
    Some(serde_json::json!(told))
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

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Flip,
    Page,
    Cut,
}

impl Kind {
    /// In a few cases each kind once; in many ten flips for each page or cut.
    fn of(number: usize, count: usize, dice: &mut Dice) -> Kind {
        match if count < 20 {
            number % 3
        } else {
            dice.below(22)
        } {
            0 => Kind::Page,
            1 => Kind::Cut,
            _ => Kind::Flip,
        }
    }

    /// Does it, and says where.
    fn damage(self, content: &mut Vec<u8>, dice: &mut Dice) -> String {
        let at = dice.below(content.len());
        match self {
            Kind::Page => {
                let page = at / 4096 * 4096;
                let end = content.len().min(page + 4096);
                content[page..end].fill(0x77);
                format!("the page at {page} in ruins")
            }
            Kind::Cut => {
                content.truncate(at);
                format!("cut at {at}")
            }
            Kind::Flip => {
                let bit = 1 << dice.below(8);
                content[at] ^= bit;
                format!("bit {bit:#x} of byte {at} flipped")
            }
        }
    }
}

/// Blocks with payments, as many in each as this.
const PAYMENTS: usize = 5;
const BLOCKS: usize = 300;

/// The database of a node with a few hundred blocks of payments, and the node, which runs.
fn honest(folder: &Path) -> (Vec<u8>, Node, [String; 2]) {
    let genesis = write_genesis(folder, PAYMENTS);
    let network = [
        "--genesis".to_owned(),
        genesis.to_str().expect("text").to_owned(),
    ];
    let blocks = folder.join("blocks");
    let chain = payments::make(BLOCKS, PAYMENTS);
    fs::write(&blocks, chain.to_file()).expect("written");
    let dir = folder.join("honest");
    let [blocks, place] = [&blocks, &dir].map(|path| path.to_str().expect("text"));
    told(&[
        "import",
        blocks,
        "--data-dir",
        place,
        "--genesis",
        &network[1],
    ]);
    let file = fs::read(dir.join("chain.redb")).expect("the database");
    let alone = [&words(&network)[..], &["--no-discovery"]].concat();
    let node = Node::start(&dir, &alone);
    (file, node, network)
}

fn words(network: &[String; 2]) -> [&str; 2] {
    [&network[0], &network[1]]
}

fn write_database(dir: &Path, content: &[u8]) {
    fs::create_dir_all(dir).expect("made");
    fs::write(dir.join("chain.redb"), content).expect("written");
}

/// How a node became whole: by how many cures of which kinds.
fn cures(node: &Node, dir: &Path) -> String {
    let healed = json(node, &["getscrubinfo"])["healed"].clone();
    let healed = healed.as_object().expect("counts");
    let mut by: Vec<&str> = healed
        .iter()
        .filter(|(_, count)| count.as_u64() > Some(0))
        .map(|(what, _)| what.as_str())
        .collect();
    let kept = fs::read_dir(dir).expect("a folder").filter_map(Result::ok);
    let set_aside = kept
        .filter(|entry| entry.file_name().to_string_lossy().contains("damaged"))
        .count();
    if set_aside > 0 && !by.contains(&"databases") {
        by.push("set aside and salvaged");
    }
    match by.is_empty() {
        true => "nothing to heal".to_owned(),
        false => by.join(" and "),
    }
}

#[test]
fn a_node_on_a_damaged_database_is_whole_again_beside_an_honest_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, honest, network) = honest(folder.path());
    let address = honest.started["listen"][0]
        .as_str()
        .expect("an address")
        .to_owned();
    let given = |name: &str| {
        let text = std::env::var(name).ok();
        text.map(|count| count.parse::<usize>().expect("a number"))
    };
    let count = given("MEND_BITROT_NODES").unwrap_or(6);
    let mut dice = Dice(given("MEND_BITROT_SEED").unwrap_or(7) as u64);
    let mut tally: BTreeMap<(Kind, String), usize> = BTreeMap::new();
    for number in 0..count {
        let dir = folder.path().join(format!("hurt-{number}"));
        let mut content = file.clone();
        let kind = Kind::of(number, count, &mut dice);
        let case = format!("{number}: {}", kind.damage(&mut content, &mut dice));
        write_database(&dir, &content);
        let more = ["--connect", &address, "--scrub", "100M", "--no-discovery"];
        let hurt = Node::start(&dir, &[&words(&network)[..], &more].concat());
        eventually(&format!("the tip, {case}"), || {
            hurt.call(&["getbestblockhash"]) == honest.call(&["getbestblockhash"])
        });
        eventually(&format!("a scrub without findings, {case}"), || {
            let info = json(&hurt, &["getscrubinfo"]);
            let is_quiet = info["waiting"] == 0 && info["healing"].is_null();
            info["rounds"].as_u64() >= Some(1) && is_quiet
        });
        // A row that is written where its page is in ruins takes a new database, which begins at the blocks that could be read.
        eventually(&format!("the honest coins, {case}"), || {
            coins(&hurt).is_some_and(|told| Some(told) == coins(&honest))
        });
        let tips = json(&hurt, &["getchaintips"]);
        assert_eq!(tips.as_array().map(Vec::len), Some(1), "{case}: {tips}");
        honest.call(&["generatetoaddress", "1", ADDRESS]);
        eventually(&format!("one more block, {case}"), || {
            hurt.call(&["getbestblockhash"]) == honest.call(&["getbestblockhash"])
        });
        assert_eq!(
            json(&honest, &["listbanned"]),
            serde_json::json!([]),
            "{case}"
        );
        *tally.entry((kind, cures(&hurt, &dir))).or_default() += 1;
        let (code, text) = hurt.stopped();
        assert_eq!(code, Some(0), "{case}: {text}");
        assert!(!text.contains("panicked"), "{case}: {text}");
        fs::remove_dir_all(dir).expect("removed");
    }
    for ((kind, cures), count) in tally {
        println!("bitrot: {kind:?}: {count} healed by: {cures}");
    }
}

#[test]
fn a_node_that_shall_stop_names_a_remedy_that_works() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut file, honest, network) = honest(folder.path());
    let network = words(&network);
    honest.stop();
    file[..4096].fill(0x77);
    let dir = folder.path().join("hurt");
    write_database(&dir, &file);
    let dir = dir.to_str().expect("text");
    let place = ["--data-dir", dir, network[0], network[1]];
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
        &[&network[..], &["--on-damage", "stop"]].concat(),
    );
    assert_eq!(node.call(&["getblockcount"]), BLOCKS.to_string());
    node.stop();
}
