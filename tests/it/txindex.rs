//! The transaction index of nodes that are killed: never ahead of what the chain has kept, and it goes on from where it was.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use chain::store::DirectoryLock;
use chain::txindex::{IndexStep, TxIndex, next_step};
use chain::{ChainOptions, FrozenChain, Height, Params};

use crate::process::{Node, PATIENCE, output};

const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
const INDEXED: [&str; 3] = ["--genesis", "bitcoin-regtest", "--txindex"];

fn rounds() -> u64 {
    let asked = std::env::var("MEND_KILL_ROUNDS").ok();
    asked.map_or(4, |text| {
        text.parse().expect("MEND_KILL_ROUNDS is a number")
    })
}

/// What a kill left: heights of the chain's last commit and of the index.
fn left_by_kill(dir: &Path) -> (Height, Height) {
    let params = Params::bitcoin_regtest();
    let options = ChainOptions {
        cache_bytes: 8 << 20,
    };
    let chain = FrozenChain::open(dir, params.clone(), options).expect("the chain opens");
    // On a copy: opening mends the file.
    let copy = tempfile::tempdir().expect("a folder");
    let name = chain::txindex::FILE_NAME;
    std::fs::copy(dir.join(name), copy.path().join(name)).expect("copied");
    let lock = DirectoryLock::acquire(copy.path()).expect("ours");
    let index = TxIndex::open(&lock, &params).expect("the index opens");
    let indexed = index.blocks().expect("sound");
    index.check().expect("sound");
    let Some(best) = indexed.first() else {
        return (chain.tip().height, Height::GENESIS);
    };
    let info = chain.tree().get(best).expect("never ahead of the headers");
    assert!(chain.is_active(best), "never ahead of the coins");
    match next_step(&chain, &indexed, 1) {
        IndexStep::Done => assert_eq!(*best, chain.tip().hash),
        IndexStep::Connect(next) => assert_eq!(next[0].height, info.height.next()),
        other => panic!("{other:?}"),
    }
    (chain.tip().height, info.height)
}

#[test]
fn an_index_is_never_ahead_after_a_kill_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("node");
    let data_dir = format!("-datadir={}", dir.to_str().expect("text"));
    let mut acknowledged: Vec<String> = Vec::new();
    let (mut behind, mut resumed) = (0, 0);
    for round in 0..rounds() {
        let node = Node::start(&dir, &INDEXED);
        let mined = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Until the node is gone.
                loop {
                    let output = output(&["cli", &data_dir, "generatetoaddress", "1", ADDRESS]);
                    if !output.status.success() {
                        return;
                    }
                    let hashes: Vec<String> = serde_json::from_slice(&output.stdout).expect("JSON");
                    mined.lock().expect("no panic").extend(hashes);
                }
            });
            // Blocks are flowing, and commits fall between them.
            let start = Instant::now();
            let enough = 5 + 3 * usize::try_from(round).expect("few");
            while mined.lock().expect("no panic").len() < enough {
                assert!(start.elapsed() < PATIENCE, "no blocks");
                std::thread::sleep(Duration::from_millis(7));
            }
            node.kill();
        });
        let mined = mined.into_inner().expect("no panic");
        acknowledged.extend(mined);
        let (chain, index) = left_by_kill(&dir);
        assert!(index <= chain, "{index:?} of {chain:?}");
        resumed += u32::from(index > Height::GENESIS);
        behind += u32::from(usize::try_from(chain.0).expect("few") < acknowledged.len());

        let node = Node::start(&dir, &INDEXED);
        for hash in acknowledged.iter().rev().take(12) {
            let block = node.call(&["getblock", hash]);
            let block: serde_json::Value = serde_json::from_str(&block).expect("JSON");
            let txid = block["tx"][0].as_str().expect("an id");
            let start = Instant::now();
            let found = loop {
                let found = node.cli(&["getrawtransaction", txid, "1"]);
                if found.status.success() {
                    break found.stdout;
                }
                assert!(start.elapsed() < PATIENCE, "{txid} is lost");
                std::thread::sleep(Duration::from_millis(20));
            };
            let found: serde_json::Value = serde_json::from_slice(&found).expect("JSON");
            assert_eq!(found["blockhash"], hash.as_str());
        }
        node.kill();
    }
    assert!(resumed > 0, "no kill found an index to go on from");
    assert!(behind > 0, "no kill fell between a block and its commit");
}
