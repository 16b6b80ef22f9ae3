//! Chains in files, and nodes that end in every way.

use serde_json::Value;

use crate::process::{Node, refused, told};

const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
const REGTEST: [&str; 2] = ["--genesis", "bitcoin-regtest"];

/// A chain that Bitcoin Core made.
const CHAIN_OF_CORE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/chain/tests/data/regtest-162.blk"
);
const TIP_OF_CORE: &str = "069a9128e9d1ac08c1c66e038b6c018c15065db643b4b87ea6e9bb887cc0a6d3";

#[test]
fn a_chain_of_bitcoin_core_is_imported_shown_exported_and_imported_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("a");
    let dir = dir.to_str().expect("text");
    let report = told(&[
        "import",
        CHAIN_OF_CORE,
        "--json",
        "--data-dir",
        dir,
        REGTEST[0],
        REGTEST[1],
    ]);
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let tip = TIP_OF_CORE;
    let muhash = "4d2d834c56cf9e712b2034a07ea053c09a913350e3052fe4445e66ca5073241b";
    assert_eq!(
        (&report["height"], &report["tip"]),
        (&162.into(), &tip.into())
    );
    let found = told(&[
        "verify",
        "--json",
        "--data-dir",
        dir,
        REGTEST[0],
        REGTEST[1],
    ]);
    let found: Value = serde_json::from_str(&found).expect("JSON");
    assert_eq!(
        (&found["coins"], &found["muhash"]),
        (&5042.into(), &muhash.into())
    );
    assert_eq!(found["problems"], Value::Array(vec![]));

    let node = Node::start(&folder.path().join("a"), &REGTEST);
    let info = node.call(&["gettxoutsetinfo", "muhash"]);
    assert!(
        info.contains(muhash) && info.contains("\"total_amount\": 7775.00000000"),
        "{info}"
    );
    assert!(info.contains("\"txouts\": 5042"), "{info}");
    node.stop();

    let copy = folder.path().join("copy.blk");
    let copy = copy.to_str().expect("text");
    told(&["export", copy, "--data-dir", dir, REGTEST[0], REGTEST[1]]);
    let other = folder.path().join("b");
    let other = other.to_str().expect("text");
    let report = told(&["import", copy, "--data-dir", other, REGTEST[0], REGTEST[1]]);
    assert!(report.contains(tip), "{report}");
}

/// Bitcoin Core covers its block files with a key that lies beside them.
#[test]
fn block_files_of_bitcoin_core_are_read_with_their_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let blocks = folder.path().join("blocks");
    std::fs::create_dir(&blocks).expect("made");
    let key = [0x5a, 0x01, 0xff, 0x33, 0x80, 0x7e, 0x11, 0xc4];
    let plain = std::fs::read(CHAIN_OF_CORE).expect("the file");
    let covered: Vec<u8> = plain
        .iter()
        .zip(key.iter().cycle())
        .map(|(a, b)| a ^ b)
        .collect();
    let file = blocks.join("blk00000.dat");
    std::fs::write(&file, covered).expect("written");
    std::fs::write(blocks.join("xor.dat"), key).expect("written");
    let dir = folder.path().join("data");
    let [file, dir] = [&file, &dir].map(|path| path.to_str().expect("text"));
    let place = ["--data-dir", dir, REGTEST[0], REGTEST[1]];
    let report = told(&[&["import", file][..], &place].concat());
    assert!(report.contains(TIP_OF_CORE), "{report}");
    std::fs::write(blocks.join("xor.dat"), &key[1..]).expect("written");
    let (code, text) = refused(&[&["import", file][..], &place].concat());
    assert_eq!((code, text.lines().count()), (1, 1), "{text}");
    assert!(text.contains("xor.dat has 7 bytes"), "{text}");
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut height = 0;
    for round in 1..=3 {
        let node = Node::start(folder.path(), &REGTEST);
        assert_eq!(
            node.call(&["getblockcount"]),
            height.to_string(),
            "round {round}"
        );
        node.call(&["generatetoaddress", "3", ADDRESS]);
        height += 3;
        node.kill();
        // What a clean stop removes is left over, and does no harm.
        assert!(folder.path().join(".cookie").exists());
    }
}

