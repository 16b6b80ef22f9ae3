//! `bitcoincore-rpc`, as it is published: every typed call that we serve, so that each field has the type that
//! clients expect.

use std::collections::HashMap;
use std::time::Duration;

use bdk_bitcoind_rpc::bitcoincore_rpc::json::{
    BlockStatsFields, CreateRawTransactionInput, GetBlockTemplateModes, GetBlockTemplateRules,
    GetChainTipsResultStatus, ScanTxOutRequest, TxOutSetHashType,
};
use bdk_bitcoind_rpc::bitcoincore_rpc::{Client, Error, RpcApi, jsonrpc};
use bitcoin::{Address, Amount, BlockHash, Network, Transaction, Txid};

use crate::emitter::client;
use crate::process::Node;
use crate::wallet::{ELSEWHERE, REGTEST, Wallets, mine, text};

fn elsewhere() -> Address {
    let address: Address<_> = ELSEWHERE.parse().expect("an address");
    address.require_network(Network::Regtest).expect("regtest")
}

/// The error code of a call that must fail.
#[track_caller]
fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> i32 {
    match result {
        Err(Error::JsonRpc(jsonrpc::Error::Rpc(error))) => error.code,
        other => panic!("not an error of the node: {other:?}"),
    }
}

/// A node with 101 blocks, and a payment that is signed and not sent.
fn with_payment(node: &Node) -> (Client, Transaction) {
    let wallets = Wallets::new();
    wallets.create(node, "alice");
    mine(node, 1, &wallets.address(node, "alice"));
    mine(node, 100, ELSEWHERE);
    let dry = wallets.told(node, "alice", &["send", ELSEWHERE, "1", "--dry-run"]);
    let transaction = bitcoin::consensus::encode::deserialize_hex(&text(&dry["hex"]));
    (client(node), transaction.expect("a transaction"))
}

#[test]
fn the_chain() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(folder.path(), &REGTEST);
    let client = client(&node);
    let hashes = client.generate_to_address(5, &elsewhere()).expect("mined");
    let tip = hashes[4];
    let info = client.get_blockchain_info().expect("info");
    assert_eq!(
        (info.chain, info.blocks, info.headers),
        (Network::Regtest, 5, 5)
    );
    assert_eq!(info.best_block_hash, tip);
    assert_eq!(info.chain_work.last(), Some(&12));
    assert!(!info.pruned);
    assert_eq!(client.get_block_count().expect("count"), 5);
    assert_eq!(client.get_best_block_hash().expect("tip"), tip);
    assert_eq!(client.get_block_hash(5).expect("hash"), tip);
    assert!(client.get_difficulty().expect("difficulty") > 0.0);

    let block = client.get_block(&tip).expect("block");
    assert_eq!(block.block_hash(), tip);
    let hex = client.get_block_hex(&tip).expect("hex");
    assert_eq!(hex, bitcoin::consensus::encode::serialize_hex(&block));
    assert_eq!(client.get_block_header(&tip).expect("header"), block.header);
    let info = client.get_block_info(&tip).expect("info");
    assert_eq!((info.height, info.confirmations, info.n_tx), (5, 1, 1));
    assert_eq!(info.previousblockhash, Some(hashes[3]));
    assert_eq!(info.nextblockhash, None);
    assert_eq!(info.merkleroot, block.header.merkle_root);
    let info = client.get_block_header_info(&hashes[3]).expect("info");
    assert_eq!((info.height, info.next_block_hash), (4, Some(tip)));

    let stats = client.get_block_stats(5).expect("stats");
    assert_eq!((stats.height, stats.block_hash, stats.txs), (5, tip, 1));
    assert_eq!(stats.subsidy, Amount::from_int_btc(50));
    let fields = [BlockStatsFields::Height, BlockStatsFields::Subsidy];
    let stats = client.get_block_stats_fields(5, &fields).expect("stats");
    assert_eq!((stats.height, stats.txs), (Some(5), None));

    client.invalidate_block(&tip).expect("invalidated");
    let tips = client.get_chain_tips().expect("tips");
    let find = |hash: &BlockHash| {
        let tip = tips.iter().find(|tip| tip.hash == *hash).expect("a tip");
        (tip.height, tip.branch_length, tip.status)
    };
    assert_eq!(find(&tip), (5, 1, GetChainTipsResultStatus::Invalid));
    assert_eq!(find(&hashes[3]), (4, 0, GetChainTipsResultStatus::Active));
    let confirmations = client.get_block_info(&tip).expect("info").confirmations;
    assert_eq!(confirmations, -1);
    client.reconsider_block(&tip).expect("reconsidered");
    assert_eq!(client.get_block_count().expect("count"), 5);

    let nobody: BlockHash = "11".repeat(32).parse().expect("a hash");
    assert_eq!(code(client.get_block(&nobody)), -5);
    assert_eq!(code(client.get_block_header_info(&nobody)), -5);
    assert_eq!(code(client.get_block_hash(6)), -8);
    assert_eq!(code(client.get_block_stats(6)), -8);
    assert_eq!(code(client.invalidate_block(&nobody)), -5);
    assert_eq!(code(client.call::<String>("nonsense", &[])), -32601);
}

