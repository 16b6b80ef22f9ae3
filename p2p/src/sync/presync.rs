//! [`Presync`]: counting the work of a long chain before any of its headers is kept.
//!
//! A branch of more than one message whose first headers do not lead to more work than our tip may be a flood of cheap
//! headers. So the peer sends it twice. The first time, only its work is summed up and the last hash of each
//! message is kept: 32 bytes for 2,000 headers. If the sum exceeds our tip's work, it is asked for again, each message up
//! to the remembered hash, which pins down every header in it. (Core does this with one bit per 600 headers; whole
//! hashes need no secret salt and catch every change.)

use std::time::Duration;

use bitcoin::block::Header;
use bitcoin::{BlockHash, Work};

use super::KnownHeader;
use super::timing::PRESYNC_GRACE;
use crate::Mono;
use crate::wire::limits::MAX_PRESYNC_BATCHES;

/// A branch whose work is being counted, or that is being fetched for good.
#[derive(Debug)]
pub(super) struct Presync {
    base: BlockHash,
    base_work: Work,
    work: Work,
    /// When this pass over the branch began.
    since: Mono,
    /// Last hash of each message, in order.
    checkpoints: Vec<BlockHash>,
    /// How many of the checkpoints the second fetch has reached; `None` during the first.
    reached: Option<usize>,
}

/// What comes after a message of a [`Presync`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask for the next message.
    Continue,
    /// The headers belong into the tree. Then ask on.
    HandOn,
    /// The branch ended with less work than our tip: it is forgotten.
    TooLittleWork,
    /// What came does not follow what came before: the peer's chain changed, or it lies.
    Broken,
}

impl Presync {
    /// Starts with the first message of a branch that leaves the known headers after `base`.
    pub(super) fn new(base: KnownHeader, last: BlockHash, work: Work, since: Mono) -> Presync {
        Presync {
            base: base.hash,
            base_work: base.chain_work,
            work,
            since,
            checkpoints: vec![last],
            reached: None,
        }
    }

    /// From where and up to which hash to ask now. The locator's second hash is a foothold for a peer whose chain changed.
    pub(super) fn next_question(&self) -> (Vec<BlockHash>, Option<BlockHash>) {
        match self.reached {
            None => (vec![*self.last_checkpoint(), self.base], None),
            Some(0) => (vec![self.base], self.checkpoints.first().copied()),
            Some(n) => (
                vec![self.checkpoints[n - 1]],
                self.checkpoints.get(n).copied(),
            ),
        }
    }

    /// Takes a message of linked headers with good proof of work. `full`: more may follow it.
    pub(super) fn message(
        &mut self,
        headers: &[Header],
        last: BlockHash,
        full: bool,
        tip_work: Work,
        now: Mono,
    ) -> Step {
        let Some(first) = headers.first() else {
            return Step::Broken;
        };
        match self.reached {
            None if first.prev_blockhash != *self.last_checkpoint() => Step::Broken,
            None => {
                self.work = headers
                    .iter()
                    .fold(self.work, |sum, header| sum + header.work());
                self.checkpoints.push(last);
                if self.work > tip_work {
                    self.reached = Some(0);
                    self.since = now;
                    Step::Continue
                } else if full && self.checkpoints.len() < MAX_PRESYNC_BATCHES {
                    Step::Continue
                } else {
                    Step::TooLittleWork
                }
            }
            Some(n) => {
                let from = if n == 0 {
                    self.base
                } else {
                    self.checkpoints[n - 1]
                };
                if first.prev_blockhash != from || self.checkpoints.get(n) != Some(&last) {
                    return Step::Broken;
                }
                self.reached = Some(n + 1);
                Step::HandOn
            }
        }
    }

    /// Whether the branch comes so slowly that a pass over it would take longer than `limit`: counting up to the work of our
    /// tip, and then fetching what was counted.
    pub(super) fn is_too_slow(&self, now: Mono, tip_work: Work, limit: Duration) -> bool {
        let spent = now.since(self.since);
        if spent < PRESYNC_GRACE {
            return false;
        }
        let base = as_float(self.base_work);
        let done = match self.reached {
            None => (as_float(self.work) - base) / (as_float(tip_work) - base).max(1.0),
            Some(reached) => reached as f64 / self.checkpoints.len() as f64,
        };
        done < spent.as_secs_f64() / limit.as_secs_f64()
    }

