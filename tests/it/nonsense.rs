//! What people type by mistake: each is refused at once, in words that name the cause and the remedy.

use std::process::Output;
use std::time::{Duration, Instant};

use crate::process::mend;

/// What was typed, the cause and the remedy that must be named.
const NONSENSE: &[(&str, &str, &str)] = &[
    ("nodes", "unrecognized subcommand 'nodes'", "'node'"),
    (
        "node --log foo",
        "\"foo\" is not a level",
        "info,chain=debug",
    ),
    (
        "node --log info,chian=debug",
        "no part \"chian\"",
        "parts are chain",
    ),
    (
        "node --peer nonsense",
        "\"nonsense\" is not an address of a node",
        "127.0.0.1:9333",
    ),
    (
        "node --connect 127.0.0.1",
        "is not an address of a node",
        "127.0.0.1:9333",
    ),
    (
        "node --listen nonsense",
        "is not an address of a node",
        "127.0.0.1:9333",
    ),
    ("node --threads 0", "'0' for '--threads", "from 1 to"),
    ("node --rate 0", "is not a rate", "200k"),
    ("node --scrub fast", "is not a rate", "200k"),
    ("node --dbcache 0", "'0' for '--dbcache", "from 1 to"),
    (
        "node --dbcache 99999999999",
        "'99999999999' for '--dbcache",
        "from 1 to",
    ),
    ("node --mempool -5", "'-5'", "--help"),
    (
        "node --rpc nonsense",
        "nonsense is not HOST:PORT",
        "127.0.0.1:18443",
    ),
    (
        "node --stratum nonsense",
        "nonsense is not HOST:PORT",
        "127.0.0.1:3333",
    ),
    (
        "node --genesis nofile",
        "cannot read the genesis file nofile",
        "bitcoin-regtest",
    ),
    ("node --mine nonsense", "nonsense", "mend wallet address"),
    ("node --clock-offset x", "'x' for '--clock-offset", "--help"),
    ("mine", "the address", "--address"),
    (
        "mine --address nonsense",
        "nonsense is not an address",
        "mend wallet address",
    ),
    (
        "mine --threads 0 --address x",
        "at least 1",
        "leave --threads out",
    ),
    ("mine --bench --seconds 0", "'0' for '--seconds", "1..=3600"),
    ("genesis new --spacing soon", "\"soon\" is no length", "10m"),
    (
        "genesis new --spacing 0",
        "pow.spacing_s: got 0",
        "1 to 86400",
    ),
    (
        "genesis new --limit 1d00ffff",
        "4.3 billion hashes",
        "1e00ffff",
    ),
    (
        "genesis new --limit hard",
        "hard is not compact bits",
        "1e7fffff",
    ),
    (
        "genesis new --alloc x=1",
        "x=1 is not ADDRESS=BTC",
        "bcrt1q...=100",
    ),
    (
        "genesis show bitcoin-regtest",
        "has no genesis.json",
        "mend genesis check bitcoin-regtest",
    ),
    (
        "genesis show nonsense",
        "nonsense is no built-in network",
        "mend-local and bitcoin-regtest",
    ),
    (
        "genesis check nofile",
        "cannot read the genesis file nofile",
        "bitcoin-regtest",
    ),
    ("cli", "required arguments", "--help"),
    (
        "cli -colour=1 getblockcount",
        "unknown option -colour",
        "mend cli --help",
    ),
    (
        "cli -rpcport=x getblockcount",
        "-rpcport needs a whole number",
        "rpcport=x",
    ),
    (
        "cli -datadir=/nowhere getblockcount",
        "cannot read the cookie file /nowhere/.cookie",
        "start the node",
    ),
    (
        "cli --data-dir /nowhere getblockcount",
        "cannot read the cookie file /nowhere/.cookie",
        "start the node",
    ),
    (
        "compare nonsense nonsense",
        "nonsense is not an RPC address",
        "http://127.0.0.1:18443",
    ),
    (
        "wallet --wallet-dir {dir} --no-encryption create --words 13",
        "'13'",
        "12, 15, 18, 21 or 24",
    ),
    (
        "wallet --wallet-dir {dir} --no-encryption restore abandon ability",
        "invalid word count: 2",
        "12, 15, 18, 21, or 24",
    ),
    ("wallet --wallet-dir {dir} send x 1BTC", "", "bcrt1"),
    (
        "wallet --wallet-dir {dir} send bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080 lots",
        "`lots` is not an amount",
        "0.5",
    ),
    (
        "verify --data-dir {dir}/nowhere",
        "there is no chain in",
        "--data-dir",
    ),
    (
        "import nofile --data-dir {dir}/new",
        "cannot read nofile",
        "check the path",
    ),
    (
        "export nofile --data-dir {dir}/nowhere",
        "there is no chain in",
        "--data-dir",
    ),
    (
        "restore nodir --data-dir {dir}/new",
        "nodir/manifest.json",
        "check that the directory",
    ),
    ("lab run nofile", "cannot read nofile", "mend lab list"),
    (
        "lab run scenarios/clean-split.toml --set colour=1",
        "unknown field `colour`",
        "expected one of",
    ),
    (
        "lab run scenarios/clean-split.toml --set duration=10",
        "duration",
        "expected a string",
    ),
    (
        "lab sweep scenarios/clean-split.toml --seeds 5..1",
        "\"5..1\" is no range",
        "0..100",
    ),
    (
        "testnet --dir {dir}/t up --nodes 0",
        "0 is not in 1..=100",
        "--help",
    ),
    (
        "testnet --dir {dir}/t up --miner 9:1k",
        "no node 9",
        "0 to 4",
    ),
    (
        "testnet --dir {dir}/t up --spacing never",
        "\"never\" is no length",
        "10m",
    ),
    (
        "testnet --dir {dir}/t status",
        "no testnet runs",
        "mend testnet up",
    ),
    (
        "testnet --dir {dir}/t partition nonsense",
        "\"nonsense\" is not a node number",
        "0,1/2,3,4",
    ),
    (
        "testnet --dir {dir}/t kill 0,1",
        "no testnet runs",
        "mend testnet up",
    ),
    (
        "testnet --dir {dir}/t link 0-1 --delay 50",
        "\"50\" is no time with its unit",
        "50ms",
    ),
    ("testnet --dir {dir}/t pay 0 1 lots", "'lots'", "1.5"),
    ("completions tcsh", "'tcsh'", "bash"),
];

