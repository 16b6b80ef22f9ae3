//! Every way to sign, right and wrong.

use bitcoin::hashes::Hash;
use bitcoin::secp256k1::Keypair;
use bitcoin::{
    Amount, OutPoint, ScriptBuf, TapSighashType, Transaction, TxOut, WPubkeyHash, Witness,
};
use chain::fixtures::{Key, Payment};

use crate::pair::Tally;
use crate::scene::{Owned, Scene, payment, spending, taproot_key, witness_key};
use crate::sign::{KeyForm, key_bytes, p2wpkh_script, taproot_witness, v0_signature, with_other_s};

/// A coin that moves on with every payment that both nodes take.
struct Purse {
    outpoint: OutPoint,
    output: TxOut,
}

impl Purse {
    fn of(coin: &Owned) -> Purse {
        Purse {
            outpoint: coin.outpoint,
            output: coin.output.clone(),
        }
    }

    /// A payment of the coin to its own script in so many outputs, nearly all to the first, without a witness.
    fn unsigned(&self, outputs: usize) -> (Transaction, Vec<TxOut>) {
        let rest = self.output.value - Amount::from_sat(1_000) * outputs as u64;
        let payment = Payment::new().spend(self.outpoint, &self.output, &taproot_key());
        let payment = (0..outputs).fold(payment, |payment, n| {
            let value = if n == 0 { rest } else { Amount::from_sat(600) };
            payment.pay_script(self.output.script_pubkey.clone(), value)
        });
        payment.unsigned()
    }

    /// Hands the payment to both, and follows the coin if it went.
    fn try_payment(&mut self, scene: &mut Scene, case: &str, tx: Transaction) -> bool {
        let block = scene.draft().with(tx.clone()).build();
        let accepted = scene.submit(case, &block).tip == block.block_hash();
        if accepted {
            self.outpoint = OutPoint {
                txid: tx.compute_txid(),
                vout: 0,
            };
            self.output = tx.output[0].clone();
        }
        accepted
    }
}

/// P2TR: types, lengths, annexes, script paths.
pub(crate) fn compare_taproot() -> Tally {
    let mut scene = Scene::new("P2TR");
    let mut purse = Purse::of(&scene.take(true, 1)[0]);
    let pair = taproot_key().signing_pair();
    let sign = |tx: &Transaction, spent: &[TxOut], hash_type, annex: Option<&[u8]>| {
        taproot_witness(&pair, tx, 0, spent, hash_type, annex)
    };
    for byte in 0..=255u8 {
        let (mut tx, spent) = purse.unsigned(2);
        let known = TapSighashType::from_consensus_u8(byte);
        let mut signature =
            sign(&tx, &spent, known.unwrap_or(TapSighashType::All), None)[0].to_vec();
        signature.truncate(64);
        signature.push(byte);
        tx.input[0].witness = Witness::from_slice(&[signature]);
        let accepted = purse.try_payment(&mut scene, &format!("type {byte:02x}"), tx);
        assert_eq!(
            accepted,
            matches!(byte, 1..=3 | 0x81..=0x83),
            "type {byte:02x}"
        );
    }
    for length in 0..=70 {
        let (mut tx, spent) = purse.unsigned(1);
        let mut signature = sign(&tx, &spent, TapSighashType::Default, None)[0].to_vec();
        signature.resize(length, 1);
        tx.input[0].witness = Witness::from_slice(&[signature]);
        purse.try_payment(&mut scene, &format!("{length} bytes"), tx);
    }
    let default = TapSighashType::Default;
    for annex in [&[0x50][..], &[0x50, 0], &[0x50; 600], &[0x50; 70_000]] {
        for (signed, shown) in [
            (Some(annex), Some(annex)),
            (None, Some(annex)),
            (Some(annex), None),
        ] {
            let (mut tx, spent) = purse.unsigned(1);
            let signature = sign(&tx, &spent, default, signed)[0].to_vec();
            tx.input[0].witness = Witness::from_slice(&[signature]);
            if let Some(annex) = shown {
                tx.input[0].witness.push(annex);
            }
            let accepted = purse.try_payment(&mut scene, "an annex", tx);
            assert_eq!(accepted, signed == shown);
        }
    }
    taproot_witness_shapes(&mut scene, &mut purse, &pair);
    taproot_with_other_inputs(&mut scene);
    taproot_bad_keys(&mut scene);
    scene.finish()
}

