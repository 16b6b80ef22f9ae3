//! Verifying what is stored, as Bitcoin Core's `verifychain`, and the set of coins against its own history.

use bitcoin::OutPoint;

use crate::block::CheckedBlock;
use crate::chain::{BlockPosition, Chain, Scratch};
use crate::coins::{MuHash, undo_fits};
use crate::rules::spend::SignatureCache;
use crate::store::{Damage, StoreError, StoreFault};
use crate::units::Height;

/// How deep to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VerifyLevel {
    /// Bodies can be read and pass every rule they can pass by themselves (Core's levels 0 and 1).
    Bodies,
    /// Undo data can be read and match (2).
    Undo,
    /// Blocks are disconnected in memory, and the coins stay consistent (3).
    Disconnect,
    /// And connected again, signatures included (4).
    Reconnect,
}

impl VerifyLevel {
    /// The level of Core's number; all above 4 count as 4.
    pub fn from_number(level: u8) -> VerifyLevel {
        match level {
            0 | 1 => VerifyLevel::Bodies,
            2 => VerifyLevel::Undo,
            3 => VerifyLevel::Disconnect,
            _ => VerifyLevel::Reconnect,
        }
    }
}

/// What is wrong with a block's data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The body is lost, or does not match its hash.
    #[error("the body of block {} at height {} is damaged", .0.hash, .0.height)]
    Body(BlockPosition),
    /// A row, or the way to it, is not what was written. What it should be is known if bodies tell it.
    #[error("{0}")]
    Stored(Damage),
    /// The undo data do not match the block, and bodies do not tell what they should be.
    #[error("the undo data of block {} at height {} are damaged", .0.hash, .0.height)]
    Undo(BlockPosition),
    /// An output that the block created and nothing after it spent is not among the coins, or differs.
    #[error("the coin {outpoint} of block {} at height {} is missing or differs", .block.hash, .block.height)]
    Coin {
        /// The block that created it.
        block: BlockPosition,
        /// The coin.
        outpoint: OutPoint,
    },
    /// The coins after disconnecting, hashed from scratch, are not what taking the blocks' changes out of the hash gives.
    #[error("the hash of the coins from scratch differs from the one by changes")]
    SetHash,
    /// The block breaks a rule on the coins below it.
    #[error("block {} at height {} cannot be connected again: {reason}", .block.hash, .block.height)]
    Reconnect {
        /// The block.
        block: BlockPosition,
        /// The broken rule.
        reason: String,
    },
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Blocks that were looked at.
    pub blocks: u32,
    /// What is wrong. Empty: all is well.
    pub problems: Vec<Problem>,
}

/// Verifies the last `depth` blocks of the active chain (all but genesis, if 0 or more than there are). `progress` is called
/// after each step with steps done and steps in all. Damaged bodies are quarantined on the way, so that a node fetches them
/// again.
///
/// Rows that do not prove themselves are problems, and are then read as bodies say that they should be; where bodies do not
/// tell, disconnecting stops, for nothing can be said of coins below.
///
/// # Errors
///
/// When storage fails as a whole: fatal.
pub fn verify(
    chain: &Chain,
    level: VerifyLevel,
    depth: u32,
    progress: &mut dyn FnMut(u32, u32),
) -> Result<VerifyReport, StoreError> {
    let mut report = look(chain, level, depth, progress)?;
    let stored = chain.findings().into_iter().map(Problem::Stored);
    report.problems.splice(0..0, stored);
    Ok(report)
}

