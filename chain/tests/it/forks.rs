//! The classic trees of reorganisation tests.

use bitcoin::Amount;
use chain::fixtures::{GENESIS, Key, Payment, TestChain};
use chain::{AcceptError, BranchStatus, Height, StepLimit, Timestamp};

fn alice() -> Key {
    Key::p2tr("alice")
}

fn bob() -> Key {
    Key::p2wpkh("bob")
}

#[test]
fn a_fork_of_equal_work_changes_nothing_and_a_longer_one_wins() {
    //   G - a1 - a2 -------- a3 - a4
    //     \ b1 - b2 - b3
    let mut net = TestChain::new();
    net.mine("a1").mine("a2");
    net.fork_at(GENESIS).mine("b1").mine("b2");
    assert_eq!(net.tip(), "a2");
    net.mine("b3");
    assert_eq!(net.tip(), "b3");
    net.fork_at("a2").mine("a3").mine("a4");
    assert_eq!(net.tip(), "a4");
    let reorg = net.reorg();
    assert_eq!(reorg.fork, GENESIS);
    assert_eq!(reorg.disconnected, ["b3", "b2", "b1"]);
    assert_eq!(reorg.connected, ["a1", "a2", "a3", "a4"]);
}

#[test]
fn a_longer_fork_takes_its_coins_with_it() {
    //   G - a1 - a2        <- pays bob in a2
    //     \ b1 - b2 - b3   <- does not
    let mut net = TestChain::new();
    let before = net.chain().coin_set_stats(true).unwrap();
    let pay = net.pay(&alice(), &bob(), Amount::ONE_BTC);
    net.mine("a1").including(&pay).mine("a2");
    let paid = bitcoin::OutPoint {
        txid: pay.compute_txid(),
        vout: 0,
    };
    assert_eq!(net.chain().coin(&paid).unwrap().unwrap().height, Height(2));
    net.fork_at(GENESIS).mine("b1").mine("b2").mine("b3");
    assert_eq!(net.chain().coin(&paid).unwrap(), None);
    assert!(
        net.chain()
            .coin(&pay.input[0].previous_output)
            .unwrap()
            .is_some()
    );
    let a2 = net.hash("a2");
    assert_eq!(
        net.chain().undo(&a2).unwrap().unwrap().len(),
        1,
        "undo of stale blocks stays"
    );
    for name in ["b3", "b2", "b1", "a1"] {
        net.invalidate(name);
    }
    assert_eq!(net.tip(), GENESIS);
    assert_eq!(net.chain().coin_set_stats(true).unwrap(), before);
}

#[test]
fn a_double_spend_in_the_middle_of_a_longer_chain_leaves_the_valid_prefix() {
    //   G - a1
    //     \ b1 - b2 - b3(spends again) - b4
    let mut net = TestChain::new();
    let pay = net.pay(&alice(), &bob(), Amount::ONE_BTC);
    let coin = pay.input[0].previous_output;
    let output = net.chain().coin(&coin).unwrap().unwrap().output;
    let again = Payment::new()
        .spend(coin, &output, &alice())
        .pay(&bob(), Amount::ONE_BTC)
        .sign();
    net.mine("a1");
    net.fork_at(GENESIS).including(&pay).mine("b1").mine("b2");
    assert_eq!(net.tip(), "b2");
    let a2 = net.fork_at("a1").build("a2").mine();
    let b3 = net.fork_at("b2").including(&again).build("b3").mine();
    net.submit("a2", a2).submit("b3", b3);
    let failed = [("b3".to_owned(), "bad-txns-inputs-missingorspent".to_owned())];
    assert_eq!(net.failed(), failed);
    assert_eq!(net.tip(), "b2");
    // A child of an invalid block is refused without looking.
    let b4 = net.build("b4").mine();
    net.submit("b4", b4);
    let error = net.take_error().unwrap();
    assert!(matches!(error, AcceptError::InvalidParent { .. }));
    assert_eq!(net.chain().reject_reason(&error).unwrap(), "bad-prevblk");
    let b3 = net.block("b3").clone();
    net.hand_in("b3", b3);
    let error = net.take_error().unwrap();
    assert_eq!(
        net.chain().reject_reason(&error).unwrap(),
        "duplicate-invalid"
    );
}

#[test]
fn the_valid_prefix_of_an_invalid_better_chain_can_win() {
    //   G - a1
    //     \ b1 - b2 - b3x     handed in backwards, so that all three are tried at once
    let mut net = TestChain::new();
    let pay = net.pay(&alice(), &bob(), Amount::ONE_BTC);
    let mut other = TestChain::new();
    other.including(&pay).mine("b1").mine("b2");
    let b3 = other.including(&pay).build("b3").mine();
    net.mine("a1");
    for block in [other.block("b1"), other.block("b2"), &b3] {
        net.chain_mut()
            .accept_header(&block.header, Timestamp(u32::MAX))
            .unwrap();
    }
    net.submit("b3", b3.clone())
        .submit("b2", other.block("b2").clone());
    assert_eq!(net.tip(), "a1");
    assert_eq!(net.chain().missing_bodies(10).len(), 1);
    net.submit("b1", other.block("b1").clone());
    assert_eq!(net.tip(), "b2");
    assert_eq!(net.reorg().disconnected, ["a1"]);
    assert_eq!(net.failed().len(), 1);
    assert_eq!(
        net.chain().coin_set_stats(true).unwrap(),
        other.chain().coin_set_stats(true).unwrap()
    );
}

