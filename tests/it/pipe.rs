//! A reader that goes away, as in `mend ... | head -1`, ends a command quietly, and never a node.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::process::{Node, PATIENCE, mend, told};

const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

/// What a command says whose standard output nobody reads.
fn unread(args: &[&str]) -> Output {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let left = tempfile::tempdir().expect("a folder");
    let mut command = mend(args);
    command.env("TMPDIR", left.path()).stdout(writer);
    let output = command.output().expect("mend runs");
    let left = std::fs::read_dir(left.path()).expect("a folder").count();
    assert_eq!(left, 0, "{args:?} leaves something behind");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.contains("panicked"), "{args:?}: {errors}");
    output
}

/// The subcommands that `mend ARGS --help` names.
fn subcommands(args: &[&str]) -> BTreeSet<String> {
    let help = told(&[args, &["--help"]].concat());
    let commands = help.split("Commands:\n").nth(1).expect("subcommands");
    let names = commands
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_closed_pipe_ends_each_command_without_a_word() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let (data, copy, other, third) = (path("data"), path("copy"), path("other"), path("third"));
    let (blocks, runs, run) = (
        path("blk.dat"),
        path("runs"),
        path("runs/clean-split-sim-1-1"),
    );
    let node = Node::start(Path::new(&data), &["--genesis", "bitcoin-regtest"]);
    node.call(&["-generate", "3", ADDRESS]);
    let rpc = node.field("rpc");
    let cookie = node.field("cookie");
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/clean-split.toml");
    let on = |command: &[&str]| -> Vec<String> {
        let more = ["--genesis", "bitcoin-regtest", "--data-dir", &data];
        [command, &more]
            .concat()
            .iter()
            .map(|word| (*word).to_owned())
            .collect()
    };
    let words = |command: &[&str]| command.iter().map(|word| (*word).to_owned()).collect();
    let datadir = format!("-datadir={data}");
    let while_up: Vec<Vec<String>> = vec![
        words(&["cli", &datadir, "getblockchaininfo"]),
        words(&["compare", &data, &data]),
        on(&["backup", &copy]),
        words(&["mine", "--bench", "--seconds", "1", "--threads", "1"]),
    ];
    let wallet = [
        "--wallet-dir",
        &other,
        "--rpc",
        rpc,
        "--cookie-file",
        cookie,
    ];
    let offline: Vec<Vec<String>> = vec![
        on(&["verify"]),
        on(&["export", &blocks]),
        words(&[
            "import",
            &blocks,
            "--genesis",
            "bitcoin-regtest",
            "--data-dir",
            &third,
        ]),
        words(&[
            "restore",
            &copy,
            "--verify-only",
            "--genesis",
            "bitcoin-regtest",
        ]),
        words(&["completions", "bash"]),
        words(&["man"]),
        words(&["bitcoind", "-version"]),
        words(&["genesis", "show"]),
        words(&["genesis", "check", "genesis.json"]),
        words(&["lab", "check", scenario]),
        words(&["lab", "run", scenario, "--runs", &runs]),
        words(&["lab", "report", &run]),
        words(&["testnet", "demo"]),
    ];
    let mut covered = BTreeSet::from(["node".to_owned()]);
    let mut quiet = |args: &[String]| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = unread(&args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(141), "{args:?}: {errors}");
        assert_eq!(errors, "", "{args:?}");
        covered.insert(args[0].to_owned());
    };
    while_up.iter().for_each(|args| quiet(args));
    let unencrypted = [&["wallet", "create", "--no-encryption"], &wallet[..]].concat();
    quiet(
        &unencrypted
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>(),
    );
    quiet(&words(&[&["wallet", "address"], &wallet[..]].concat()));
    drop(node);
    offline.iter().for_each(|args| quiet(args));
    assert_eq!(covered, subcommands(&[]), "every command is here");
}

#[test]
fn every_help_may_go_unread() {
    let mut asked = 0;
    for command in subcommands(&[]) {
        unread(&[&command, "--help"]);
        asked += 1;
        if ["wallet", "testnet", "lab", "genesis"].contains(&command.as_str()) {
            for sub in subcommands(&[&command]) {
                unread(&[&command, &sub, "--help"]);
                asked += 1;
            }
        }
    }
    assert!(asked > 40, "{asked}");
}

#[test]
fn a_full_disk_behind_standard_output_is_told() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("a device");
    let output = mend(&["genesis", "show"])
        .stdout(full)
        .output()
        .expect("mend runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.starts_with("error: cannot write to standard output: No space left"),
        "{errors}"
    );
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn a_node_runs_on_when_nobody_reads_what_it_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let data = data.to_str().expect("text");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut node = mend(&["node", "--data-dir", data, "--genesis", "bitcoin-regtest"])
        .args([
            "--rpc",
            "127.0.0.1:0",
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
            "--exit-with-stdin",
        ])
        .stdin(Stdio::piped())
        .stdout(writer.try_clone().expect("a pipe"))
        .stderr(writer)
        .spawn()
        .expect("mend runs");
    let start = std::time::Instant::now();
    let datadir = format!("-datadir={data}");
    let asks = |args: &[&str]| {
        let args = [&["cli", &datadir], args].concat();
        mend(&args).output().expect("mend runs").status.success()
    };
    while !asks(&["getblockcount"]) {
        assert!(start.elapsed() < PATIENCE, "the node does not answer");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(asks(&["-generate", "3", ADDRESS]), "it works");
    assert!(asks(&["stop"]));
    let status = node.wait().expect("it ends");
    assert!(status.success(), "{status}");
}
