//! BDK's emitter, as it is published, follows a real node through a reorg.

use bdk_bitcoind_rpc::bitcoincore_rpc::{Auth, Client, RpcApi as _};
use bdk_bitcoind_rpc::{Emitter, NO_EXPECTED_MEMPOOL_TXS};
use bdk_wallet::chain::local_chain::LocalChain;
use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;

use crate::process::Node;
use crate::wallet::{ELSEWHERE, REGTEST, Wallets, mine};

/// The client that everybody uses.
pub(crate) fn client(node: &Node) -> Client {
    Client::new(
        node.field("rpc"),
        Auth::CookieFile(node.field("cookie").into()),
    )
    .expect("a client")
}

/// Emits all that is new, and applies it to `chain`; the hashes by height.
fn follow(emitter: &mut Emitter<&Client>, chain: &mut LocalChain) -> Vec<(u32, BlockHash)> {
    let mut emitted = Vec::new();
    while let Some(event) = emitter.next_block().expect("the node answers") {
        emitted.push((event.block_height(), event.block_hash()));
        chain.apply_update(event.checkpoint).expect("it connects");
    }
    emitted
}

#[test]
fn five_blocks_are_replaced_by_six() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(folder.path(), &REGTEST);
    let client = client(&node);
    mine(&node, 10, ELSEWHERE);
    let genesis = client.get_block_hash(0).expect("genesis");
    let (mut chain, _) = LocalChain::from_genesis_hash(genesis);
    let mut emitter = Emitter::new(&client, chain.tip(), 0, NO_EXPECTED_MEMPOOL_TXS);
    let emitted = follow(&mut emitter, &mut chain);
    assert_eq!(
        emitted
            .iter()
            .map(|(height, _)| *height)
            .collect::<Vec<_>>(),
        Vec::from_iter(1..=10)
    );

    //   G - 1 - ... - 5 - 6a - ... - 10a
    //                   \ 6b - ... - 10b - 11b
    let old = emitted[5].1;
    client.invalidate_block(&old).expect("invalidated");
    let new = mine(&node, 6, "bcrt1q6rz28mcfaxtmd6v789l9rrlrusdprr9pz3cppk");
    let emitted = follow(&mut emitter, &mut chain);
    let expected: Vec<(u32, BlockHash)> = (6..)
        .zip(new.iter().map(|hash| hash.parse().expect("a hash")))
        .collect();
    assert_eq!(emitted, expected);
    assert_eq!(
        chain.tip().hash(),
        client.get_best_block_hash().expect("the tip")
    );
    assert!(chain.get(6).is_some_and(|block| block.hash() != old));

    // And back: the old branch with two blocks more has the most work again.
    client
        .invalidate_block(&expected[0].1)
        .expect("invalidated");
    client.reconsider_block(&old).expect("reconsidered");
    mine(&node, 2, ELSEWHERE);
    let emitted = follow(&mut emitter, &mut chain);
    assert_eq!(
        emitted.first().map(|(height, hash)| (*height, *hash)),
        Some((6, old))
    );
    assert_eq!(emitted.len(), 7);
    assert!(follow(&mut emitter, &mut chain).is_empty());
    let nobody = BlockHash::all_zeros();
    assert!(client.get_block(&nobody).is_err());
}

#[test]
fn payments_in_and_out_of_the_mempool_are_emitted() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(folder.path(), &REGTEST);
    let client = client(&node);
    let wallets = Wallets::new();
    wallets.create(&node, "alice");
    mine(&node, 1, &wallets.address(&node, "alice"));
    mine(&node, 100, ELSEWHERE);
    let (mut chain, _) = LocalChain::from_genesis_hash(client.get_block_hash(0).expect("genesis"));
    let mut emitter = Emitter::new(&client, chain.tip(), 0, NO_EXPECTED_MEMPOOL_TXS);
    follow(&mut emitter, &mut chain);

    let txid = wallets.send(&node, "alice", ELSEWHERE, "1");
    let event = emitter.mempool().expect("the node answers");
    let txids: Vec<String> = event
        .update
        .iter()
        .map(|(tx, _)| tx.compute_txid().to_string())
        .collect();
    assert_eq!(txids, std::slice::from_ref(&txid));
    // Replaced: the old one is told to be gone.
    wallets.told(&node, "alice", &["bump", &txid]);
    let event = emitter.mempool().expect("the node answers");
    assert_eq!(event.update.len(), 1);
    assert_eq!(event.evicted.len(), 1);
    assert_eq!(event.evicted[0].0.to_string(), txid);
    // Confirmed: not evicted.
    mine(&node, 1, ELSEWHERE);
    follow(&mut emitter, &mut chain);
    let event = emitter.mempool().expect("the node answers");
    assert!(event.update.is_empty() && event.evicted.is_empty());
}