fn taproot_witness_shapes(scene: &mut Scene, purse: &mut Purse, pair: &Keypair) {
    let (tx, spent) = purse.unsigned(1);
    let signature =
        taproot_witness(pair, &tx, 0, &spent, TapSighashType::Default, None)[0].to_vec();
    let control = |length: usize| {
        let mut bytes = vec![0xc0; length];
        if length > 33 {
            bytes[1..].fill(2);
        }
        bytes
    };
    let mut shapes: Vec<Vec<Vec<u8>>> = vec![
        vec![],
        vec![vec![]],
        vec![vec![0x50]],
        vec![vec![0x50], vec![0x50]],
        vec![vec![], vec![0x50]],
        vec![signature.clone(), vec![]],
        vec![signature.clone(), vec![0x51]],
        vec![vec![], signature.clone()],
        vec![signature.clone(), vec![0x50], vec![0x50]],
    ];
    for length in [
        0,
        1,
        32,
        33,
        34,
        64,
        65,
        66,
        97,
        33 + 32 * 128,
        33 + 32 * 129,
    ] {
        shapes.push(vec![vec![0x51], control(length)]);
        shapes.push(vec![vec![0x51], control(length), vec![0x50, 1]]);
    }
    for witness in shapes {
        let mut tx = tx.clone();
        let lengths: Vec<usize> = witness.iter().map(Vec::len).collect();
        tx.input[0].witness = Witness::from_slice(&witness);
        let accepted = purse.try_payment(scene, &format!("a witness of {lengths:?} bytes"), tx);
        assert!(!accepted);
    }
    for script_sig in [vec![0x51], vec![0x00], vec![0x01, 0x01], vec![0x51; 100]] {
        let mut tx = tx.clone();
        tx.input[0].witness = Witness::from_slice(std::slice::from_ref(&signature));
        tx.input[0].script_sig = ScriptBuf::from_bytes(script_sig);
        assert!(!purse.try_payment(scene, "a scriptSig", tx));
    }
    let mut tx = tx;
    tx.input[0].witness = Witness::from_slice(&[signature]);
    assert!(purse.try_payment(scene, "the same without", tx));
}

/// Several inputs of both kinds with every type, and more inputs than outputs: SINGLE has nothing to sign then.
fn taproot_with_other_inputs(scene: &mut Scene) {
    let types = [0, 1, 2, 3, 0x81, 0x82, 0x83];
    for (n, byte) in types.into_iter().enumerate() {
        for outputs in 1..=3 {
            let coins = [scene.take(true, 2), scene.take(false, 1)].concat();
            let (mut tx, spent) = mixed_payment(&coins, outputs);
            let last = types[(n + outputs) % types.len()];
            for (index, coin) in coins.iter().enumerate() {
                let byte = if index == 1 { byte } else { last };
                sign_any(&mut tx, index, coin, &spent, byte);
            }
            let block = scene.draft().with(tx).build();
            let case = format!("types {byte:02x} and {last:02x}, {outputs} outputs");
            if scene.submit(&case, &block).tip != block.block_hash() {
                scene.coins.extend(coins);
            }
        }
    }
}

fn mixed_payment(coins: &[Owned], outputs: usize) -> (Transaction, Vec<TxOut>) {
    let part = coins[0].output.value / 2;
    (0..outputs)
        .fold(spending(coins), |payment, _| {
            payment.pay(&Key::p2tr("sink"), part)
        })
        .unsigned()
}

/// Signs an input of either kind. Where SINGLE has no output, as good as can be.
fn sign_any(tx: &mut Transaction, index: usize, coin: &Owned, spent: &[TxOut], byte: u8) {
    if coin.output.script_pubkey.is_p2wpkh() {
        let pair = coin.key.pair();
        let signature = v0_signature(&pair.secret_key(), tx, index, &spent[index], byte);
        let key = key_bytes(&pair, KeyForm::Compressed);
        tx.input[index].witness = Witness::from_slice(&[signature, key]);
        return;
    }
    let hash_type = TapSighashType::from_consensus_u8(byte).expect("one of the seven");
    let no_output = byte & 3 == 3 && index >= tx.output.len();
    let signed_type = if no_output {
        TapSighashType::All
    } else {
        hash_type
    };
    let pair = coin.key.signing_pair();
    let witness = taproot_witness(&pair, tx, index, spent, signed_type, None);
    let mut signature = witness[0].to_vec();
    if no_output {
        signature[64] = byte;
    }
    tx.input[index].witness = Witness::from_slice(&[signature]);
}

