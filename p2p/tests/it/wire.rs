//! Messages survive the wire, and hostile bytes do not get far (group C of the fault checklist).

use std::sync::Arc;

use bitcoin::absolute::LockTime;
use bitcoin::bip152::HeaderAndShortIds;
use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn,
    TxMerkleNode, TxOut, Txid, Witness, Work, transaction,
};
use chain::Height;
use p2p::wire::limits::{MAX_HEADERS, MAX_RESPONSE_BYTES};
use p2p::wire::{BlockBytes, Gossip, Request, Response, TipStatus, WireError};
use proptest::collection::vec;
use proptest::prelude::*;

fn block_hash() -> impl Strategy<Value = BlockHash> {
    any::<[u8; 32]>().prop_map(BlockHash::from_byte_array)
}

fn status() -> impl Strategy<Value = TipStatus> {
    (block_hash(), any::<u32>(), any::<[u8; 32]>()).prop_map(|(hash, height, work)| TipStatus {
        hash,
        height: Height(height),
        chain_work: Work::from_be_bytes(work),
    })
}

fn header() -> impl Strategy<Value = Header> {
    (
        any::<i32>(),
        block_hash(),
        any::<[u8; 32]>(),
        any::<(u32, u32, u32)>(),
    )
        .prop_map(
            |(version, prev_blockhash, root, (time, bits, nonce))| Header {
                version: Version::from_consensus(version),
                prev_blockhash,
                merkle_root: TxMerkleNode::from_byte_array(root),
                time,
                bits: CompactTarget::from_consensus(bits),
                nonce,
            },
        )
}

fn transaction() -> impl Strategy<Value = Transaction> {
    let input = (
        any::<[u8; 32]>(),
        any::<u32>(),
        vec(vec(any::<u8>(), 0..70), 0..3),
    )
        .prop_map(|(txid, vout, witness)| TxIn {
            previous_output: OutPoint {
                txid: Txid::from_byte_array(txid),
                vout,
            },
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&witness),
        });
    let output = (any::<u64>(), vec(any::<u8>(), 0..40)).prop_map(|(value, script)| TxOut {
        value: Amount::from_sat(value),
        script_pubkey: ScriptBuf::from_bytes(script),
    });
    (vec(input, 1..4), vec(output, 0..4), any::<u32>()).prop_map(|(input, output, lock)| {
        Transaction {
            version: transaction::Version::TWO,
            lock_time: LockTime::from_consensus(lock),
            input,
            output,
        }
    })
}

fn block() -> impl Strategy<Value = Block> {
    (header(), vec(transaction(), 0..4)).prop_map(|(header, txdata)| Block { header, txdata })
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        status().prop_map(Request::Status),
        (vec(block_hash(), 0..=101), block_hash())
            .prop_map(|(locator, stop)| Request::Headers { locator, stop }),
        vec(block_hash(), 0..=16).prop_map(Request::Blocks),
        (
            block_hash(),
            proptest::collection::btree_set(0u32..16_666, 0..50)
        )
            .prop_map(|(block, indexes)| Request::BlockTransactions {
                block,
                indexes: indexes.into_iter().collect()
            }),
        Just(Request::MempoolIds),
        vec(any::<[u8; 32]>().prop_map(Txid::from_byte_array), 0..40)
            .prop_map(Request::Transactions),
        Just(Request::Peers),
    ]
}

fn response() -> impl Strategy<Value = Response> {
    prop_oneof![
        status().prop_map(Response::Status),
        vec(header(), 0..40).prop_map(Response::Headers),
        vec(block(), 0..4).prop_map(|blocks| {
            let theirs = |block| BlockBytes::Theirs(Box::new(block));
            Response::Blocks(blocks.into_iter().map(theirs).collect())
        }),
        vec(transaction(), 0..6).prop_map(Response::BlockTransactions),
        vec(any::<[u8; 32]>().prop_map(Txid::from_byte_array), 0..40)
            .prop_map(Response::MempoolIds),
        vec(transaction(), 0..6).prop_map(Response::Transactions),
        vec("[a-z0-9/.]{0,80}", 0..8).prop_map(Response::Peers),
    ]
}

