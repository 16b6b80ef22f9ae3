//! A small record, written and read, and the mistakes that are noticed in it.

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Txid};

use super::*;
use crate::plan::{Fault, FaultKind, Plan};

fn hash(number: u8) -> BlockHash {
    BlockHash::from_byte_array([number; 32])
}

fn txid(number: u8) -> Txid {
    Txid::from_byte_array([number; 32])
}

fn coinbase(number: u8) -> Line {
    Line::Transaction(Transaction {
        txid: txid(number),
        spends: Vec::new(),
        outputs_sat: vec![50],
        coinbase: true,
    })
}

fn block(t: u64, number: u8, parent: u8, height: u32) -> Line {
    Line::Block(Block {
        t,
        hash: hash(number),
        parent: hash(parent),
        height,
        work: 2,
        found_by: Some(0),
        reward_sat: 50,
        coinbase: txid(number),
        payments: Vec::new(),
    })
}

fn start() -> Line {
    let pause = Fault {
        at_us: 4_000,
        until_us: Some(6_000),
        what: FaultKind::Pause { node: 1 },
    };
    Line::Start(Box::new(Start {
        plan: Plan {
            name: "small".to_owned(),
            nodes: 2,
            duration_us: 10_000,
            faults: vec![pause],
            ..Plan::default()
        },
        engine: Engine::Sim,
        seed: 1,
        version: "0".to_owned(),
        program: None,
        speed: 1.0,
        left_out: Vec::new(),
        genesis: Genesis {
            hash: hash(0),
            coins_sat: 0,
            subsidy_sat: 50,
            halving_blocks: None,
        },
    }))
}

fn connected(t: u64, node: usize, number: u8) -> Line {
    let hash = hash(number);
    Line::Connected { t, node, hash }
}

fn disconnected(t: u64, node: usize, number: u8) -> Line {
    let hash = hash(number);
    Line::Disconnected { t, node, hash }
}

/// Two nodes; a block each at height 1, and one more on the second: node 0 goes over to it.
fn lines() -> Vec<Line> {
    let up = |node| Line::Up {
        t: 0,
        node,
        tip: hash(0),
    };
    vec![
        start(),
        up(0),
        up(1),
        coinbase(1),
        block(1_000, 1, 0, 1),
        connected(1_000, 0, 1),
        coinbase(2),
        block(2_000, 2, 0, 1),
        connected(2_000, 1, 2),
        coinbase(3),
        block(3_000, 3, 2, 2),
        connected(3_000, 1, 3),
        Line::Begun {
            t: 4_000,
            fault: 0,
            what: None,
        },
        disconnected(5_000, 0, 1),
        connected(5_000, 0, 2),
        connected(5_000, 0, 3),
        Line::Ended { t: 6_000, fault: 0 },
    ]
}

/// Writes lines and an end that counts them.
fn written(lines: Vec<Line>) -> String {
    let mut text = String::new();
    let end = Line::End(End {
        t: 10_000,
        failed: None,
        lines: lines.len() as u64,
        events: Some(9),
    });
    for line in lines.iter().chain([&end]) {
        text += &serde_json::to_string(line).unwrap();
        text += "\n";
    }
    text
}

#[test]
fn what_is_written_is_read_and_indexed() {
    let mut out: Vec<u8> = Vec::new();
    let mut writer = Writer::new(Some(&mut out));
    for line in lines() {
        writer.line(line);
    }
    let lines = writer.lines();
    writer.line(Line::End(End {
        t: 10_000,
        failed: None,
        lines,
        events: Some(9),
    }));
    let (record, digest) = writer.finish().unwrap();
    assert_eq!(
        String::from_utf8(out.clone()).unwrap(),
        written(self::lines())
    );
    assert_eq!(read(out.as_slice()).unwrap(), record);
    assert_eq!(
        digest,
        bitcoin::hashes::sha256::Hash::hash(&out).to_string()
    );

    let id = |number| record.blocks.id(&hash(number)).unwrap();
    assert_eq!(record.blocks.len(), 3);
    assert_eq!(record.blocks.common(id(1), id(3)), BlockId::GENESIS);
    assert_eq!(record.blocks.path(BlockId::GENESIS, id(3)), [id(2), id(3)]);
    assert_eq!(record.blocks.get(id(3)).chain_work, 4);
    let node = &record.nodes[0];
    assert_eq!(node.tip_at(4_999), Some(id(1)));
    assert_eq!(node.tip_at(5_000), Some(id(3)));
    assert_eq!(node.tip_before(5_000), Some(id(1)));
    let reorg = Reorg {
        t: 5_000,
        depth: 1,
        from: id(1),
    };
    assert_eq!(node.reorgs, [reorg]);
    assert!(record.is_frozen_at(1, 4_000) && !record.is_frozen_at(1, 6_000));
    assert!(!record.is_frozen_at(0, 4_000));
}

