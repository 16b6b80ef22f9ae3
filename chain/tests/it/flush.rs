//! What an import writes while signatures are still being checked.

use bitcoin::consensus::serialize;
use bitcoin::{Amount, Block, Transaction, Witness};
use chain::fixtures::{Key, TestChain};
use chain::framing::magic;
use chain::import::import;
use chain::verify::{VerifyLevel, verify};
use chain::{Chain, ChainOptions, Timestamp};

const NOW: Timestamp = Timestamp(u32::MAX);

/// Three blocks of payments, and the block after them that `last` makes of one more payment.
fn story(last: impl FnOnce(&mut Transaction)) -> (TestChain, Block) {
    let mut net = TestChain::new();
    let (alice, bob) = (Key::p2tr("alice"), Key::p2wpkh("bob"));
    for n in 1..=3 {
        let payment = net.pay(&alice, &bob, Amount::ONE_BTC);
        net.including(&payment).mine(&format!("a{n}"));
    }
    let mut payment = net.pay(&alice, &bob, Amount::ONE_BTC);
    last(&mut payment);
    let block = net.build("a4").with(&payment).mine();
    (net, block)
}

fn file(net: &TestChain, last: &Block) -> Vec<u8> {
    let mut file = Vec::new();
    for block in [net.block("a1"), net.block("a2"), net.block("a3"), last] {
        let bytes = serialize(block);
        file.extend(magic(net.chain().params()));
        file.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
        file.extend(bytes);
    }
    file
}

/// Imports `file` into a new directory with so much memory, and opens that again.
fn imported_and_opened_again(file: &[u8], cache_bytes: usize) -> Chain {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let options = ChainOptions { cache_bytes };
        Chain::open(dir.path(), TestChain::params(), options).unwrap()
    };
    let mut chain = open();
    import(&mut chain, file, NOW, &mut |_| {}).unwrap();
    assert_eq!(chain.unflushed_bytes(), 0);
    drop(chain);
    open()
}

fn assert_sound(chain: &Chain) {
    let report = verify(chain, VerifyLevel::Reconnect, 0, &mut |_, _| {}).unwrap();
    assert_eq!(report.problems, vec![]);
}

#[test]
fn coins_of_a_block_with_a_bad_signature_never_reach_the_disk() {
    let (net, bad) = story(|payment| {
        let mut signature = payment.input[0].witness[0].to_vec();
        signature[10] ^= 1;
        payment.input[0].witness = Witness::from_slice(&[signature]);
    });
    for cache_bytes in [ChainOptions::default().cache_bytes, 0] {
        let chain = imported_and_opened_again(&file(&net, &bad), cache_bytes);
        assert_eq!(chain.tip().hash, net.hash("a3"));
        assert_eq!(
            chain.coin_set_stats(true).unwrap(),
            net.chain().coin_set_stats(true).unwrap()
        );
        assert_sound(&chain);
    }
}

#[test]
fn an_import_with_no_memory_for_coins_ends_where_one_with_plenty_does() {
    let (net, good) = story(|_| {});
    let file = file(&net, &good);
    let plenty = imported_and_opened_again(&file, ChainOptions::default().cache_bytes);
    let none = imported_and_opened_again(&file, 0);
    assert_eq!(plenty.tip().hash, good.block_hash());
    assert_eq!(none.tip(), plenty.tip());
    assert_eq!(
        none.coin_set_stats(true).unwrap(),
        plenty.coin_set_stats(true).unwrap()
    );
    assert_sound(&none);
}
