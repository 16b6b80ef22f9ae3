//! Two runs side by side: the same figures of each, in the same order.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::heal::Outcome;
use super::words::{bytes, time};
use super::{HealReport, Report};

/// A figure of two runs, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// What.
    pub name: String,
    /// Of the first run; absent: it has no such figure.
    pub a: Option<String>,
    /// Of the second run.
    pub b: Option<String>,
}

/// All figures, heal reports and checks of two runs.
pub fn compare(a: &Report, b: &Report) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut both = |name: &str, of: &dyn Fn(&Report) -> Option<String>| {
        let (a, b) = (of(a), of(b));
        if a.is_some() || b.is_some() {
            let name = name.to_owned();
            rows.push(Row { name, a, b });
        }
    };
    both("scenario", &|run| Some(run.scenario.clone()));
    both("engine", &|run| Some(run.engine_words().to_owned()));
    both("seed", &|run| Some(run.seed.to_string()));
    both("time", &|run| Some(seconds(run.figures.seconds)));
    both("blocks", &|run| Some(run.figures.blocks.to_string()));
    both("height", &|run| Some(run.figures.height.to_string()));
    both("stale blocks", &|run| {
        let share = run.figures.stale_share * 100.0;
        Some(format!("{} ({share:.2}%)", run.figures.stale))
    });
    both("blocks arrive, half of them", &|run| {
        Some(millis(run.figures.propagation_ms.p50))
    });
    both("blocks arrive, 90%", &|run| {
        Some(millis(run.figures.propagation_ms.p90))
    });
    both("reorgs", &|run| {
        Some(run.figures.reorgs.values().sum::<u64>().to_string())
    });
    both("deepest reorg", &|run| {
        Some(run.figures.deepest_reorg().to_string())
    });
    both("one tip after the last event", &|run| {
        let after = run.figures.one_tip_after_ms;
        Some(after.map_or_else(|| "never".to_owned(), millis))
    });
    both("bytes for each block and node", &|run| {
        Some(bytes(run.figures.bytes_per_block_and_node as u64))
    });
    let kinds: BTreeSet<_> = [a, b]
        .into_iter()
        .flat_map(|run| run.figures.payments.keys().copied())
        .collect();
    for kind in kinds {
        both(&format!("payments {}", kind.words()), &|run| {
            let number = run.figures.payments.get(&kind).copied().unwrap_or(0);
            Some(number.to_string())
        });
    }
    for number in 0..a.heals.len().max(b.heals.len()) {
        let heal = |run: &Report, what: fn(&HealReport) -> String| run.heals.get(number).map(what);
        both(&format!("healing {}: one tip", number + 1), &|run| {
            heal(run, came_together)
        });
        both(&format!("healing {}: deepest reorg", number + 1), &|run| {
            heal(run, |heal| heal.deepest_reorg().to_string())
        });
        both(&format!("healing {}: lost blocks", number + 1), &|run| {
            heal(run, |heal| heal.lost.len().to_string())
        });
    }
    let mut names = BTreeSet::new();
    let checks = a.checks.iter().chain(&b.checks);
    for name in checks.map(|check| &check.name) {
        if names.insert(name) {
            both(&format!("check: {name}"), &|run| {
                let check = run.checks.iter().find(|check| check.name == *name);
                check.map(|check| format!("{}, {}", check.verdict.word(), check.seen))
            });
        }
    }
    rows
}

fn came_together(heal: &HealReport) -> String {
    match &heal.outcome {
        Outcome::OneTip { after_us, .. } => format!("after {}", time(*after_us)),
        Outcome::Apart { within_us, .. } => format!("not in {}", time(*within_us)),
    }
}

fn seconds(seconds: f64) -> String {
    time((seconds * 1e6) as u64)
}

fn millis(ms: f64) -> String {
    time((ms * 1e3) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tell::history::History;

    #[test]
    fn what_only_one_run_has_is_told_as_such() {
        let quiet = Report::of(&History::of(3).end(30));
        let mut net = History::of(3);
        let split = net.at(10).splits("0,1/2");
        net.at(11).finds(0, "a1").at_ms(11_200).goes(1, "a1");
        net.at(20).ends(split).at(22).go([2], "a1");
        let healed = Report::of(&net.end(30));
        let rows = compare(&quiet, &healed);
        let row = |name: &str| {
            let found = rows.iter().find(|row| row.name == name);
            let row = found.unwrap_or_else(|| panic!("{name}: {rows:?}"));
            (row.a.as_deref(), row.b.as_deref())
        };
        assert_eq!(row("blocks"), (Some("0"), Some("1")));
        assert_eq!(row("healing 1: one tip"), (None, Some("after 2.00 s")));
        let (a, b) = row("check: rules broken");
        assert_eq!((a, b), (Some("holds, 0"), Some("holds, 0")));
    }
}
