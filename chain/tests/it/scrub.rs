//! Looking at everything that is stored finds every flipped bit that matters.

use std::fs;
use std::path::Path;

use bitcoin::Amount;
use chain::fixtures::{Key, TestChain};
use chain::scrub::Scrub;
use chain::store::{FILE_NAME, MemoryDisk};
use chain::{Chain, ChainOptions, Damage, Height, Timestamp};
use redb::StorageBackend;

const SMALL: ChainOptions = ChainOptions {
    cache_bytes: 4 << 20,
};
const NOW: Timestamp = Timestamp(1);

fn fill(net: &mut TestChain) {
    let (alice, bob) = (Key::p2tr("alice"), Key::p2wpkh("bob"));
    for n in 1..=60 {
        if n % 5 == 0 {
            let pay = net.pay(&alice, &bob, Amount::ONE_BTC);
            net.including(&pay);
        }
        net.mine(&format!("a{n}"));
        if n % 7 == 0 {
            net.chain_mut().flush().unwrap();
        }
    }
    net.chain_mut().flush().unwrap();
}

/// Goes round once with steps of `budget` bytes: what was found, the steps and the bytes.
fn round(chain: &Chain, budget: u64) -> (Vec<Damage>, u32, u64) {
    let mut scrub = Scrub::default();
    let mut found = Vec::new();
    for steps in 1..10_000 {
        let step = scrub.step(chain, budget, NOW).unwrap();
        found.extend(step.findings);
        if step.ends_round {
            let progress = scrub.progress();
            assert_eq!((progress.rounds, progress.bytes), (1, 0));
            assert_eq!(progress.finished_at, Some(NOW));
            return (found, steps, progress.total_bytes);
        }
    }
    panic!("it never ends");
}

#[test]
fn a_sound_database_is_gone_through_in_steps_of_any_size_while_it_is_written_to() {
    let disk = MemoryDisk::new();
    let chain = Chain::open_backend(disk.clone(), TestChain::params(), SMALL).unwrap();
    let mut net = TestChain::on(chain);
    fill(&mut net);
    let (found, few, bytes) = round(net.chain(), u64::MAX);
    assert_eq!((found, few), (vec![], 5), "one step for each table");
    assert!(bytes > 60 * 200 && bytes <= disk.len().unwrap(), "{bytes}");
    let (found, many, _) = round(net.chain(), 1);
    assert_eq!(found, []);
    assert!(many > few, "{many}");
    let mut scrub = Scrub::default();
    for n in 0..40 {
        net.mine(&format!("b{n}"));
        net.chain_mut().flush().unwrap();
        let step = scrub.step(net.chain(), 4096, NOW).unwrap();
        assert_eq!(step.findings, []);
    }
    assert!(scrub.progress().rounds > 0);
}

fn open(dir: &Path) -> Result<Chain, chain::OpenError> {
    Chain::open(dir, TestChain::params(), SMALL)
}

#[test]
fn whatever_bit_of_a_used_page_flips_it_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut net = TestChain::on(open(dir.path()).unwrap());
    fill(&mut net);
    let tip = net.chain().tip();
    drop(net);
    let path = dir.path().join(FILE_NAME);
    let whole = fs::read(&path).unwrap();
    let (mut found, mut refused, mut silent) = (0, 0, 0);
    // Every so many bits, all over the file.
    for bit in (0..whole.len() * 8).step_by(7919) {
        let mut content = whole.clone();
        content[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &content).unwrap();
        match open(dir.path()) {
            Err(_) => refused += 1,
            Ok(chain) => {
                let (damage, ..) = round(&chain, u64::MAX);
                if damage.is_empty() && chain.damaged().is_empty() {
                    // In a page that no commit uses, or in redb's own notes: nothing is wrong.
                    silent += 1;
                    assert_eq!((chain.tip(), chain.tip().height), (tip, Height(60)));
                } else {
                    found += 1;
                }
            }
        }
    }
    assert!(
        found > 20,
        "{found} found, {refused} refused, {silent} harmless"
    );
}
