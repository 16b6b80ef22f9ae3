//! Cases of the block trees that Bitcoin Core's `feature_block` and btcd's `fullblocktests` play, and of choosing by work, where one
//! block alone does not show them.

use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction};
use chain::fixtures::{GENESIS, Key, Payment, TEST_GENESIS_TIME, TestChain, params_of};
use chain::genesis::{Algorithm, GenesisSpec};
use chain::{AcceptError, Chain, Height, Timestamp};

use crate::story::NOW;

/// What a payment of the test chain leaves to the miner.
const FEE: Amount = Amount::from_sat(1_000);

fn payment(net: &mut TestChain) -> Transaction {
    let [alice, bob] = TestChain::rich_keys();
    net.pay(&alice, &bob, Amount::ONE_BTC)
}

/// Case 4.
#[test]
fn a_coinbase_that_takes_too_much_loses_on_the_tip_on_a_fork_and_deep_in_one() {
    //   G - a1 - tip(x)
    //     \ b1 - fork(x)
    //     \ c1 - deep(x) - c3 - c4 - c5
    let mut net = TestChain::new();
    let one_more = FEE + Amount::ONE_SAT;
    let refused = |name: &str| vec![(name.to_owned(), "bad-cb-amount".to_owned())];
    net.mine("a1");
    let fees = payment(&mut net);
    let greedy = net.including(&fees).build("tip").fees(one_more).mine();
    net.submit("tip", greedy);
    assert_eq!(net.failed(), refused("tip"));
    assert_eq!(net.tip(), "a1");

    net.fork_at(GENESIS).mine("b1");
    let greedy = net.including(&fees).build("fork").fees(one_more).mine();
    net.submit("fork", greedy);
    assert_eq!(net.failed(), refused("fork"));
    assert_eq!(net.tip(), "a1", "first seen");

    net.fork_at("a1").mine("a2").mine("a3").mine("a4");
    net.fork_at(GENESIS).mine("c1");
    let greedy = net.including(&fees).build("deep").fees(one_more).mine();
    net.submit("deep", greedy).mine("c3").mine("c4");
    assert_eq!(net.failed(), vec![], "nobody has looked yet");
    net.mine("c5");
    assert_eq!(net.failed(), refused("deep"));
    assert_eq!(net.tip(), "a4");
    // All that is allowed.
    let full = net
        .fork_at("a4")
        .including(&fees)
        .build("full")
        .fees(FEE)
        .mine();
    net.submit("full", full);
    assert_eq!(net.tip(), "full");
}

/// Case 5.
#[test]
fn an_output_of_the_abandoned_fork_cannot_be_spent_on_the_other() {
    //   G - a1(pays bob)
    //     \ b1 - b2 - b3(bob spends that: x) - b4
    let mut net = TestChain::new();
    let paid = payment(&mut net);
    let [alice, bob] = TestChain::rich_keys();
    let spends = Payment::new()
        .spend_output_of(&paid, 0, &bob)
        .pay(&alice, Amount::from_sat(10_000))
        .sign();
    net.including(&paid).mine("a1");
    net.fork_at(GENESIS).mine("b1").mine("b2");
    let b3 = net.including(&spends).build("b3").mine();
    net.submit("b3", b3);
    let reason = "bad-txns-inputs-missingorspent".to_owned();
    assert_eq!(net.failed(), [("b3".to_owned(), reason)]);
    assert_eq!(net.tip(), "b2");
    let b4 = net.build("b4").mine();
    net.submit("b4", b4);
    let refusal = net.take_error().unwrap();
    assert!(matches!(refusal, AcceptError::InvalidParent { .. }));
    // Where it is, it can be spent.
    net.fork_at("a1").mine("a2").including(&spends).mine("a3");
    assert_eq!(net.tip(), "a3");
}

/// Case 39.
#[test]
fn an_invalid_block_on_the_best_chain_of_headers_does_not_hold_up_its_sibling() {
    //   G - a1 - x2(x) - x3 - x4      headers first
    //          \ a2
    let mut net = TestChain::new();
    net.mine("a1");
    let mut other = TestChain::new();
    other.mine("a1");
    let greedy = other.build("x2").fees(Amount::ONE_SAT).mine();
    let mut headers = vec![greedy.header];
    for n in 3..=4 {
        let parent = headers[headers.len() - 1];
        let params = net.chain().params().clone();
        let child = chain::fixtures::BlockBuilder::on(&params, &parent, Height(n)).mine();
        headers.push(child.header);
    }
    for header in &headers {
        net.chain_mut().accept_header(header, NOW).unwrap();
    }
    assert_eq!(net.chain().tree().best_header().height, Height(4));
    assert_eq!(net.chain().missing_bodies(10).len(), 3);
    net.submit("x2", greedy);
    assert_eq!(net.failed().len(), 1);
    assert_eq!(net.tip(), "a1");
    assert_eq!(net.chain().tree().best_header().hash, net.hash("a1"));
    assert!(
        net.chain().missing_bodies(10).is_empty(),
        "nobody asks for x3"
    );
    net.fork_at("a1").mine("a2");
    assert_eq!(net.tip(), "a2");
    let refused = net.chain_mut().accept_header(&headers[2], NOW);
    assert!(matches!(refused, Err(AcceptError::KnownInvalid { .. })));
}

