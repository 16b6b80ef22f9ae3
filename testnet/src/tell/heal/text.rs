//! The heal report for people.

use std::fmt;

use super::{HealReport, Loss, NodeReport, Outcome, Side, State};
use crate::tell::words::{amount, count, hashes, nodes, place, time};

impl fmt::Display for HealReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Heal report: {}", self.headline())?;
        writeln!(
            f,
            "  split       {}, for {}",
            self.what,
            time(self.opened_at_us - self.split_at_us)
        )?;
        if !self.still_apart.is_empty() {
            let others = count(self.still_apart.len() as u64, "other split");
            writeln!(f, "  but         {others} went on")?;
        }
        if let Outcome::Apart { tips, .. } = &self.outcome {
            for on in tips {
                writeln!(f, "    {} on {}", nodes(&on.nodes), place(&on.tip))?;
            }
        }
        writeln!(f, "  fork point  {}", place(&self.fork))?;
        writeln!(f, "  final tip   {}", place(&self.final_tip))?;
        writeln!(f, "  sides")?;
        for (index, side) in self.sides.iter().enumerate() {
            writeln!(f, "    {}: {}", index + 1, describe(side))?;
        }
        self.write_nodes(f)?;
        self.write_lost(f)?;
        writeln!(
            f,
            "  payments that lost their confirmation: {}",
            self.payments.len()
        )?;
        for payment in &self.payments {
            writeln!(f, "    {}: {}", payment.txid, payment.fate)?;
        }
        Ok(())
    }
}

impl HealReport {
    /// Whether and when the nodes came together.
    pub fn headline(&self) -> String {
        match &self.outcome {
            Outcome::OneTip { after_us, .. } => {
                format!("one tip {} after the links opened", time(*after_us))
            }
            Outcome::Apart { within_us, tips } => format!(
                "no one tip within {}, when {}: {}",
                time(*within_us),
                match self.next_split {
                    Some(_) => "the next split began",
                    None => "the run ended",
                },
                count(tips.len() as u64, "tip"),
            ),
        }
    }

    fn write_nodes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  nodes")?;
        let mut alike: Vec<(String, Vec<usize>)> = Vec::new();
        for node in &self.nodes {
            let words = node.words();
            match alike.iter_mut().find(|(known, _)| *known == words) {
                Some((_, nodes)) => nodes.push(node.node),
                None => alike.push((words, vec![node.node])),
            }
        }
        for (words, members) in alike {
            writeln!(f, "    {}: {words}", nodes(&members))?;
        }
        Ok(())
    }

    fn write_lost(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  blocks      {} above the fork point, {} in the final chain, {} lost with {} of rewards",
            self.totals.found.blocks,
            self.totals.stayed.blocks,
            self.totals.lost.blocks,
            amount(self.totals.lost.reward_sat)
        )?;
        for block in &self.lost {
            let loss = match block.loss {
                Loss::Orphaned => "orphaned",
                Loss::StaleBefore => "stale before the links opened",
                Loss::StaleAfter => "stale after the links opened",
            };
            let finder = match block.found_by {
                Some(node) => format!(", found by node {node}"),
                None => String::new(),
            };
            let payments = count(block.payments, "payment");
            writeln!(f, "    {}{finder}, {payments}: {loss}", place(&block.at))?;
        }
        Ok(())
    }
}

impl NodeReport {
    /// What it did, in words.
    pub fn words(&self) -> String {
        let mut parts = Vec::new();
        match self.state {
            State::Up => {}
            State::Frozen => parts.push("frozen".to_owned()),
            State::Down => parts.push("down".to_owned()),
        }
        parts.extend(
            self.down_us
                .map(|us| format!("went down after {}", time(us))),
        );
        parts.extend(self.back_us.map(|us| format!("back after {}", time(us))));
        parts.push(match (self.reorg_depth, self.adopted) {
            (0, 0) => "no change".to_owned(),
            (0, adopted) => format!("{} forward", count(adopted, "block")),
            (depth, adopted) => format!("{} back, {adopted} forward", count(depth, "block")),
        });
        parts.push(match self.joined_us {
            Some(0) => "on the final chain from the first".to_owned(),
            Some(us) => format!("on the final chain after {}", time(us)),
            None => "never on the final chain".to_owned(),
        });
        parts.join(", ")
    }
}

fn describe(side: &Side) -> String {
    let group = match side.group {
        Some(group) => format!("group {}, {}", group + 1, nodes(&side.nodes)),
        None => format!("in no group, {}", nodes(&side.nodes)),
    };
    let blocks = match (side.blocks, side.within) {
        (0, _) => "no block".to_owned(),
        (blocks, Some(within)) => format!("{} of side {}", count(blocks, "block"), within + 1),
        (blocks, None) if side.own < blocks => {
            format!("{} ({} of its own)", count(blocks, "block"), side.own)
        }
        (blocks, None) => count(blocks, "block"),
    };
    let stayed = match side.stayed {
        _ if side.blocks == 0 => String::new(),
        0 => ": all lost".to_owned(),
        stayed if stayed == side.blocks => ": all stayed".to_owned(),
        stayed => format!(": {stayed} stayed"),
    };
    format!(
        "{group}: {blocks}, {} of work, {}, tip {}{stayed}",
        hashes(side.work.into()),
        count(side.payments, "payment"),
        place(&side.tip),
    )
}
