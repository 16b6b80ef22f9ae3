//! What may go wrong with a wallet: reorgs, lost mempools, wrong words and files. No coins and no history are lost.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::Value;

use crate::process::{Node, refused};
use crate::wallet::{ELSEWHERE, REGTEST, Wallets, json, mine, text};

#[test]
fn a_payment_that_loses_its_block_is_pending_again_and_confirmed_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(folder.path(), &REGTEST);
    let wallets = Wallets::new();
    wallets.create(&node, "alice");
    wallets.create(&node, "bob");
    mine(&node, 1, &wallets.address(&node, "alice"));
    mine(&node, 100, ELSEWHERE);
    let bob = wallets.address(&node, "bob");
    let txid = wallets.send(&node, "alice", &bob, "3");
    // Bob also mines the block: its subsidy is gone with it.
    let block = &mine(&node, 1, &bob)[0];
    for name in ["alice", "bob"] {
        assert_eq!(wallets.payment(&node, name, &txid)["state"], "confirmed");
    }
    assert_eq!(
        wallets.balance(&node, "bob")[2].split('.').next(),
        Some("50")
    );

    node.call(&["invalidateblock", block]);
    for name in ["alice", "bob"] {
        let row = wallets.payment(&node, name, &txid);
        assert_eq!(row["state"], "pending-again", "{row:#}");
        assert_eq!(row["lost_block"]["hash"], block.as_str());
        assert_eq!(row["lost_block"]["height"], 102);
    }
    assert_eq!(
        wallets.told(&node, "bob", &["balance"])["payments_pending_again"],
        1
    );
    assert_eq!(
        wallets.balance(&node, "bob"),
        ["0.00000000", "3.00000000", "0.00000000"]
    );
    let history = wallets.told(&node, "bob", &["history"]);
    let orphans = history.as_array().expect("a list").iter();
    assert_eq!(orphans.filter(|row| row["state"] == "orphaned").count(), 1);

    mine(&node, 1, ELSEWHERE);
    let row = wallets.payment(&node, "bob", &txid);
    assert_eq!(
        (&row["state"], &row["lost_block"]),
        (&"confirmed".into(), &Value::Null)
    );
    node.call(&["reconsiderblock", block]);
    assert_eq!(wallets.payment(&node, "bob", &txid)["state"], "confirmed");
}

#[test]
fn a_node_that_never_heard_of_a_payment_gets_it_from_the_wallet() {
    let folder = tempfile::tempdir().expect("a folder");
    let wallets = Wallets::new();
    let first = Node::start(&folder.path().join("first"), &REGTEST);
    let second = Node::start(&folder.path().join("second"), &REGTEST);
    wallets.create(&first, "alice");
    mine(&first, 1, &wallets.address(&first, "alice"));
    mine(&first, 100, ELSEWHERE);
    let copy = |height: u32| {
        let hash = first.call(&["getblockhash", &height.to_string()]);
        assert_eq!(
            second.call(&["submitblock", &first.call(&["getblock", &hash, "0"])]),
            ""
        );
    };
    (1..=101).for_each(copy);

    // Two payments, the second of the first one's change; the second node knows of neither.
    let parent = wallets.send(&first, "alice", ELSEWHERE, "1");
    let child = wallets.send(&first, "alice", ELSEWHERE, "2");
    let sent = wallets.told(&second, "alice", &["rebroadcast"]);
    assert_eq!(sent["sent"], serde_json::json!([parent, child]));
    assert_eq!(sent["refused"], serde_json::json!({}));
    assert!(second.cli(&["getmempoolentry", &child]).status.success());
    assert_eq!(
        wallets.told(&second, "alice", &["rebroadcast"])["sent"],
        serde_json::json!([])
    );

    // A block with them that the second node does not have: they lose it, and go to that node again.
    mine(&first, 1, ELSEWHERE);
    assert_eq!(
        wallets.payment(&first, "alice", &child)["state"],
        "confirmed"
    );
    assert_eq!(
        wallets.payment(&second, "alice", &child)["state"],
        "pending-again"
    );
    let balance = wallets.told(&second, "alice", &["balance"]);
    assert!(text(&balance["total"]).starts_with("46.9999"), "{balance}");
}

/// A way to a node that passes calls on, and keeps the answer to `sendrawtransaction` to itself.
fn lossy_way_to(node: &Node) -> String {
    let host = node.field("rpc").trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for mut caller in listener.incoming().flatten() {
            let served = TcpStream::connect(host.trim_end_matches('/'));
            let mut served = served.expect("the node runs");
            std::thread::spawn(move || {
                while let Some(call) = read_message(&mut caller) {
                    served.write_all(call.as_bytes()).expect("sent");
                    let answer = read_message(&mut served).expect("an answer");
                    if call.contains("sendrawtransaction") {
                        return;
                    }
                    caller.write_all(answer.as_bytes()).expect("answered");
                }
            });
        }
    });
    format!("http://{address}")
}

