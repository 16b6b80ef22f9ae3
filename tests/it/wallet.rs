//! `mend wallet` against real nodes: being paid, paying, hurrying, signing elsewhere, coming back from words.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Node, mend};

pub(crate) const REGTEST: [&str; 2] = ["--genesis", "bitcoin-regtest"];
/// Nobody's: blocks that only have to be there pay to it.
pub(crate) const ELSEWHERE: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

/// Wallets in one folder.
pub(crate) struct Wallets {
    folder: TempDir,
}

impl Wallets {
    pub(crate) fn new() -> Wallets {
        Wallets {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.json"))
    }

    /// Runs a wallet command with `input` on its standard input.
    pub(crate) fn run(&self, node: &Node, name: &str, args: &[&str], input: &str) -> Output {
        self.run_by(node.field("rpc"), node, name, args, input)
    }

    /// As [`Wallets::run`], with another way to the node.
    pub(crate) fn run_by(
        &self,
        url: &str,
        node: &Node,
        name: &str,
        args: &[&str],
        input: &str,
    ) -> Output {
        let mut all = vec!["wallet", "--json", "--wallet", name, "--wallet-dir"];
        all.push(self.folder.path().to_str().expect("text"));
        all.extend(["--rpc", url, "--cookie-file"]);
        all.push(node.field("cookie"));
        all.extend(args);
        let mut child = mend(&all)
            .env("MEND_WALLET_PASSPHRASE", "correct horse")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mend starts");
        let mut stdin = child.stdin.take().expect("piped");
        // A command that fails early may not read it.
        let _ = std::io::Write::write_all(&mut stdin, input.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("ended")
    }

    /// The JSON of a command that must succeed.
    #[track_caller]
    pub(crate) fn told(&self, node: &Node, name: &str, args: &[&str]) -> Value {
        json(&self.run(node, name, args, ""))
    }

    /// The one line of a command that must fail, and leave the wallet file as it was.
    #[track_caller]
    pub(crate) fn refused(&self, node: &Node, name: &str, args: &[&str], input: &str) -> String {
        let output = self.run(node, name, args, input);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
        assert!(output.stdout.is_empty());
        let line = text.lines().last().unwrap_or_default().to_owned();
        assert!(line.starts_with("error: "), "{text}");
        line
    }

    /// Makes a wallet; its words.
    pub(crate) fn create(&self, node: &Node, name: &str) -> String {
        let made = self.told(node, name, &["create"]);
        made["words"].as_str().expect("words").to_owned()
    }

    /// A new address.
    pub(crate) fn address(&self, node: &Node, name: &str) -> String {
        text(&self.told(node, name, &["address"])["address"])
    }

    /// Pays, and tells the transaction id.
    pub(crate) fn send(&self, node: &Node, name: &str, to: &str, amount: &str) -> String {
        let sent = self.told(node, name, &["send", to, amount]);
        assert_eq!(sent["sent"], true);
        text(&sent["txid"])
    }

    /// What is confirmed, pending and immature.
    pub(crate) fn balance(&self, node: &Node, name: &str) -> [String; 3] {
        let told = self.told(node, name, &["balance"]);
        ["confirmed", "pending", "immature"].map(|kind| text(&told[kind]))
    }

    /// A line of the history.
    #[track_caller]
    pub(crate) fn payment(&self, node: &Node, name: &str, txid: &str) -> Value {
        let history = self.told(node, name, &["history"]);
        let found = history
            .as_array()
            .expect("a list")
            .iter()
            .find(|row| row["txid"] == txid);
        found
            .unwrap_or_else(|| panic!("no {txid} in {history:#}"))
            .clone()
    }
}

/// The JSON that a command printed.
#[track_caller]
pub(crate) fn json(output: &Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

pub(crate) fn mine(node: &Node, count: u32, address: &str) -> Vec<String> {
    let list = node.call(&["generatetoaddress", &count.to_string(), address]);
    serde_json::from_str(&list).expect("hashes")
}

#[test]
fn mined_coins_are_paid_confirmed_and_found_again_from_the_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(folder.path(), &REGTEST);
    let wallets = Wallets::new();
    let words = wallets.create(&node, "alice");
    wallets.told(
        &node,
        "bob",
        &["create", "--account", "segwit", "--words", "24"],
    );
    let alice = wallets.address(&node, "alice");
    let bob = wallets.address(&node, "bob");
    assert!(alice.starts_with("bcrt1p") && bob.starts_with("bcrt1q"));

    mine(&node, 1, &alice);
    mine(&node, 98, ELSEWHERE);
    let told = wallets.told(&node, "alice", &["balance"]);
    assert_eq!(told["immature"], "50.00000000");
    assert_eq!(told["immature_next_spendable_in_blocks"], 1);
    let error = wallets.refused(&node, "alice", &["send", &bob, "1"], "");
    assert!(error.contains("not enough spendable coins"), "{error}");
    mine(&node, 1, ELSEWHERE);
    assert_eq!(
        wallets.balance(&node, "alice"),
        ["50.00000000", "0.00000000", "0.00000000"]
    );

    let dry = wallets.told(&node, "alice", &["send", &bob, "1.5", "--dry-run"]);
    assert_eq!(dry["sent"], false);
    assert!(node.call(&["getmempoolinfo"]).contains("\"size\": 0"));
    let txid = wallets.send(&node, "alice", &bob, "1.5");
    assert_eq!(wallets.balance(&node, "bob")[1], "1.50000000");
    assert_eq!(wallets.payment(&node, "bob", &txid)["state"], "pending");
    mine(&node, 1, ELSEWHERE);
    let row = wallets.payment(&node, "bob", &txid);
    assert_eq!(
        (&row["state"], &row["height"], &row["change"]),
        (&"confirmed".into(), &101.into(), &"+1.50000000".into())
    );
    let [left, ..] = wallets.balance(&node, "alice");
    let fee = text(&wallets.payment(&node, "alice", &txid)["fee"]);
    assert!(
        left.starts_with("48.49999") && fee.starts_with("0.00000"),
        "{left} {fee}"
    );

    // Lost and restored: the same coins, and the change address is not given away again.
    let output = wallets.run(&node, "again", &["restore"], &words);
    assert!(output.status.success());
    assert_eq!(wallets.balance(&node, "again")[0], left);
    assert_eq!(
        wallets.told(&node, "again", &["utxos"]),
        wallets.told(&node, "alice", &["utxos"])
    );
    assert_ne!(wallets.address(&node, "again"), alice);
    // And so does the whole chain, read again.
    wallets.told(&node, "alice", &["rescan", "--gap", "100"]);
    assert_eq!(wallets.balance(&node, "alice")[0], left);

    // Several recipients, then everything.
    let sent = wallets.told(&node, "alice", &["send", &bob, "0.1", ELSEWHERE, "2000sat"]);
    assert_eq!(sent["sent"], true);
    wallets.send(&node, "alice", &bob, "all");
    mine(&node, 1, ELSEWHERE);
    assert_eq!(wallets.balance(&node, "alice"), ["0.00000000"; 3]);
    assert_eq!(
        wallets
            .told(&node, "bob", &["utxos"])
            .as_array()
            .map(Vec::len),
        Some(3)
    );
}

#[test]
fn coins_of_genesis_can_be_spent_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let wallets = Wallets::new();
    let first = Node::start(&folder.path().join("first"), &REGTEST);
    let words = wallets.create(&first, "elsewhere");
    let address = wallets.address(&first, "elsewhere");
    let file = folder.path().join("genesis.json");
    let file = file.to_str().expect("text");
    let alloc = format!("{address}=25.5");
    crate::process::told(&[
        "genesis", "new", "--name", "lab", "--fixed", "--limit", "207fffff", "--alloc", &alloc,
        "--out", file,
    ]);
    let node = Node::start(&folder.path().join("second"), &["--genesis", file]);
    assert!(
        wallets
            .run(&node, "here", &["restore"], &words)
            .status
            .success()
    );
    assert_eq!(wallets.balance(&node, "here")[0], "25.50000000");
    let txid = wallets.send(&node, "here", ELSEWHERE, "25");
    mine(&node, 1, ELSEWHERE);
    assert_eq!(wallets.payment(&node, "here", &txid)["state"], "confirmed");

    // The same words on the other network are another wallet, and its node is refused.
    let error = wallets.refused(&node, "elsewhere", &["balance"], "");
    assert!(
        error.contains("genesis") && error.contains("--rpc"),
        "{error}"
    );
    assert_eq!(wallets.balance(&first, "elsewhere")[0], "0.00000000");
}

#[test]
fn payments_that_wait_are_hurried() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(folder.path(), &REGTEST);
    let wallets = Wallets::new();
    wallets.create(&node, "alice");
    wallets.create(&node, "bob");
    mine(&node, 2, &wallets.address(&node, "alice"));
    mine(&node, 100, ELSEWHERE);
    let bob = wallets.address(&node, "bob");

