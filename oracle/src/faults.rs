//! One way to be wrong for every rule, and every two of them in one block: whichever of the two is found first must be the
//! same for both nodes.

use bitcoin::{Amount, CompactTarget, OutPoint, ScriptBuf, Transaction, TxOut, Witness};
use chain::fixtures::{Key, Payment};

use crate::pair::{Tally, now};
use crate::scene::{Commitment, Draft, FEE, Owned, Scene, payment, spending};
use crate::sign::taproot_witness;

/// Makes a block wrong.
pub(crate) type Fault = fn(&mut Draft, &Scene);

const OP_CHECKSIG: u8 = 0xac;
const OP_RETURN: u8 = 0x6a;

/// All faults, about in the order in which Core finds them.
pub(crate) const FAULTS: &[(&str, Fault)] = &[
    ("no work", |draft, _| draft.faults.no_work = true),
    ("wrong merkle root", |draft, _| {
        draft.faults.wrong_merkle_root = true;
    }),
    ("repeated transactions", |draft, scene| {
        pay_until(draft, scene, |count| !count.is_power_of_two());
        draft.faults.repeated = true;
    }),
    ("too long without witnesses", |draft, _| {
        data_output(&mut draft.coinbase, 1_000_000);
    }),
    ("no coinbase", |draft, scene| {
        pay(draft, scene, true);
        draft.faults.no_coinbase = true;
    }),
    ("two coinbases", |draft, _| {
        let second = draft.clone().salt(7).coinbase;
        draft.txs.push(second);
    }),
    ("no inputs", |draft, _| {
        let output = Payment::new().pay(&Key::p2tr("sink"), FEE);
        draft.txs.push(output.unsigned().0);
    }),
    ("no outputs", |draft, scene| {
        let coin = draft.coin(scene, true);
        draft.txs.push(spending(&[coin]).sign());
    }),
    ("a negative output", |draft, scene| {
        pay_amounts(draft, scene, &[u64::MAX]);
    }),
    ("an output of too much", |draft, scene| {
        pay_amounts(draft, scene, &[Amount::MAX_MONEY.to_sat() + 1]);
    }),
    ("outputs of too much together", |draft, scene| {
        pay_amounts(draft, scene, &[Amount::MAX_MONEY.to_sat(), 1]);
    }),
    ("a coin twice in a transaction", |draft, scene| {
        let coin = draft.coin(scene, true);
        draft.txs.push(payment(&[coin.clone(), coin]).sign());
    }),
    ("a coinbase script of one byte", |draft, _| {
        draft.coinbase.input[0].script_sig = ScriptBuf::from_bytes(vec![1]);
    }),
    ("a coinbase script of 101 bytes", |draft, _| {
        let mut script = draft.coinbase.input[0].script_sig.to_bytes();
        script.resize(101, 0);
        draft.coinbase.input[0].script_sig = ScriptBuf::from_bytes(script);
    }),
    ("nothing as an input", |draft, scene| {
        let coin = draft.coin(scene, false);
        let mut nothing = coin.clone();
        nothing.outpoint = OutPoint::null();
        draft.txs.push(payment(&[coin, nothing]).sign());
    }),
    ("too many signature operations", |draft, _| {
        operations_output(&mut draft.coinbase, 20_001);
    }),
    ("other bits", |draft, _| {
        draft.bits = CompactTarget::from_consensus(0x207f_fffe);
    }),
    ("too early", |draft, scene| {
        draft.time = scene.median_time_past().0;
    }),
    ("too far ahead", |draft, _| {
        draft.time = now().0 + 7_200 + 60
    }),
    ("version 3", |draft, _| draft.version = 3),
    ("a locked transaction", |draft, scene| {
        let coin = draft.coin(scene, true);
        let height = draft.height.0;
        let locked = payment(&[coin]).sequence(0).lock_time(height).sign();
        draft.txs.push(locked);
    }),
    ("another height in the coinbase", |draft, _| {
        let mut script = draft.coinbase.input[0].script_sig.to_bytes();
        // The first of two bytes of the number, unless another fault cut the script.
        let byte = script.len().min(2) - 1;
        script[byte] ^= 1;
        draft.coinbase.input[0].script_sig = ScriptBuf::from_bytes(script);
    }),
    ("no reserved value", |draft, _| {
        draft.commitment = Commitment::Always;
        draft.faults.no_reserved_value = true;
    }),
    ("a wrong witness commitment", |draft, _| {
        draft.commitment = Commitment::Always;
        draft.faults.wrong_commitment = true;
    }),
    ("witnesses without a commitment", |draft, scene| {
        pay(draft, scene, false);
        draft.commitment = Commitment::Never;
    }),
    ("too heavy", |draft, scene| {
        let coin = draft.coin(scene, true);
        let mut annex = vec![0; 4_000_000 - 1_000];
        annex[0] = 0x50;
        let (mut tx, spent) = payment(std::slice::from_ref(&coin)).unsigned();
        tx.input[0].witness = taproot_witness(
            &coin.key.signing_pair(),
            &tx,
            0,
            &spent,
            bitcoin::TapSighashType::Default,
            Some(&annex),
        );
        draft.txs.push(tx);
        pay_until(draft, scene, |count| count > 6);
    }),
    ("a confirmed transaction again", |draft, scene| {
        draft.txs.push(scene.confirmed.clone());
    }),
    ("a coin that is not there", |draft, scene| {
        let mut coin = draft.coin(scene, true);
        coin.outpoint.vout = 1_000;
        draft.txs.push(payment(&[coin]).sign());
    }),
    ("a coin twice in the block", |draft, scene| {
        let coin = draft.coin(scene, false);
        draft.txs.push(payment(std::slice::from_ref(&coin)).sign());
        let other = payment(&[coin]).pay_script(ScriptBuf::new(), Amount::ZERO);
        draft.txs.push(other.sign());
    }),
    ("a coinbase too young", |draft, scene| {
        let young = draft.height.0 as usize - 99 - 1;
        draft
            .txs
            .push(payment(&[scene.coinbases[young].clone()]).sign());
    }),
    ("outputs above inputs", |draft, scene| {
        let coin = draft.coin(scene, true);
        let too_much = coin.output.value + Amount::ONE_SAT;
        let tx = spending(&[coin]).pay(&Key::p2tr("sink"), too_much).sign();
        draft.txs.push(tx);
    }),
    ("a relative lock", |draft, scene| {
        let coin = draft.coin(scene, false);
        draft.txs.push(payment(&[coin]).sequence(0xffff).sign());
    }),
    (
        "too many signature operations with witnesses",
        |draft, scene| {
            operations_output(&mut draft.coinbase, 19_999);
            let coins: Vec<Owned> = (0..5).map(|_| draft.coin(scene, false)).collect();
            draft.txs.push(payment(&coins).sign());
        },
    ),
    ("a coinbase of too much", |draft, _| {
        draft.coinbase.output[0].value = Amount::from_int_btc(60);
    }),
    ("a wrong Schnorr signature", |draft, scene| {
        let coin = draft.coin(scene, true);
        let mut tx = payment(&[coin]).sign();
        let mut signature = tx.input[0].witness[0].to_vec();
        signature[40] ^= 1;
        tx.input[0].witness = Witness::from_slice(&[signature]);
        draft.txs.push(tx);
    }),
    ("a wrong ECDSA signature", |draft, scene| {
        let coin = draft.coin(scene, false);
        let mut tx = payment(&[coin]).sign();
        tx.output[0].value -= Amount::ONE_SAT;
        draft.txs.push(tx);
    }),
];

