//! Answers for everybody, many at once.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use bitcoin::ScriptBuf;
use bitcoin::consensus::encode::serialize_hex;
use chain::Params;
use chain::fixtures::BlockBuilder;
use serde_json::json;

use crate::support_node::{PATIENCE, RunningNode};

/// Answers without a password that are worked on at once.
const MAX_PUBLIC_ANSWERS: usize = 32;

/// Gives a node a block that takes a while to show; its hash.
fn with_a_large_block(node: &RunningNode) -> String {
    let script = ScriptBuf::from_bytes(vec![0x6a; 60_000]);
    let block = BlockBuilder::first(&Params::bitcoin_regtest())
        .reward_to(script)
        .mine();
    let answer = node.call("submitblock", json!([serialize_hex(&block)]));
    assert!(answer.is_null(), "{answer}");
    block.block_hash().to_string()
}

fn connect(node: &RunningNode) -> (TcpStream, String) {
    let host = node.started.rpc.trim_start_matches("http://").to_owned();
    let stream = TcpStream::connect(&host).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    (stream, host)
}

#[test]
fn answers_for_everybody_have_places_of_their_own_and_more_are_turned_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = RunningNode::start(folder.path());
    let hash = with_a_large_block(&node);
    let mut streams = Vec::new();
    for _ in 0..MAX_PUBLIC_ANSWERS * 4 {
        let (mut stream, host) = connect(&node);
        let request = format!(
            "GET /rest/block/{hash}.json HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("sent");
        streams.push(stream);
    }
    // Whoever has a password is not concerned.
    assert_eq!(node.call("getblockcount", json!([])), json!(1));
    let heads: Vec<String> = streams
        .into_iter()
        .map(|stream| {
            let mut head = String::new();
            BufReader::new(stream).read_line(&mut head).expect("a head");
            head
        })
        .collect();
    let count = |code: &str| heads.iter().filter(|head| head.contains(code)).count();
    let (served, turned_away) = (count(" 200 "), count(" 503 "));
    assert_eq!(served + turned_away, heads.len(), "{heads:?}");
    assert!(served >= MAX_PUBLIC_ANSWERS, "{served} were served");
    assert!(turned_away > 0, "all {served} were served");
}