#[test]
fn a_node_ends_with_its_parent() {
    let folder = tempfile::tempdir().expect("a folder");
    let more = [&REGTEST[..], &["--exit-with-stdin"]].concat();
    let mut node = Node::start(folder.path(), &more);
    node.close_stdin();
    let (code, errors) = node.wait();
    assert_eq!(code, Some(0), "{errors}");
    assert!(!folder.path().join(".cookie").exists());
}

#[test]
fn a_new_network_starts_with_its_allocations() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("genesis.json");
    let file = file.to_str().expect("text");
    let alloc = format!("{ADDRESS}=25.5");
    told(&[
        "genesis", "new", "--name", "lab", "--fixed", "--limit", "207fffff", "--alloc", &alloc,
        "--out", file,
    ]);
    assert!(told(&["genesis", "check", file]).contains("lab"));
    let node = Node::start(&folder.path().join("data"), &["--genesis", file]);
    let info = node.call(&["gettxoutsetinfo", "none"]);
    assert!(info.contains("\"total_amount\": 25.50000000"), "{info}");
    assert_eq!(node.field("network"), "lab");
}

#[test]
fn a_backup_is_made_of_a_running_node_and_restored() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let (live, copy, restored) = (path("live"), path("copy"), path("restored"));
    let node = Node::start(&folder.path().join("live"), &REGTEST);
    node.call(&["generatetoaddress", "3", ADDRESS]);
    told(&["backup", &copy, "--data-dir", &live, REGTEST[0], REGTEST[1]]);
    node.call(&["generatetoaddress", "1", ADDRESS]);
    // Looking at a backup never changes it.
    let content = || {
        let names = ["chain.redb", "manifest.json"];
        names.map(|name| std::fs::read(folder.path().join("copy").join(name)).expect("read"))
    };
    let before = content();
    let found = told(&["verify", "--data-dir", &copy, REGTEST[0], REGTEST[1]]);
    assert!(found.contains("0 problems"), "{found}");
    assert_eq!(content(), before);
    told(&[
        "restore",
        &copy,
        "--data-dir",
        &restored,
        REGTEST[0],
        REGTEST[1],
    ]);
    let other = Node::start(&folder.path().join("restored"), &REGTEST);
    assert_eq!(other.call(&["getblockcount"]), "3");
    assert_eq!(node.call(&["getblockcount"]), "4");
    other.stop();
    node.stop();
    let file = folder.path().join("copy/chain.redb");
    let mut bytes = std::fs::read(&file).expect("read");
    bytes[5_000] ^= 1;
    std::fs::write(&file, bytes).expect("written");
    let third = path("third");
    let (_, text) = refused(&[
        "restore",
        &copy,
        "--data-dir",
        &third,
        REGTEST[0],
        REGTEST[1],
    ]);
    assert!(text.contains("SHA-256"), "{text}");
    assert!(!folder.path().join("third/chain.redb").exists());
}

