//! One core by itself: blocks, modes, bans, dialling, operators, and storage that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::{Amount, Block, BlockHash, TxMerkleNode, Work};
use chain::fixtures::{Key, TEST_GENESIS_TIME, TestChain, grind, params_of, remine};
use chain::genesis::{GenesisSpec, PowSection};
use chain::store::MemoryDisk;
use chain::{Acceptance, Chain, ChainOptions, Height, Timestamp};
use node_core::events::NodeEvent;
use node_core::{AddNode, CoreOptions, Input, Mode, NodeCore, Output, SubmitError};
use p2p::AnswerToken;
use p2p::sync::GossipId;
use p2p::wire::{Request, Response, TipStatus, Verdict};
use p2p::{Direction, PeerNum};

use crate::support::{FEE, Lone, START, alice, bob, mine_template, pay};

const PEER: PeerNum = PeerNum(7);
const ADDRESS: &str = "/ip4/127.0.0.1/tcp/20007";

fn peer_up(lone: &mut Lone) {
    lone.handle(Input::PeerUp {
        peer: PEER,
        peer_id: "12D3KooWPeer".to_owned(),
        address: ADDRESS.to_owned(),
        direction: Direction::Outbound,
        agent: "test".to_owned(),
    });
}

fn word(result: Result<Acceptance, SubmitError>) -> String {
    let error = result.expect_err("refused");
    error.reject_reason().expect("a verdict").into_owned()
}

fn submit(lone: &mut Lone, block: &Block) -> Result<Acceptance, SubmitError> {
    lone.core
        .submit_block(lone.now, block.clone(), &mut lone.out)
}

#[test]
fn submitted_blocks_get_the_words_of_bip_22() {
    let mut lone = Lone::new();
    let good = mine_template(&lone.core, lone.now, 1);
    assert_eq!(submit(&mut lone, &good).expect("good"), Acceptance::Stored);
    assert!(
        lone.out
            .iter()
            .any(|output| matches!(output, Output::Publish(_))),
        "announced"
    );
    assert_eq!(word(submit(&mut lone, &good)), "duplicate");

    let mut orphan = mine_template(&lone.core, lone.now, 2);
    orphan.header.prev_blockhash = orphan.block_hash();
    remine(&mut orphan);
    assert_eq!(word(submit(&mut lone, &orphan)), "prev-blk-not-found");

    let mut greedy = mine_template(&lone.core, lone.now, 3);
    greedy.txdata[0].output[0].value += Amount::ONE_SAT;
    remine(&mut greedy);
    assert_eq!(word(submit(&mut lone, &greedy)), "bad-cb-amount");
    assert_eq!(word(submit(&mut lone, &greedy)), "duplicate-invalid");
    let hash = greedy.block_hash();
    let told = lone.take_events();
    assert!(told.iter().any(|event| matches!(
        event,
        NodeEvent::BlockInvalid { hash: h, reason, .. } if *h == hash && reason == "bad-cb-amount"
    )));

    let mut child = mine_template(&lone.core, lone.now, 4);
    child.header.prev_blockhash = hash;
    remine(&mut child);
    assert_eq!(word(submit(&mut lone, &child)), "bad-prevblk");
    assert_eq!(lone.core.chain().tip().hash, good.block_hash());
}

#[test]
fn a_sibling_is_stored_and_neither_connected_nor_announced() {
    let mut lone = Lone::new();
    let (a, b) = (
        mine_template(&lone.core, lone.now, 1),
        mine_template(&lone.core, lone.now, 2),
    );
    submit(&mut lone, &a).expect("good");
    lone.out.clear();
    submit(&mut lone, &b).expect("stored");
    assert!(!lone.core.chain().is_active(&b.block_hash()));
    assert!(
        !lone
            .out
            .iter()
            .any(|output| matches!(output, Output::Publish(_)))
    );
    let now = lone.now;
    lone.core
        .prefer_block(now, &b.block_hash(), &mut lone.out)
        .expect("known");
    assert!(lone.core.chain().is_active(&b.block_hash()));
}