fn gossip() -> impl Strategy<Value = Gossip> {
    prop_oneof![
        (block(), any::<u64>()).prop_filter_map("needs a coinbase", |(block, nonce)| {
            let announced = HeaderAndShortIds::from_block(&block, nonce, 2, &[]).ok()?;
            Some(Gossip::Block(Box::new(announced)))
        }),
        header().prop_map(Gossip::Header),
        transaction().prop_map(|tx| Gossip::Transaction(Arc::new(tx))),
        (transaction(), any::<u64>()).prop_map(|(tx, salt)| Gossip::Again {
            transaction: Arc::new(tx),
            salt,
        }),
    ]
}

fn request_bytes(request: &Request) -> Vec<u8> {
    let mut bytes = Vec::new();
    request.encode(&mut bytes);
    bytes
}

fn response_bytes(response: &Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    response.encode(&mut bytes);
    bytes
}

fn gossip_bytes(gossip: &Gossip) -> Vec<u8> {
    let mut bytes = Vec::new();
    gossip.encode(&mut bytes);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_request_comes_out_as_it_went_in(request in request()) {
        let bytes = request_bytes(&request);
        prop_assert_eq!(Request::decode(&bytes), Ok(request));
        for cut in [0, bytes.len() / 2, bytes.len().saturating_sub(1)] {
            prop_assert!(Request::decode(&bytes[..cut]).is_err() || cut == bytes.len());
        }
        prop_assert_eq!(
            Request::decode(&[bytes, vec![0]].concat()),
            Err(WireError::Trailing { bytes: 1 })
        );
    }

    #[test]
    fn a_response_comes_out_as_it_went_in(response in response()) {
        let bytes = response_bytes(&response);
        let again = Response::decode(&bytes).expect("just encoded");
        prop_assert_eq!(again.kind(), response.kind());
        prop_assert_eq!(response_bytes(&again), bytes.clone());
        prop_assert!(Response::decode(&bytes[..bytes.len() - 1]).is_err());
        prop_assert!(Response::decode(&[bytes, vec![0]].concat()).is_err());
    }

    #[test]
    fn gossip_comes_out_as_it_went_in(gossip in gossip()) {
        let bytes = gossip_bytes(&gossip);
        let again = Gossip::decode(&bytes).expect("just encoded");
        prop_assert_eq!(gossip_bytes(&again), bytes.clone());
        prop_assert_eq!(again.content_id(), gossip.content_id());
        prop_assert!(Gossip::decode(&bytes[..bytes.len() - 1]).is_err());
        prop_assert!(Gossip::decode(&[bytes, vec![0]].concat()).is_err());
    }

    #[test]
    fn case_41_random_bytes_never_panic(bytes in vec(any::<u8>(), 0..600)) {
        let _ = Request::decode(&bytes);
        let _ = Response::decode(&bytes);
        let _ = Gossip::decode(&bytes);
    }

    #[test]
    fn case_41_one_altered_byte_never_panics(
        response in response(),
        at in any::<prop::sample::Index>(),
        with in any::<u8>(),
    ) {
        let mut bytes = response_bytes(&response);
        let at = at.index(bytes.len());
        bytes[at] = with;
        let _ = Response::decode(&bytes);
    }

    #[test]
    fn a_witness_has_its_own_id_but_a_block_goes_by_its_hash(
        tx in transaction(),
        block in block(),
    ) {
        let mut other = tx.clone();
        other.input[0].witness.push([1, 2, 3]);
        let id = |tx: Transaction| Gossip::Transaction(Arc::new(tx)).content_id();
        prop_assert_ne!(id(tx.clone()), id(other));
        prop_assert_eq!(id(tx.clone()), id(tx));

        if let (Ok(a), Ok(b)) = (
            HeaderAndShortIds::from_block(&block, 1, 2, &[]),
            HeaderAndShortIds::from_block(&block, 2, 2, &[]),
        ) {
            let a = Gossip::Block(Box::new(a));
            let b = Gossip::Block(Box::new(b));
            prop_assert_eq!(a.content_id(), b.content_id());
            prop_assert_ne!(a.content_id(), Gossip::Header(block.header).content_id());
        }
    }
}

