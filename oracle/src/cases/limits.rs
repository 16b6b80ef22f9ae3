//! Sizes, counts and amounts at their limits and one beyond.

use bitcoin::{Amount, Block, ScriptBuf, TapSighashType, Transaction, TxOut, Witness};
use chain::fixtures::{Key, Payment, remine};

use crate::faults::{data_output, operations_output};
use crate::pair::Tally;
use crate::scene::{Commitment, Draft, Owned, Scene, payment, spending};
use crate::sign::taproot_witness;

const MAX_WEIGHT: u64 = 4_000_000;

/// Runs on a chain with coins.
pub(crate) fn compare() -> Tally {
    let mut scene = Scene::new("limits");
    weights(&mut scene);
    operations(&mut scene);
    coinbase_shapes(&mut scene);
    commitments(&mut scene);
    amounts(&mut scene);
    odd_outputs(&mut scene);
    order_in_the_block(&mut scene);
    scene.finish()
}

fn weights(scene: &mut Scene) {
    for (over, reason) in [(1, Some("bad-blk-weight")), (0, None)] {
        let coin = scene
            .coins
            .iter()
            .find(|coin| coin.output.script_pubkey.is_p2tr());
        let coin = coin.expect("coins enough").clone();
        let draft = |annex_length: usize| scene.draft().with(with_annex(&coin, annex_length));
        let guess = 3_900_000;
        let missing = MAX_WEIGHT + over - draft(guess).build().weight().to_wu();
        let draft = draft(guess + missing as usize);
        assert_eq!(draft.build().weight().to_wu(), MAX_WEIGHT + over);
        verdict(scene, "a heavy witness", &draft, reason);
        if reason.is_none() {
            scene.take(true, 1);
        }
    }
    for (over, reason) in [(1, Some("bad-blk-length")), (0, None)] {
        let draft = |length: usize| {
            let mut draft = scene.draft();
            data_output(&mut draft.coinbase, length);
            draft
        };
        let guess = 900_000;
        let missing = MAX_WEIGHT / 4 + over - draft(guess).build().total_size() as u64;
        let draft = draft(guess + missing as usize);
        verdict(scene, "a long coinbase", &draft, reason);
    }
    // Short enough without witnesses, and too heavy with them.
    let coin = scene.take(false, 1);
    let mut draft = scene.draft().with(payment(&coin).sign());
    data_output(&mut draft.coinbase, 999_650);
    verdict(
        scene,
        "too heavy by a signature",
        &draft,
        Some("bad-blk-weight"),
    );
}

fn with_annex(coin: &Owned, length: usize) -> Transaction {
    let mut annex = vec![0; length];
    annex[0] = 0x50;
    let (mut tx, spent) = payment(std::slice::from_ref(coin)).unsigned();
    let pair = coin.key.signing_pair();
    let hash_type = TapSighashType::Default;
    tx.input[0].witness = taproot_witness(&pair, &tx, 0, &spent, hash_type, Some(&annex));
    tx
}