fn publications(out: &[Output]) -> usize {
    let published = |output: &&Output| matches!(output, Output::Publish(_));
    out.iter().filter(published).count()
}

#[test]
fn a_child_of_the_tip_is_announced_before_it_is_connected() {
    let mut lone = Lone::new();
    let block = mine_template(&lone.core, lone.now, 1);
    let (now, out) = (lone.now, &mut lone.out);
    let taken = lone.core.take_submitted(now, block.clone(), out);
    assert_eq!(publications(out), 1);
    assert_eq!(lone.core.chain().tip().height.0, 0);
    let connected = lone.core.connect_submitted(now, taken.expect("good"), out);
    assert_eq!(connected.expect("good"), Acceptance::Stored);
    assert_eq!(publications(out), 1, "once is enough");
    assert!(lone.core.chain().is_active(&block.block_hash()));
}

#[test]
fn what_overtakes_the_tip_is_announced_once_it_is_connected() {
    let mut lone = Lone::new();
    let (tip, sibling) = (
        mine_template(&lone.core, lone.now, 1),
        mine_template(&lone.core, lone.now, 2),
    );
    submit(&mut lone, &tip).expect("good");
    let mut child = mine_template(&lone.core, lone.now, 3);
    child.header.prev_blockhash = sibling.block_hash();
    remine(&mut child);
    submit(&mut lone, &sibling).expect("stored");
    lone.out.clear();
    let (now, out) = (lone.now, &mut lone.out);
    let taken = lone.core.take_submitted(now, child.clone(), out);
    assert_eq!(publications(out), 0, "it may not be on the best chain");
    let connected = lone.core.connect_submitted(now, taken.expect("good"), out);
    connected.expect("good");
    assert_eq!(publications(out), 1);
    assert_eq!(lone.core.chain().tip().hash, child.block_hash());
}

#[test]
fn nobody_is_served_with_an_announced_block_that_turned_out_to_be_invalid() {
    let mut lone = Lone::new();
    let mut greedy = mine_template(&lone.core, lone.now, 1);
    greedy.txdata[0].output[0].value += Amount::ONE_SAT;
    remine(&mut greedy);
    assert_eq!(word(submit(&mut lone, &greedy)), "bad-cb-amount");
    assert_eq!(publications(&lone.out), 1, "its work is real");
    let good = mine_template(&lone.core, lone.now, 2);
    submit(&mut lone, &good).expect("good");
    peer_up(&mut lone);
    let mut served = |block: &Block, request: fn(bitcoin::BlockHash) -> Request| {
        lone.out.clear();
        lone.handle(Input::Request {
            peer: PEER,
            token: AnswerToken(1),
            request: request(block.block_hash()),
        });
        let answer = lone.out.iter().find_map(|output| match output {
            Output::Answer { response, .. } => response.clone(),
            _ => None,
        });
        match answer {
            Some(Response::Blocks(blocks)) => blocks.len(),
            Some(Response::BlockTransactions(transactions)) => transactions.len(),
            other => panic!("{other:?}"),
        }
    };
    let whole = |hash| Request::Blocks(vec![hash]);
    let parts = |block| Request::BlockTransactions {
        block,
        indexes: vec![0],
    };
    assert_eq!((served(&good, whole), served(&good, parts)), (1, 1));
    assert_eq!((served(&greedy, whole), served(&greedy, parts)), (0, 0));
}

#[test]
fn a_block_that_is_early_is_tried_again() {
    let mut lone = Lone::new();
    let mut early = mine_template(&lone.core, lone.now, 1);
    early.header.time = START.0 + 7_200 + 60;
    remine(&mut early);
    assert_eq!(word(submit(&mut lone, &early)), "time-too-new");
    lone.pass(Duration::from_secs(59));
    assert_eq!(lone.core.chain().tip().height.0, 0);
    lone.pass(Duration::from_secs(1));
    assert_eq!(lone.core.chain().tip().hash, early.block_hash());
}

