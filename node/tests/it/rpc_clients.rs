//! Clients that others wrote: the `bitcoincore-rpc` crate with its types, and BDK's `Emitter` through a reorg.

use std::path::Path;
use std::sync::Arc;

use bdk_bitcoind_rpc::bitcoincore_rpc::json::{
    GetBlockTemplateModes, GetBlockTemplateRules, ScanTxOutRequest, TxOutSetHashType,
};
use bdk_bitcoind_rpc::bitcoincore_rpc::{Auth, Client, RpcApi};
use bdk_bitcoind_rpc::{Emitter, NO_EXPECTED_MEMPOOL_TXS};
use bdk_wallet::chain::CheckPoint;
use bdk_wallet::chain::local_chain::LocalChain;
use bitcoin::{Amount, BlockHash, Transaction};
use chain::Params;
use chain::fixtures::{Key, Payment, test_params_with};

use crate::support_node::{RunningNode, options};

/// A node of a network on which alice has a coin from the start, and a payment of hers to bob.
struct Scene {
    node: RunningNode,
    client: Client,
    payment: Transaction,
    bob: Key,
}

impl Scene {
    fn new(dir: &Path) -> Scene {
        let (alice, bob) = (Key::p2tr("alice"), Key::p2wpkh("bob"));
        let params = test_params_with(&[(alice.address(), Amount::ONE_BTC)]);
        let payment = payment(&params, &alice, &bob);
        let mut options = options(dir);
        options.params = params;
        let node = RunningNode::start_with(options);
        let auth = Auth::CookieFile(node.started.cookie.clone());
        let client = Client::new(&node.started.rpc, auth).expect("a client");
        Scene {
            node,
            client,
            payment,
            bob,
        }
    }

    fn mine(&self, count: u64) -> Vec<BlockHash> {
        let hashes = self.client.generate_to_address(count, &self.bob.address());
        hashes.expect("mined")
    }
}

fn payment(params: &Params, from: &Key, to: &Key) -> Transaction {
    let (outpoint, coin) = params.genesis_coins().next().expect("an allocation");
    Payment::new()
        .spend(outpoint, &coin.output, from)
        .pay(to, Amount::from_sat(99_990_000))
        .sign()
}

