//! Miners over TCP on a running node: blocks, payments, books, and floods that are borne.

use std::path::Path;

use node_stratum::StratumOptions;
use node_stratum::limits::{MAX_CONNECTIONS, MAX_LINE_BYTES};
use serde_json::{Value, json};

use crate::stratum_tcp::Miner;
use crate::support_node::{ADDRESS, RunningNode, eventually, options};

fn start(dir: &Path) -> RunningNode {
    let mut options = options(dir);
    options.stratum = Some(StratumOptions {
        listen: ([127, 0, 0, 1], 0).into(),
        address: Some(
            ADDRESS
                .parse::<bitcoin::Address<_>>()
                .expect("valid")
                .assume_checked(),
        ),
    });
    RunningNode::start_with(options)
}

fn miner(node: &RunningNode) -> Miner {
    Miner::connect(node.started.stratum.as_ref().expect("a URL"))
}

fn height(node: &RunningNode) -> u64 {
    node.call("getblockcount", json!([]))
        .as_u64()
        .expect("a number")
}

fn info(node: &RunningNode) -> Value {
    node.call("getstratuminfo", json!([]))
}

#[test]
fn blocks_are_mined_from_height_one_and_everybody_gets_the_next_job() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = start(folder.path());
    let (mut first, mut second) = (miner(&node), miner(&node));
    first.log_in("rig.1", false);
    second.log_in(ADDRESS, true);
    assert_ne!(first.extra_nonce_1, second.extra_nonce_1);
    for count in 1..=20_u64 {
        // In turns, so that each has to take up what the other found.
        let (finder, other) = if count % 2 == 1 {
            (&mut first, &mut second)
        } else {
            (&mut second, &mut first)
        };
        let parent = finder.job.clone().expect("a job").previous;
        let answer = finder.mine();
        assert_eq!(answer["result"], true, "{answer}");
        assert_eq!(height(&node), count, "on the chain before it is answered");
        for miner in [finder, other] {
            assert!(miner.wait_for_another_parent(&parent).clean);
        }
    }
    let hash = node.call("getblockhash", json!([20]));
    let block = node.call("getblock", json!([hash, 2]));
    let paid = &block["tx"][0]["vout"][0]["scriptPubKey"]["address"];
    assert_eq!(paid, ADDRESS);
    let versions: Vec<i64> = (1..=20)
        .map(|at| node.call("getblockhash", json!([at])))
        .map(|hash| node.call("getblockheader", json!([hash])))
        .map(|header| header["version"].as_i64().expect("a number"))
        .collect();
    assert!(
        versions
            .iter()
            .step_by(2)
            .all(|version| *version == 0x2000_0000)
    );
    assert!(
        versions
            .iter()
            .skip(1)
            .step_by(2)
            .all(|version| *version != 0x2000_0000)
    );
    let info = info(&node);
    assert_eq!(info["blocks"]["active"], 20);
    assert_eq!(info["shares"]["accepted"], 20);
    assert_eq!(info["connections"].as_array().map(Vec::len), Some(2));
    assert_eq!(info["connections"][0]["agent"], "scripted/1");
}

#[test]
fn a_late_share_is_refused_and_a_good_one_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = start(folder.path());
    let mut miner = miner(&node);
    miner.log_in("rig", false);
    let (job, share) = miner.find_share();
    node.mine(1);
    let answer = miner.submit(&job, &share);
    assert_eq!(answer["error"][0], 21, "{answer}");
    miner.wait_for_another_parent(&job.previous);
    assert_eq!(miner.mine()["result"], true);
    assert_eq!(height(&node), 2);
    let shares = info(&node)["shares"].clone();
    assert_eq!(
        (&shares["accepted"], &shares["stale"]),
        (&json!(1), &json!(1))
    );
}

#[test]
fn shares_and_blocks_are_in_the_metrics() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = start(folder.path());
    let mut miner = miner(&node);
    miner.log_in("rig", false);
    let (job, share) = miner.find_share();
    assert_eq!(miner.submit(&job, &share)["result"], true);
    assert_eq!(miner.submit(&job, &share)["error"][0], 21);
    // The books outlive the connection.
    drop(miner);
    eventually("the miner to be gone", || {
        info(&node)["connections"] == json!([])
    });
    let mut page = String::new();
    let address = node.started.rpc.strip_prefix("http://").expect("a URL");
    let mut stream = std::net::TcpStream::connect(address).expect("connected");
    std::io::Write::write_all(
        &mut stream,
        b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
    )
    .expect("sent");
    std::io::Read::read_to_string(&mut stream, &mut page).expect("a page");
    for line in [
        "mend_stratum_connections 0\n",
        "mend_stratum_shares_total{outcome=\"accepted\"} 1\n",
        "mend_stratum_shares_total{outcome=\"stale\"} 1\n",
        "mend_stratum_blocks_total{outcome=\"active\"} 1\n",
    ] {
        assert!(page.contains(line), "{line} in {page}");
    }
}

#[test]
fn endless_lines_and_junk_end_only_the_connection_they_come_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = start(folder.path());
    let mut honest = miner(&node);
    honest.log_in("rig", false);
    for bytes in [vec![b'x'; 4 * MAX_LINE_BYTES], b"junk\n".repeat(200)] {
        let mut hostile = miner(&node);
        let mut answers = 0;
        // The node may close the connection while this is still sending.
        let _ = hostile.try_send(&bytes);
        while let Some(line) = hostile.read() {
            assert_eq!(line["error"][0], 20);
            answers += 1;
        }
        assert!(answers <= 100, "{answers}");
    }
    assert_eq!(honest.mine()["result"], true);
    assert_eq!(height(&node), 1);
}

#[test]
fn a_flood_of_requests_is_slowed_and_the_node_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = start(folder.path());
    let mut honest = miner(&node);
    honest.log_in("rig", false);
    let address = node.started.stratum.clone().expect("a URL");
    let flood = std::thread::spawn(move || {
        let mut hostile = Miner::connect(&address);
        let ping = b"{\"id\":1,\"method\":\"mining.ping\"}\n".repeat(1_500);
        let _ = hostile.try_send(&ping);
        // More than the burst, so the rest takes a second; all are answered, none is lost.
        (0..1_500).filter(|_| hostile.read().is_some()).count()
    });
    for count in 1..=5 {
        let parent = honest.job.clone().expect("a job").previous;
        assert_eq!(honest.mine()["result"], true);
        assert_eq!(height(&node), count);
        honest.wait_for_another_parent(&parent);
    }
    assert_eq!(flood.join().expect("no panic"), 1_500);
}

#[test]
fn there_are_not_too_many_connections() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = start(folder.path());
    let mut miners: Vec<Miner> = (0..MAX_CONNECTIONS).map(|_| miner(&node)).collect();
    eventually("all to be connected", || {
        info(&node)["connections"].as_array().map(Vec::len) == Some(MAX_CONNECTIONS)
    });
    let mut one_more = miner(&node);
    assert!(one_more.read().is_none(), "it is closed at once");
    assert_eq!(info(&node)["turned_away"], 1);
    let last = miners.last_mut().expect("many");
    last.log_in("rig", false);
    assert_eq!(last.mine()["result"], true);
    drop(miners);
    eventually("all to be gone", || info(&node)["connections"] == json!([]));
    miner(&node).log_in("rig", false);
}

#[test]
fn without_the_option_there_is_no_endpoint() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = RunningNode::start(folder.path());
    assert_eq!(node.started.stratum, None);
    assert_eq!(info(&node)["listen"], Value::Null);
}