#[test]
fn the_mode_follows_what_is_known() {
    let chain = Chain::in_memory(TestChain::params());
    let core = NodeCore::new(chain, CoreOptions::default());
    assert_eq!(core.mode(), Mode::Starting);
    let mut lone = Lone::with(core);
    assert_eq!(lone.core.mode(), Mode::Isolated);
    peer_up(&mut lone);
    assert_eq!(lone.core.mode(), Mode::Healthy);
    let spacing = u64::from(lone.core.chain().params().pow.spacing_s);
    lone.pass(Duration::from_secs(15 * spacing));
    assert_eq!(lone.core.mode(), Mode::Stale);
    lone.mine();
    assert_eq!(lone.core.mode(), Mode::Healthy);
    let now = lone.now;
    lone.core.set_disk_low(now, true, &mut lone.out);
    assert_eq!(lone.core.mode(), Mode::DiskLow);
    assert_eq!(
        lone.send(&pay(&alice(), 0, &bob(), FEE)),
        Err("disk-low".to_owned())
    );
    lone.core.set_disk_low(now, false, &mut lone.out);
    lone.handle(Input::PeerDown {
        peer: PEER,
        reason: "gone".to_owned(),
    });
    assert_eq!(lone.core.mode(), Mode::Isolated);
    let modes = lone
        .take_events()
        .into_iter()
        .filter_map(|event| match event {
            NodeEvent::ModeChanged { mode } => Some(mode),
            _ => None,
        });
    let expected = [
        Mode::Isolated,
        Mode::Healthy,
        Mode::Stale,
        Mode::Healthy,
        Mode::DiskLow,
        Mode::Healthy,
    ];
    assert_eq!(
        modes.collect::<Vec<_>>(),
        [&expected[..], &[Mode::Isolated]].concat()
    );
}

/// Headers with trivial work on genesis, as an honest or a lying peer may send.
fn headers_on_genesis(core: &NodeCore, count: u32) -> Vec<Header> {
    let mut last = core.chain().params().genesis.header;
    let mut headers = Vec::new();
    for number in 0..count {
        let mut root = [9; 32];
        root[..4].copy_from_slice(&number.to_le_bytes());
        let mut header = Header {
            prev_blockhash: last.block_hash(),
            merkle_root: TxMerkleNode::from_byte_array(root),
            time: last.time + 1,
            nonce: 0,
            ..last
        };
        header.version = bitcoin::block::Version::from_consensus(0x2000_0000);
        grind(&mut header);
        headers.push(header);
        last = header;
    }
    headers
}

fn tell_status(lone: &mut Lone, hash: BlockHash, height: u32) {
    let status = TipStatus {
        hash,
        height: Height(height),
        chain_work: Work::from_be_bytes([0xff; 32]),
    };
    lone.handle(Input::Request {
        peer: PEER,
        token: AnswerToken(1),
        request: Request::Status(status),
    });
}

#[test]
fn a_claim_without_work_changes_no_mode() {
    let mut lone = Lone::new();
    peer_up(&mut lone);
    lone.mine();
    assert_eq!(lone.core.mode(), Mode::Healthy);
    lone.take_events();
    tell_status(&mut lone, BlockHash::from_byte_array([7; 32]), u32::MAX);
    let asked = |output: &Output| {
        matches!(
            output,
            Output::Request {
                request: Request::Headers { .. },
                ..
            }
        )
    };
    assert!(lone.out.iter().any(asked), "the claim is looked into");
    for _ in 0..40 {
        lone.pass(Duration::from_millis(250));
        assert_eq!(lone.core.mode(), Mode::Healthy);
    }
}

#[test]
fn headers_without_bodies_are_told_and_stop_nobody() {
    let mut lone = Lone::new();
    peer_up(&mut lone);
    lone.mine();
    lone.out.clear();
    let headers = headers_on_genesis(&lone.core, 100);
    tell_status(&mut lone, headers[99].block_hash(), 100);
    let id = lone.out.iter().find_map(|output| match output {
        Output::Request {
            id,
            request: Request::Headers { .. },
            ..
        } => Some(*id),
        _ => None,
    });
    lone.handle(Input::Response {
        peer: PEER,
        id: id.expect("asked for headers"),
        response: Response::Headers(headers),
    });
    assert_eq!(lone.core.chain().tree().best_header().height, Height(100));
    lone.pass(Duration::from_secs(1));
    assert_eq!(lone.core.mode(), Mode::Behind, "never healthy");
    assert!(!lone.core.is_syncing(), "commits and the own miner go on");
    // And so it stays, also while blocks of the own chain come.
    for _ in 0..20 {
        lone.pass(Duration::from_secs(1));
        lone.mine();
        assert_eq!(lone.core.mode(), Mode::Behind);
    }
    // Until there is as much work in blocks.
    lone.mine_many(90);
    assert_eq!(lone.core.mode(), Mode::Healthy);
}