fn said(line: &str, dir: &str) -> Output {
    let line = line.replace("{dir}", dir);
    let args: Vec<&str> = line.split_whitespace().collect();
    let mut command = mend(&args);
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("HOME", dir)
        .env("MEND_WALLET_PASSPHRASE", "word");
    // What is taken for sense after all, and goes on, must not keep the test.
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("mend runs");
    let start = Instant::now();
    while child.try_wait().expect("waited").is_none() {
        if start.elapsed() > Duration::from_secs(20) {
            child.kill().expect("killed");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().expect("it has ended")
}

#[test]
fn nonsense_is_refused_with_cause_and_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().to_str().expect("text");
    let mut wrong = Vec::new();
    for (line, cause, remedy) in NONSENSE {
        let output = said(line, dir);
        let errors = String::from_utf8(output.stderr).expect("text");
        let first: Vec<&str> = errors
            .lines()
            .filter(|line| line.starts_with("error: "))
            .collect();
        let code = output.status.code();
        let refused = matches!(code, Some(1 | 2)) && first.len() == 1;
        if !refused
            || !errors.contains(cause)
            || !errors.contains(remedy)
            || errors.contains("panicked")
        {
            wrong.push(format!("mend {line}\n  {code:?} {errors}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Units that are printed are read as well.
#[test]
fn lengths_of_time_and_lists_are_read_as_they_are_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().to_str().expect("text");
    let output = said("genesis new --spacing 10m --half-life 2h", dir);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("\"spacing_s\": 600"), "{text}");
    assert!(text.contains("\"half_life_s\": 7200"), "{text}");
}
