//! Our node's validation, seen as the kernel's is.

use bitcoin::consensus::deserialize;
use bitcoin::{Block, OutPoint};
use chain::rules::spend::SignatureCache;
use chain::{AcceptError, Acceptance, Chain, Coin, Params, Timestamp};

use crate::coins::CoinSet;
use crate::verdict::{Outcome, Verdict};

/// Our chain under the preset of regtest.
pub(crate) struct Ours {
    chain: Chain,
    signatures: SignatureCache,
}

impl Ours {
    pub(crate) fn new() -> Ours {
        Ours::on(Chain::in_memory(Params::bitcoin_regtest()))
    }

    pub(crate) fn on(chain: Chain) -> Ours {
        Ours {
            chain,
            signatures: SignatureCache::default(),
        }
    }

    pub(crate) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Hands a block in.
    pub(crate) fn submit(&mut self, bytes: &[u8], now: Timestamp) -> Outcome {
        let verdict = match deserialize::<Block>(bytes) {
            Err(_) => Verdict::Undecodable,
            Ok(block) => self.accept(block, now),
        };
        let mut failed = Vec::new();
        self.chain
            .activate_best(&self.signatures, &mut failed)
            .expect("storage works");
        Outcome {
            verdict,
            failed: failed
                .into_iter()
                .map(|(block, rule)| (block.hash, rule.reject_reason().into_owned()))
                .collect(),
            tip: self.chain.tip().hash,
        }
    }

    fn accept(&mut self, block: Block, now: Timestamp) -> Verdict {
        let error = match self.chain.accept_block(block, now) {
            Ok(Acceptance::Stored) => return Verdict::Stored,
            Ok(Acceptance::AlreadyHave) => return Verdict::Duplicate,
            Err(error) => error,
        };
        let reason = self.chain.reject_reason(&error).expect("storage works");
        Verdict::Rejected {
            reason: reason.into_owned(),
            standing: match error {
                AcceptError::Rule(rule) => Some(rule.standing()),
                AcceptError::KnownInvalid { .. } | AcceptError::InvalidParent { .. } => Some(chain::Standing::Never),
                AcceptError::UnknownParent { .. } | AcceptError::Store(_) => None,
            },
        }
    }

    pub(crate) fn coin(&self, outpoint: &OutPoint) -> Option<Coin> {
        self.chain.coin(outpoint).expect("storage works")
    }

    pub(crate) fn coins(&self) -> CoinSet {
        let mut coins = CoinSet::default();
        self.chain
            .for_each_coin(|outpoint, coin| {
                coins.0.insert(outpoint, coin);
                Ok(())
            })
            .expect("storage works");
        coins
    }
}