#[test]
fn a_backup_to_several_places_tells_of_each_and_a_drill_proves_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let (live, a, b, full) = (path("live"), path("a"), path("b"), path("full"));
    std::fs::write(&full, "in the way").expect("written");
    let node = Node::start(&folder.path().join("live"), &REGTEST);
    node.call(&["generatetoaddress", "3", ADDRESS]);
    let run = |words: &[&str]| -> (bool, Value) {
        let words = [words, &["--json"], &REGTEST[..]].concat();
        let output = crate::process::output(&words);
        let told = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.success(), told)
    };
    // Running or not, it comes to the same.
    let (good, told) = run(&["backup", &a, &full, &b, "--data-dir", &live]);
    assert!(!good);
    assert_eq!(told[0]["manifest"]["height"], 3, "{told}");
    assert!(told[1]["error"].is_string(), "{told}");
    assert_eq!(told[2]["manifest"], told[0]["manifest"]);
    node.stop();
    let (c, d) = (path("c"), path("d"));
    let (good, told) = run(&["backup", &c, &d, "--data-dir", &live]);
    assert!(good);
    assert_eq!(told[1]["manifest"]["height"], 3);
    assert!(!run(&["backup", &c, &d, "--data-dir", &live]).0);

    let (good, told) = run(&["restore", &c, "--verify-only"]);
    assert!(good && told["height"] == 3, "{told}");
    let (good, told) = run(&["restore", &b, "--drill", "--scratch", &path("")]);
    assert!(good && told["ok"] == true && told["blocks"] == 3, "{told}");
    let file = folder.path().join("c/chain.redb");
    let mut bytes = std::fs::read(&file).expect("read");
    bytes[5_000] ^= 1;
    std::fs::write(&file, bytes).expect("written");
    let (good, told) = run(&["restore", &c, "--drill", "--scratch", &path("")]);
    assert!(!good && told["ok"] == false, "{told}");
    refused(&["restore", &c, "--verify-only", REGTEST[0], REGTEST[1]]);
    let drills = std::fs::read_dir(folder.path()).expect("read");
    let left = drills.filter(|entry| {
        let name = entry.as_ref().expect("read").file_name();
        name.to_string_lossy().starts_with("mend-drill")
    });
    assert_eq!(left.count(), 0);
    // A live directory is refused.
    let words = ["restore", &a, "--data-dir", &live, REGTEST[0], REGTEST[1]];
    let (_, text) = refused(&words);
    assert!(text.contains("exists; choose another directory"), "{text}");
}

#[test]
fn the_coins_of_a_chain_are_exported_and_another_node_starts_from_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let (old, new, file) = (path("old"), path("new"), path("coins.dat"));
    let node = Node::start(&folder.path().join("old"), &REGTEST);
    node.call(&["generatetoaddress", "5", ADDRESS]);
    let tip = node.call(&["getbestblockhash"]);
    node.stop();
    let command = |first: &[&'static str], dir: &str| -> Vec<String> {
        let words = first.iter().map(|word| (*word).to_owned());
        let more = ["--data-dir", dir, "--json", REGTEST[0], REGTEST[1]].map(str::to_owned);
        words.chain(more).collect()
    };
    let run = |words: Vec<String>| -> Value {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        serde_json::from_str(&told(&words)).expect("JSON")
    };
    let mut export = command(&["export"], &old);
    export.extend(["--snapshot".to_owned(), file.clone()]);
    let written = run(export);
    assert_eq!(
        (&written["coins_written"], &written["base_hash"]),
        (&5.into(), &tip.as_str().into())
    );
    let trusted = written["txoutset_hash"]
        .as_str()
        .expect("a hash")
        .to_owned();
    let import = |hash: &str| {
        let mut words = command(&["import"], &new);
        words.extend([file.clone(), "--snapshot".to_owned(), hash.to_owned()]);
        words
    };
    let wrong = import(&"11".repeat(32));
    let words: Vec<&str> = wrong.iter().map(String::as_str).collect();
    let (_, text) = refused(&words);
    assert!(text.contains("do not trust it"), "{text}");
    assert!(!folder.path().join("new").exists(), "nothing was begun");
    let loaded = run(import(&trusted));
    assert_eq!(loaded["tip_hash"], tip.as_str());
    let node = Node::start(&folder.path().join("new"), &REGTEST);
    assert_eq!(node.call(&["getblockcount"]), "5");
    node.call(&["generatetoaddress", "1", ADDRESS]);
    node.stop();
    // Its blocks cannot be exported: they were never here.
    let blocks = path("blocks.dat");
    let (_, text) = refused(&[
        "export",
        &blocks,
        "--data-dir",
        &new,
        REGTEST[0],
        REGTEST[1],
    ]);
    assert!(text.contains("loaded from a snapshot"), "{text}");
}
