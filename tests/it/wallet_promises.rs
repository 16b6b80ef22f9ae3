//! What a wallet must not do behind its owner's back, and what it must understand.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bitcoin::Psbt;

use crate::process::{Node, told};
use crate::wallet::{ELSEWHERE, REGTEST, Wallets, json, mine, text};

fn funded(wallets: &Wallets, node: &Node, coins: u32) {
    wallets.create(node, "alice");
    mine(node, coins, &wallets.address(node, "alice"));
    mine(node, 100, ELSEWHERE);
}

fn waits(node: &Node, txid: &str) -> bool {
    node.cli(&["getmempoolentry", txid]).status.success()
}

#[test]
fn a_bump_cancels_no_other_payment_without_a_word() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(folder.path(), &REGTEST);
    let wallets = Wallets::new();
    // One coin: the second payment spends the change of the first.
    funded(&wallets, &node, 1);
    let first = wallets.send(&node, "alice", ELSEWHERE, "0.1");
    let second = wallets.send(&node, "alice", ELSEWHERE, "0.2");
    for more in [&[][..], &["--dry-run"], &["--fee-rate", "9"]] {
        let args = [&["bump", &first], more].concat();
        let error = wallets.refused(&node, "alice", &args, "");
        assert!(error.contains(&second), "what falls away is named: {error}");
        assert!(
            error.contains("0.2") && error.contains("--drop-children"),
            "{error}"
        );
    }
    assert!(
        waits(&node, &first) && waits(&node, &second),
        "nothing changed"
    );
    // The last one may be hurried, by the beginning of its id.
    let hurried = text(&wallets.told(&node, "alice", &["bump", &second[..10]])["txid"]);
    assert!(waits(&node, &hurried) && !waits(&node, &second));
    // Who wants it gets it, and pays for what falls away.
    let output = wallets.run(&node, "alice", &["bump", &first, "--drop-children"], "");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("this cancels") && told.contains(&hurried),
        "{told}"
    );
    let new = text(&json(&output)["txid"]);
    assert!(waits(&node, &new) && !waits(&node, &hurried));
    let state = wallets.payment(&node, "alice", &hurried)["state"].clone();
    assert_ne!(state, "pending", "it is not believed to be there");
}

#[test]
fn the_last_of_many_bumps_is_the_one_that_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(folder.path(), &REGTEST);
    let wallets = Wallets::new();
    funded(&wallets, &node, 1);
    let mut chain = vec![wallets.send(&node, "alice", ELSEWHERE, "0.1")];
    for _ in 0..8 {
        let last = chain.last().expect("one").clone();
        chain.push(text(
            &wallets.told(&node, "alice", &["bump", &last])["txid"],
        ));
    }
    let (last, before) = chain.split_last().expect("nine");
    assert!(waits(&node, last));
    assert_eq!(wallets.payment(&node, "alice", last)["state"], "pending");
    for old in before {
        assert_eq!(wallets.payment(&node, "alice", old)["state"], "replaced");
    }
}

#[test]
fn labels_are_found_however_they_are_typed() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(folder.path(), &REGTEST);
    let wallets = Wallets::new();
    funded(&wallets, &node, 1);
    let txid = wallets.send(&node, "alice", ELSEWHERE, "0.1");
    wallets.told(&node, "alice", &["label", &txid.to_uppercase(), "rent"]);
    wallets.told(
        &node,
        "alice",
        &["label", &ELSEWHERE.to_uppercase(), "landlord"],
    );
    let label = wallets.payment(&node, "alice", &txid)["label"].clone();
    assert_eq!(label, "rent, landlord");
    let shown = wallets.told(&node, "alice", &["label", &txid[..8]]);
    assert_eq!(shown[0]["label"], "rent");
    let time = wallets.payment(&node, "alice", &txid)["time"].as_u64();
    assert!(time.is_some_and(|time| time > 1_700_000_000), "{time:?}");
    let error = wallets.refused(&node, "alice", &["label", "nonsense", "x"], "");
    assert!(error.contains("neither an address nor"), "{error}");
}

#[test]
fn a_wallet_is_older_than_its_network() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("wallets");
    let dir = dir.to_str().expect("text");
    let wallet = |args: &[&str]| {
        let common = ["wallet", "--wallet-dir", dir, "--no-encryption", "--json"];
        let mut command = crate::process::mend(&[&common, args].concat());
        command.env("HOME", folder.path());
        json(&command.output().expect("mend runs"))
    };
    wallet(&["create"]);
    let address = text(&wallet(&["address"])["address"]);
    let alloc = format!("{address}=7");
    let genesis = folder.path().join("genesis.json");
    let genesis = genesis.to_str().expect("text");
    told(&[
        "genesis", "new", "--name", "early", "--alloc", &alloc, "--out", genesis,
    ]);
    let data = folder.path().join("data");
    let node = Node::start(&data, &["--genesis", genesis]);
    let place = ["--data-dir", data.to_str().expect("text")];
    let balance = wallet(&[&place[..], &["balance"]].concat());
    assert_eq!(balance["confirmed"], "7.00000000");
    assert_ne!(
        text(&wallet(&["address"])["address"]),
        address,
        "given away already"
    );
    wallet(&[&place[..], &["send", ELSEWHERE, "1"]].concat());
    node.stop();
    // From now on it belongs there.
    let other = folder.path().join("other");
    let node = Node::start(&other, &REGTEST);
    let refused = crate::process::refused(&[
        "wallet",
        "--wallet-dir",
        dir,
        "--data-dir",
        other.to_str().expect("text"),
        "balance",
    ]);
    assert!(refused.1.contains("the wallet belongs to"), "{}", refused.1);
    node.stop();
}

#[test]
fn payments_that_others_began_are_signed_in_either_form() {
    for (account, drop_whole) in [("segwit", true), ("taproot", false)] {
        let folder = tempfile::tempdir().expect("a folder");
        let node = Node::start(folder.path(), &REGTEST);
        let wallets = Wallets::new();
        wallets.told(&node, "alice", &["create", "--account", account]);
        mine(&node, 1, &wallets.address(&node, "alice"));
        mine(&node, 100, ELSEWHERE);
        let made = wallets.told(&node, "alice", &["psbt", "create", ELSEWHERE, "7"]);
        let bytes = STANDARD.decode(text(&made["psbt"])).expect("base64");
        let mut psbt = Psbt::deserialize(&bytes).expect("a PSBT");
        let input = &mut psbt.inputs[0];
        if drop_whole {
            assert!(input.non_witness_utxo.take().is_some());
        } else {
            // The whole transaction in place of the output.
            let hash = node.call(&["getblockhash", "1"]);
            let block: bitcoin::Block =
                bitcoin::consensus::encode::deserialize_hex(&node.call(&["getblock", &hash, "0"]))
                    .expect("a block");
            input.non_witness_utxo = Some(block.txdata[0].clone());
            assert!(input.witness_utxo.take().is_some());
        }
        let form = STANDARD.encode(psbt.serialize());
        let wrapped: Vec<&str> = (0..form.len())
            .step_by(76)
            .map(|at| &form[at..form.len().min(at + 76)])
            .collect();
        let signed = json(&wallets.run(&node, "alice", &["psbt", "sign"], &wrapped.join("\n")));
        let sent = wallets.run(&node, "alice", &["psbt", "send"], &text(&signed["psbt"]));
        assert!(waits(&node, &text(&json(&sent)["txid"])));
    }
}
