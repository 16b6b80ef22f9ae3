//! A fresh node that is given a snapshot of coins: it needs no peer to start from it, and goes on with peers from there.

use serde_json::{Value, json};

use crate::support_node::{ADDRESS, RunningNode, eventually};

/// A node, and the folder that it lives in.
struct Place {
    node: RunningNode,
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let node = RunningNode::start(folder.path());
        Place { node, folder }
    }

    fn height(&self) -> Value {
        self.node.call("getblockcount", json!([]))
    }

    fn coins(&self) -> Value {
        self.node.call("gettxoutsetinfo", json!([]))["hash_serialized_3"].clone()
    }

    fn connect(&self, other: &Place) {
        let address = &other.node.started.listen[0];
        self.node.call("addnode", json!([address, "add"]));
    }
}

/// A node with some blocks, and what dumptxoutset said of its coins.
fn source(blocks: u32) -> (Place, Vec<String>, Value) {
    let full = Place::new();
    let hashes = full.node.mine(blocks);
    let dumped = full.node.call("dumptxoutset", json!(["coins.dat"]));
    (full, hashes, dumped)
}

#[test]
fn a_fresh_node_loads_a_snapshot_without_a_peer_and_then_follows_one_and_mines() {
    let (full, hashes, dumped) = source(12);
    let (file, hash) = (&dumped["path"], &dumped["txoutset_hash"]);
    assert_eq!(full.coins(), *hash);
    let mut fresh = Place::new();
    let loaded = fresh
        .node
        .call("loadtxoutset", json!([file, hash, dumped["base_hash"]]));
    assert_eq!(
        loaded,
        json!({"coins_loaded": 12, "tip_hash": hashes[11], "base_height": 12, "path": file})
    );
    assert_eq!(fresh.height(), 12);
    assert_eq!(fresh.coins(), *hash);

    // It says what it is, and what it has not.
    let states = fresh.node.call("getchainstates", json!([]));
    let state = &states["chainstates"][0];
    assert_eq!(
        (&states["headers"], &state["blocks"], &state["validated"]),
        (&json!(12), &json!(12), &json!(false))
    );
    assert_eq!(state["snapshot_blockhash"], hashes[11].as_str());
    let info = fresh.node.call("getblockchaininfo", json!([]));
    assert_eq!(
        (&info["pruned"], &info["pruneheight"]),
        (&json!(true), &json!(13))
    );
    let (code, reason) = fresh.node.refused("getblock", json!([hashes[4]]));
    assert_eq!(code, -1);
    assert!(
        reason.contains("not available (loaded from snapshot"),
        "{reason}"
    );
    let header = fresh.node.call("getblockheader", json!([hashes[4]]));
    assert_eq!(header["confirmations"], 8);
    assert_eq!(fresh.node.call("verifychain", json!([4, 0])), true);
    let (code, reason) = fresh.node.refused("invalidateblock", json!([hashes[11]]));
    assert_eq!(code, -20);
    assert!(
        reason.contains("loaded from a snapshot of height 12"),
        "{reason}"
    );

    // It goes on, also after a restart.
    full.node.mine(3);
    let again = std::mem::replace(&mut fresh, Place::new());
    let Place { node, folder } = again;
    node.stop().expect("a clean stop");
    fresh = Place {
        node: RunningNode::start(folder.path()),
        folder,
    };
    assert_eq!(fresh.height(), 12);
    fresh.connect(&full);
    eventually("the later blocks", || fresh.height() == 15);
    assert_eq!(fresh.coins(), full.coins());
    fresh.node.mine(1);
    eventually("its own block at the other", || full.height() == 16);
    // One body after all.
    let peer = fresh.node.call("getpeerinfo", json!([]))[0]["id"].clone();
    fresh
        .node
        .call("getblockfrompeer", json!([hashes[4], peer]));
    eventually("the block", || {
        fresh
            .node
            .client
            .call("getblock", json!([hashes[4]]))
            .is_ok()
    });
    let folder = fresh.folder.path();
    assert!(folder.join("chain.redb").exists());
}

