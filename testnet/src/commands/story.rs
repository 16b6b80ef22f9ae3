//! The demo's narrator: tells what happens when, and waits for it, never without a bound.

use std::time::{Duration, Instant};

use anyhow::bail;
use bitcoin::Txid;
use serde_json::{Value, json};

use crate::real::{CoinsInfo, Healed, Probe};
use crate::report::{HealReport, observe};

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(40);

/// Tells and waits.
pub(super) struct Story {
    began: Instant,
    aloud: bool,
}

impl Story {
    /// Starts the clock. Tells nothing unless `aloud`.
    pub(super) fn begin(aloud: bool) -> Story {
        Story {
            began: Instant::now(),
            aloud,
        }
    }

    /// Tells one thing.
    pub(super) fn tell(&self, what: &str) -> Result<(), terminal::PrintError> {
        if !self.aloud {
            return Ok(());
        }
        terminal::line(format_args!(
            "[{:5.1} s] {what}",
            self.began.elapsed().as_secs_f64()
        ))
    }

    /// Looks until there is something to see.
    fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(seen) = look()? {
                return Ok(seen);
            }
            if Instant::now() > deadline {
                bail!("{what} did not happen within {} s", limit.as_secs());
            }
            std::thread::sleep(LOOK);
        }
    }

    pub(super) fn wait_for_height(
        &self,
        probes: &[Probe],
        height: u32,
        limit: Duration,
    ) -> anyhow::Result<()> {
        self.wait(&format!("height {height} on every node"), limit, || {
            for probe in probes {
                if probe.chain()?.blocks < height {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
    }

    pub(super) fn wait_until_confirmed(
        &self,
        probes: &[Probe],
        payments: &[Txid],
        limit: Duration,
    ) -> anyhow::Result<()> {
        self.wait("confirming a payment on every node", limit, || {
            for probe in probes {
                for txid in payments {
                    // Its first output, without the mempool: nobody has spent it yet.
                    let coin: Value = probe.call("gettxout", json!([txid, 0, false]))?;
                    if coin.is_null() {
                        return Ok(None);
                    }
                }
            }
            Ok(Some(()))
        })
    }

    /// Waits until both sides have found `blocks` and one of them is two blocks of work ahead, so that no block found in the
    /// very moment of the heal makes a tie.
    pub(super) fn wait_for_a_clear_lead(
        &self,
        a: &[Probe],
        b: &[Probe],
        blocks: u32,
        limit: Duration,
    ) -> anyhow::Result<()> {
        let start = (a[0].chain()?.blocks, b[0].chain()?.blocks);
        self.wait("a clear lead of one side", limit, || {
            let (tips_a, tips_b) = (observe::tips(a)?, observe::tips(b)?);
            let united = |tips: &observe::Tips| {
                tips.values()
                    .collect::<std::collections::BTreeSet<_>>()
                    .len()
                    == 1
            };
            let (a, b) = (a[0].chain()?, b[0].chain()?);
            let grown = a.blocks >= start.0 + blocks && b.blocks >= start.1 + blocks;
            // Both sides have about the same difficulty so soon: two blocks are more work than any rounding of it.
            let clear = a.blocks.abs_diff(b.blocks) >= 2;
            Ok((grown && clear && united(&tips_a) && united(&tips_b)).then_some(()))
        })
    }

    /// Waits until every payment that lost its block is confirmed again, or lost for good; or gives up waiting and shows how
    /// it stands.
    pub(super) fn wait_for_payments(
        &self,
        healed: &Healed,
        limit: Duration,
    ) -> anyhow::Result<HealReport> {
        let deadline = Instant::now() + limit;
        loop {
            let report = healed.report()?;
            if report.open_payments() == 0 || Instant::now() > deadline {
                return Ok(report);
            }
            std::thread::sleep(LOOK * 5);
        }
    }

    /// The coins of all nodes, asked again until no block came in between.
    pub(super) fn coins_at_one_tip(
        &self,
        probes: &[Probe],
        limit: Duration,
    ) -> anyhow::Result<Vec<CoinsInfo>> {
        let coins = observe::coins_at_rest(probes, limit)?;
        if coins.iter().any(|coin| coin.tip != coins[0].tip) {
            bail!("the nodes are not on one tip after {} s", limit.as_secs());
        }
        Ok(coins)
    }
}