/// One HTTP message, by its length; `None` when the connection ends. Nothing is asked ahead, so nothing is read ahead.
fn read_message(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let start = text.len();
        if reader.read_line(&mut text).ok()? == 0 {
            return None;
        }
        let line = text[start..].trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(text + &String::from_utf8(body).expect("text"))
}

#[test]
fn a_payment_whose_answer_is_lost_is_not_called_unsent_and_not_paid_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(folder.path(), &REGTEST);
    let wallets = Wallets::new();
    wallets.create(&node, "alice");
    mine(&node, 1, &wallets.address(&node, "alice"));
    mine(&node, 100, ELSEWHERE);
    let way = lossy_way_to(&node);
    let output = wallets.run_by(&way, &node, "alice", &["send", ELSEWHERE, "1"], "");
    let line = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert!(line.contains("not known whether"), "{line}");
    assert!(!line.contains("nothing was sent"), "{line}");
    // The node has it, and the wallet knows of it: its coins are not spent again.
    let waiting: Value =
        serde_json::from_str(&node.call(&["getrawmempool"])).expect("a list of ids");
    let [txid] = waiting.as_array().expect("a list").as_slice() else {
        panic!("the call never reached the node: {waiting}");
    };
    let row = wallets.payment(&node, "alice", txid.as_str().expect("an id"));
    assert_eq!(row["state"], "pending");
}

#[test]
fn a_payment_that_the_node_refuses_leaves_no_trace() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(folder.path(), &REGTEST);
    let wallets = Wallets::new();
    wallets.create(&node, "alice");
    mine(&node, 1, &wallets.address(&node, "alice"));
    mine(&node, 100, ELSEWHERE);
    let args = ["send", ELSEWHERE, "1", "--fee-rate", "0"];
    let line = wallets.refused(&node, "alice", &args, "");
    assert!(line.contains("nothing was sent"), "{line}");
    let history = wallets.told(&node, "alice", &["history"]);
    let states = history.as_array().expect("a list").iter();
    assert!(
        states.clone().all(|row| row["state"] == "confirmed"),
        "{history:#}"
    );
    wallets.send(&node, "alice", ELSEWHERE, "1");
}

#[test]
fn a_wallet_goes_on_with_another_node_when_one_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(folder.path(), &REGTEST);
    let wallets = Wallets::new();
    wallets.create(&node, "alice");
    mine(&node, 1, &wallets.address(&node, "alice"));
    let path = wallets.path("alice");
    let path = path.to_str().expect("text");
    let cookie = node.field("cookie");
    let gone = "http://127.0.0.1:1";
    let both = [
        "--cookie-file",
        cookie,
        "--rpc",
        gone,
        "--rpc",
        node.field("rpc"),
    ];
    let args = [
        &["wallet", "balance", "--json", "--wallet", path][..],
        &both,
    ]
    .concat();
    let told: Value = serde_json::from_str(&crate::process::told(&args)).expect("JSON");
    assert_eq!(told["immature"], "50.00000000");
    let before = fs::read(path).expect("read");
    let args = [
        "wallet",
        "balance",
        "-w",
        path,
        "--rpc",
        gone,
        "--cookie-file",
        cookie,
    ];
    let (code, error) = refused(&args);
    assert_eq!(code, 1);
    assert!(
        error.contains(gone) && error.contains("is the node running"),
        "{error}"
    );
    assert_eq!(fs::read(path).expect("read"), before);
}

#[test]
fn a_node_of_another_network_is_passed_over_and_never_taken_for_the_wallets() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(&folder.path().join("own"), &REGTEST);
    // The network of the repository: another genesis, the same kind of addresses.
    let other = Node::start(&folder.path().join("other"), &[]);
    let wallets = Wallets::new();
    wallets.create(&node, "alice");
    mine(&node, 1, &wallets.address(&node, "alice"));
    let path = wallets.path("alice");
    let path = path.to_str().expect("text");
    let [own, own_cookie] = ["rpc", "cookie"].map(|name| node.field(name).to_owned());
    let [strange, strange_cookie] = ["rpc", "cookie"].map(|name| other.field(name));
    let balance = ["wallet", "balance", "--json", "--wallet", path];
    let own = ["--rpc", &own, "--cookie-file", &own_cookie];
    let alone = ["--rpc", strange, "--cookie-file", strange_cookie];
    let args = [&balance[..], &alone, &own].concat();
    let told: Value = serde_json::from_str(&crate::process::told(&args)).expect("JSON");
    assert_eq!(told["immature"], "50.00000000");

    // The wallet's own node is gone: the other one is no way out.
    node.stop();
    let before = fs::read(path).expect("read");
    for nodes in [[&own[..], &alone].concat(), alone.to_vec()] {
        let (code, error) = refused(&[&balance[..], &nodes].concat());
        assert_eq!(code, 1);
        assert!(
            error.contains(strange) && error.contains("name the wallet's node with --rpc"),
            "{error}"
        );
    }
    assert_eq!(fs::read(path).expect("read"), before);
}