fn operations(scene: &mut Scene) {
    let coins = scene.take(false, 5);
    for (in_outputs, inputs, reason) in [
        (20_001, 0, Some("bad-blk-sigops")),
        (20_000, 1, Some("bad-blk-sigops")),
        (19_999, 5, Some("bad-blk-sigops")),
        (20_000, 0, None),
        (19_999, 4, None),
    ] {
        let mut draft = scene.draft();
        operations_output(&mut draft.coinbase, in_outputs);
        if inputs > 0 {
            draft.txs.push(payment(&coins[..inputs]).sign());
        }
        verdict(scene, "signature operations", &draft, reason);
    }
    // How operations are counted: in pushes not, after a push that is cut off not, twenty for each CHECKMULTISIG whatever
    // stands before.
    let counted: [(&[u8], usize); 10] = [
        (&[0xac], 20_000),
        (&[0xad], 20_000),
        (&[0xae], 1_000),
        (&[0xaf], 1_000),
        (&[0x51, 0xae], 1_000),
        (&[0x01, 0xac, 0xac], 20_000),
        (&[0x4c, 0x01, 0xac, 0xac], 20_000),
        (&[0x4d, 0x01, 0x00, 0xac, 0xac], 20_000),
        (&[0x4e, 0x01, 0x00, 0x00, 0x00, 0xac, 0xac], 20_000),
        (&[0xba, 0xac], 20_000),
    ];
    for (unit, fits) in counted {
        for (count, reason) in [(fits + 1, Some("bad-blk-sigops")), (fits, None)] {
            for end in [
                &[][..],
                &[0x4c],
                &[0x4d, 0xff],
                &[0x02, 0xac],
                &[0x4e, 0xff, 0xff, 0xff, 0xff, 0xac],
            ] {
                let mut script = unit.repeat(count);
                script.extend(end);
                let mut draft = scene.draft();
                draft.coinbase.output.push(output(0, script));
                verdict(scene, "operations in a script", &draft, reason);
            }
        }
    }
    let mut draft = scene.draft().salt(0);
    let mut script = draft.coinbase.input[0].script_sig.to_bytes();
    script.extend([0xae, 0xac]);
    draft.coinbase.input[0].script_sig = ScriptBuf::from_bytes(script);
    operations_output(&mut draft.coinbase, 19_980);
    verdict(
        scene,
        "operations in the coinbase's script",
        &draft,
        Some("bad-blk-sigops"),
    );
    draft.coinbase.output.last_mut().expect("it").script_pubkey =
        ScriptBuf::from_bytes(vec![0xac; 19_979]);
    verdict(scene, "one less", &draft, None);
}

fn coinbase_shapes(scene: &mut Scene) {
    for (length, reason) in [(101, Some("bad-cb-length")), (100, None), (3, None)] {
        let mut draft = scene.draft();
        let mut script = draft.coinbase.input[0].script_sig.to_bytes();
        script.truncate(3);
        script.resize(length, 0);
        draft.coinbase.input[0].script_sig = ScriptBuf::from_bytes(script);
        verdict(scene, "a coinbase script", &draft, reason);
    }
    for (outpoint_index, count) in [(0, 1), (u32::MAX - 1, 1), (u32::MAX, 2)] {
        let mut draft = scene.draft();
        draft.coinbase.input[0].previous_output.vout = outpoint_index;
        let input = draft.coinbase.input[0].clone();
        draft.coinbase.input.resize(count, input);
        verdict(scene, "no coinbase", &draft, Some("bad-cb-missing"));
    }
    let mut draft = scene.draft();
    draft.coinbase.output.clear();
    verdict(
        scene,
        "a coinbase without outputs",
        &draft,
        Some("bad-txns-vout-empty"),
    );
    for version in [0, -1, i32::MIN, 9] {
        let mut draft = scene.draft();
        draft.coinbase.version = bitcoin::transaction::Version(version);
        verdict(scene, "a coinbase version", &draft, None);
    }
    let mut draft = scene.draft();
    draft.coinbase.input[0].sequence = bitcoin::Sequence(1);
    verdict(scene, "a coinbase sequence", &draft, None);
}

