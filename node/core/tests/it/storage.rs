//! When a core writes, and storage that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chain::fixtures::TestChain;
use chain::store::MemoryDisk;
use chain::{Chain, ChainOptions};
use node_core::{CoreOptions, Mode, NodeCore, Output, SubmitError};

use crate::support::{FEE, Lone, alice, bob, mine_template, pay, submit};

#[test]
fn nothing_is_committed_before_the_end_where_nothing_need_survive() {
    let options = CoreOptions {
        volatile: true,
        ..CoreOptions::default()
    };
    let core = NodeCore::new(Chain::in_memory(TestChain::params()), options);
    let mut lone = Lone::with(core);
    lone.mine();
    lone.pass(Duration::from_secs(100));
    assert!(lone.core.chain().unflushed_bytes() > 0);
    lone.core.shutdown().expect("memory works");
    assert_eq!(lone.core.chain().unflushed_bytes(), 0);
}

/// A disk that refuses to write from some time on.
#[derive(Debug)]
struct FailingDisk {
    disk: MemoryDisk,
    failing: Arc<AtomicBool>,
}

impl FailingDisk {
    fn check(&self) -> std::io::Result<()> {
        match self.failing.load(Ordering::Relaxed) {
            true => Err(std::io::Error::other("no space left on device")),
            false => Ok(()),
        }
    }
}

impl redb::StorageBackend for FailingDisk {
    fn len(&self) -> std::io::Result<u64> {
        self.disk.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.disk.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.check()?;
        self.disk.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.check()?;
        self.disk.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.check()?;
        self.disk.write(offset, data)
    }
}

#[test]
fn a_storage_failure_is_told_once_and_ends_all_writing() {
    let failing = Arc::new(AtomicBool::new(false));
    let disk = MemoryDisk::new();
    let backend = FailingDisk {
        disk: disk.clone(),
        failing: Arc::clone(&failing),
    };
    let params = TestChain::params();
    let chain = Chain::open_backend(backend, params.clone(), ChainOptions::default());
    let core = NodeCore::new(chain.expect("an empty disk"), CoreOptions::default());
    let mut lone = Lone::with(core);
    let kept = lone.mine();
    lone.pass(Duration::from_secs(2));
    failing.store(true, Ordering::Relaxed);
    let lost = mine_template(&lone.core, lone.now, 9);
    let result = submit(&mut lone, &lost);
    assert!(
        matches!(result, Err(SubmitError::Store(_))),
        "never acknowledged: {result:?}"
    );
    assert_eq!(lone.core.mode(), Mode::ReadOnly);
    assert!(lone.send(&pay(&alice(), 0, &bob(), FEE)).is_err());
    lone.pass(Duration::from_secs(100));
    lone.core.shutdown().expect("nothing is written any more");
    let fatal = lone
        .out
        .iter()
        .filter(|output| matches!(output, Output::Fatal(_)))
        .count();
    assert_eq!(fatal, 1);
    drop(lone);
    let reopened = Chain::open_backend(disk, params, ChainOptions::default());
    assert_eq!(reopened.expect("opens").tip().hash, kept.block_hash());
}