#[test]
fn a_peer_that_sends_rubbish_is_kept_away_for_a_while() {
    let mut lone = Lone::new();
    peer_up(&mut lone);
    lone.out.clear();
    lone.handle(Input::MalformedGossip { peer: PEER });
    let banned = |out: &[Output], wanted: bool| {
        out.iter()
            .any(|output| matches!(output, Output::Ban { banned, .. } if *banned == wanted))
    };
    assert!(banned(&lone.out, true));
    assert!(
        lone.out
            .iter()
            .any(|output| matches!(output, Output::Disconnect { .. }))
    );
    lone.handle(Input::PeerDown {
        peer: PEER,
        reason: "sent away".to_owned(),
    });
    assert!(lone.core.peers().is_empty());
    peer_up(&mut lone);
    assert!(lone.core.peers().is_empty(), "it is not let in again");
    lone.out.clear();
    lone.pass(Duration::from_secs(601));
    assert!(banned(&lone.out, false));
    peer_up(&mut lone);
    assert_eq!(lone.core.peers().len(), 1);
}

/// `invalidateblock` banned the very peers that the operator had named.
#[test]
fn a_peer_that_the_operator_named_is_sent_away_and_never_banned() {
    let mut lone = Lone::new();
    let now = lone.now;
    lone.core
        .add_node(now, ADDRESS, AddNode::Add, &mut lone.out)
        .expect("new");
    lone.handle(Input::PeerUp {
        peer: PEER,
        peer_id: "12D3KooW".to_owned(),
        address: ADDRESS.to_owned(),
        direction: Direction::Outbound,
        agent: "test".to_owned(),
    });
    lone.out.clear();
    lone.handle(Input::MalformedGossip { peer: PEER });
    let sent_away = |output: &Output| matches!(output, Output::Disconnect { .. });
    assert!(lone.out.iter().any(sent_away));
    let is_ban = |output: &Output| matches!(output, Output::Ban { .. });
    assert!(!lone.out.iter().any(is_ban));
    assert_eq!(lone.core.bans().count(), 0);
    lone.handle(Input::PeerDown {
        peer: PEER,
        reason: "sent away".to_owned(),
    });
    lone.out.clear();
    lone.pass(Duration::from_secs(10));
    assert_eq!(dials(&mut lone), 0, "it is left alone for a while");
    lone.pass(Duration::from_secs(60));
    assert_eq!(dials(&mut lone), 1, "and dialled again");
}

#[test]
fn bans_survive_as_they_were_told() {
    let mut lone = Lone::new();
    let now = lone.now;
    lone.core.ban(now, "10.0.0.7", 600, &mut lone.out);
    let before = lone.core.ban_changes();
    assert!(before > 0);
    let kept: Vec<_> = lone
        .core
        .bans()
        .map(|(subject, ban)| (subject.to_owned(), ban.clone()))
        .collect();
    let mut again = Lone::new();
    let now = again.now;
    let bans = kept.clone();
    again.core.restore_bans(now, bans, &mut again.out);
    let restored: Vec<_> = again
        .core
        .bans()
        .map(|(subject, ban)| (subject.to_owned(), ban.clone()))
        .collect();
    assert_eq!(restored, kept);
    again.pass(Duration::from_secs(601));
    assert_eq!(again.core.bans().count(), 0);
}