fn commitments(scene: &mut Scene) {
    let change =
        |scene: &mut Scene, case: &str, change: &dyn Fn(&mut Block), reason: Option<&str>| {
            let coin = scene.take(true, 1);
            let mut block = scene.draft().with(payment(&coin).sign()).build();
            change(&mut block);
            remine(&mut block);
            let outcome = scene.submit(case, &block);
            assert_eq!(outcome.reason(), reason, "{case}");
        };
    let nonce_size = Some("bad-witness-nonce-size");
    for (items, reason) in [
        (vec![], nonce_size),
        (vec![vec![]], nonce_size),
        (vec![vec![0; 31]], nonce_size),
        (vec![vec![0; 33]], nonce_size),
        (vec![vec![0; 32], vec![]], nonce_size),
        (vec![vec![0; 32], vec![0; 32]], nonce_size),
        (vec![vec![1; 32]], Some("bad-witness-merkle-match")),
        (vec![vec![0; 32]], None),
    ] {
        let set =
            |block: &mut Block| block.txdata[0].input[0].witness = Witness::from_slice(&items);
        change(scene, "a reserved value", &set, reason);
    }
    let commitment = |block: &Block| block.txdata[0].output[1].script_pubkey.to_bytes();
    let add = |block: &mut Block, script: Vec<u8>| block.txdata[0].output.push(output(0, script));
    type Change<'a> = &'a dyn Fn(&mut Block);
    let changes: [(&str, Change<'_>, Option<&str>); 8] = [
        (
            "twice",
            &|block| {
                let c = commitment(block);
                add(block, c);
            },
            None,
        ),
        (
            "a wrong one last",
            &|block| {
                let mut c = commitment(block);
                c[20] ^= 1;
                add(block, c);
            },
            Some("bad-witness-merkle-match"),
        ),
        (
            "a wrong one that is too short last",
            &|block| {
                let mut c = commitment(block);
                c.pop();
                add(block, c);
            },
            None,
        ),
        (
            "longer",
            &|block| {
                let mut c = commitment(block);
                c.extend([0x51; 9]);
                block.txdata[0].output[1] = output(0, c);
            },
            None,
        ),
        (
            "another tag",
            &|block| {
                let mut c = commitment(block);
                c[5] ^= 1;
                block.txdata[0].output[1] = output(0, c);
            },
            Some("unexpected-witness"),
        ),
        (
            "another push",
            &|block| {
                let mut c = commitment(block);
                c[1] = 0x25;
                c.push(0);
                block.txdata[0].output[1] = output(0, c);
            },
            Some("unexpected-witness"),
        ),
        (
            "with an amount",
            &|block| {
                let c = commitment(block);
                block.txdata[0].output[0].value -= Amount::ONE_SAT;
                block.txdata[0].output[1] = output(1, c);
            },
            None,
        ),
        (
            "in a payment",
            &|block| {
                let c = block.txdata[0].output.pop();
                block.txdata[1].output.extend(c);
            },
            Some("unexpected-witness"),
        ),
    ];
    for (case, what, reason) in changes {
        change(scene, case, what, reason);
    }
    let mut draft = scene.draft();
    draft.commitment = Commitment::Always;
    verdict(scene, "a commitment without witnesses", &draft, None);
    let mut block = scene.draft().build();
    block.txdata[0].input[0].witness = Witness::from_slice(&[[0; 32]]);
    let outcome = scene.submit("a reserved value without a commitment", &block);
    assert_eq!(outcome.reason(), Some("unexpected-witness"));
}

fn amounts(scene: &mut Scene) {
    let fee = Amount::from_sat(1_000);
    for (extra, reason) in [(1, Some("bad-cb-amount")), (0, None)] {
        let coin = scene.take(extra == 0, 1);
        let mut draft = scene.draft().with(payment(&coin).sign());
        draft.coinbase.output[0].value += fee + Amount::from_sat(extra);
        verdict(scene, "subsidy and fee", &draft, reason);
    }
    let coin = scene.take(true, 1);
    let all = coin[0].output.value;
    for (paid, reason) in [
        (all + Amount::ONE_SAT, Some("bad-txns-in-belowout")),
        (all, None),
    ] {
        let tx = spending(&coin).pay(&Key::p2tr("sink"), paid).sign();
        verdict(scene, "all of a coin", &scene.draft().with(tx), reason);
    }
    for (age, reason) in [
        (99, Some("bad-txns-premature-spend-of-coinbase")),
        (100, None),
    ] {
        let height = scene.height().0 as usize + 1 - age;
        let coin = [scene.coinbases[height - 1].clone()];
        if coin[0].output.value.to_sat() > 1_000 {
            verdict(
                scene,
                "maturity",
                &scene.draft().with(payment(&coin).sign()),
                reason,
            );
        }
    }
    // Through the first halving, at block 150.
    while scene.height().0 < 152 {
        let mut draft = scene.draft();
        draft.coinbase.output[0].value += Amount::ONE_SAT;
        verdict(
            scene,
            "one satoshi more than the subsidy",
            &draft,
            Some("bad-cb-amount"),
        );
        let mut draft = scene.draft();
        draft.coinbase.output[0].value = Amount::from_int_btc(50);
        let late = scene.height().0 + 1 >= 150;
        verdict(
            scene,
            "the old subsidy",
            &draft,
            late.then_some("bad-cb-amount"),
        );
        if late {
            scene.mine_empty();
        }
    }
}

fn odd_outputs(scene: &mut Scene) {
    let coin = scene.take(true, 1);
    let scripts = [
        vec![],
        vec![0x6a],
        vec![0x6a; 10_001],
        vec![0x51; 10_000],
        vec![0x51; 10_001],
        vec![0x00, 0x14],
        vec![0xff; 3],
        vec![0x51, 0x02, 0x4e, 0x73],
        vec![0x4c],
    ];
    let tx = scripts.iter().fold(spending(&coin), |payment, script| {
        payment.pay_script(ScriptBuf::from_bytes(script.clone()), Amount::from_sat(500))
    });
    let tx = tx.sign();
    scene.accept("outputs of many kinds", &scene.draft().with(tx.clone()));
    for vout in [1, 2, 4, 9] {
        let output = tx.output.get(vout as usize).unwrap_or(&tx.output[0]);
        let outpoint = bitcoin::OutPoint {
            txid: tx.compute_txid(),
            vout,
        };
        let spend = Payment::new().spend(outpoint, output, &Key::p2tr("oracle"));
        let spend = spend
            .pay(&Key::p2tr("sink"), Amount::from_sat(1))
            .unsigned()
            .0;
        let reason = Some("bad-txns-inputs-missingorspent");
        verdict(
            scene,
            "an output that never became a coin",
            &scene.draft().with(spend),
            reason,
        );
    }
    // Sixty-four bytes.
    let coin = scene.take(true, 1);
    let short = spending(&coin)
        .pay_script(ScriptBuf::from_bytes(vec![0x6a; 4]), Amount::ZERO)
        .sign();
    assert_eq!(short.base_size(), 64);
    verdict(
        scene,
        "a transaction of 64 bytes",
        &scene.draft().with(short),
        None,
    );
}

fn order_in_the_block(scene: &mut Scene) {
    let sink = Key::p2tr("sink");
    let first = payment(&scene.take(false, 1)).sign();
    let next = |tx: &Transaction| {
        let value = tx.output[0].value - Amount::from_sat(1_000);
        Payment::new()
            .spend_output_of(tx, 0, &sink)
            .pay(&sink, value)
            .sign()
    };
    let mut chain = vec![first];
    for _ in 0..30 {
        chain.push(next(chain.last().expect("one")));
    }
    let mut draft = scene.draft();
    draft.txs = chain.iter().rev().cloned().collect();
    let missing = Some("bad-txns-inputs-missingorspent");
    verdict(scene, "children before parents", &draft, missing);
    draft.txs = chain.clone();
    draft.txs.swap(20, 21);
    verdict(scene, "one child before its parent", &draft, missing);
    let mut draft = scene.draft();
    let own = Payment::new().spend_output_of(&draft.coinbase, 0, &Key::p2tr("oracle"));
    draft.txs.push(own.pay(&sink, Amount::ONE_SAT).sign());
    verdict(scene, "the block's own coinbase", &draft, None);
    let mut draft = scene.draft();
    draft.txs = chain.clone();
    verdict(scene, "a chain of payments", &draft, None);
    let draft = scene.draft().with(chain[30].clone());
    verdict(
        scene,
        "the last of them again",
        &draft,
        Some("bad-txns-BIP30"),
    );
    let draft = scene.draft().with(chain[3].clone());
    verdict(scene, "one whose outputs are spent again", &draft, missing);
}

fn output(sat: u64, script: Vec<u8>) -> TxOut {
    TxOut {
        value: Amount::from_sat(sat),
        script_pubkey: ScriptBuf::from_bytes(script),
    }
}

/// Hands a block in that is refused with a reason, or becomes the tip if none is said. (Where the reason is not known
/// beforehand, both still have to agree: that is checked elsewhere.)
fn verdict(scene: &mut Scene, case: &str, draft: &Draft, reason: Option<&str>) {
    match reason {
        Some(reason) => scene.refuse(case, draft, reason),
        None if case == "the block's own coinbase" => {
            scene.refuse(case, draft, "bad-txns-");
        }
        None => {
            scene.accept(case, draft);
        }
    }
}
