//! What a scenario expects.

use super::{Agreements, Check, Engine, Figures, Record, count, last_change, time};
use crate::scenario::Span;

/// Real nodes get at least this long to agree: their protocol's timers do not run faster with the file's time.
const LEAST_PATIENCE_US: u64 = 10_000_000;

pub(super) fn checks(record: &Record, figures: &Figures) -> Vec<Check> {
    let expect = &record.start.plan.expect;
    let mut checks = Vec::new();
    checks.extend(
        expect
            .one_tip_within
            .map(|limit| one_tip(record, figures, limit)),
    );
    let deepest = figures.deepest_reorg();
    let seen = || count(deepest, "block");
    if let Some(least) = expect.reorg_of_at_least {
        let bound = format!("at least {least}");
        checks.push(Check::new("deepest reorg", seen(), bound, deepest >= least));
    }
    if let Some(most) = expect.reorg_of_at_most {
        let bound = format!("at most {most}");
        checks.push(Check::new("deepest reorg", seen(), bound, deepest <= most));
    }
    if let Some((least, most)) = expect.stale_share {
        let share = figures.stale_share;
        let seen = format!("{share:.4} ({} of {})", figures.stale, figures.blocks);
        let holds = (least..=most).contains(&share);
        checks.push(Check::new(
            "share of stale blocks",
            seen,
            format!("{least} to {most}"),
            holds,
        ));
    }
    if let Some((least, most)) = expect.apart_share {
        let share = Agreements::of(record).share_apart(0, record.end_t());
        checks.push(Check::new(
            "share of time apart",
            format!("{share:.4}"),
            format!("{least} to {most}"),
            (least..=most).contains(&share),
        ));
    }
    checks
}

/// After the last begin or end of a fault all nodes come to one tip in time, and are never apart for longer again.
fn one_tip(record: &Record, figures: &Figures, limit: Span) -> Check {
    let limit = (limit.0 as f64 / record.start.speed) as u64;
    let limit = match record.start.engine {
        Engine::Sim => limit,
        Engine::Real => limit.max(LEAST_PATIENCE_US),
    };
    let check = |seen: String, holds: bool| {
        Check::new(
            "one tip after the last event",
            seen,
            format!("within {}", time(limit)),
            holds,
        )
    };
    let end = record.end_t();
    let nodes = record.nodes.len();
    let lasting = record
        .faults
        .iter()
        .find(|fault| fault.lasts_at(end) && fault.what.keeps_apart(nodes).is_some());
    if let Some(split) = lasting {
        return check(format!("the split {} never ended", split.what), false);
    }
    let last = last_change(record);
    let agreements = Agreements::of(record);
    let first = agreements.first_since(last).filter(|(t, _)| *t <= end);
    let Some((t, _)) = first else {
        let had = time(end - last);
        return check(
            format!("not within {had}; nodes on each tip: {:?}", figures.tips),
            false,
        );
    };
    let after = t - last;
    let apart = agreements.longest_apart(t, end);
    match apart > limit {
        true => check(
            format!("after {}, but apart for {} later", time(after), time(apart)),
            false,
        ),
        false => check(format!("after {}", time(after)), after <= limit),
    }
}