#[test]
fn operators_ban_by_address_too() {
    let mut lone = Lone::new();
    peer_up(&mut lone);
    let now = lone.now;
    lone.core.ban(now, "127.0.0.1", 60, &mut lone.out);
    assert!(
        lone.out
            .iter()
            .any(|o| matches!(o, Output::Disconnect { peer, .. } if *peer == PEER))
    );
    assert_eq!(lone.core.bans().count(), 1);
    assert!(lone.core.unban("127.0.0.1", &mut lone.out));
    assert!(!lone.core.unban("127.0.0.1", &mut lone.out));
}

fn dials(lone: &mut Lone) -> usize {
    let dials = lone
        .out
        .iter()
        .filter(|output| matches!(output, Output::Dial(_)))
        .count();
    lone.out.clear();
    dials
}

#[test]
fn an_added_node_is_dialled_until_it_is_there_and_again_when_it_is_lost() {
    let mut lone = Lone::new();
    let now = lone.now;
    lone.core
        .add_node(now, ADDRESS, AddNode::Add, &mut lone.out)
        .expect("new");
    assert!(
        lone.core
            .add_node(now, ADDRESS, AddNode::Add, &mut lone.out)
            .is_err()
    );
    assert!(
        lone.core
            .add_node(now, "nonsense", AddNode::Add, &mut lone.out)
            .is_err()
    );
    assert_eq!(dials(&mut lone), 1);
    let failed = || Input::DialFailed {
        address: ADDRESS.to_owned(),
        reason: "refused".to_owned(),
        lasting: false,
    };
    lone.handle(failed());
    assert_eq!(dials(&mut lone), 0, "after a pause only");
    lone.pass(Duration::from_millis(100));
    assert_eq!(dials(&mut lone), 1);
    peer_up(&mut lone);
    lone.pass(Duration::from_secs(10));
    assert_eq!(dials(&mut lone), 0);
    assert_eq!(
        lone.core.added_nodes().next().and_then(|named| named.peer),
        Some(PEER)
    );
    lone.handle(Input::PeerDown {
        peer: PEER,
        reason: "cut".to_owned(),
    });
    lone.pass(Duration::from_millis(100));
    assert_eq!(dials(&mut lone), 1);

    let now = lone.now;
    lone.core.set_network_active(now, false, &mut lone.out);
    lone.handle(failed());
    lone.pass(Duration::from_secs(100));
    assert_eq!(dials(&mut lone), 0, "networking is off");
    let now = lone.now;
    lone.core.set_network_active(now, true, &mut lone.out);
    assert_eq!(dials(&mut lone), 1, "at once when it is on again");
    lone.core
        .add_node(now, ADDRESS, AddNode::Remove, &mut lone.out)
        .expect("it is there");
    assert!(
        lone.core
            .add_node(now, ADDRESS, AddNode::Remove, &mut lone.out)
            .is_err()
    );
}

#[test]
fn a_wake_up_is_asked_for_whenever_something_is_due() {
    let mut lone = Lone::new();
    let wake = |out: &[Output]| {
        out.iter().rev().find_map(|output| match output {
            Output::WakeAt(at) => Some(*at),
            _ => None,
        })
    };
    lone.mine();
    let due = wake(&lone.out).expect("a flush is due");
    assert_eq!(due.since(lone.now.mono), Duration::from_secs(1));
    assert!(
        lone.core.chain().unflushed_bytes() > 0,
        "coins wait for the flush"
    );
    lone.pass(Duration::from_secs(1));
    assert_eq!(lone.core.chain().unflushed_bytes(), 0);
}

#[test]
fn nothing_is_committed_before_the_end_where_nothing_need_survive() {
    let options = CoreOptions {
        volatile: true,
        ..CoreOptions::default()
    };
    let core = NodeCore::new(Chain::in_memory(TestChain::params()), options);
    let mut lone = Lone::with(core);
    lone.mine();
    lone.pass(Duration::from_secs(100));
    assert!(lone.core.chain().unflushed_bytes() > 0);
    lone.core.shutdown().expect("memory works");
    assert_eq!(lone.core.chain().unflushed_bytes(), 0);
}

/// A disk that refuses to write from some time on.
#[derive(Debug)]
struct FailingDisk {
    disk: MemoryDisk,
    failing: Arc<AtomicBool>,
}

