//! Both nodes side by side: every block goes to both, and every difference is written down.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use bitcoin::BlockHash;
use chain::Timestamp;
use tempfile::TempDir;

use crate::kernel::{Kernel, Signatures};
use crate::ours::Ours;
use crate::verdict::{Outcome, Verdict, is_script_failure};

/// What was compared so far, and what differed.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) blocks: u64,
    /// How often each reason was given; an empty one for blocks without fault.
    pub(crate) reasons: BTreeMap<String, u64>,
    /// Coins in all sets that were compared at the ends.
    pub(crate) coins: u64,
    /// Blocks that differ only in a way that `docs/CONSENSUS.md` says.
    pub(crate) stated: BTreeMap<&'static str, u64>,
    pub(crate) differences: Vec<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Tally) {
        self.blocks += other.blocks;
        self.coins += other.coins;
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
        for (what, count) in other.stated {
            *self.stated.entry(what).or_default() += count;
        }
        self.differences.extend(other.differences);
    }
}

/// Bitcoin Core twice, with and without a thread for signatures, and our chain.
pub(crate) struct Pair {
    core: Kernel,
    core_in_order: Kernel,
    ours: Ours,
    tally: Tally,
    _dirs: [TempDir; 2],
}

impl Pair {
    pub(crate) fn new() -> Pair {
        let dirs = [(); 2].map(|()| TempDir::new().expect("a directory can be made"));
        Pair {
            core: Kernel::open(dirs[0].path(), Signatures::Last, true),
            core_in_order: Kernel::open(dirs[1].path(), Signatures::InOrder, true),
            ours: Ours::new(),
            tally: Tally::default(),
            _dirs: dirs,
        }
    }

    pub(crate) fn ours(&self) -> &Ours {
        &self.ours
    }

    /// Hands bytes to both, compares what they say, and gives what ours says.
    pub(crate) fn submit_bytes(&mut self, case: &str, bytes: &[u8]) -> Outcome {
        let ours = self.ours.submit(bytes, now());
        let core = self.core.submit(bytes);
        let in_order = self.core_in_order.submit(bytes);
        let core = with_first_script_failure(core, &in_order);
        self.tally.blocks += 1;
        let reason = core.reason().unwrap_or_default();
        // The number in brackets is compared, and makes no reason of its own.
        let is_version = reason.starts_with("bad-version");
        let reason = if is_version { "bad-version" } else { reason }.to_owned();
        *self.tally.reasons.entry(reason).or_default() += 1;
        if let Some(what) = stated_difference(&core, &ours) {
            *self.tally.stated.entry(what).or_default() += 1;
        } else if without_ambiguity(&core) != without_ambiguity(&ours) {
            self.tally
                .differences
                .push(format!("{case}\n    Core: {core}\n    ours: {ours}"));
        }
        ours
    }

    /// Compares all unspent coins, as they are now.
    pub(crate) fn compare_coins(&mut self, case: &str) {
        let (core, ours) = (self.core.coins(), self.ours.coins());
        self.tally.coins += ours.0.len() as u64;
        if core != ours {
            self.tally.differences.push(format!(
                "{case}: the coins differ, Core has {}, we {}",
                core.0.len(),
                ours.0.len()
            ));
        }
    }

    /// Ends with a comparison of the coins.
    pub(crate) fn finish(mut self, case: &str) -> Tally {
        self.compare_coins(case);
        self.tally
    }
}

pub(crate) fn now() -> Timestamp {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("it is not 1970");
    Timestamp(u32::try_from(now.as_secs()).expect("it is not 2106"))
}

/// `core` with the failures of signatures that `in_order` names: the first of each block, where `core` names any.
fn with_first_script_failure(mut core: Outcome, in_order: &Outcome) -> Outcome {
    for (hash, reason) in core.failed.iter_mut().filter(|(_, r)| is_script_failure(r)) {
        let first = in_order.failed.iter().find(|(other, _)| other == hash);
        if let Some((_, first)) = first {
            reason.clone_from(first);
        }
    }
    core
}

/// Differences that are known and stated: the verdict is the same, the words are not.
fn stated_difference(core: &Outcome, ours: &Outcome) -> Option<&'static str> {
    if core.tip != ours.tip {
        return None;
    }
    let hashes = |outcome: &Outcome| -> Vec<BlockHash> {
        outcome.failed.iter().map(|(hash, _)| *hash).collect()
    };
    if core.verdict == ours.verdict && hashes(core) == hashes(ours) {
        let mut pairs = core.failed.iter().zip(&ours.failed);
        let (_, (_, ours)) = pairs.find(|(core, ours)| core.1 != ours.1)?;
        if ours.contains("Witness requires empty scriptSig") {
            return Some("a scriptSig beside a witness program, which Core runs first");
        }
        if ours.contains("Unsupported spend") {
            return Some("a spend of another kind, refused by both");
        }
        return None;
    }
    let refused = |outcome: &Outcome| {
        matches!(
            outcome.verdict,
            Verdict::Undecodable | Verdict::Rejected { .. }
        )
    };
    let undecodable = [core, ours]
        .iter()
        .any(|outcome| outcome.verdict == Verdict::Undecodable);
    (undecodable && refused(core) && refused(ours) && core.failed == ours.failed)
        .then_some("bytes that only one of the two decodes, refused by both")
}

/// Core has a function apart for bodies that may be nodes of another body's merkle tree; its own verdict does not show it.
fn without_ambiguity(outcome: &Outcome) -> Outcome {
    let mut outcome = outcome.clone();
    if let Verdict::Rejected { reason, standing } = &mut outcome.verdict
        && reason == "bad-cb-missing"
    {
        *standing = None;
    }
    outcome
}
