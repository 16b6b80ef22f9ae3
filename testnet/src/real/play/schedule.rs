//! [`Schedule`]: a scenario translated for real processes. What is scaled, what stays, and what cannot be had is decided here,
//! without a process.

use std::time::Duration;

use crate::link::Lane;
use crate::plan::{FaultKind, Plan, Step};
use crate::scenario::file::GossipPlan;
use crate::scenario::{Scenario, ScenarioError, Span};

/// Most processes of one testnet: about 15 MB and six threads each.
pub const MAX_PROCESSES: usize = 64;
/// Hashes of all miners that find one block at first: the difficulty of a fresh network.
const HASHES_A_BLOCK: f64 = 131_072.0;
const TCP_HIDES: &str = "nothing comes twice or out of order, since TCP hides it";
/// However fast a scenario is played, the nodes get so much time to agree: delays of links and of the machine are real.
const LEAST_PATIENCE: Duration = Duration::from_secs(10);

/// What is done to real processes, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// What is carried out.
    pub plan: Plan,
    /// How many times as fast as the file says.
    pub speed: f64,
    /// Wished time between blocks, in seconds.
    pub spacing_s: u32,
    /// How long it takes.
    pub duration: Duration,
    /// What is done, in order of time.
    pub steps: Vec<(Duration, Step)>,
    /// When the payments of the plan are due, in their order.
    pub payments: Vec<Duration>,
    /// Hashes per second of every node that mines at first.
    pub miners: Vec<(usize, u64)>,
    /// Hashes per second of one unit of weight.
    pub rate_of_one: f64,
    /// How long the nodes may take to agree after the last step.
    pub patience: Duration,
    /// What the file asks for and real processes cannot be made to do.
    pub left_out: Vec<String>,
}

impl Schedule {
    /// Translates a scenario. Without a speed, one is taken that gives a block each second.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`] for what only a simulation can do, and for a speed that no block keeps up with.
    pub fn new(
        scenario: &Scenario,
        speed: Option<f64>,
        seed: u64,
    ) -> Result<Schedule, ScenarioError> {
        refuse_what_needs_a_simulation(scenario)?;
        let plan = Plan::of(scenario, seed)?;
        let speed = checked_speed(scenario.spacing, speed)?;
        let scaled = |us: u64| Duration::from_secs_f64(us as f64 / 1e6 / speed);
        let spacing_s = (scenario.spacing.as_secs_f64() / speed).round().max(1.0) as u32;
        let full_share = plan.full_share();
        let rate_of_one = HASHES_A_BLOCK / f64::from(spacing_s) / full_share;
        let steps = plan.steps().into_iter();
        let miners = plan.miners.iter();
        let patience = plan.expect.one_tip_within;
        Ok(Schedule {
            speed,
            spacing_s,
            duration: scaled(plan.duration_us),
            steps: steps.map(|(at_us, step)| (scaled(at_us), step)).collect(),
            payments: plan
                .payments
                .iter()
                .map(|payment| scaled(payment.at_us))
                .collect(),
            miners: miners
                .map(|miner| (miner.node, rate(rate_of_one, miner.share)))
                .filter(|(_, rate)| *rate > 0)
                .collect(),
            rate_of_one,
            patience: patience
                .map_or(LEAST_PATIENCE, |span| scaled(span.0))
                .max(LEAST_PATIENCE),
            left_out: left_out(&plan),
            plan,
        })
    }

    /// Seconds of the file as the nodes' clocks and rules have them: never 0 unless they are.
    pub fn clock_s(&self, seconds: i64) -> i64 {
        let scaled = (seconds as f64 / self.speed).round() as i64;
        match scaled {
            0 => seconds.signum(),
            some => some,
        }
    }

    /// Hashes per second of a miner with this weight.
    pub fn rate(&self, weight: f64) -> u64 {
        rate(self.rate_of_one, weight)
    }

    /// When the last thing is done; the time to agree counts from here.
    pub fn last_step(&self) -> Duration {
        self.steps.last().map_or(Duration::ZERO, |(at, _)| *at)
    }
}

fn rate(rate_of_one: f64, weight: f64) -> u64 {
    if weight <= 0.0 {
        return 0;
    }
    (rate_of_one * weight).round().max(1.0) as u64
}

/// What of a plan real processes cannot be made to do.
fn left_out(plan: &Plan) -> Vec<String> {
    let mut left_out = Vec::new();
    if plan.gossip != GossipPlan::default() {
        let why = "gossip: real nodes build gossipsub's own mesh, and lose none of it";
        left_out.push(why.to_owned());
    }
    let is_hidden = |lane: &Lane| lane.duplicate > 0.0 || lane.reorder > 0.0;
    let mut links = plan.links.iter();
    if links.any(|link| is_hidden(&link.settings.forward) || is_hidden(&link.settings.backward)) {
        left_out.push(format!("link: {TCP_HIDES}"));
    }
    for fault in &plan.faults {
        let why = match &fault.what {
            FaultKind::GossipLoss { .. } => "only simulated nodes can be made to",
            FaultKind::Link { lane, .. } if is_hidden(lane) => TCP_HIDES,
            FaultKind::DiskFull { .. } => "no limit can be set on the disk",
            _ => continue,
        };
        let at = Span(fault.at_us);
        left_out.push(format!("{} at {at}: {why}", fault.what.name()));
    }
    left_out
}