impl FailingDisk {
    fn check(&self) -> std::io::Result<()> {
        match self.failing.load(Ordering::Relaxed) {
            true => Err(std::io::Error::other("no space left on device")),
            false => Ok(()),
        }
    }
}

impl redb::StorageBackend for FailingDisk {
    fn len(&self) -> std::io::Result<u64> {
        self.disk.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.disk.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.check()?;
        self.disk.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.check()?;
        self.disk.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.check()?;
        self.disk.write(offset, data)
    }
}

#[test]
fn a_storage_failure_is_told_once_and_ends_all_writing() {
    let failing = Arc::new(AtomicBool::new(false));
    let disk = MemoryDisk::new();
    let backend = FailingDisk {
        disk: disk.clone(),
        failing: Arc::clone(&failing),
    };
    let params = TestChain::params();
    let chain = Chain::open_backend(backend, params.clone(), ChainOptions::default());
    let core = NodeCore::new(chain.expect("an empty disk"), CoreOptions::default());
    let mut lone = Lone::with(core);
    let kept = lone.mine();
    lone.pass(Duration::from_secs(2));
    failing.store(true, Ordering::Relaxed);
    let lost = mine_template(&lone.core, lone.now, 9);
    let result = submit(&mut lone, &lost);
    assert!(
        matches!(result, Err(SubmitError::Store(_))),
        "never acknowledged: {result:?}"
    );
    assert_eq!(lone.core.mode(), Mode::ReadOnly);
    assert!(lone.send(&pay(&alice(), 0, &bob(), FEE)).is_err());
    lone.pass(Duration::from_secs(100));
    lone.core.shutdown().expect("nothing is written any more");
    let fatal = lone
        .out
        .iter()
        .filter(|output| matches!(output, Output::Fatal(_)))
        .count();
    assert_eq!(fatal, 1);
    drop(lone);
    let reopened = Chain::open_backend(disk, params, ChainOptions::default());
    assert_eq!(reopened.expect("opens").tip().hash, kept.block_hash());
}

#[test]
fn a_large_block_of_known_payments_is_connected_without_checking_signatures_again() {
    // The miner's and the receiver's core saw the payments; a third did not.
    let mut lone = Lone::new();
    for index in 0..10 {
        lone.send(&pay(&alice(), index, &bob(), FEE)).expect("good");
    }
    assert_eq!(lone.core.signatures().len(), 10);
    let block = lone.mine();
    let wtxids = block.txdata[1..]
        .iter()
        .map(bitcoin::Transaction::compute_wtxid);
    assert!(
        wtxids
            .into_iter()
            .all(|wtxid| lone.core.signatures().contains(&wtxid))
    );
    assert_eq!(
        block.txdata[0].output[0].script_pubkey,
        Key::p2tr("miner").script()
    );
}

#[test]
fn template_times_follow_the_clock_and_never_fall_to_the_median() {
    let mut lone = Lone::new();
    lone.mine_many(12);
    let ahead = lone.core.template(lone.now).expect("never refused");
    assert_eq!(ahead.time, lone.now.wall);
    lone.now.wall = Timestamp(START.0 - 5_000);
    let behind = lone.core.template(lone.now).expect("never refused");
    assert_eq!(behind.time, behind.min_time);
    let median = lone.core.chain().tip().median_time_past;
    assert_eq!(behind.min_time.0, median.0 + 1);
}

#[test]
fn no_template_has_a_time_that_its_own_node_refuses() {
    let mut lone = Lone::new();
    lone.mine_many(12);
    let median = lone.core.chain().tip().median_time_past;
    let limit_secs = lone.core.chain().params().max_future_s;
    // The last second of the clock at which the block after the median is too far ahead.
    lone.now.wall = Timestamp(median.0 - limit_secs);
    let ahead = lone.core.template(lone.now).expect_err("too far ahead");
    assert_eq!((ahead.time.0, ahead.limit_secs), (median.0 + 1, limit_secs));
    assert_eq!((ahead.now, ahead.wait_s()), (lone.now.wall, 1));
    assert_eq!(lone.core.chain_ahead(lone.now), Some(ahead));
    assert!(ahead.to_string().contains("wait 1 s"), "{ahead}");
    lone.now.wall.0 += 1;
    assert_eq!(lone.core.chain_ahead(lone.now), None);
    // It is not only handed out, but also taken.
    let block = lone.mine();
    assert_eq!(lone.core.chain().tip().hash, block.block_hash());
}

