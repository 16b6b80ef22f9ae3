//! Cuts a failing scenario down to a smaller one that still fails.
//!
//! Random faults are first written out as the events that the seed made of them. Then events are left out, larger lots first
//! (delta debugging), and the run is shortened, as long as the same rule is broken.

use super::random::Streams;
use super::simulate;
use crate::invariants::Rule;
use crate::scenario::action::EventEntry;
use crate::scenario::{Scenario, ScenarioError, Span};

/// Runs that shrinking may take at most.
const MAX_RUNS: u32 = 400;

/// A smaller scenario that still breaks `rule` under the seed, and how many runs it took to find it.
///
/// # Errors
///
/// [`ScenarioError`] when the scenario makes no sense.
pub fn shrink(
    scenario: &Scenario,
    seed: u64,
    rule: Rule,
) -> Result<(Scenario, u32), ScenarioError> {
    let mut shrinker = Shrinker {
        seed,
        rule,
        runs: 0,
    };
    let mut best = written_out(scenario, seed)?;
    if !shrinker.fails(&best) {
        // The order of random draws has moved by writing the faults out: give the original back.
        return Ok((scenario.clone(), shrinker.runs));
    }
    best = shrinker.without_events(best);
    best = shrinker.shorter(best);
    best.name = format!("{}-seed-{seed}", scenario.name);
    best.about = format!("Shrunk from {} with seed {seed}.", scenario.name);
    Ok((best, shrinker.runs))
}

/// The same scenario with its random faults as plain events.
fn written_out(scenario: &Scenario, seed: u64) -> Result<Scenario, ScenarioError> {
    let mut plain = scenario.clone();
    let Some(chaos) = plain.chaos.take() else {
        return Ok(plain);
    };
    let mut streams = Streams::new(seed);
    let links = scenario.topology.links(scenario.nodes, &mut streams.setup);
    let faults = chaos.events(scenario.nodes, &links, &mut streams.chaos);
    let entries = faults
        .iter()
        .map(|(at, action)| EventEntry::write(*at, action));
    plain.events.extend(entries);
    plain.events.sort_by_key(|entry| entry.at);
    plain.check()?;
    Ok(plain)
}

struct Shrinker {
    seed: u64,
    rule: Rule,
    runs: u32,
}

impl Shrinker {
    fn fails(&mut self, scenario: &Scenario) -> bool {
        self.runs += 1;
        simulate(scenario, self.seed, None).is_ok_and(|run| {
            run.violations
                .iter()
                .any(|violation| violation.rule == self.rule)
        })
    }

    fn without_events(&mut self, mut best: Scenario) -> Scenario {
        let mut lot = best.events.len().div_ceil(2);
        while lot >= 1 && self.runs < MAX_RUNS {
            let mut from = 0;
            let mut smaller_found = false;
            while from < best.events.len() && self.runs < MAX_RUNS {
                let mut candidate = best.clone();
                let to = (from + lot).min(candidate.events.len());
                candidate.events.drain(from..to);
                if self.fails(&candidate) {
                    best = candidate;
                    smaller_found = true;
                } else {
                    from += lot;
                }
            }
            if lot == 1 && !smaller_found {
                break;
            }
            lot = if lot == 1 { 1 } else { lot.div_ceil(2) };
        }
        best
    }

    fn shorter(&mut self, mut best: Scenario) -> Scenario {
        while self.runs < MAX_RUNS {
            let mut candidate = best.clone();
            candidate.duration = Span(best.duration.0 / 2);
            let fits = candidate
                .events
                .iter()
                .all(|event| event.at <= candidate.duration);
            if !fits || !self.fails(&candidate) {
                break;
            }
            best = candidate;
        }
        best
    }
}