#[test]
fn a_bad_signature_in_the_middle_of_a_run_takes_back_only_what_follows() {
    let mut net = TestChain::new();
    let mut other = TestChain::new();
    let mut pay = other.pay(&alice(), &bob(), Amount::ONE_BTC);
    let fine = other.pay(&bob(), &alice(), Amount::ONE_BTC);
    other.including(&fine).mine("c1");
    let mut signature = pay.input[0].witness[0].to_vec();
    signature[40] ^= 1;
    pay.input[0].witness = bitcoin::Witness::from_slice(&[signature]);
    let c2 = other.including(&pay).build("c2").mine();
    other.submit("c2", c2.clone());
    assert_eq!(other.tip(), "c1");
    // The same chain at once, with the parent last, so that one run holds good and bad blocks.
    net.chain_mut()
        .accept_header(&other.block("c1").header, Timestamp(u32::MAX))
        .unwrap();
    net.submit("c2", c2).submit("c1", other.block("c1").clone());
    assert_eq!(net.tip(), "c1");
    assert_eq!(net.failed()[0].0, "c2");
    assert_eq!(
        net.chain().coin_set_stats(true).unwrap(),
        other.chain().coin_set_stats(true).unwrap()
    );
}

#[test]
fn an_immature_coinbase_may_not_be_spent_on_a_fork_either() {
    let mut net = TestChain::new();
    let miner = Key::p2tr("miner");
    net.mine_many("a", 101);
    let reward = net.block("a2").txdata[0].clone();
    let pay = |value| {
        Payment::new()
            .spend_output_of(&reward, 0, &miner)
            .pay(&bob(), value)
            .sign()
    };
    let spend = pay(Amount::ONE_BTC);
    // The reward of height 2 is mature in block 102.
    let early = net.fork_at("a100").including(&spend).build("early").mine();
    net.submit("early", early);
    let late = net.fork_at("early").build("late").mine();
    net.submit("late", late);
    assert_eq!(
        net.failed()[0],
        (
            "early".to_owned(),
            "bad-txns-premature-spend-of-coinbase".to_owned()
        )
    );
    assert_eq!(net.tip(), "a101");
    net.fork_at("a101").including(&spend).mine("a102");
    assert_eq!(net.tip(), "a102");
}

#[test]
fn a_coin_made_and_spent_inside_the_disconnected_part_comes_and_goes() {
    let mut net = TestChain::new();
    let first = net.pay(&alice(), &bob(), Amount::ONE_BTC);
    let second = Payment::new()
        .spend_output_of(&first, 0, &bob())
        .pay(&alice(), Amount::ONE_BTC)
        .sign();
    let third = Payment::new()
        .spend_output_of(&second, 0, &alice())
        .pay(&bob(), Amount::ONE_BTC)
        .sign();
    net.mine("a1")
        .including(&first)
        .including(&second)
        .mine("a2")
        .including(&third)
        .mine("a3");
    let with_payments = net.chain().coin_set_stats(true).unwrap();
    net.chain_mut().flush().unwrap();
    net.fork_at("a1").mine("b2").mine("b3").mine("b4");
    assert_eq!(net.tip(), "b4");
    net.chain_mut().flush().unwrap();
    net.fork_at("a3").mine("a4").mine("a5");
    assert_eq!(net.tip(), "a5");
    net.invalidate("b2");
    net.invalidate("a4");
    assert_eq!(net.chain().coin_set_stats(true).unwrap(), with_payments);
}

#[test]
fn a_reorg_of_more_than_a_thousand_blocks_goes_through() {
    let mut net = TestChain::new();
    net.mine_many("a", 1100);
    net.chain_mut().flush().unwrap();
    net.fork_at(GENESIS);
    // Handed in without activating, so that the change comes at once.
    let mut other = TestChain::new();
    other.mine_many("b", 1101);
    for n in 1..=1101 {
        let block = other.block(&format!("b{n}")).clone();
        net.chain_mut()
            .accept_block(block, Timestamp(u32::MAX))
            .unwrap();
    }
    net.activate();
    assert_eq!(net.chain().tip().hash, other.chain().tip().hash);
    assert_eq!(net.reorg().disconnected.len(), 1100);
    assert_eq!(
        net.chain().coin_set_stats(false).unwrap(),
        other.chain().coin_set_stats(false).unwrap()
    );
}

