//! Asks nodes around a heal.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bitcoin::{Block, BlockHash};

use super::heal::{NodeObservation, Observations, SeenBlock};
use crate::real::{CoinsInfo, LabError, Probe};

/// Pause between two rounds of asking all nodes for their tips: a share of the heal time that is small and known.
const POLL: Duration = Duration::from_millis(5);

/// The tip of every node, by its number.
pub type Tips = BTreeMap<usize, BlockHash>;

/// When and where all nodes agreed.
#[derive(Clone, Debug)]
pub struct Agreement {
    /// The tip.
    pub tip: BlockHash,
    /// Milliseconds after the links opened.
    pub ms: u64,
    /// When each node first changed its tip, in milliseconds.
    pub changed_ms: BTreeMap<usize, u64>,
}

/// The tip of every node, asked at the same time.
///
/// # Errors
///
/// [`LabError::Node`] when one does not answer.
pub fn tips(probes: &[Probe]) -> Result<Tips, LabError> {
    std::thread::scope(|scope| {
        let asking: Vec<_> = probes
            .iter()
            .map(|probe| (probe.node(), scope.spawn(|| probe.tip())))
            .collect();
        asking
            .into_iter()
            .map(|(node, thread)| {
                let tip = thread.join().expect("asking a node does not panic");
                Ok((node, tip?))
            })
            .collect()
    })
}

/// Waits until all nodes are on one tip.
///
/// # Errors
///
/// [`LabError::TooSlow`], or [`LabError::Node`] when one does not answer.
pub fn wait_for_one_tip(
    probes: &[Probe],
    before: &Tips,
    opened_at: Instant,
    limit: Duration,
) -> Result<Agreement, LabError> {
    let mut changed_ms = BTreeMap::new();
    loop {
        let mut seen = BTreeSet::new();
        for probe in probes {
            let tip = probe.tip()?;
            if before.get(&probe.node()) != Some(&tip) {
                changed_ms
                    .entry(probe.node())
                    .or_insert_with(|| millis(opened_at.elapsed()));
            }
            seen.insert(tip);
        }
        let elapsed = opened_at.elapsed();
        match (seen.pop_first(), seen.is_empty()) {
            (Some(tip), true) => {
                return Ok(Agreement {
                    tip,
                    ms: millis(elapsed),
                    changed_ms,
                });
            }
            _ if elapsed > limit => {
                return Err(LabError::TooSlow {
                    what: "agreeing on one tip".to_owned(),
                    seconds: limit.as_secs(),
                });
            }
            _ => std::thread::sleep(POLL),
        }
    }
}

/// The coins of all nodes, asked again until no block came in between; as they are when `limit` is over and they still differ.
///
/// # Errors
///
/// [`LabError::Node`] when one does not answer.
pub fn coins_at_rest(probes: &[Probe], limit: Duration) -> Result<Vec<CoinsInfo>, LabError> {
    let deadline = Instant::now() + limit;
    loop {
        let coins: Vec<CoinsInfo> = std::thread::scope(|scope| {
            let asking: Vec<_> = probes
                .iter()
                .map(|probe| scope.spawn(|| probe.coins()))
                .collect();
            asking
                .into_iter()
                .map(|thread| thread.join().expect("asking a node does not panic"))
                .collect::<Result<_, _>>()
        })?;
        let same = coins.iter().all(|coin| coin.tip == coins[0].tip);
        if same || Instant::now() > deadline {
            return Ok(coins);
        }
        std::thread::sleep(POLL * 8);
    }
}

/// Fetches every block between the fork point, the tips before, and the first node's present tip.
///
/// # Errors
///
/// [`LabError::Node`] when a node does not answer, [`LabError::Refused`] when no node has a block that one of them had.
pub fn collect(
    probes: &[Probe],
    before: &Tips,
    agreement: &Agreement,
) -> Result<Observations, LabError> {
    let first = probes.first().ok_or(LabError::AllDown)?;
    let final_tip = first.tip()?;
    let mut fetcher = Fetcher {
        probes,
        blocks: BTreeMap::new(),
    };
    let mut nodes = Vec::new();
    for probe in probes {
        let Some(tip) = before.get(&probe.node()) else {
            continue;
        };
        nodes.push(NodeObservation {
            node: probe.node(),
            tip_before: fetcher.end_of_branch(probe, *tip)?,
            changed_ms: agreement.changed_ms.get(&probe.node()).copied(),
        });
    }
    let tips = nodes.iter().map(|node| node.tip_before);
    let fork = fetcher.walk_to_fork(tips.chain([final_tip, agreement.tip]))?;
    let mempools = probes
        .iter()
        .map(|probe| Ok((probe.node(), probe.mempool()?.into_iter().collect())))
        .collect::<Result<_, LabError>>()?;
    Ok(Observations {
        nodes,
        final_tip,
        one_tip_ms: agreement.ms,
        fork,
        blocks: fetcher.blocks,
        mempools,
    })
}

/// Fetches blocks from whoever has them, each once.
struct Fetcher<'a> {
    probes: &'a [Probe],
    blocks: BTreeMap<BlockHash, SeenBlock>,
}

impl Fetcher<'_> {
    fn block(&mut self, hash: BlockHash, height: u32) -> Result<&SeenBlock, LabError> {
        if !self.blocks.contains_key(&hash) {
            let block = self.fetch(&hash)?;
            self.blocks.insert(hash, SeenBlock { height, block });
        }
        Ok(&self.blocks[&hash])
    }

    fn fetch(&self, hash: &BlockHash) -> Result<Block, LabError> {
        for probe in self.probes {
            if let Some(block) = probe.block(hash)? {
                return Ok(block);
            }
        }
        Err(LabError::Refused(format!(
            "no node has the block {hash} any more"
        )))
    }

    fn height(&self, hash: &BlockHash) -> Result<u32, LabError> {
        let mut problem = LabError::AllDown;
        for probe in self.probes {
            match probe.header(hash) {
                Ok(header) => return Ok(header.height),
                Err(error) => problem = error,
            }
        }
        Err(problem)
    }

    /// A node may have found one more block between the moment its tip was read and its reorg: the end of the branch that
    /// `tip` lies on, as the node itself has it.
    fn end_of_branch(&mut self, probe: &Probe, tip: BlockHash) -> Result<BlockHash, LabError> {
        for branch in probe.tips()? {
            if branch.status != "valid-fork" || branch.hash == tip {
                continue;
            }
            let (mut at, mut height) = (branch.hash, branch.height);
            for _ in 0..branch.branch_length {
                let parent = self.block(at, height)?.block.header.prev_blockhash;
                if parent == tip {
                    return Ok(branch.hash);
                }
                (at, height) = (parent, height - 1);
            }
        }
        Ok(tip)
    }

    /// Walks back from all tips until they meet, highest block first.
    fn walk_to_fork(
        &mut self,
        tips: impl Iterator<Item = BlockHash>,
    ) -> Result<BlockHash, LabError> {
        let mut heads: BTreeSet<(u32, BlockHash)> = BTreeSet::new();
        for tip in tips {
            heads.insert((self.height(&tip)?, tip));
        }
        while heads.len() > 1 {
            let Some((height, hash)) = heads.pop_last() else {
                break;
            };
            let parent = self.block(hash, height)?.block.header.prev_blockhash;
            heads.insert((height.saturating_sub(1), parent));
        }
        let (height, fork) = heads.pop_last().ok_or(LabError::AllDown)?;
        self.block(fork, height)?;
        Ok(fork)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