    let old = wallets.send(&node, "alice", &bob, "1");
    let error = wallets.refused(&node, "alice", &["bump", &old, "--fee-rate", "2"], "");
    assert!(error.contains("--fee-rate"), "{error}");
    let error = wallets.refused(&node, "bob", &["bump", &old], "");
    assert!(error.contains("cpfp"), "{error}");
    let new = text(&wallets.told(&node, "alice", &["bump", &old])["txid"]);
    assert!(node.cli(&["getmempoolentry", &new]).status.success());
    assert!(!node.cli(&["getmempoolentry", &old]).status.success());
    let row = wallets.payment(&node, "alice", &old);
    assert_eq!(
        (&row["state"], &row["replaced_by"]),
        (&"replaced".into(), &new.as_str().into())
    );
    assert_eq!(wallets.balance(&node, "bob")[1], "1.00000000");

    // Its receiver hurries it too.
    let child = wallets.told(&node, "bob", &["cpfp", &new, "--fee-rate", "20"]);
    let entry: Value =
        serde_json::from_str(&node.call(&["getmempoolentry", &text(&child["txid"])]))
            .expect("JSON");
    let fees = entry["fees"]["ancestor"].as_f64().expect("BTC") * 1e8;
    let rate = fees / entry["ancestorsize"].as_f64().expect("vbytes");
    assert!((20.0..20.5).contains(&rate), "{rate} sat/vB");
    let error = wallets.refused(&node, "bob", &["cpfp", &new], "");
    assert!(error.contains("no pending, unspent output"), "{error}");