fn look(
    chain: &Chain,
    level: VerifyLevel,
    depth: u32,
    progress: &mut dyn FnMut(u32, u32),
) -> Result<VerifyReport, StoreError> {
    let tip = chain.tip().height.0;
    let depth = if depth == 0 { tip } else { depth.min(tip) };
    let mut report = VerifyReport {
        blocks: depth,
        problems: Vec::new(),
    };
    let steps = depth
        * if level == VerifyLevel::Reconnect {
            2
        } else {
            1
        };
    let mut rollback = match level {
        VerifyLevel::Bodies | VerifyLevel::Undo => None,
        VerifyLevel::Disconnect | VerifyLevel::Reconnect => Some(Rollback::new(chain)?),
    };
    for (step, height) in (tip - depth + 1..=tip).rev().enumerate() {
        let info = chain.at_height(Height(height)).expect("not above the tip");
        if !info.status.connected {
            // Below a snapshot of coins: its blocks were never here.
            report.blocks = step as u32;
            break;
        }
        let position = BlockPosition {
            hash: info.hash,
            height: info.height,
        };
        match chain.block(&info.hash)? {
            None => {
                report.problems.push(Problem::Body(position));
                rollback = None;
            }
            Some(body) => {
                let sound = level == VerifyLevel::Bodies || undo_matches(chain, &body)?;
                if !sound {
                    report.problems.push(Problem::Undo(position));
                    rollback = None;
                }
                if let Some(rollback) = &mut rollback {
                    rollback.disconnect(position, &body, &mut report.problems)?;
                }
            }
        }
        progress(step as u32 + 1, steps);
    }
    if let Some(mut rollback) = rollback {
        rollback.check_set_hash(&mut report.problems)?;
        if level == VerifyLevel::Reconnect {
            rollback.reconnect(&mut report.problems, &mut |done| {
                progress(depth + done, steps)
            })?;
        }
    }
    Ok(report)
}

fn undo_matches(chain: &Chain, body: &CheckedBlock) -> Result<bool, StoreError> {
    match chain.undo(&body.hash()) {
        Ok(undo) => Ok(undo.is_some_and(|undo| undo_fits(body, &undo))),
        // Damage is to be listed, though a running node stops at it. A disk that fails is another matter.
        Err(error) if error.cause == StoreFault::Damage => Ok(false),
        Err(error) => Err(error),
    }
}

/// The chain's coins going back in time, in memory.
struct Rollback<'a> {
    chain: &'a Chain,
    coins: Scratch<'a>,
    /// Of the coins as they would be if each block's changes were taken out of the hash.
    by_changes: MuHash,
    disconnected: Vec<BlockPosition>,
}

impl<'a> Rollback<'a> {
    fn new(chain: &'a Chain) -> Result<Rollback<'a>, StoreError> {
        let coins = chain.scratch();
        let by_changes = coins.muhash()?;
        Ok(Rollback {
            chain,
            coins,
            by_changes,
            disconnected: Vec::new(),
        })
    }

    fn disconnect(
        &mut self,
        position: BlockPosition,
        body: &CheckedBlock,
        problems: &mut Vec<Problem>,
    ) -> Result<(), StoreError> {
        let undo = self.chain.undo(&position.hash)?.unwrap_or_default();
        let wrong = self
            .coins
            .disconnect(position.height, body, &undo, &mut self.by_changes)?;
        problems.extend(wrong.into_iter().map(|outpoint| Problem::Coin {
            block: position,
            outpoint,
        }));
        self.disconnected.push(position);
        Ok(())
    }

    fn check_set_hash(&self, problems: &mut Vec<Problem>) -> Result<(), StoreError> {
        if self.coins.muhash()?.finish() != self.by_changes.finish() {
            problems.push(Problem::SetHash);
        }
        Ok(())
    }

    fn reconnect(
        &mut self,
        problems: &mut Vec<Problem>,
        progress: &mut dyn FnMut(u32),
    ) -> Result<(), StoreError> {
        let signatures = SignatureCache::default();
        for (done, position) in (1..).zip(self.disconnected.iter().rev()) {
            let Some(body) = self.chain.block(&position.hash)? else {
                problems.push(Problem::Body(*position));
                return Ok(());
            };
            if let Err(rule) = self.coins.connect(position.height, &body, &signatures)? {
                problems.push(Problem::Reconnect {
                    block: *position,
                    reason: rule.to_string(),
                });
                return Ok(());
            }
            progress(done);
        }
        if self.coins.muhash()?.finish() != self.chain.coin_set_stats(false)?.muhash {
            problems.push(Problem::SetHash);
        }
        Ok(())
    }
}