/// Output keys that are no points, and programs that read as zero.
fn taproot_bad_keys(scene: &mut Scene) {
    let mut no_point = [0xff; 32];
    no_point[31] = 5;
    let mut negative_zero = [0; 32];
    negative_zero[31] = 0x80;
    let mut one = [0; 32];
    one[31] = 1;
    for program in [[0; 32], negative_zero, one, no_point, [0xff; 32]] {
        let script = [&[0x51, 0x20][..], &program].concat();
        spend_foreign(scene, script, |tx, spent| {
            taproot_witness(
                &taproot_key().signing_pair(),
                tx,
                0,
                spent,
                TapSighashType::Default,
                None,
            )
        });
    }
}

/// Pays to a script, and spends that in the same block with some witness.
fn spend_foreign(
    scene: &mut Scene,
    script: Vec<u8>,
    witness: impl Fn(&Transaction, &[TxOut]) -> Witness,
) -> bool {
    let coin = scene.take(true, 1);
    let value = coin[0].output.value - Amount::from_sat(1_000);
    let case = format!("an output {script:x?}");
    let paying = spending(&coin)
        .pay_script(ScriptBuf::from_bytes(script), value)
        .sign();
    let key = taproot_key();
    let spend = Payment::new().spend_output_of(&paying, 0, &key);
    let (mut tx, spent) = spend.pay(&key, value - Amount::from_sat(1_000)).unsigned();
    tx.input[0].witness = witness(&tx, &spent);
    let block = scene.draft().with(paying).with(tx).build();
    scene.submit(&case, &block).tip == block.block_hash()
}

/// P2WPKH: types, encodings, keys.
pub(crate) fn compare_p2wpkh() -> Tally {
    let mut scene = Scene::new("P2WPKH");
    let coin = scene.take(false, 1)[0].clone();
    let mut purse = Purse::of(&coin);
    let pair = witness_key().pair();
    let secret = pair.secret_key();
    let key = key_bytes(&pair, KeyForm::Compressed);
    for byte in 0..=255u8 {
        for high in [false, true] {
            let (mut tx, spent) = purse.unsigned(1 + usize::from(byte % 2));
            let mut signature = v0_signature(&secret, &tx, 0, &spent[0], byte);
            if high {
                signature = with_other_s(&signature);
            }
            tx.input[0].witness = Witness::from_slice(&[signature, key.clone()]);
            assert!(purse.try_payment(&mut scene, &format!("type {byte:02x}, high S {high}"), tx));
        }
    }
    encodings(&mut scene, &mut purse, &pair);
    key_forms(&mut scene);
    let zeros = ScriptBuf::new_p2wpkh(&WPubkeyHash::all_zeros()).to_bytes();
    spend_foreign(&mut scene, zeros, |tx, spent| {
        let signature = v0_signature(&secret, tx, 0, &spent[0], 1);
        Witness::from_slice(&[signature, key.clone()])
    });
    scene.finish()
}