#[test]
fn every_call_of_the_bitcoincore_rpc_crate_that_is_here_has_its_types() {
    let folder = tempfile::tempdir().expect("a folder");
    let scene = Scene::new(folder.path());
    let client = &scene.client;
    let hashes = scene.mine(101);

    // Blocks.
    assert_eq!(client.get_block_count().expect("a number"), 101);
    assert_eq!(client.get_best_block_hash().expect("a hash"), hashes[100]);
    assert_eq!(client.get_block_hash(1).expect("a hash"), hashes[0]);
    let info = client.get_blockchain_info().expect("fields");
    assert_eq!((info.blocks, info.chain), (101, bitcoin::Network::Regtest));
    assert!(!info.initial_block_download && !info.pruned);
    let block = client.get_block(&hashes[0]).expect("a block");
    assert_eq!(block.block_hash(), hashes[0]);
    let info = client.get_block_info(&hashes[0]).expect("fields");
    assert_eq!((info.height, info.confirmations), (1, 101));
    assert_eq!(info.nextblockhash, Some(hashes[1]));
    assert_eq!(
        client.get_block_header(&hashes[0]).expect("a header"),
        block.header
    );
    let info = client.get_block_header_info(&hashes[0]).expect("fields");
    assert_eq!(info.merkle_root, block.header.merkle_root);
    assert_eq!(client.get_block_stats(1).expect("figures").txs, 1);
    assert!(client.get_difficulty().expect("a number") > 0.0);
    assert_eq!(client.get_chain_tips().expect("tips").len(), 1);
    assert!(
        !client
            .get_block_filter(&hashes[0])
            .expect("a filter")
            .filter
            .is_empty()
    );
    client.get_index_info().expect("fields");

    // A payment, in the mempool and in a block.
    let tested = client
        .test_mempool_accept(&[&scene.payment])
        .expect("verdicts");
    assert!(tested[0].allowed, "{tested:?}");
    let fees = tested[0].fees.as_ref().expect("fees");
    assert_eq!(fees.base, Amount::from_sat(10_000));
    let txid = client.send_raw_transaction(&scene.payment).expect("taken");
    assert_eq!(
        client.send_raw_transaction(&scene.payment).expect("again"),
        txid
    );
    assert_eq!(client.get_raw_mempool().expect("ids"), [txid]);
    let entries = client.get_raw_mempool_verbose().expect("entries");
    assert_eq!(entries[&txid].fees.base, Amount::from_sat(10_000));
    let entry = client.get_mempool_entry(&txid).expect("an entry");
    assert_eq!(entry.ancestor_count, 1);
    let info = client.get_mempool_info().expect("fields");
    assert_eq!(
        (info.size, info.total_fee),
        (1, Some(Amount::from_sat(10_000)))
    );
    let shown = client
        .get_raw_transaction_info(&txid, None)
        .expect("fields");
    assert_eq!(shown.vout[0].value, Amount::from_sat(99_990_000));
    let block = scene.mine(1)[0];
    assert_eq!(
        client
            .get_raw_transaction(&txid, Some(&block))
            .expect("found"),
        scene.payment
    );
    let shown = client
        .get_raw_transaction_info(&txid, None)
        .expect("fields");
    assert_eq!(
        (shown.blockhash, shown.confirmations),
        (Some(block), Some(1))
    );
    let output = client
        .get_tx_out(&txid, 0, Some(true))
        .expect("fields")
        .expect("unspent");
    assert_eq!(output.confirmations, 1);
    assert!(
        !client
            .get_tx_out_proof(&[txid], None)
            .expect("a proof")
            .is_empty()
    );
    let hex = client
        .create_raw_transaction_hex(
            &[],
            &[(scene.bob.address().to_string(), Amount::ONE_BTC)].into(),
            None,
            None,
        )
        .expect("hex");
    assert!(!hex.is_empty());
    let decoded = client
        .decode_raw_transaction(&scene.payment, None)
        .expect("fields");
    assert_eq!(decoded.txid, txid);
    assert!(
        client
            .estimate_smart_fee(6, None)
            .expect("fields")
            .fee_rate
            .is_some()
    );

    // Coins.
    let set = client
        .get_tx_out_set_info(Some(TxOutSetHashType::Muhash), None, None)
        .expect("fields");
    assert!(set.muhash.is_some());
    // 102 subsidies of 50 BTC, alice's coin, and the fee which the last coinbase claims.
    assert_eq!(set.total_amount, Amount::from_int_btc(102 * 50 + 1));
    let bob = format!("addr({})", scene.bob.address());
    let found = client
        .scan_tx_out_set_blocking(&[ScanTxOutRequest::Single(bob)])
        .expect("fields");
    assert_eq!(found.unspents.len(), 103);

    // Mining.
    let template = client
        .get_block_template(
            GetBlockTemplateModes::Template,
            &[GetBlockTemplateRules::SegWit],
            &[],
        )
        .expect("fields");
    assert_eq!(
        (template.height, template.previous_block_hash),
        (103, block)
    );
    assert_eq!(client.get_mining_info().expect("fields").blocks, 102);
    client.get_network_hash_ps(None, None).expect("a number");
    let again = client.get_block(&block).expect("a block");
    // Success is null; anything else is an error to this client.
    client.submit_block(&again).expect_err("a duplicate");
    client.invalidate_block(&block).expect("done");
    assert_eq!(client.get_raw_mempool().expect("ids"), [txid]);
    client.reconsider_block(&block).expect("done");
    assert_eq!(
        client
            .wait_for_block(&block, 5_000)
            .expect("the tip")
            .height,
        102
    );
    assert_eq!(client.wait_for_new_block(50).expect("the tip").hash, block);

    // The network.
    assert!(client.version().expect("a number") >= 190_000);
    assert!(client.get_network_info().expect("fields").network_active);
    let other_folder = tempfile::tempdir().expect("a folder");
    let mut other = options(other_folder.path());
    other.params = test_params_with(&[(Key::p2tr("alice").address(), Amount::ONE_BTC)]);
    let other = RunningNode::start_with(other);
    client.add_node(&other.started.listen[0]).expect("added");
    crate::support_node::eventually("a peer", || {
        client.get_connection_count().expect("a number") == 1
    });
    let peers = client.get_peer_info().expect("fields");
    assert!(!peers[0].inbound);
    assert!(client.get_added_node_info(None).expect("fields")[0].connected);
    client.get_node_addresses(None).expect("fields");
    client.get_net_totals().expect("fields");
    client
        .disconnect_node_by_id(u32::try_from(peers[0].id).expect("small"))
        .expect("done");
    client
        .remove_node(&other.started.listen[0])
        .expect("removed");
    client
        .onetry_node(&other.started.listen[0])
        .expect("dialled");
    client.add_ban("10.0.0.1", 60, false).expect("banned");
    assert_eq!(client.list_banned().expect("fields").len(), 1);
    client.remove_ban("10.0.0.1").expect("allowed");
    client.clear_banned().expect("done");
    assert!(!client.set_network_active(false).expect("a flag"));
    client.ping().expect("nothing");
    client.uptime().expect("a number");
    client.stop().expect("a word");
}

#[test]
fn bdk_follows_a_reorg_of_five_blocks() {
    let folder = tempfile::tempdir().expect("a folder");
    let scene = Scene::new(folder.path());
    let genesis = scene.client.get_block_hash(0).expect("a hash");
    let (mut chain, _) = LocalChain::from_genesis_hash(genesis);
    let start: CheckPoint = chain.tip();
    let mut emitter = Emitter::new(&scene.client, start, 0, NO_EXPECTED_MEMPOOL_TXS);
    let follow = |emitter: &mut Emitter<&Client>, chain: &mut LocalChain| {
        let mut blocks = 0;
        while let Some(event) = emitter.next_block().expect("a block or none") {
            chain.apply_update(event.checkpoint).expect("connects");
            blocks += 1;
        }
        blocks
    };

    let txid = scene
        .client
        .send_raw_transaction(&scene.payment)
        .expect("taken");
    let first = scene.mine(8);
    assert_eq!(follow(&mut emitter, &mut chain), 8);
    assert_eq!(chain.tip().hash(), first[7]);
    assert!(emitter.mempool().expect("fields").update.is_empty());

    // Five blocks are taken back, and seven others come in their place; the payment was in the first and stays.
    scene.client.invalidate_block(&first[3]).expect("done");
    let second = scene.mine(7);
    assert_eq!(follow(&mut emitter, &mut chain), 7);
    assert_eq!(chain.tip().hash(), second[6]);
    assert_eq!(chain.get(3).expect("shared").hash(), first[2]);
    assert_eq!(chain.get(4).expect("replaced").hash(), second[0]);

    // The payment's own block is taken back: it waits in the mempool again.
    scene.client.invalidate_block(&first[0]).expect("done");
    let payout = scene.bob.address().to_string();
    let empty = serde_json::json!([payout, []]);
    for _ in 0..12 {
        scene.node.call("generateblock", empty.clone());
    }
    assert_eq!(follow(&mut emitter, &mut chain), 12);
    let waiting: Vec<(Arc<Transaction>, u64)> = emitter.mempool().expect("fields").update;
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].0.compute_txid(), txid);
}