#[test]
fn case_41_a_length_of_2_to_the_64_is_refused_before_anything_is_allocated() {
    let huge = [0xff; 9];
    for tag in [1, 2, 3, 4, 5, 6] {
        let bytes = [&[tag][..], &huge].concat();
        let answer = Response::decode(&bytes);
        assert!(
            matches!(answer, Err(WireError::TooMany { got: u64::MAX, .. })),
            "{answer:?}"
        );
    }
    for tag in [1, 2, 5] {
        let question = Request::decode(&[&[tag][..], &huge].concat());
        assert!(matches!(
            question,
            Err(WireError::TooMany { got: u64::MAX, .. })
        ));
    }
}

#[test]
fn case_32_one_header_too_many_is_refused() {
    let header = bitcoin::constants::genesis_block(bitcoin::Network::Regtest).header;
    let most = Response::Headers(vec![header; MAX_HEADERS]);
    assert!(Response::decode(&response_bytes(&most)).is_ok());
    let over = Response::Headers(vec![header; MAX_HEADERS + 1]);
    let refused = Response::decode(&response_bytes(&over)).expect_err("over the limit");
    let limit = MAX_HEADERS;
    assert_eq!(
        refused,
        WireError::TooMany {
            what: "headers",
            got: 2_001,
            limit
        }
    );
}

#[test]
fn case_47_a_locator_over_the_limit_is_refused() {
    let locator = vec![BlockHash::all_zeros(); 102];
    let bytes = request_bytes(&Request::Headers {
        locator,
        stop: BlockHash::all_zeros(),
    });
    assert!(matches!(
        Request::decode(&bytes),
        Err(WireError::TooMany { got: 102, .. })
    ));
}

#[test]
fn case_41_a_message_over_its_size_is_refused_unread() {
    let bytes = vec![0; MAX_RESPONSE_BYTES + 1];
    assert!(matches!(
        Response::decode(&bytes),
        Err(WireError::TooLong { .. })
    ));
    assert!(matches!(
        Request::decode(&bytes[..100_001]),
        Err(WireError::TooLong { .. })
    ));
    assert!(matches!(
        Gossip::decode(&bytes[..400_001]),
        Err(WireError::TooLong { .. })
    ));
    assert!(matches!(
        Gossip::decode(&bytes[..150_001]),
        Err(WireError::TooLong { .. })
    ));
}

#[test]
fn case_41_an_unknown_tag_is_named() {
    let unknown = WireError::UnknownTag {
        what: "request",
        tag: 99,
    };
    assert_eq!(Request::decode(&[99]), Err(unknown));
    assert!(matches!(
        Response::decode(&[99]),
        Err(WireError::UnknownTag { .. })
    ));
    assert!(matches!(
        Gossip::decode(&[99]),
        Err(WireError::UnknownTag { .. })
    ));
    assert!(matches!(
        Request::decode(&[]),
        Err(WireError::Truncated { .. })
    ));
}

#[test]
fn case_44_indexes_that_do_not_ascend_are_refused() {
    for indexes in [vec![3, 3], vec![3, 1], vec![16_666]] {
        let request = Request::BlockTransactions {
            block: BlockHash::all_zeros(),
            indexes: indexes.clone(),
        };
        let refused = Request::decode(&request_bytes(&request));
        assert!(
            matches!(refused, Err(WireError::Malformed { .. })),
            "{indexes:?}"
        );
    }
}

#[test]
fn case_20_a_bloated_length_is_refused() {
    let bloated = [2, 0xfd, 0x01, 0x00];
    let bytes = [&bloated[..], &[0; 32]].concat();
    assert!(matches!(
        Request::decode(&bytes),
        Err(WireError::Malformed { .. })
    ));
}

#[test]
fn addresses_must_be_text_and_short() {
    let invalid = [6, 1, 2, 0xff, 0xfe];
    assert!(matches!(
        Response::decode(&invalid),
        Err(WireError::Malformed { .. })
    ));
    let long = Response::Peers(vec!["a".repeat(401)]);
    assert!(matches!(
        Response::decode(&response_bytes(&long)),
        Err(WireError::TooMany { .. })
    ));
}
