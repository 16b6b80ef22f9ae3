//! The heal report for people.

use std::fmt;

use bitcoin::Amount;

use super::heal::{Fate, HealReport, Position, Side};
use crate::real::short;

impl fmt::Display for HealReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Heal report: one tip {} ms after the links opened",
            self.one_tip_ms
        )?;
        writeln!(f, "  fork point  {}", place(&self.fork))?;
        writeln!(f, "  final tip   {}", place(&self.final_tip))?;
        writeln!(f, "  sides")?;
        for side in &self.sides {
            writeln!(f, "    {}", describe(side))?;
        }
        writeln!(f, "  reorgs")?;
        for node in &self.nodes {
            if node.reorg_depth == 0 {
                writeln!(f, "    node {}: none", node.node)?;
                continue;
            }
            write!(
                f,
                "    node {}: {} back, {} forward",
                node.node,
                blocks(node.reorg_depth),
                blocks(node.adopted)
            )?;
            match node.changed_ms {
                Some(ms) => writeln!(f, ", after {ms} ms")?,
                None => writeln!(f)?,
            }
        }
        let reward: u64 = self.orphaned.iter().map(|block| block.reward_sat).sum();
        let orphaned = u32::try_from(self.orphaned.len()).unwrap_or(u32::MAX);
        writeln!(
            f,
            "  orphaned    {}, {} of rewards",
            blocks(orphaned),
            Amount::from_sat(reward)
        )?;
        for block in &self.orphaned {
            writeln!(f, "    {}, {} payments", place(&block.at), block.payments)?;
        }
        writeln!(
            f,
            "  payments that lost their confirmation: {}",
            self.payments.len()
        )?;
        for payment in &self.payments {
            writeln!(f, "    {}: {}", payment.txid, tell(&payment.fate))?;
        }
        Ok(())
    }
}

fn place(at: &Position) -> String {
    format!("{} at height {}", short(&at.hash), at.height)
}

fn blocks(count: u32) -> String {
    match count {
        1 => "1 block".to_owned(),
        _ => format!("{count} blocks"),
    }
}

fn list(nodes: &[usize]) -> String {
    let names: Vec<String> = nodes.iter().map(usize::to_string).collect();
    match nodes {
        [_] => format!("node {}", names.join("")),
        _ => format!("nodes {}", names.join(", ")),
    }
}

fn describe(side: &Side) -> String {
    format!(
        "{}: {}, {} of work, {} payments, tip {}{}",
        list(&side.nodes),
        blocks(side.blocks),
        hashes(side.work),
        side.payments,
        place(&side.tip),
        if side.won { "  <- stayed" } else { "" }
    )
}

/// `1.31 M hashes`.
fn hashes(work: u64) -> String {
    let value = work as f64;
    match work {
        0..10_000 => format!("{work} hashes"),
        10_000..10_000_000 => format!("{:.2} M hashes", value / 1e6),
        _ => format!("{:.2} G hashes", value / 1e9),
    }
}

fn tell(fate: &Fate) -> String {
    match fate {
        Fate::OnBothSides { at } => format!("the other side had it too, {}", place(at)),
        Fate::ConfirmedAgain { at } => format!("confirmed again, {}", place(at)),
        Fate::InMempool { nodes } => match nodes.len() {
            1 => "back in the mempool of 1 node".to_owned(),
            several => format!("back in the mempools of {several} nodes"),
        },
        Fate::DoubleSpent { by, at } => format!("double-spent by {by}, {}", place(at)),
        Fate::ParentLost { parent } => format!("void: it spends {parent}, which is lost"),
        Fate::Gone => "gone: nobody has it".to_owned(),
    }
}