/// Signatures and witnesses in wrong forms.
fn encodings(scene: &mut Scene, purse: &mut Purse, pair: &Keypair) {
    let key = key_bytes(pair, KeyForm::Compressed);
    let (tx, spent) = purse.unsigned(1);
    let good = v0_signature(&pair.secret_key(), &tx, 0, &spent[0], 1);
    let r_length = usize::from(good[3]);
    let mut signatures = vec![
        vec![],
        vec![1],
        vec![0x30, 1],
        vec![0; 9],
        good[..good.len() - 1].to_vec(),
    ];
    // Every byte of the form changed by a bit; lengths and padding.
    for position in [
        0,
        1,
        2,
        3,
        4,
        4 + r_length,
        5 + r_length,
        6 + r_length,
        good.len() - 2,
        good.len() - 1,
    ] {
        for bit in 0..8 {
            let mut signature = good.clone();
            signature[position] ^= 1 << bit;
            signatures.push(signature);
        }
    }
    let mut padded = good.clone();
    padded.insert(4, 0);
    padded[3] += 1;
    padded[1] += 1;
    signatures.push(padded);
    let mut trailing = good.clone();
    trailing.insert(good.len() - 1, 0);
    signatures.push(trailing.clone());
    trailing[1] += 1;
    signatures.push(trailing);
    let mut long = good.clone();
    long.splice(1..2, [0x81, good[1]]);
    signatures.push(long);
    // R or S zero, or one, or more than the order.
    for integer in [
        vec![],
        vec![0],
        vec![1],
        [vec![0], vec![0xff; 32]].concat(),
        vec![0x7f; 33],
        vec![0xff; 32],
    ] {
        for place in 0..2 {
            let other = vec![1];
            let (r, s) = if place == 0 {
                (&integer, &other)
            } else {
                (&other, &integer)
            };
            let mut signature = vec![0x30, (4 + r.len() + s.len()) as u8, 2, r.len() as u8];
            signature.extend(r);
            signature.extend([2, s.len() as u8]);
            signature.extend(s);
            signature.push(1);
            signatures.push(signature);
        }
    }
    let mut witnesses: Vec<Vec<Vec<u8>>> = signatures
        .into_iter()
        .map(|signature| vec![signature, key.clone()])
        .collect();
    witnesses.extend([
        vec![],
        vec![good.clone()],
        vec![key.clone()],
        vec![key.clone(), good.clone()],
        vec![good.clone(), vec![]],
        vec![good.clone(), key.clone(), vec![]],
        vec![vec![], good.clone(), key.clone()],
        vec![good.clone(), key[..32].to_vec()],
        vec![good.clone(), [key.clone(), vec![0]].concat()],
        vec![vec![0; 521], key.clone()],
        vec![vec![0; 520], key.clone()],
        vec![good.clone(), vec![0; 521]],
        vec![good.clone(), vec![0; 520]],
    ]);
    for witness in witnesses {
        let mut tx = tx.clone();
        let case = format!("a witness {witness:02x?}");
        tx.input[0].witness = Witness::from_slice(&witness);
        assert!(!purse.try_payment(scene, &case, tx), "{case}");
    }
    for script_sig in [vec![0x51], vec![0x00], vec![0x16; 23]] {
        let mut tx = tx.clone();
        tx.input[0].witness = Witness::from_slice(&[good.clone(), key.clone()]);
        tx.input[0].script_sig = ScriptBuf::from_bytes(script_sig);
        assert!(!purse.try_payment(scene, "a scriptSig", tx));
    }
}

/// Keys of every form behind a P2WPKH output.
fn key_forms(scene: &mut Scene) {
    let pair = witness_key().pair();
    let mut no_point = vec![2; 33];
    no_point[1..].fill(0xff);
    let mut keys: Vec<Vec<u8>> = [
        KeyForm::Compressed,
        KeyForm::Uncompressed,
        KeyForm::Hybrid,
        KeyForm::WrongHybrid,
    ]
    .map(|form| key_bytes(&pair, form))
    .to_vec();
    keys.extend([
        vec![],
        vec![2],
        no_point,
        vec![4; 65],
        vec![5; 33],
        vec![0; 33],
        vec![7; 520],
    ]);
    let long = key_bytes(&pair, KeyForm::Uncompressed);
    keys.extend([
        long[..64].to_vec(),
        [long.clone(), vec![0]].concat(),
        [vec![2], long[1..].to_vec()].concat(),
    ]);
    for (n, key) in keys.into_iter().enumerate() {
        let script = p2wpkh_script(&key).into_bytes();
        let accepted = spend_foreign(scene, script, |tx, spent| {
            let signature = v0_signature(&pair.secret_key(), tx, 0, &spent[0], 1);
            Witness::from_slice(&[signature, key.clone()])
        });
        assert_eq!(accepted, n < 3, "key {key:02x?}");
    }
}

/// Outputs of other kinds: what Core refuses we refuse. What Core would take is no part of a comparison, for the chains
/// would part: that is the one deviation.
pub(crate) fn compare_other_outputs() -> Tally {
    let mut scene = Scene::new("other outputs");
    let signature = payment(&scene.take(true, 1)).sign().input[0].witness[0].to_vec();
    for script in [
        vec![],
        vec![0x00],
        vec![0x6b],
        vec![0x51, 0x87],
        vec![0xac],
        vec![0xff],
        vec![0x00, 0x02, 0x01, 0x01],
        [vec![0x00, 0x13], vec![1; 19]].concat(),
        [vec![0x00, 0x15], vec![1; 21]].concat(),
        [vec![0x00, 0x28], vec![1; 40]].concat(),
        [vec![0x00, 0x20], vec![7; 32]].concat(),
        [vec![0xa9, 0x14], vec![7; 20], vec![0x87]].concat(),
        [vec![0x76, 0xa9, 0x14], vec![7; 20], vec![0x88, 0xac]].concat(),
        [vec![0x51, 0x20], vec![0; 32]].concat(),
    ] {
        for witness in [
            Witness::new(),
            Witness::from_slice(std::slice::from_ref(&signature)),
        ] {
            let accepted = spend_foreign(&mut scene, script.clone(), |_, _| witness.clone());
            assert!(!accepted);
        }
    }
    scene.finish()
}