#[test]
fn activation_in_steps_never_stops_below_the_work_it_had() {
    let mut net = TestChain::new();
    net.mine_many("a", 20);
    let mut other = TestChain::new();
    other.mine_many("b", 50);
    for n in 1..=50 {
        let block = other.block(&format!("b{n}")).clone();
        net.chain_mut()
            .accept_block(block, Timestamp(u32::MAX))
            .unwrap();
    }
    let signatures = chain::rules::spend::SignatureCache::default();
    let mut failed = Vec::new();
    const STEP: StepLimit = StepLimit {
        blocks: 5,
        transactions: 1_000,
    };
    let mut work = net.chain().tip().chain_work;
    let mut steps = 0;
    while net
        .chain_mut()
        .activate_step(&signatures, &mut failed, STEP)
        .unwrap()
        .is_some()
    {
        let now = net.chain().tip().chain_work;
        assert!(now >= work);
        work = now;
        steps += 1;
    }
    assert!(steps > 1);
    assert_eq!(net.chain().tip().hash, other.chain().tip().hash);
}

#[test]
fn operators_may_invalidate_reconsider_and_prefer() {
    //   G - a1 - a2
    //     \ b1 - b2
    let mut net = TestChain::new();
    net.mine("a1")
        .mine("a2")
        .fork_at(GENESIS)
        .mine("b1")
        .mine("b2");
    let b2 = net.hash("b2");
    net.chain_mut().prefer(&b2);
    net.activate();
    assert_eq!(net.tip(), "b2");
    let a2 = net.hash("a2");
    net.chain_mut().prefer(&a2);
    net.activate();
    assert_eq!(net.tip(), "a2");
    net.invalidate("a1");
    assert_eq!(net.reorg().disconnected, ["a2", "a1"]);
    assert_eq!(net.tip(), "b2");
    let tips: Vec<_> = net
        .chain()
        .chain_tips()
        .iter()
        .map(|tip| tip.status)
        .collect();
    assert_eq!(tips, [BranchStatus::Active, BranchStatus::Invalid]);
    net.chain_mut().reconsider(&a2);
    net.activate();
    assert_eq!(net.tip(), "a2", "still preferred");
    let tips: Vec<_> = net
        .chain()
        .chain_tips()
        .iter()
        .map(|tip| tip.status.as_str())
        .collect();
    assert_eq!(tips, ["active", "valid-fork"]);
}

#[test]
fn a_mutated_body_does_not_condemn_its_header() {
    // CVE-2012-2459: repeating the last transaction of an odd row gives the same merkle root.
    let mut net = TestChain::new();
    let [one, two] = [0, 1].map(|_| net.pay(&alice(), &bob(), Amount::ONE_BTC));
    let honest = net.including(&one).including(&two).build("a1").mine();
    let mut mutated = honest.clone();
    mutated.txdata.push(two);
    assert_eq!(mutated.block_hash(), honest.block_hash());
    net.chain_mut()
        .accept_header(&honest.header, Timestamp(u32::MAX))
        .unwrap();
    let error = net
        .chain_mut()
        .accept_block(mutated, Timestamp(u32::MAX))
        .unwrap_err();
    assert_eq!(
        net.chain().reject_reason(&error).unwrap(),
        "bad-txns-duplicate"
    );
    net.submit("a1", honest);
    assert_eq!(net.tip(), "a1");
}

#[test]
fn a_block_from_the_future_is_tried_again_later() {
    let mut net = TestChain::new();
    let block = net.build("a1").mine();
    let early = Timestamp(block.header.time - net.chain().params().max_future_s - 1);
    let error = net
        .chain_mut()
        .accept_block(block.clone(), early)
        .unwrap_err();
    assert_eq!(net.chain().reject_reason(&error).unwrap(), "time-too-new");
    assert_eq!(net.chain().tree().len(), 1);
    net.submit("a1", block);
    assert_eq!(net.tip(), "a1");
}

#[test]
fn templates_are_tested_without_work_and_change_nothing() {
    let mut net = TestChain::new();
    net.mine("a1");
    let pay = net.pay(&alice(), &bob(), Amount::ONE_BTC);
    let template = net.including(&pay).build("a2").unmined();
    net.chain()
        .test_block(template.clone(), Timestamp(u32::MAX))
        .unwrap();
    let mut greedy = template.clone();
    greedy.txdata[0].output[0].value += Amount::ONE_BTC;
    greedy.header.merkle_root = greedy.compute_merkle_root().unwrap();
    let error = net
        .chain()
        .test_block(greedy, Timestamp(u32::MAX))
        .unwrap_err();
    assert_eq!(net.chain().reject_reason(&error).unwrap(), "bad-cb-amount");
    net.mine("other");
    let error = net
        .chain()
        .test_block(template, Timestamp(u32::MAX))
        .unwrap_err();
    assert!(matches!(error, AcceptError::UnknownParent { .. }));
    let next = net.chain().next_block(Timestamp(0));
    assert_eq!(
        (next.height, next.parent.hash),
        (Height(3), net.hash("other"))
    );
}