#[test]
fn payments_and_coins() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(folder.path(), &REGTEST);
    let (client, tx) = with_payment(&node);
    let txid = tx.compute_txid();
    let coin = tx.input[0].previous_output;
    let found = client
        .get_tx_out(&coin.txid, coin.vout, None)
        .expect("asked");
    let found = found.expect("unspent");
    assert_eq!(
        (found.value, found.coinbase),
        (Amount::from_int_btc(50), true)
    );
    assert_eq!(found.confirmations, 101);

    let decoded = client.decode_raw_transaction(&tx, None).expect("decoded");
    assert_eq!((decoded.txid, decoded.vout.len()), (txid, tx.output.len()));
    let input = CreateRawTransactionInput {
        txid: coin.txid,
        vout: coin.vout,
        sequence: None,
    };
    let outputs = HashMap::from([(ELSEWHERE.to_owned(), Amount::from_int_btc(1))]);
    let made = client.create_raw_transaction(&[input], &outputs, Some(7), None);
    let made = made.expect("made");
    assert_eq!(made.input[0].previous_output, coin);
    assert_eq!(made.lock_time.to_consensus_u32(), 7);
    assert_eq!(code(client.send_raw_transaction(&made)), -26);

    let verdict = client
        .test_mempool_accept(&[&tx])
        .expect("tested")
        .remove(0);
    assert!(verdict.allowed);
    assert_eq!(verdict.vsize, Some(tx.vsize() as u64));
    let fee = verdict.fees.expect("fees").base;
    let verdict = client
        .test_mempool_accept(&[&made])
        .expect("tested")
        .remove(0);
    assert!(!verdict.allowed && verdict.reject_reason.is_some());

    assert_eq!(client.send_raw_transaction(&tx).expect("sent"), txid);
    assert_eq!(client.get_raw_mempool().expect("mempool"), [txid]);
    let entry = client.get_mempool_entry(&txid).expect("entry");
    assert_eq!((entry.vsize, entry.fees.base), (tx.vsize() as u64, fee));
    assert_eq!(
        client.get_raw_mempool_verbose().expect("mempool")[&txid],
        entry
    );
    let info = client.get_mempool_info().expect("info");
    assert_eq!((info.size, info.bytes), (1, tx.vsize()));
    assert_eq!(client.get_raw_transaction(&txid, None).expect("found"), tx);
    let info = client.get_raw_transaction_info(&txid, None).expect("found");
    assert_eq!(
        (info.txid, info.blockhash, info.vsize),
        (txid, None, tx.vsize())
    );
    let gone = client
        .get_tx_out(&coin.txid, coin.vout, Some(true))
        .expect("asked");
    assert!(gone.is_none());
    client.estimate_smart_fee(6, None).expect("always answers");

    let block = client.generate_to_address(1, &elsewhere()).expect("mined")[0];
    assert_eq!(code(client.get_mempool_entry(&txid)), -5);
    let info = client
        .get_raw_transaction_info(&txid, Some(&block))
        .expect("found");
    assert_eq!((info.blockhash, info.confirmations), (Some(block), Some(1)));
    let proof = client
        .get_tx_out_proof(&[txid], Some(&block))
        .expect("proof");
    assert!(!proof.is_empty());
    assert_eq!(code(client.send_raw_transaction(&tx)), -27);
    let set = client
        .get_tx_out_set_info(Some(TxOutSetHashType::None), None, None)
        .expect("set");
    assert_eq!((set.height, set.best_block), (102, block));
    assert_eq!(set.total_amount, Amount::from_int_btc(102 * 50));
    let request = ScanTxOutRequest::Single(format!("addr({ELSEWHERE})"));
    let scan = client
        .scan_tx_out_set_blocking(&[request])
        .expect("scanned");
    assert_eq!(scan.success, Some(true));
    assert_eq!(scan.unspents.len(), 102);
    client.get_block_filter(&block).expect("a filter");

    let nobody: Txid = "11".repeat(32).parse().expect("an id");
    assert_eq!(code(client.get_raw_transaction(&nobody, None)), -5);
    assert_eq!(code(client.get_mempool_entry(&nobody)), -5);
    assert!(
        client
            .get_tx_out(&nobody, 0, None)
            .expect("asked")
            .is_none()
    );
    assert_eq!(code(client.send_raw_transaction("00")), -22);
}

