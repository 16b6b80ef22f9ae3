//! What must hold of a run: the promises that no fault may break, and what its scenario expects.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::agreement::Agreements;
use super::fate::FateKind;
use super::figures::{Figures, last_change};
use super::words::{count, short, time};
use crate::record::{BlockId, Engine, Exit, Record};

mod expect;

/// One thing that must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What.
    pub name: String,
    /// What was seen.
    pub seen: String,
    /// What is allowed.
    pub bound: String,
    /// Whether it holds.
    pub verdict: Verdict,
}

/// Whether something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It does.
    Holds,
    /// It does not.
    Fails,
    /// The record does not say.
    NotKnown,
}

impl Verdict {
    /// `holds`, `FAILS`, `not known`.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Holds => "holds",
            Verdict::Fails => "FAILS",
            Verdict::NotKnown => "not known",
        }
    }
}

impl Check {
    fn new(name: &str, seen: impl Into<String>, bound: impl Into<String>, holds: bool) -> Check {
        Check {
            name: name.to_owned(),
            seen: seen.into(),
            bound: bound.into(),
            verdict: match holds {
                true => Verdict::Holds,
                false => Verdict::Fails,
            },
        }
    }

    fn not_known(name: &str, bound: &str) -> Check {
        Check {
            verdict: Verdict::NotKnown,
            ..Check::new(name, "not recorded", bound, false)
        }
    }

    /// Whether it fails.
    pub fn fails(&self) -> bool {
        self.verdict == Verdict::Fails
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mark = match self.verdict {
            Verdict::Holds => "ok  ",
            Verdict::Fails => "FAIL",
            Verdict::NotKnown => "?   ",
        };
        write!(
            f,
            "{mark}  {}: {}; expected {}",
            self.name, self.seen, self.bound
        )
    }
}

/// All checks of a run: those that always hold first.
pub fn checks(record: &Record, figures: &Figures) -> Vec<Check> {
    let mut checks = vec![
        finished(record),
        faults_took_place(record),
        no_node_died(record),
        nothing_forbidden(record),
        work_never_falls(record),
    ];
    if !record.start.plan.payments.is_empty() || !record.handed.is_empty() {
        checks.push(payments_taken(record));
        checks.push(no_payment_lost(figures));
    }
    checks.push(one_set_of_coins(record));
    checks.push(supply(record));
    checks.extend(expect::checks(record, figures));
    checks
}

fn finished(record: &Record) -> Check {
    let (seen, holds) = match &record.end {
        Some(end) => match &end.failed {
            None => (format!("after {}", time(end.t)), true),
            Some(why) => (why.clone(), false),
        },
        None => ("broken off".to_owned(), false),
    };
    Check::new("the run is finished", seen, "to its end", holds)
}

fn faults_took_place(record: &Record) -> Check {
    let end = (record.start.plan.duration_us as f64 / record.start.speed) as u64;
    let (mut steps, mut done) = (0u64, 0u64);
    let mut missing = None;
    for (index, fault) in record.faults.iter().enumerate() {
        if let Some((_, why)) = &fault.failed {
            missing.get_or_insert(format!("fault {index}, {}: {why}", fault.what));
        }
        let Some((begin, until)) = fault.planned.filter(|(begin, _)| *begin <= end) else {
            continue;
        };
        let ends = until.filter(|until| *until <= end).is_some();
        for (is_planned, happened, word) in [
            (true, fault.begun, "never began"),
            (ends, fault.ended, "never ended"),
        ] {
            steps += u64::from(is_planned);
            done += u64::from(is_planned && happened.is_some());
            if is_planned && happened.is_none() {
                let at = time(begin);
                missing.get_or_insert(format!("fault {index}, {} at {at}: {word}", fault.what));
            }
        }
    }
    let holds = missing.is_none();
    let seen = match missing {
        None => format!("{done} begins and ends"),
        Some(missing) => format!("{done} begins and ends; {missing}"),
    };
    Check::new("every fault took place", seen, steps.to_string(), holds)
}

fn no_node_died(record: &Record) -> Check {
    let died = record.nodes.iter().enumerate().flat_map(|(node, history)| {
        let exits = history.exits.iter();
        exits.filter_map(move |(t, how)| match how {
            Exit::Died(why) => Some(format!("node {node} after {} ({why})", time(*t))),
            _ => None,
        })
    });
    let died: Vec<String> = died.collect();
    let seen = match died.first() {
        None => "0".to_owned(),
        Some(first) => format!("{}: {first}", died.len()),
    };
    Check::new("nodes that died unasked", seen, "0", died.is_empty())
}

fn nothing_forbidden(record: &Record) -> Check {
    let seen = match record.violated.first() {
        None => "0".to_owned(),
        Some((t, rule, detail)) => {
            let number = record.violated.len();
            format!("{number}: {rule} after {}: {detail}", time(*t))
        }
    };
    let holds = record.violated.is_empty();
    Check::new("rules broken", seen, "0", holds)
}

