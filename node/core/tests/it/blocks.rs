//! Blocks from miners and peers, in one core: words for what is refused, announcements, blocks that are early.

use std::time::Duration;

use bitcoin::{Amount, Block};
use chain::Acceptance;
use chain::fixtures::{Key, remine};
use node_core::events::NodeEvent;
use node_core::{Input, Output};
use p2p::AnswerToken;
use p2p::sync::GossipId;
use p2p::wire::{Request, Response, Verdict};

use crate::support::{
    FEE, Lone, PEER, START, alice, bob, mine_template, pay, peer_up, submit, word,
};

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
        lone.handle(Input::Request {
            peer: PEER,
            token: AnswerToken(1),
            request: request(block.block_hash()),
        });
        let answer = lone.out.drain(..).find_map(|output| match output {
            Output::Answer { response, .. } => response,
            Output::AnswerBlocks { blocks, .. } => Some(blocks.open().response),
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