#[test]
fn a_node_that_has_all_blocks_says_so() {
    let place = Place::new();
    place.node.mine(2);
    let state = &place.node.call("getchainstates", json!([]))["chainstates"][0];
    assert_eq!(
        (
            &state["blocks"],
            &state["validated"],
            &state["verificationprogress"]
        ),
        (&json!(2), &json!(true), &json!(1.0))
    );
    assert_eq!(state["snapshot_blockhash"], Value::Null);
    let info = place.node.call("getblockchaininfo", json!([]));
    assert_eq!(
        (&info["pruned"], &info["pruneheight"]),
        (&json!(false), &Value::Null)
    );
}

#[test]
fn a_node_without_the_old_blocks_is_no_trouble_to_one_that_wants_them() {
    let (full, _, dumped) = source(40);
    let fresh = Place::new();
    fresh.node.call(
        "loadtxoutset",
        json!([dumped["path"], dumped["txoutset_hash"]]),
    );
    let third = Place::new();
    third.connect(&fresh);
    eventually("the headers", || {
        third.node.call("getblockchaininfo", json!([]))["headers"] == 40
    });
    assert_eq!(third.height(), 0);
    third.connect(&full);
    eventually("the blocks", || third.height() == 40);
    assert_eq!(third.coins(), full.coins());
    assert_eq!(third.node.call("listbanned", json!([])), json!([]));
}

#[test]
fn what_is_not_to_be_loaded_is_refused_and_changes_nothing() {
    let (full, _, dumped) = source(101);
    let (file, hash) = (dumped["path"].clone(), dumped["txoutset_hash"].clone());
    let refused = |place: &Place, params: Value| {
        let before = (place.height(), place.coins());
        let refusal = place.node.refused("loadtxoutset", params);
        assert_eq!((place.height(), place.coins()), before);
        refusal
    };
    let fresh = Place::new();
    let other = "11".repeat(32);
    let (code, reason) = refused(&fresh, json!([file, other]));
    assert_eq!(code, -32603);
    assert!(
        reason.starts_with("Unable to load UTXO snapshot: the hash of"),
        "{reason}"
    );
    let (code, reason) = refused(&fresh, json!([file, hash, other]));
    assert_eq!(code, -32603);
    assert!(reason.contains("the snapshot is of block"), "{reason}");
    assert_eq!(refused(&fresh, json!([file, "12"])).0, -8);
    assert_eq!(refused(&fresh, json!(["nowhere.dat", hash])).0, -8);
    assert_eq!(refused(&fresh, json!([file])).0, -1);
    // The chain that it was made of has nothing to gain.
    let (code, reason) = refused(&full, json!([file, hash]));
    assert_eq!(code, -32603);
    assert!(reason.contains("nothing to gain"), "{reason}");
    // Cut, and with more than belongs to it.
    let bytes = std::fs::read(file.as_str().expect("a path")).expect("a file");
    for (name, bytes) in [
        ("cut.dat", bytes[..bytes.len() - 1].to_vec()),
        ("longer.dat", [&bytes[..], &[0]].concat()),
    ] {
        std::fs::write(fresh.folder.path().join(name), bytes).expect("written");
        assert_eq!(refused(&fresh, json!([name, hash])).0, -32603, "{name}");
    }
    // Loaded twice.
    fresh.node.call("loadtxoutset", json!([file, hash]));
    let (code, reason) = refused(&fresh, json!([file, hash]));
    assert_eq!(code, -32603);
    assert!(reason.contains("loaded before"), "{reason}");
    assert_eq!(fresh.node.call("getmempoolinfo", json!([]))["size"], 0);
    assert_eq!(fresh.node.mine(1).len(), 1, "{ADDRESS} is paid");
}
