//! Peers that speak the real protocol over real sockets and do not keep to it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use bitcoin::{Transaction, Txid, Wtxid};
use chain::{Chain, ChainOptions, Height, Params};
use p2p::swarm::{Command, Event, SwarmConfig, Told, Traffic};
use p2p::sync::{Answer, PoolView};
use p2p::wire::{BlockBytes, Request, Response};

/// How a peer misbehaves. In all else it is honest: it tells its tip and gives headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Takes requests for blocks and says nothing.
    NeverGivesBlocks,
    /// Answers every request for blocks with block 1.
    GivesOtherBlocks,
}

/// A running peer. It ends with the process.
pub(crate) struct ScriptedPeer {
    /// Where it listens, with its peer id.
    pub(crate) address: String,
    asked_for_blocks: Arc<AtomicBool>,
}

/// A mempool without transactions.
struct Empty;

impl PoolView for Empty {
    fn for_each(&self, _: &mut dyn FnMut(&Arc<Transaction>, Wtxid)) {}

    fn knows(&self, _: &Txid) -> bool {
        true
    }

    fn transaction(&self, _: &Txid) -> Option<Arc<Transaction>> {
        None
    }
}

impl ScriptedPeer {
    /// Starts one on the chain in `folder`.
    pub(crate) fn start(folder: &Path, genesis: &Path, manner: Manner) -> ScriptedPeer {
        let text = std::fs::read_to_string(genesis).expect("written before");
        let params = Params::from_json(&text).expect("a valid network");
        let network = params.digest;
        let chain = Chain::open(folder, params, ChainOptions::default()).expect("a copy opens");
        let (commands, commanded) = tokio::sync::mpsc::unbounded_channel();
        let (told, events) = mpsc::channel();
        let config = SwarmConfig {
            listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
            network,
            key_file: None,
            max_inbound: 10,
            max_outbound: 10,
        };
        let tell = move |told_by: Told| {
            drop(told.send(told_by.event));
            Ok(())
        };
        tokio::spawn(p2p::swarm::run(
            config,
            commanded,
            tell,
            Arc::new(Traffic::new()),
        ));
        let address = loop {
            if let Event::Listening { address } = events.recv().expect("the swarm runs") {
                break address;
            }
        };
        let asked_for_blocks = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&asked_for_blocks);
        std::thread::spawn(move || {
            for event in events {
                if let Event::Request { token, request, .. } = event {
                    if matches!(request, Request::Blocks(_)) {
                        asked.store(true, Ordering::Relaxed);
                    }
                    if let Some(response) = answer(manner, &request, &chain) {
                        let response = Some(response);
                        // The swarm is gone when the process ends.
                        let _ = commands.send(Command::Answer { token, response });
                    }
                }
            }
        });
        ScriptedPeer {
            address,
            asked_for_blocks,
        }
    }

    /// Its identity.
    pub(crate) fn peer_id(&self) -> &str {
        self.address
            .rsplit('/')
            .next()
            .expect("ends in the peer id")
    }

    /// Whether it had the occasion to misbehave.
    pub(crate) fn was_asked_for_blocks(&self) -> bool {
        self.asked_for_blocks.load(Ordering::Relaxed)
    }
}

fn answer(manner: Manner, request: &Request, chain: &Chain) -> Option<Response> {
    match (request, manner) {
        (Request::Blocks(_), Manner::NeverGivesBlocks) => None,
        (Request::Blocks(_), Manner::GivesOtherBlocks) => {
            let first = chain.at_height(Height(1)).expect("block 1").hash;
            let block = chain.block(&first).expect("it can be read");
            let block = BlockBytes::Ours(block.expect("it is there"));
            Some(Response::Blocks(vec![block]))
        }
        _ => {
            let now = p2p::Mono::ZERO;
            let mut served = p2p::sync::ServedBlocks::default();
            let answer = p2p::sync::answer(now, request, chain, &Empty, &[], &mut served);
            match answer.expect("the chain can be read") {
                Answer::Made(response) => response,
                Answer::Blocks(blocks) => Some(blocks.open().response),
            }
        }
    }
}
