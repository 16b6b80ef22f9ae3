//! A transaction index whose file was changed by somebody else. Nothing panics, nothing wrong is told, and what is found damaged is made
//! anew.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use bitcoin::Txid;
use chain::Params;
use chain::fixtures::TestChain;
use chain::store::{DirectoryLock, StoreFault};
use chain::txindex::{FILE_NAME, IndexStep, TxIndex, next_step};
use libfuzzer_sys::fuzz_target;

/// How far a change reaches, at most.
const LONGEST: usize = 64;

/// A whole index, and where each of its transactions is.
struct Whole {
    params: Params,
    dir: PathBuf,
    file: Vec<u8>,
    places: Vec<(Txid, bitcoin::BlockHash)>,
}

static WHOLE: LazyLock<Whole> = LazyLock::new(|| {
    let dir = std::env::temp_dir().join(format!("mend-fuzz-index-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    let mut net = TestChain::new();
    net.mine_many("a", 20);
    net.chain_mut().flush().expect("in memory");
    let params = TestChain::params();
    let mut places = Vec::new();
    {
        let lock = DirectoryLock::acquire(&dir).expect("nobody else's");
        let index = TxIndex::open(&lock, &params).expect("a fresh one");
        while let IndexStep::Connect(infos) =
            next_step(net.chain(), &index.blocks().expect("sound"), 100)
        {
            let bodies: Vec<_> = infos
                .iter()
                .map(|info| net.chain().block(&info.hash).expect("sound").expect("here"))
                .collect();
            let last = infos[infos.len() - 1].id;
            let indexed = net.chain().tree().locator(last);
            index.connect(&bodies, &indexed).expect("written");
        }
    }
    for n in 1..=20 {
        let block = net.block(&format!("a{n}"));
        places.push((block.txdata[0].compute_txid(), block.block_hash()));
    }
    let file = std::fs::read(dir.join(FILE_NAME)).expect("the file");
    Whole {
        params,
        dir,
        file,
        places,
    }
});

fuzz_target!(|changes: Vec<(u32, Vec<u8>)>| {
    let mut file = WHOLE.file.clone();
    for (at, bytes) in &changes {
        let at = *at as usize % file.len();
        for (there, byte) in file[at..].iter_mut().zip(bytes.iter().take(LONGEST)) {
            *there ^= byte;
        }
    }
    let path = WHOLE.dir.join(FILE_NAME);
    std::fs::write(&path, &file).expect("written");
    let lock = DirectoryLock::acquire(&WHOLE.dir).expect("nobody else's");
    let index = TxIndex::open(&lock, &WHOLE.params).expect("damage is no error");
    let mut damage = index.check().err();
    for (txid, block) in &WHOLE.places {
        match index.find(txid) {
            Ok(None) => {}
            Ok(Some(place)) => assert_eq!(place.block, *block, "nothing wrong is told"),
            Err(error) => damage = Some(error),
        }
    }
    if let Some(error) = damage {
        assert_eq!(error.cause, StoreFault::Damage, "{error}");
        index.renew(&error).expect("made anew");
        index.check().expect("sound");
    }
});
