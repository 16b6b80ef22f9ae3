//! Bodies at a height, after a median time.

use super::*;

/// Case 19: a transaction locked by height or median time past, and a locked coinbase.
#[test]
fn a_locked_transaction_waits() {
    let params = test_params();
    let coin = OutPoint {
        txid: Txid::hash(b"someone"),
        vout: 0,
    };
    let locked = |lock_time| {
        let payment = Payment::new()
            .spend(coin, &output(2_000), &Key::p2tr("alice"))
            .sequence(0);
        let tx = payment
            .pay(&Key::p2tr("bob"), Amount::ONE_SAT)
            .lock_time(lock_time)
            .sign();
        BlockBuilder::first(&params).with(&tx).mine()
    };
    let median = PLACE.parent_median_time_past.0;
    assert_eq!(reason(&locked(0)), "valid");
    assert_eq!(reason(&locked(1)), "bad-txns-nonfinal");
    assert_eq!(reason(&locked(median - 1)), "valid");
    assert_eq!(reason(&locked(median)), "bad-txns-nonfinal");

    let mut block = block_of(0);
    block.txdata[0].lock_time = bitcoin::absolute::LockTime::from_consensus(1);
    remine(&mut block);
    assert_eq!(reason(&block), "valid", "its sequence number is the last");
    block.txdata[0].input[0].sequence = bitcoin::Sequence::ZERO;
    remine(&mut block);
    assert_eq!(reason(&block), "bad-txns-nonfinal");
}

/// Case 18: the height push, one byte up to height 16 and a minimal number from 17 on.
#[test]
fn heights_are_pushed_as_in_core() {
    let script = |height| height_script(Height(height)).into_bytes();
    assert_eq!(script(0), [0x00]);
    assert_eq!(script(1), [0x51]);
    assert_eq!(script(16), [0x60]);
    assert_eq!(script(17), [0x01, 0x11]);
    assert_eq!(script(127), [0x01, 0x7f]);
    assert_eq!(script(128), [0x02, 0x80, 0x00]);
    assert_eq!(script(255), [0x02, 0xff, 0x00]);
    assert_eq!(script(256), [0x02, 0x00, 0x01]);
    assert_eq!(script(32_768), [0x03, 0x00, 0x80, 0x00]);
    assert_eq!(script(8_388_608), [0x04, 0x00, 0x00, 0x80, 0x00]);
}

/// Case 18: height not committed, or another height committed.
#[test]
fn the_coinbase_begins_with_its_height() {
    let params = test_params();
    let reason_of = |script: &[u8], height: u32| {
        let script = ScriptBuf::from_bytes(script.to_vec());
        let block = BlockBuilder::first(&params).coinbase_script(script).mine();
        reason_under(
            &block,
            &params,
            &BodyContext {
                height: Height(height),
                ..PLACE
            },
        )
    };
    assert_eq!(reason_of(&[0x51, 0x00], 1), "valid");
    assert_eq!(reason_of(&[0x51, 0x51], 1), "valid");
    assert_eq!(
        reason_of(&[0x01, 0x01], 1),
        "bad-cb-height",
        "a push of the byte 1 is not OP_1"
    );
    assert_eq!(reason_of(&[0x52, 0x51], 1), "bad-cb-height");
    assert_eq!(reason_of(&[0x60, 0x00], 16), "valid");
    assert_eq!(reason_of(&[0x01, 0x10], 16), "bad-cb-height");
    assert_eq!(reason_of(&[0x01, 0x11], 17), "valid");
    assert_eq!(
        reason_of(&[0x02, 0x11, 0x00], 17),
        "bad-cb-height",
        "not minimal"
    );
    assert_eq!(reason_of(&[0x02, 0x80, 0x00], 128), "valid");
    assert_eq!(reason_of(&[0x01, 0x80], 128), "bad-cb-height", "minus zero");
}