#[test]
fn mistakes_are_named_with_their_line() {
    type Change = fn(&mut Vec<Line>);
    let cases: [(Change, &str); 13] = [
        (
            |lines| drop(lines.remove(0)),
            "line 1 of the record: a record begins",
        ),
        (
            |lines| lines.insert(1, start()),
            "line 2 of the record: a second \"start\"",
        ),
        (
            |lines| drop(lines.remove(4)),
            "line 5 of the record: no line before tells block 0101",
        ),
        (
            |lines| drop(lines.remove(3)),
            "line 4 of the record: no line before tells transaction",
        ),
        (
            |lines| lines.insert(4, coinbase(1)),
            "line 5 of the record: transaction 0101",
        ),
        (
            |lines| lines[4] = block(1, 1, 0, 7),
            "line 5 of the record: block 0101010101010101010101010101010101010101010101010101010101010101 has height 7, expected 1",
        ),
        (
            |lines| lines[5] = connected(1, 9, 1),
            "line 6 of the record: node 9, but",
        ),
        (
            |lines| drop(lines.remove(1)),
            "line 5 of the record: node 0 is down",
        ),
        (
            |lines| lines.insert(3, lines[1].clone()),
            "line 4 of the record: node 0 is up already",
        ),
        (
            |lines| drop(lines.remove(13)),
            "line 14 of the record: block 0202",
        ),
        (
            |lines| lines[15] = connected(4_000, 0, 3),
            "line 16 of the record: time 4000 of node 0 is before",
        ),
        (
            |lines| lines[12] = Line::Ended { t: 1, fault: 0 },
            "line 13 of the record: fault 0 begins twice",
        ),
        (
            |lines| lines[12] = Line::Ended { t: 1, fault: 3 },
            "line 13 of the record: fault 3 is neither",
        ),
    ];
    for (change, expected) in cases {
        let mut lines = lines();
        change(&mut lines);
        let error = read(written(lines).as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error:?}, not {expected:?}");
    }
}

#[test]
fn a_record_that_is_cut_off_is_noticed_and_can_be_read_so_far() {
    let whole = written(lines());
    let text: Vec<&str> = whole.lines().collect();
    // A line is missing in the middle: a traffic line would not be missed otherwise.
    let hole = [&text[..12], &text[13..16], &text[17..]]
        .concat()
        .join("\n")
        + "\n";
    let error = read(hole.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("which counts 17"), "{error}");

    let open = text[..10].join("\n") + "\n" + &text[10][..20];
    let error = read(open.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("there is no \"end\""), "{error}");
    let so_far = read_so_far(open.as_bytes()).unwrap();
    assert_eq!((so_far.blocks.len(), so_far.end_t()), (2, 2_000));

    let error = read("hello\n".as_bytes()).unwrap_err().to_string();
    assert!(
        error.starts_with("line 1 of the record: is no line"),
        "{error}"
    );
}

#[test]
fn trouble_with_the_output_is_kept_for_the_end() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut full = Full;
    let mut writer = Writer::new(Some(&mut full));
    writer.line(start());
    assert!(matches!(writer.finish(), Err(WriteError::Write(_))));
    let mut writer = Writer::new(None);
    writer.line(coinbase(1));
    let error = writer.finish().unwrap_err().to_string();
    assert!(
        error.starts_with("line 1 of the record cannot be"),
        "{error}"
    );
}