    /// Every checkpoint was reached by the second fetch.
    pub(super) fn is_complete(&self) -> bool {
        self.reached == Some(self.checkpoints.len())
    }

    fn last_checkpoint(&self) -> &BlockHash {
        self.checkpoints
            .last()
            .expect("starts with one and only grows")
    }
}

/// Near enough for a comparison of speeds.
fn as_float(work: Work) -> f64 {
    let bytes = work.to_be_bytes();
    bytes
        .iter()
        .fold(0.0, |sum, byte| sum * 256.0 + f64::from(*byte))
}

#[cfg(test)]
mod tests {
    use bitcoin::CompactTarget;
    use bitcoin::hashes::Hash;
    use chain::Height;

    use super::*;

    fn headers(from: BlockHash, count: usize) -> (Vec<Header>, BlockHash) {
        let mut last = from;
        let headers = (0..count)
            .map(|n| {
                let header = Header {
                    version: bitcoin::block::Version::TWO,
                    prev_blockhash: last,
                    merkle_root: bitcoin::TxMerkleNode::all_zeros(),
                    time: n as u32,
                    bits: CompactTarget::from_consensus(0x207f_ffff),
                    nonce: 0,
                };
                last = header.block_hash();
                header
            })
            .collect();
        (headers, last)
    }

    fn work_of(count: u8) -> Work {
        let one = headers(BlockHash::all_zeros(), 1).0[0].work();
        (1..count).fold(one, |sum, _| sum + one)
    }

    fn started(first: usize) -> (Presync, BlockHash, BlockHash) {
        let base = BlockHash::from_byte_array([7; 32]);
        let (_, last) = headers(base, first);
        let known = KnownHeader {
            hash: base,
            height: Height(5),
            chain_work: work_of(1),
            has_body: true,
            may_be_valid: true,
        };
        (
            Presync::new(known, last, work_of(first as u8), Mono::ZERO),
            base,
            last,
        )
    }

    #[test]
    fn enough_work_is_fetched_again_and_must_be_the_same() {
        let (mut presync, base, first_last) = started(3);
        let (second, second_last) = headers(first_last, 3);
        let more = presync.message(&second, second_last, true, work_of(5), Mono::ZERO);
        assert_eq!(more, Step::Continue);
        assert_eq!(presync.next_question(), (vec![base], Some(first_last)));

        let (first, _) = headers(base, 3);
        assert_eq!(
            presync.message(&first, first_last, true, work_of(5), Mono::ZERO),
            Step::HandOn
        );
        assert!(!presync.is_complete());
        assert_eq!(
            presync.next_question(),
            (vec![first_last], Some(second_last))
        );
        let (other, other_last) = headers(first_last, 2);
        assert_eq!(
            presync.message(&other, other_last, true, work_of(5), Mono::ZERO),
            Step::Broken
        );
        assert_eq!(
            presync.message(&second, second_last, true, work_of(5), Mono::ZERO),
            Step::HandOn
        );
        assert!(presync.is_complete());
    }

    #[test]
    fn a_branch_that_ends_below_our_work_is_forgotten() {
        let (mut presync, _, last) = started(3);
        let (next, next_last) = headers(last, 1);
        assert_eq!(
            presync.message(&next, next_last, false, work_of(50), Mono::ZERO),
            Step::TooLittleWork
        );
    }

    #[test]
    fn headers_that_do_not_follow_break_it() {
        let (mut presync, base, _) = started(3);
        let (other, other_last) = headers(base, 2);
        assert_eq!(
            presync.message(&other, other_last, true, work_of(50), Mono::ZERO),
            Step::Broken
        );
        assert_eq!(
            presync.message(&[], other_last, false, work_of(50), Mono::ZERO),
            Step::Broken
        );
    }

    #[test]
    fn a_branch_that_drips_is_told_from_one_that_comes_slowly() {
        let minute = Duration::from_secs(60);
        let after = |seconds| Mono::ZERO + Duration::from_secs(seconds);
        // Ten headers above a base of one, and a tip of 101: a tenth of the way.
        let (presync, ..) = started(11);
        assert!(
            !presync.is_too_slow(after(4), work_of(101), minute),
            "grace"
        );
        assert!(!presync.is_too_slow(after(5), work_of(101), minute));
        assert!(presync.is_too_slow(after(7), work_of(101), minute));
        assert!(!presync.is_too_slow(after(7), work_of(101), 2 * minute));
    }
}