/// A network with the default difficulty rule, whose base is 2^3 harder than its limit.
fn eased_network() -> chain::Params {
    let mut spec = GenesisSpec::trivial("eased", TEST_GENESIS_TIME);
    spec.bits = Some(bitcoin::CompactTarget::from_consensus(0x200f_ffff));
    spec.pow = PowSection {
        limit: spec.pow.limit,
        ..GenesisSpec::default().pow
    };
    params_of(&spec)
}

#[test]
fn a_template_says_until_when_its_bits_hold_and_other_bits_come_after() {
    let core = NodeCore::new(Chain::in_memory(eased_network()), CoreOptions::default());
    let mut lone = Lone::with(core);
    for _ in 0..3 {
        lone.pass(Duration::from_secs(10));
        lone.mine();
    }
    let tip_s = lone.now.wall.0;
    let first = lone.core.template(lone.now).expect("in time");
    assert_eq!(first.max_time, Timestamp(tip_s + 39));
    lone.pass(Duration::from_secs(39));
    assert_eq!(
        lone.core.template(lone.now).expect("in time").bits,
        first.bits
    );
    lone.pass(Duration::from_secs(1));
    let eased = lone.core.template(lone.now).expect("in time");
    assert_ne!(eased.bits, first.bits);
    assert_eq!(
        (eased.min_time, eased.max_time),
        (lone.now.wall, Timestamp(tip_s + 44))
    );
    assert_eq!(eased.max_ahead_s, 10);
    let block = lone.mine();
    assert_eq!(lone.core.chain().tip().hash, block.block_hash());
}

#[test]
fn an_eased_block_is_early_by_more_than_a_spacing_and_tried_again() {
    let core = NodeCore::new(Chain::in_memory(eased_network()), CoreOptions::default());
    let mut lone = Lone::with(core);
    lone.mine_many(3);
    // The block of a miner whose clock is 50 s ahead: within two hours, but eased for a wait that was not.
    let ahead = node_core::Now {
        wall: lone.now.wall.saturating_add_secs(50),
        ..lone.now
    };
    let early = mine_template(&lone.core, ahead, 1);
    assert_eq!(word(submit(&mut lone, &early)), "time-too-new");
    lone.pass(Duration::from_secs(39));
    assert_ne!(lone.core.chain().tip().hash, early.block_hash());
    lone.pass(Duration::from_secs(1));
    assert_eq!(lone.core.chain().tip().hash, early.block_hash());
}

#[test]
fn an_announcement_is_forwarded_before_its_block_is_connected() {
    let (mut miner, mut lone) = (Lone::new(), Lone::new());
    let tx = pay(&alice(), 0, &bob(), FEE);
    miner.send(&tx).expect("good");
    lone.send(&tx).expect("good");
    peer_up(&mut lone);
    miner.out.clear();
    let block = miner.mine();
    let gossip = miner.out.iter().find_map(|output| match output {
        Output::Publish(gossip) => Some(gossip.clone()),
        _ => None,
    });
    lone.out.clear();
    lone.now.wall = miner.now.wall;
    let (id, gossip) = (GossipId(1), gossip.expect("announced"));
    lone.handle(Input::Gossip {
        peer: PEER,
        id,
        gossip,
    });
    let accepted = |output: &Output| {
        matches!(
            output,
            Output::Verdict {
                verdict: Verdict::Accept,
                ..
            }
        )
    };
    assert!(lone.out.iter().any(accepted));
    assert_eq!(lone.core.chain().tip().height.0, 0);
    let at_once = |output: &Output| matches!(output, Output::WakeAt(at) if *at == lone.now.mono);
    assert!(lone.out.iter().any(at_once));
    lone.handle(Input::Tick);
    assert_eq!(lone.core.chain().tip().hash, block.block_hash());
    assert!(lone.core.mempool().is_empty());
}