#[test]
fn secrets_are_sealed_and_only_their_owner_may_read_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(folder.path(), &REGTEST);
    let wallets = Wallets::new();
    let words = wallets.create(&node, "alice");
    let path = wallets.path("alice");
    let before = fs::read_to_string(&path).expect("read");
    for secret in [
        &words,
        words.split(' ').next().expect("a word"),
        "tprv",
        "xprv",
        "seed",
    ] {
        let quoted = format!("\"{secret}");
        assert!(
            !before.contains(&quoted) && !before.contains(&words),
            "{secret}"
        );
    }
    assert!(!before.contains("prv"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    mine(&node, 1, &wallets.address(&node, "alice"));
    mine(&node, 100, ELSEWHERE);
    wallets.balance(&node, "alice");
    let before = fs::read(&path).expect("read");
    let wrong = folder.path().join("wrong");
    fs::write(&wrong, "wrong\n").expect("written");
    let wrong = wrong.to_str().expect("text");
    let args = ["send", ELSEWHERE, "1", "--passphrase-file", wrong];
    let error = wallets.refused(&node, "alice", &args, "");
    assert!(error.contains("wrong passphrase"), "{error}");
    assert_eq!(fs::read(&path).expect("read"), before);
    assert!(node.call(&["getmempoolinfo"]).contains("\"size\": 0"));

    // The backup on paper is good, or it is not.
    let output = wallets.run(&node, "alice", &["verify-backup"], &words.to_uppercase());
    assert_eq!(json(&output)["matches"], true);
    let args = ["verify-backup", "--bip39-passphrase", "x"];
    let error = wallets.refused(&node, "alice", &args, &words);
    assert!(error.contains("another wallet"), "{error}");
    let error = wallets.refused(&node, "alice", &["verify-backup"], "abandon ability");
    assert!(error.contains("BIP 39"), "{error}");
    assert_eq!(fs::read(&path).expect("read"), before);
}

#[test]
fn what_cannot_be_paid_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(folder.path(), &REGTEST);
    let wallets = Wallets::new();
    wallets.create(&node, "alice");
    mine(&node, 1, &wallets.address(&node, "alice"));
    mine(&node, 100, ELSEWHERE);
    wallets.balance(&node, "alice");
    let path = wallets.path("alice");
    let mainnet = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    for (args, part) in [
        (&["send", mainnet, "1"][..], "another network"),
        (&["send", "nobody", "1"], "not an address"),
        (&["send", ELSEWHERE], "has no amount"),
        (&["send", ELSEWHERE, "NaN"], "not an amount"),
        (&["send", ELSEWHERE, "51"], "not enough spendable coins"),
        (&["send", ELSEWHERE, "1sat"], "dust"),
        (
            &["send", ELSEWHERE, "1", "--fee-rate", "NaN"],
            "out of range",
        ),
        (
            &["send", ELSEWHERE, "1", "--fee-rate", "0"],
            "nothing was sent",
        ),
        (&["create"], "exists already"),
        (&["label", "nobody", "x"], "neither an address"),
        (&["watch", "pkh(x)"], "cannot be spent here"),
        (&["risk", "--share", "0.5"], "below 0.5"),
    ] {
        let before = fs::read(&path).expect("read");
        let error = wallets.refused(&node, "alice", args, "");
        assert!(error.contains(part), "{args:?}: {error}");
        // A change address may be taken from the wallet before the node refuses the payment.
        if !part.starts_with("nothing was sent") {
            assert_eq!(fs::read(&path).expect("read"), before, "{args:?}");
        }
    }
    assert_eq!(wallets.balance(&node, "alice")[0], "50.00000000");
    let error = wallets.refused(&node, "nobody", &["balance"], "");
    assert!(error.contains("mend wallet create"), "{error}");

    let txid = wallets.send(&node, "alice", ELSEWHERE, "1");
    wallets.told(&node, "alice", &["label", &txid, "rent"]);
    assert_eq!(wallets.payment(&node, "alice", &txid)["label"], "rent");
    assert_eq!(wallets.told(&node, "alice", &["label"])[0]["type"], "tx");
    wallets.told(&node, "alice", &["label", &txid, ""]);
    assert_eq!(
        wallets.told(&node, "alice", &["label"]),
        serde_json::json!([])
    );

    let good = fs::read(&path).expect("read");
    fs::write(&path, &good[..good.len() / 2]).expect("written");
    let error = wallets.refused(&node, "alice", &["balance"], "");
    assert!(
        error.contains("restore the wallet from its words"),
        "{error}"
    );
    assert_eq!(fs::read(&path).expect("read"), good[..good.len() / 2]);
}

#[test]
fn commands_at_the_same_time_wait_for_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(folder.path(), &REGTEST);
    let wallets = Wallets::new();
    wallets.create(&node, "alice");
    let mut given: Vec<String> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| wallets.address(&node, "alice")))
            .collect();
        started
            .into_iter()
            .map(|thread| thread.join().expect("an address"))
            .collect()
    });
    given.sort();
    given.dedup();
    assert_eq!(given.len(), 6, "no address is given twice");
}
