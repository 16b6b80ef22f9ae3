//! Cuts a failing scenario down to a smaller one that still fails in the same way.
//!
//! Random faults are first written out as the faults that the seed made of them, each with its end. Then faults are left out,
//! larger lots first (delta debugging), and the run is shortened, as long as the failure stays the same.

use std::collections::BTreeSet;

use super::simulate_guarded;
use crate::invariants::{Rule, Violation};
use crate::plan::{Plan, entry_of};
use crate::scenario::{Scenario, ScenarioError, Span};

/// Runs that shrinking may take at most.
const MAX_RUNS: u32 = 400;

/// A smaller scenario that still fails in the same way under the seed, and how many runs it took to find it; `None` if the
/// scenario does not fail with this seed.
///
/// # Errors
///
/// [`ScenarioError`] when the scenario makes no sense.
pub fn shrink(scenario: &Scenario, seed: u64) -> Result<Option<(Scenario, u32)>, ScenarioError> {
    let violations = simulate_guarded(scenario, seed)?.violations;
    let Some(failure) = Failure::of(&violations) else {
        return Ok(None);
    };
    let mut shrinker = Shrinker {
        seed,
        failure,
        runs: 1,
    };
    let mut best = written_out(scenario, seed)?;
    if !shrinker.fails(&best) {
        // The order of random draws has moved by writing the faults out: give the original back.
        return Ok(Some((scenario.clone(), shrinker.runs)));
    }
    best = shrinker.without_faults(best);
    best = shrinker.shorter(best);
    best.name = format!("{}-seed-{seed}", scenario.name);
    best.about = format!("Shrunk from {} with seed {seed}.", scenario.name);
    Ok(Some((best, shrinker.runs)))
}

/// The same scenario with all its faults as events that have their ends in them: so no end is left out without its begin.
fn written_out(scenario: &Scenario, seed: u64) -> Result<Scenario, ScenarioError> {
    let plan = Plan::of(scenario, seed)?;
    let mut plain = scenario.clone();
    (plain.chaos, plain.churn) = (None, None);
    plain.events = plan.faults.iter().map(entry_of).collect();
    plain.check()?;
    Ok(plain)
}

/// How a run failed: what was broken first, and everything else, each without its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    first: Broken,
    all: BTreeSet<Broken>,
}

type Broken = (Rule, String);

impl Failure {
    fn of(violations: &[Violation]) -> Option<Failure> {
        let broken = |violation: &Violation| (violation.rule, in_words(&violation.detail));
        Some(Failure {
            first: broken(violations.first()?),
            all: violations.iter().map(broken).collect(),
        })
    }

    /// Whether another run failed in the same way: the same thing first, and nothing that was not broken before.
    fn is_like(&self, other: &Failure) -> bool {
        other.first == self.first && other.all.is_subset(&self.all)
    }
}

/// A text without numbers and hashes.
fn in_words(detail: &str) -> String {
    let words = detail.split_whitespace();
    let words = words.filter(|word| !word.contains(|c: char| c.is_ascii_digit()));
    words.collect::<Vec<&str>>().join(" ")
}

struct Shrinker {
    seed: u64,
    failure: Failure,
    runs: u32,
}

impl Shrinker {
    fn fails(&mut self, scenario: &Scenario) -> bool {
        self.runs += 1;
        let run = simulate_guarded(scenario, self.seed);
        let failure = run.ok().and_then(|run| Failure::of(&run.violations));
        failure.is_some_and(|failure| self.failure.is_like(&failure))
    }

    fn without_faults(&mut self, mut best: Scenario) -> Scenario {
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
            let is_over = |at: Span, lasting: Option<Span>| {
                at.0 + lasting.map_or(0, |lasting| lasting.0) <= candidate.duration.0
            };
            let mut events = candidate.events.iter();
            let fits = events.all(|event| is_over(event.at, event.lasting));
            if !fits || !self.fails(&candidate) {
                break;
            }
            best = candidate;
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(violations: &[(Rule, &str)]) -> Failure {
        let violations: Vec<Violation> = violations
            .iter()
            .map(|(rule, detail)| Violation {
                at_us: 0,
                rule: *rule,
                detail: (*detail).to_owned(),
            })
            .collect();
        Failure::of(&violations).unwrap()
    }

    #[test]
    fn failures_are_alike_whatever_their_numbers() {
        let slow = (Rule::OneTipInTime, "it took 7.1 s, expected 5s");
        let slower = (Rule::OneTipInTime, "it took 70.25 s, expected 5s");
        let never = (
            Rule::OneTipInTime,
            "no agreement; tips are shared by [3, 2]",
        );
        let other = (Rule::Supply, "node 3 has 7 BTC, expected 8 BTC");
        assert!(failure(&[slow]).is_like(&failure(&[slower])));
        assert!(!failure(&[slow]).is_like(&failure(&[never])));
        assert!(!failure(&[slow]).is_like(&failure(&[slow, other])));
        assert!(failure(&[slow, other]).is_like(&failure(&[slow])));
        assert!(!failure(&[slow, other]).is_like(&failure(&[other])));
    }
}