/// While a node runs, each chain that it ends up on has at least the work of the one before: only in the middle of a reorg it is
/// lower.
fn work_never_falls(record: &Record) -> Check {
    let mut falls = Vec::new();
    let mut changes = 0;
    for (node, history) in record.nodes.iter().enumerate() {
        let works = history.tips.iter().map(|(t, tip)| {
            let work = tip.map(|tip| record.blocks.get(tip).chain_work);
            (*t, work)
        });
        let works: Vec<(u64, Option<u128>)> = works.collect();
        changes += works.len();
        let mut best = 0;
        for (index, (t, work)) in works.iter().enumerate() {
            let Some(work) = *work else {
                best = 0;
                continue;
            };
            let goes_on = match works.get(index + 1) {
                Some((next, _)) if next == t => true,
                Some((_, next)) => next.is_none_or(|next| next > work),
                None => false,
            };
            if !goes_on && work < best {
                falls.push(format!("node {node} after {}", time(*t)));
            }
            best = best.max(work);
        }
    }
    let seen = match falls.first() {
        None => format!("0 of {changes} changes"),
        Some(first) => format!("{} of {changes} changes: {first}", falls.len()),
    };
    Check::new("work of a tip that fell", seen, "0", falls.is_empty())
}

fn payments_taken(record: &Record) -> Check {
    let plan = &record.start.plan.payments;
    let mut in_conflict: BTreeSet<usize> = BTreeSet::new();
    for (index, payment) in plan.iter().enumerate() {
        if let Some(other) = payment.conflicts_with {
            in_conflict.extend([index, other]);
        }
    }
    let handed = record.handed.len();
    let refused: Vec<_> = record
        .handed
        .iter()
        .filter(|handed| handed.refused.is_some())
        .collect();
    // Of two payments of one coin, one is refused where the other is known.
    let wrongly = refused
        .iter()
        .filter(|handed| handed.by.is_none_or(|by| !in_conflict.contains(&by)));
    let wrongly: Vec<_> = wrongly.collect();
    let mut seen = format!("{} of {}", wrongly.len(), count(handed as u64, "payment"));
    if let Some(first) = wrongly.first() {
        let why = first.refused.as_deref().unwrap_or_default();
        seen += &format!(
            ", the first by node {} after {}: {why}",
            first.node,
            time(first.t)
        );
    }
    if !record.unpaid.is_empty() {
        seen += &format!("; {} could not be made", record.unpaid.len());
    }
    let none_at_all = handed == 0 && !plan.is_empty();
    let bound = match plan.is_empty() {
        true => "0",
        false => "0, of more than none",
    };
    Check::new(
        "payments refused",
        seen,
        bound,
        wrongly.is_empty() && !none_at_all,
    )
}

fn no_payment_lost(figures: &Figures) -> Check {
    let name = "payments lost by nodes";
    let of = |kind: FateKind| figures.payments.get(&kind).copied().unwrap_or(0);
    let gone = of(FateKind::Gone);
    if gone == 0 && of(FateKind::Unknown) > 0 {
        return Check::not_known(name, "0");
    }
    let total: u64 = figures.payments.values().sum();
    let mut seen = format!("{gone} of {total}");
    let with_node = of(FateKind::LostWithNode);
    if with_node > 0 {
        seen += &format!("; {with_node} more went down with the only node that had them");
    }
    Check::new(name, seen, "0", gone == 0)
}

fn one_set_of_coins(record: &Record) -> Check {
    let name = "one set of coins on each tip";
    let mut sets: BTreeMap<BlockId, BTreeMap<&str, Vec<usize>>> = BTreeMap::new();
    for coins in &record.coins {
        let sets = sets.entry(coins.tip).or_default();
        sets.entry(&coins.muhash).or_default().push(coins.node);
    }
    if sets.is_empty() {
        return Check::not_known(name, "1");
    }
    let odd = sets.iter().find(|(_, sets)| sets.len() > 1);
    let seen = match odd {
        Some((tip, different)) => format!(
            "{} on tip {}",
            count(different.len() as u64, "set"),
            short(&record.blocks.get(*tip).hash)
        ),
        None => format!(
            "1, of {} on {}",
            count(record.coins.len() as u64, "node"),
            count(sets.len() as u64, "tip")
        ),
    };
    Check::new(name, seen, "1", odd.is_none())
}

fn supply(record: &Record) -> Check {
    let name = "coins there are";
    let genesis = &record.start.genesis;
    let expected = |tip: BlockId| genesis.supply_sat(record.blocks.get(tip).height);
    let Some(first) = record.coins.first() else {
        return Check::not_known(name, "what genesis and the subsidies gave");
    };
    let wrong = record
        .coins
        .iter()
        .find(|coins| coins.amount_sat != expected(coins.tip));
    let shown = wrong.unwrap_or(first);
    Check::new(
        name,
        format!("{} sat at node {}", shown.amount_sat, shown.node),
        format!("{} sat", expected(shown.tip)),
        wrong.is_none(),
    )
}

#[cfg(test)]
mod tests;