#[test]
fn mining() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(folder.path(), &REGTEST);
    let (client, tx) = with_payment(&node);
    client.send_raw_transaction(&tx).expect("sent");
    let info = client.get_mining_info().expect("info");
    assert_eq!(
        (info.blocks, info.chain, info.pooled_tx),
        (101, Network::Regtest, 1)
    );
    let rules = [GetBlockTemplateRules::SegWit];
    let template = client.get_block_template(GetBlockTemplateModes::Template, &rules, &[]);
    let template = template.expect("a template");
    assert_eq!(template.height, 102);
    assert_eq!(
        template.previous_block_hash,
        client.get_best_block_hash().expect("tip")
    );
    assert_eq!(template.transactions.len(), 1);
    assert_eq!(template.transactions[0].txid, tx.compute_txid());
    assert!(template.coinbase_value > Amount::from_int_btc(50));
    client.get_network_hash_ps(None, None).expect("a rate");

    let other = tempfile::tempdir().expect("a folder");
    let other = Node::start(other.path(), &REGTEST);
    let copy = crate::emitter::client(&other);
    for height in 1..=101 {
        let hash = client.get_block_hash(height).expect("hash");
        copy.submit_block(&client.get_block(&hash).expect("block"))
            .expect("taken");
    }
    assert_eq!(
        copy.get_best_block_hash().expect("tip"),
        client.get_best_block_hash().expect("tip")
    );
    let known = client
        .get_block(&template.previous_block_hash)
        .expect("block");
    let error = copy.submit_block(&known).expect_err("a duplicate");
    assert!(error.to_string().contains("duplicate"), "{error}");
    assert_eq!(code(copy.submit_block_hex("00")), -22);
}

#[test]
fn waiting_and_control() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(folder.path(), &REGTEST);
    let client = client(&node);
    let hash = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| crate::emitter::client(&node).wait_for_new_block(20_000));
        std::thread::sleep(Duration::from_millis(300));
        let hash = client.generate_to_address(1, &elsewhere()).expect("mined")[0];
        let told = waiting.join().expect("no panic").expect("told");
        assert_eq!((told.height, told.hash), (1, hash));
        hash
    });
    assert_eq!(
        client.wait_for_block(&hash, 20_000).expect("told").hash,
        hash
    );
    assert_eq!(client.wait_for_new_block(100).expect("in time").hash, hash);
    assert!(client.uptime().expect("seconds") < 60);
    client.get_index_info().expect("indexes");
    client
        .get_zmq_notifications()
        .map(drop)
        .or_else(|error| match error {
            Error::JsonRpc(jsonrpc::Error::Rpc(error)) if error.code == -32601 => Ok(()),
            other => Err(other),
        })
        .expect("an answer");
    assert!(!client.stop().expect("stopping").is_empty());
    let (code, errors) = node.wait();
    assert_eq!(code, Some(0), "{errors}");
}

#[test]
fn peers() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(&folder.path().join("a"), &REGTEST);
    let address = text(&node.started["listen"][0]);
    let other = Node::start(&folder.path().join("b"), &REGTEST);
    let client = client(&other);
    let info = client.get_network_info().expect("info");
    assert!(info.version > 200_000 && info.network_active);
    client.add_node(&address).expect("added");
    assert_eq!(code(client.add_node(&address)), -23);
    let start = std::time::Instant::now();
    while client.get_connection_count().expect("count") == 0 {
        assert!(start.elapsed() < crate::process::PATIENCE, "no connection");
        std::thread::sleep(Duration::from_millis(50));
    }
    let peers = client.get_peer_info().expect("peers");
    assert_eq!((peers.len(), peers[0].inbound), (1, false));
    let added = client.get_added_node_info(None).expect("added");
    assert_eq!((added.len(), added[0].connected), (1, true));
    client.ping().expect("pinged");
    let totals = client.get_net_totals().expect("totals");
    assert!(totals.total_bytes_recv > 0 && totals.total_bytes_sent > 0);
    client.get_node_addresses(Some(10)).expect("addresses");

    client.add_ban("192.0.2.1", 60, false).expect("banned");
    assert_eq!(client.list_banned().expect("list").len(), 1);
    client.remove_ban("192.0.2.1").expect("removed");
    client.clear_banned().expect("cleared");
    client.remove_node(&address).expect("removed");
    assert_eq!(code(client.remove_node(&address)), -24);
    assert!(!client.set_network_active(false).expect("off"));
    assert!(client.set_network_active(true).expect("on"));
    let absent = client.disconnect_node("/ip4/192.0.2.1/tcp/1");
    assert_eq!(code(absent), -29);
}
