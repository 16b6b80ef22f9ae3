//! Scenario files on real processes.

use std::process::Command;
use std::time::Duration;

use testnet::real::play::{Player, Schedule, options};
use testnet::real::{LabError, Layout, Network, Supervisor};
use testnet::record::Record;
use testnet::scenario::Scenario;
use testnet::tell::Report;

/// A minute of the file takes a second.
const SPLIT: &str = r#"
    name = "short-split"
    nodes = 4
    topology = "complete"
    duration = "16m"
    spacing = "1m"

    [[miner]]
    node = 0
    share = 2

    [[miner]]
    node = 3
    share = 1

    [link]
    delay_ms = 5

    [payments]
    every = "20s"
    accounts = 4
    until = "12m"

    [[event]]
    at = "2m"
    do = "partition"
    groups = "0,1/2,3"

    [[event]]
    at = "3m"
    do = "crash"
    node = 1

    [[event]]
    at = "4m"
    do = "restart"
    node = 1

    [[event]]
    at = "5m"
    do = "pause"
    node = 2

    [[event]]
    at = "6m"
    do = "resume"
    node = 2

    [[event]]
    at = "8m"
    do = "mining"
    node = 3
    share = 0

    [[event]]
    at = "10m"
    do = "heal"

    [expect]
    one_tip_within = "60m"
"#;

#[test]
fn the_file_of_a_simulation_is_played_on_real_processes() {
    let scenario = Scenario::from_toml(SPLIT).unwrap();
    let schedule = Schedule::new(&scenario, None, 1).unwrap();
    assert_eq!(schedule.duration, Duration::from_secs(16));
    let directory = tempfile::tempdir().unwrap();
    let options = options(env!("CARGO_BIN_EXE_mend"), &schedule, 1);
    let network = Network::start(Layout::new(directory.path()), &options).unwrap();
    let supervisor = Supervisor::new(network).unwrap();
    let mut told = Vec::new();
    let path = directory.path().join("record.jsonl");
    let player = Player::new(&supervisor, &schedule, 1, &path).unwrap();
    let record = player.play(|what| told.push(what.to_owned()));
    supervisor.end();
    let record = record.unwrap();
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    assert!(testnet::record::read(file).unwrap() == record);
    let report = Report::of(&record);
    let figures = &report.figures;
    assert_eq!(figures.tips, [4], "{report}");
    assert!(figures.height > 0, "{report}");
    assert!(figures.faults["kill"] == 1 && record.nodes[1].exits.len() == 1);
    assert!(record.handed.len() > 5 && record.coins.len() == 4);
    assert!(report.ok, "{report}");
    let confirmed = figures
        .payments
        .iter()
        .filter(|(kind, _)| kind.is_confirmed());
    assert!(confirmed.count() > 0, "{report}");
    let [heal] = report.heals.as_slice() else {
        panic!("one healing: {report}");
    };
    assert!(heal.is_whole(), "{report}");
    for step in [
        "partition 0,1/2,3",
        "kill node 1",
        "end of kill node 1",
        "pause node 2",
    ] {
        assert!(told.iter().any(|line| line == step), "{step}: {told:?}");
    }
}

const QUIET: &str = r#"
    name = "quiet"
    nodes = 3
    topology = "line"
    duration = "20m"
    spacing = "1m"
    miner = [{ node = 0, share = 1 }]
"#;

/// A network that runs a file, and what plays it.
fn played(text: &str, meanwhile: impl FnOnce(&Supervisor) + Send) -> Result<Record, LabError> {
    let scenario = Scenario::from_toml(text).unwrap();
    let schedule = Schedule::new(&scenario, None, 1).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let options = options(env!("CARGO_BIN_EXE_mend"), &schedule, 1);
    let network = Network::start(Layout::new(directory.path()), &options).unwrap();
    let supervisor = Supervisor::new(network).unwrap();
    let record = directory.path().join("record.jsonl");
    let played = std::thread::scope(|scope| {
        scope.spawn(|| meanwhile(&supervisor));
        Player::new(&supervisor, &schedule, 1, &record)?.play(|_| {})
    });
    supervisor.end();
    played
}

#[cfg(unix)]
#[test]
fn a_node_that_dies_fails_the_run_and_is_named() {
    use rustix::process::{Pid, Signal, kill_process};
    let outcome = played(QUIET, |supervisor| {
        let pid = supervisor.network().manifest().nodes[2].pid.unwrap();
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
    });
    let error = outcome.unwrap_err();
    assert!(matches!(error, LabError::Died { node: 2, .. }), "{error}");
    assert!(error.to_string().contains("SIGKILL"), "{error}");
}

#[test]
fn clocks_of_real_nodes_go_wrong_and_right_again() {
    // Three hours ahead is beyond the rule: the others take no block of this node while that lasts.
    let text = QUIET.replace("duration", "event = [{ at = \"3m\", do = \"clock\", node = 0, offset_s = 10800, lasting = \"9m\" }]\nduration");
    let mut fell_behind = 0;
    let outcome = played(&text, |supervisor| {
        let probes = supervisor.network().probes();
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_secs(20) {
            let heights = [0, 2].map(|node| probes[node].chain().map_or(0, |chain| chain.blocks));
            fell_behind = fell_behind.max(heights[0].saturating_sub(heights[1]));
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let record = outcome.unwrap();
    let left_out = record.start.left_out;
    assert!(left_out.is_empty(), "{left_out:?}");
    assert!(
        fell_behind >= 2,
        "node 2 was {fell_behind} blocks behind at most"
    );
}

#[test]
fn a_file_that_expects_what_does_not_happen_fails() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("wishful.toml");
    std::fs::write(
        &file,
        "name = \"wishful\"\nnodes = 2\ntopology = \"line\"\nduration = \"3s\"\nspacing = \"1s\"\n[expect]\nreorg_of_at_least = 50\n",
    )
    .unwrap();
    let runs = directory.path().join("runs");
    let output = Command::new(env!("CARGO_BIN_EXE_mend"))
        .args(["lab", "run", "--real", "--json", "--runs"])
        .args([&runs, &file])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("expected at least 50"), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], false);
    let failed = report["checks"].as_array().unwrap().iter();
    let failed: Vec<_> = failed.filter(|check| check["verdict"] == "fails").collect();
    assert_eq!(failed.len(), 1, "{report}");
    assert_eq!(failed[0]["name"], "deepest reorg");
    // What is needed to see why stays.
    let folder = runs.join("wishful-real-1-1");
    for file in [
        "record.jsonl",
        "report.json",
        "report.html",
        "nodes/node0.log",
    ] {
        assert!(folder.join(file).is_file(), "{file}");
    }
}

#[test]
fn what_cannot_be_played_is_one_line_with_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("crowd.toml");
    std::fs::write(&file, "name = \"crowd\"\nnodes = 1000\nduration = \"1h\"\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mend"))
        .args(["lab", "run", "--real", "--runs"])
        .args([&directory.path().join("runs"), &file])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("at most 64 real processes"), "{said}");
    assert!(said.contains("leave out --real"), "{said}");
}