/// A network whose difficulty follows the blocks within seconds.
fn quick_network() -> TestChain {
    let mut spec = GenesisSpec::trivial("quick", TEST_GENESIS_TIME);
    spec.pow.algorithm = Algorithm::Asert;
    spec.pow.half_life_s = Some(30);
    TestChain::on(Chain::in_memory(params_of(&spec)))
}

/// Mines `count` blocks named `prefix1`, ... on a block, `seconds` apart each, at the difficulty that the rule demands.
fn grow(net: &mut TestChain, from: &str, prefix: &str, count: usize, seconds: u32) {
    net.fork_at(from);
    let mut parent = net.block(from).header;
    for n in 1..=count {
        let name = format!("{prefix}{n}");
        let id = net.chain().tree().id_of(&parent.block_hash()).unwrap();
        let time = Timestamp(parent.time + seconds);
        let block = net
            .build(&name)
            .bits(net.chain().bits_after(id, time).bits)
            .time(time)
            .mine();
        parent = block.header;
        net.submit(&name, block);
        assert!(net.take_error().is_none(), "{name}");
    }
}

/// Case 35.
#[test]
fn a_short_chain_of_hard_blocks_beats_a_long_one_of_easy_blocks() {
    let mut net = quick_network();
    grow(&mut net, GENESIS, "easy", 40, 60);
    assert_eq!(net.tip(), "easy40");
    let easy = net.chain().tip();
    grow(&mut net, GENESIS, "hard", 20, 1);
    assert_eq!(net.tip(), "hard20");
    let hard = net.chain().tip();
    assert_eq!((easy.height, hard.height), (Height(40), Height(20)));
    assert!(hard.chain_work > easy.chain_work);
    assert!(!net.chain().is_active(&net.hash("easy1")));
    // And length alone does not bring it back.
    grow(&mut net, "easy40", "more", 10, 60);
    assert_eq!(net.tip(), "hard20");
}

/// Case 18: BIP 30, where coinbases may repeat because they need not begin with their heights.
#[test]
fn a_coinbase_may_repeat_only_after_its_first_outputs_are_spent() {
    //   G - a1 - x(a1's coinbase again)
    //          \ a2(spends it) - a3(a1's coinbase again)
    let mut spec = GenesisSpec::trivial("repeats", TEST_GENESIS_TIME);
    spec.bip34_height = 17;
    spec.coinbase_maturity = 1;
    let mut net = TestChain::on(Chain::in_memory(params_of(&spec)));
    let script = ScriptBuf::from_bytes(b"not a height".to_vec());
    let repeated = |net: &mut TestChain, name: &str| {
        let block = net.build(name).coinbase_script(script.clone()).mine();
        net.submit(name, block);
    };
    repeated(&mut net, "a1");
    let first = net.block("a1").txdata[0].clone();
    repeated(&mut net, "x");
    assert_eq!(
        net.block("x").txdata[0].compute_txid(),
        first.compute_txid()
    );
    let reason = "bad-txns-BIP30".to_owned();
    assert_eq!(net.failed(), [("x".to_owned(), reason)]);

    let spends = Payment::new()
        .spend_output_of(&first, 0, &Key::p2tr("miner"))
        .pay(&Key::p2tr("alice"), Amount::ONE_BTC)
        .sign();
    net.fork_at("a1").including(&spends).mine("a2");
    let before = net.chain().coin_set_stats(true).unwrap();
    repeated(&mut net, "a3");
    assert_eq!(net.failed(), vec![]);
    assert_eq!(net.tip(), "a3");
    let outpoint = OutPoint {
        txid: first.compute_txid(),
        vout: 0,
    };
    let coin = |net: &TestChain| net.chain().coin(&outpoint).unwrap();
    assert_eq!(coin(&net).map(|coin| coin.height), Some(Height(3)));
    // Taken back, the coin is gone again, and below that the first one is back.
    net.invalidate("a3");
    assert_eq!(net.chain().coin_set_stats(true).unwrap(), before);
    net.invalidate("a2");
    assert_eq!(coin(&net).map(|coin| coin.height), Some(Height(1)));
}