fn refuse_what_needs_a_simulation(scenario: &Scenario) -> Result<(), ScenarioError> {
    let refuse = |field: &str, problem: String| {
        Err(ScenarioError {
            field: field.to_owned(),
            problem,
        })
    };
    if scenario.nodes > MAX_PROCESSES {
        let problem = format!(
            "is {}, expected at most {MAX_PROCESSES} real processes; leave out --real, or use --set nodes={MAX_PROCESSES}",
            scenario.nodes
        );
        return refuse("nodes", problem);
    }
    Ok(())
}

fn checked_speed(spacing: Span, speed: Option<f64>) -> Result<f64, ScenarioError> {
    let fastest = spacing.as_secs_f64();
    let speed = speed.unwrap_or(fastest);
    if speed.is_finite() && speed > 0.0 && speed <= fastest {
        return Ok(speed);
    }
    Err(ScenarioError {
        field: "speed".to_owned(),
        problem: format!(
            "is {speed}, expected more than 0 and at most {fastest}: with a spacing of {spacing} that is a block each second"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPLIT: &str = r#"
        name = "split"
        nodes = 4
        topology = "complete"
        duration = "1h"
        spacing = "1m"

        [[miner]]
        node = 0
        share = 3

        [[miner]]
        node = 3
        share = 1

        [payments]
        every = "30s"
        until = "50m"

        [[event]]
        at = "10m"
        do = "partition"
        groups = "0,1/2,3"

        [[event]]
        at = "15m"
        do = "gossip-loss"
        share = 0.5

        [[event]]
        at = "20m"
        do = "heal"

        [expect]
        one_tip_within = "20m"
    "#;

    fn split() -> Scenario {
        Scenario::from_toml(SPLIT).unwrap()
    }

    #[test]
    fn without_a_speed_a_block_comes_each_second() {
        let schedule = Schedule::new(&split(), None, 1).unwrap();
        assert_eq!((schedule.speed, schedule.spacing_s), (60.0, 1));
        assert_eq!(schedule.duration, Duration::from_secs(60));
        let times: Vec<u64> = schedule.steps.iter().map(|(at, _)| at.as_secs()).collect();
        assert_eq!(times, [10, 15, 20]);
        assert_eq!(schedule.last_step(), Duration::from_secs(20));
        assert_eq!(schedule.patience, Duration::from_secs(20));
        assert!(schedule.payments.is_sorted());
        assert!((60..140).contains(&schedule.payments.len()));
        assert!(*schedule.payments.last().unwrap() < Duration::from_secs(50));
        assert_eq!(schedule.clock_s(3_600), 60);
        assert_eq!(schedule.clock_s(-1), -1);
    }

    #[test]
    fn miners_share_what_finds_a_block_in_time() {
        let schedule = Schedule::new(&split(), Some(30.0), 1).unwrap();
        assert_eq!(schedule.spacing_s, 2);
        assert_eq!(schedule.miners, [(0, 49_152), (3, 16_384)]);
        assert_eq!(schedule.rate(1.0), 16_384);
        assert_eq!(schedule.rate(0.0), 0);
    }

    #[test]
    fn what_real_nodes_cannot_do_is_said() {
        let schedule = Schedule::new(&split(), None, 1).unwrap();
        assert_eq!(schedule.left_out.len(), 1);
        assert!(schedule.left_out[0].starts_with("gossip-loss at 15m"));
    }

    #[test]
    fn what_only_a_simulation_can_do_is_refused() {
        let crowd = Scenario {
            nodes: 65,
            ..split()
        };
        let error = Schedule::new(&crowd, None, 1).unwrap_err();
        assert!(error.to_string().contains("at most 64"));
        for speed in [0.0, -1.0, 61.0, f64::NAN] {
            let error = Schedule::new(&split(), Some(speed), 1).unwrap_err();
            assert_eq!(error.field, "speed");
        }
    }

    #[test]
    fn chaos_is_the_same_for_the_same_seed() {
        let text = SPLIT.replace(
            "[expect]",
            "[chaos]\nevery = \"2m\"\nlasting = \"5m\"\nuntil = \"40m\"\nkinds = [\"crash\", \"stall\"]\n[expect]",
        );
        let chaotic = Scenario::from_toml(&text).unwrap();
        let once = Schedule::new(&chaotic, None, 7).unwrap();
        assert!(once.steps.len() > 10);
        assert_eq!(once, Schedule::new(&chaotic, None, 7).unwrap());
        assert_ne!(once, Schedule::new(&chaotic, None, 8).unwrap());
    }
}