    // Everything was paid: only what is paid can pay more.
    mine(&node, 1, ELSEWHERE);
    let all = wallets.send(&node, "alice", &bob, "all");
    let error = wallets.refused(&node, "alice", &["bump", &all], "");
    assert!(error.contains("--from-payment"), "{error}");
    wallets.told(&node, "alice", &["bump", &all, "--from-payment"]);
    mine(&node, 1, ELSEWHERE);
    assert_eq!(wallets.balance(&node, "alice"), ["0.00000000"; 3]);
    let error = wallets.refused(&node, "alice", &["bump", &new], "");
    assert!(error.contains("confirmed already"), "{error}");
}

#[test]
fn a_payment_is_made_here_signed_there_and_sent_from_here() {
    for account in ["taproot", "segwit"] {
        let folder = tempfile::tempdir().expect("a folder");
        let node = Node::start(folder.path(), &REGTEST);
        let wallets = Wallets::new();
        wallets.told(&node, "cold", &["create", "--account", account]);
        let address = wallets.address(&node, "cold");
        mine(&node, 1, &address);
        mine(&node, 100, ELSEWHERE);

        let export = wallets.told(&node, "cold", &["export"]);
        assert_eq!(export[0]["next_index"], 1);
        let file = wallets.path("export");
        std::fs::write(&file, export.to_string()).expect("written");
        wallets.told(&node, "hot", &["import", file.to_str().expect("text")]);
        std::fs::remove_file(&file).expect("removed");
        assert_eq!(wallets.balance(&node, "hot")[0], "50.00000000");
        assert_ne!(wallets.address(&node, "hot"), address, "given away already");
        let [receive, change] = [0, 1].map(|index| text(&export[index]["desc"]));
        wallets.told(&node, "by-hand", &["watch", &receive, &change]);
        assert_eq!(wallets.balance(&node, "by-hand")[0], "50.00000000");
        let error = wallets.refused(&node, "hot", &["send", ELSEWHERE, "1"], "");
        assert!(error.contains("only watches"), "{error}");

        let made = wallets.told(&node, "hot", &["psbt", "create", ELSEWHERE, "7"]);
        let unsigned = text(&made["psbt"]);
        let error = wallets.refused(&node, "hot", &["psbt", "send"], &unsigned);
        assert!(error.contains("signatures are missing"), "{error}");
        let output = wallets.run(&node, "cold", &["psbt", "sign"], &unsigned);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            told.contains(&format!("pays 7.00000000 BTC to {ELSEWHERE}")),
            "{told}"
        );
        let signed = text(&json(&output)["psbt"]);
        let error = wallets.refused(&node, "cold", &["psbt", "sign"], &signed);
        assert!(error.contains("nothing to sign"), "{error}");
        let done = json(&wallets.run(&node, "hot", &["psbt", "finalize", &signed], ""));
        assert_eq!(done["complete"], true);
        let sent = json(&wallets.run(&node, "hot", &["psbt", "send"], &text(&done["psbt"])));
        assert_eq!(sent["txid"], done["txid"]);
        mine(&node, 1, ELSEWHERE);
        let row = wallets.payment(&node, "cold", &text(&sent["txid"]));
        assert_eq!(row["state"], "confirmed");
        let error = wallets.refused(&node, "hot", &["psbt", "send", "nonsense"], "");
        assert!(error.contains("not a PSBT"), "{error}");
    }
}
