//! Figures for people.

use std::fmt;

use super::Figures;
use crate::tell::words::{bytes, count, time};

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "time         {}", time((self.seconds * 1e6) as u64))?;
        if let Some(events) = self.events {
            write!(f, ", {events} events")?;
        }
        writeln!(
            f,
            "; {} to height {}",
            count(self.blocks, "block"),
            self.height
        )?;
        writeln!(
            f,
            "stale        {} ({:.2}%)",
            self.stale,
            self.stale_share * 100.0
        )?;
        let delay = &self.propagation_ms;
        let ms = |ms: f64| time((ms * 1e3) as u64);
        writeln!(
            f,
            "propagation  mean {}, half within {}, 90% {}, 99% {}, the slowest {}",
            ms(delay.mean),
            ms(delay.p50),
            ms(delay.p90),
            ms(delay.p99),
            ms(delay.max)
        )?;
        let reorgs: u64 = self.reorgs.values().sum();
        writeln!(
            f,
            "reorgs       {reorgs}, the deepest {}",
            count(self.deepest_reorg(), "block")
        )?;
        match self.one_tip_after_ms {
            Some(after) => writeln!(f, "one tip      {} after the last event", ms(after))?,
            None => writeln!(f, "one tip      never after the last event")?,
        }
        if !self.payments.is_empty() || self.unpaid > 0 {
            let total: u64 = self.payments.values().sum();
            write!(f, "payments     {total}")?;
            for (kind, number) in &self.payments {
                write!(f, ", {number} {}", kind.words())?;
            }
            if self.unpaid > 0 {
                write!(f, "; {} more could not be made", self.unpaid)?;
            }
            writeln!(f)?;
        }
        if self.parted > 0 {
            writeln!(f, "parted       {} connections ended by nodes", self.parted)?;
        }
        write!(
            f,
            "traffic      {} for each block and node",
            bytes(self.bytes_per_block_and_node as u64)
        )?;
        for (kind, figures) in &self.traffic {
            write!(f, ", {kind} {}", bytes(figures.bytes))?;
            if figures.messages > 0 {
                write!(f, " in {}", figures.messages)?;
            }
        }
        writeln!(f)
    }
}