/// Each fault alone, and each two in both orders.
pub(crate) fn compare_all() -> Tally {
    let mut scene = Scene::new("faults");
    for (name, fault) in FAULTS {
        let mut draft = scene.draft();
        fault(&mut draft, &scene);
        let outcome = scene.submit(name, &draft.build());
        assert!(outcome.reason().is_some(), "{name} is a fault");
    }
    for (first, fault) in FAULTS {
        for (second, other) in FAULTS.iter().filter(|(second, _)| second != first) {
            let mut draft = scene.draft();
            fault(&mut draft, &scene);
            other(&mut draft, &scene);
            scene.submit(&format!("{first}, and {second}"), &draft.build());
        }
    }
    scene.mine_empty();
    scene.finish()
}

fn pay(draft: &mut Draft, scene: &Scene, taproot: bool) {
    let coin = draft.coin(scene, taproot);
    draft.txs.push(payment(&[coin]).sign());
}

/// Adds payments until the number of transactions pleases.
fn pay_until(draft: &mut Draft, scene: &Scene, pleases: impl Fn(usize) -> bool) {
    while !pleases(draft.txs.len() + 1) {
        pay(draft, scene, true);
    }
}

fn pay_amounts(draft: &mut Draft, scene: &Scene, amounts_sat: &[u64]) {
    let coin = draft.coin(scene, true);
    let (mut tx, _) = spending(&[coin]).unsigned();
    tx.output.extend(amounts_sat.iter().map(|sat| TxOut {
        value: Amount::from_sat(*sat),
        script_pubkey: Key::p2tr("sink").script(),
    }));
    draft.txs.push(tx);
}

/// Adds an output that carries `length` bytes of script.
pub(crate) fn data_output(tx: &mut Transaction, length: usize) {
    let mut script = vec![0; length];
    script[0] = OP_RETURN;
    tx.output.push(TxOut {
        value: Amount::ZERO,
        script_pubkey: ScriptBuf::from_bytes(script),
    });
}

/// Adds an output with `count` signature operations.
pub(crate) fn operations_output(tx: &mut Transaction, count: usize) {
    tx.output.push(TxOut {
        value: Amount::ZERO,
        script_pubkey: ScriptBuf::from_bytes(vec![OP_CHECKSIG; count]),
    });
}