/// Case 18: below the network's BIP 34 height any coinbase will do.
#[test]
fn the_height_rule_begins_at_its_height() {
    let mut params = test_params();
    params.bip34_height = Height(17);
    let script = ScriptBuf::from_bytes(vec![0x01, 0x10]);
    let block = BlockBuilder::first(&params).coinbase_script(script).mine();
    let at = |height| {
        reason_under(
            &block,
            &params,
            &BodyContext {
                height: Height(height),
                ..PLACE
            },
        )
    };
    assert_eq!(at(1), "valid");
    assert_eq!(at(16), "valid");
    assert_eq!(at(17), "bad-cb-height");
}

/// Case 26: a commitment that does not fit, with the txids unchanged: the witness was tampered with on the way.
#[test]
fn a_changed_witness_is_other_bytes() {
    let honest = block_of(2);
    let mut block = honest.clone();
    let mut signature = block.txdata[1].input[0].witness.to_vec();
    signature[0][5] ^= 1;
    block.txdata[1].input[0].witness = Witness::from_slice(&signature);
    assert_eq!(block.block_hash(), honest.block_hash());
    let error = error(block, &test_params(), &PLACE).expect("a rule is broken");
    assert_eq!(error.reject_reason(), "bad-witness-merkle-match");
    assert_eq!(error.standing(), Standing::OtherBytes);
    assert_eq!(reason(&honest), "valid");
}

/// Case 26: the reserved value missing, too short, too long, or one item too many.
#[test]
fn the_reserved_value_is_one_item_of_32_bytes() {
    let witnesses: [&[&[u8]]; 5] = [&[], &[&[]], &[&[0; 31]], &[&[0; 33]], &[&[0; 32], &[0; 32]]];
    for witness in witnesses {
        let mut block = block_of(1);
        block.txdata[0].input[0].witness = Witness::from_slice(witness);
        let error = error(block, &test_params(), &PLACE).expect("a rule is broken");
        assert_eq!(
            error,
            RuleError::WitnessReservedValue {
                items: witness.len()
            }
        );
        assert_eq!(error.reject_reason(), "bad-witness-nonce-size");
        assert_eq!(error.standing(), Standing::OtherBytes);
    }
}

/// Case 26: witnesses without a commitment, in a payment and in the coinbase.
#[test]
fn witnesses_need_a_commitment() {
    let mut block = block_of(1);
    block.txdata[0].output.truncate(1);
    remine(&mut block);
    assert_eq!(reason(&block), "unexpected-witness");
    block.txdata[0].input[0].witness = Witness::new();
    let error = error(block.clone(), &test_params(), &PLACE).expect("a rule is broken");
    let txid = block.txdata[1].compute_txid();
    assert_eq!(error, RuleError::UnexpectedWitness { txid });
    assert_eq!(error.standing(), Standing::OtherBytes);
    block.txdata[1].input[0].witness = Witness::new();
    assert_eq!(reason(&block), "valid");
}

#[test]
fn the_last_output_that_looks_like_a_commitment_counts() {
    let mut block = block_of(1);
    let right = block.txdata[0].output[1].clone();
    let mut wrong = right.clone();
    let mut script = wrong.script_pubkey.into_bytes();
    script[20] ^= 1;
    wrong.script_pubkey = ScriptBuf::from_bytes(script);
    block.txdata[0].output = vec![wrong.clone(), right.clone()];
    remine(&mut block);
    assert_eq!(reason(&block), "valid");
    block.txdata[0].output = vec![right.clone(), wrong];
    remine(&mut block);
    assert_eq!(reason(&block), "bad-witness-merkle-match");

    let mut longer = right.clone();
    longer.script_pubkey = ScriptBuf::from_bytes([right.script_pubkey.as_bytes(), &[7]].concat());
    block.txdata[0].output = vec![longer];
    remine(&mut block);
    assert_eq!(
        reason(&block),
        "valid",
        "what follows the commitment has no meaning"
    );
    let mut shorter = right.clone();
    shorter.script_pubkey = ScriptBuf::from_bytes(right.script_pubkey.as_bytes()[..37].to_vec());
    block.txdata[0].output = vec![shorter];
    remine(&mut block);
    assert_eq!(reason(&block), "unexpected-witness");
}

#[test]
fn a_commitment_without_witnesses_is_valid() {
    let mut block = block_of(0);
    commit_to_witnesses(&mut block.txdata);
    remine(&mut block);
    assert_eq!(reason(&block), "valid");
}
