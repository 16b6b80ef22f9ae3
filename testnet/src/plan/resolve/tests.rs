use super::super::steps::Lasting;
use super::super::{FaultKind, Plan, Step, entry_of};
use crate::link::{Flow, Lane};
use crate::scenario::Scenario;

const HEAD: &str = r#"
    name = "x"
    nodes = 4
    topology = "complete"
    duration = "1h"
    spacing = "1m"
    link = { delay_ms = 50 }
"#;

fn scenario(rest: &str) -> Scenario {
    Scenario::from_toml(&format!("{HEAD}{rest}")).unwrap()
}

fn plan(rest: &str) -> Plan {
    Plan::of(&scenario(rest), 1).unwrap()
}

/// A short form of all faults: name, begin and end in minutes.
fn faults(plan: &Plan) -> Vec<(&'static str, u64, Option<u64>)> {
    let minutes = |us: u64| us / 60_000_000;
    let faults = plan.faults.iter();
    faults
        .map(|fault| {
            (
                fault.what.name(),
                minutes(fault.at_us),
                fault.until_us.map(minutes),
            )
        })
        .collect()
}

const MANY: &str = r#"
    down = [3]
    event = [
        { at = "5m", do = "partition", groups = "0/1,2,3" },
        { at = "6m", do = "pause", node = 2 },
        { at = "7m", do = "partition", groups = "0,1/2,3", silent = true },
        { at = "8m", do = "resume", node = 2 },
        { at = "9m", do = "heal" },
        { at = "10m", do = "crash", node = 1 },
        { at = "11m", do = "restart", node = 3 },
        { at = "12m", do = "restart", node = 1 },
        { at = "13m", do = "clock", node = 0, offset_s = 9 },
        { at = "14m", do = "clock", node = 0, offset_s = 0 },
        { at = "15m", do = "mining", node = 0, share = 0 },
        { at = "16m", do = "one-way", from = [0], to = [1, 2], lasting = "3m" },
        { at = "20m", do = "stop", node = 0, lasting = "1m", repeat = { every = "5m", times = 2 } },
    ]
"#;

#[test]
fn an_event_that_takes_back_another_is_its_end() {
    let plan = plan(MANY);
    let expected = [
        ("partition", 5, Some(7)),
        ("pause", 6, Some(8)),
        ("partition", 7, Some(9)),
        ("kill", 10, Some(12)),
        ("start", 11, None),
        ("clock", 13, Some(14)),
        ("mining", 15, None),
        ("one-way", 16, Some(19)),
        ("stop", 20, Some(21)),
        ("stop", 25, Some(26)),
    ];
    assert_eq!(faults(&plan), expected);
    let steps = plan.steps();
    let ends = steps
        .iter()
        .filter(|(_, step)| matches!(step, Step::End(_)));
    assert_eq!((steps.len(), ends.count()), (18, 8));
    assert_eq!(plan.last_step_us(), 26 * 60_000_000);
}

#[test]
fn faults_that_are_written_to_a_file_are_the_same_when_read() {
    let mut again = scenario(MANY);
    let plan = plan(MANY);
    again.events = plan.faults.iter().map(entry_of).collect();
    let written = Scenario::from_toml(&again.to_toml()).unwrap();
    assert_eq!(Plan::of(&written, 1).unwrap(), plan);
}

#[test]
fn what_makes_no_sense_at_its_time_is_refused() {
    let at = |what: &str| format!("event = [{{ at = \"5m\", do = {what} }}]");
    for (what, part) in [
        ("\"heal\"", "nothing is cut"),
        ("\"restart\", node = 1", "is up then"),
        ("\"resume\", node = 1", "not paused"),
    ] {
        let error = Plan::of(&scenario(&at(what)), 1).unwrap_err();
        assert_eq!(error.field, "event[0]");
        assert!(error.problem.contains(part), "{error}");
    }
    for (what, part) in [
        ("\"heal\", lasting = \"1m\"", "has no end"),
        ("\"crash\", node = 1, lasting = \"0s\"", "some time"),
        (
            "\"crash\", node = 1, repeat = { every = \"20m\", times = 4 }",
            "after the end",
        ),
        ("\"one-way\", from = [1], to = [1]", "in `from`, too"),
    ] {
        let error = Scenario::from_toml(&format!("{HEAD}{}", at(what))).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn one_tip_is_not_expected_of_a_split_that_never_ends() {
    let split = r#"
        event = [{ at = "30m", do = "partition", groups = "0,1/2,3" }]
        expect = { one_tip_within = "10m" }
    "#;
    let error = Plan::of(&scenario(split), 1).unwrap_err();
    assert_eq!(error.field, "expect.one_tip_within");
    assert!(error.problem.contains("at 1800 s never ends"), "{error}");
    let healed = split.replace("\"0,1/2,3\"", "\"0,1/2,3\", lasting = \"5m\"");
    assert!(Plan::of(&scenario(&healed), 1).is_ok());
}

#[test]
fn a_link_is_what_it_was_when_its_faults_are_over() {
    let plan = plan(
        r#"event = [
            { at = "5m", do = "link", between = [1, 0], lane = { delay_ms = 900 }, lasting = "10m" },
            { at = "6m", do = "link", between = [0, 1], lane = { flow = "stalled" }, one_way = true, lasting = "2m" },
            { at = "7m", do = "partition", groups = "0/1", silent = true, lasting = "20m" },
        ]"#,
    );
    let number = plan
        .links
        .iter()
        .position(|link| (link.from, link.to) == (1, 0));
    let state = |lasting: &[usize]| {
        let lasting: Lasting = lasting.iter().copied().collect();
        plan.link_state(number.unwrap(), &lasting).settings
    };
    let plain = Lane::delayed(50);
    assert_eq!((state(&[]).forward, state(&[]).backward), (plain, plain));
    assert_eq!(state(&[0]).backward.delay_ms, 900);
    // The later fault is only about what 0 sends, and node 1 dials.
    assert_eq!(state(&[0, 1]).backward.flow, Flow::Stalled);
    assert_eq!(state(&[0, 1]).forward, Lane::delayed(900));
    assert_eq!(state(&[2]).forward.flow, Flow::Stalled);
    assert_eq!(state(&[2]).forward.delay_ms, 50);
}

#[test]
fn a_link_event_of_one_way_leaves_the_other_as_it_was() {
    let plan = plan(
        r#"event = [
            { at = "5m", do = "link", between = [0, 1], lane = { delay_ms = 900 } },
            { at = "9m", do = "link", between = [1, 0], one_way = true },
            { at = "20m", do = "link", between = [0, 1], lane = { delay_ms = 50 } },
        ]"#,
    );
    let ends: Vec<_> = plan.faults.iter().map(|fault| fault.until_us).collect();
    assert_eq!(ends, [Some(540_000_000), Some(1_200_000_000)]);
    let left = FaultKind::Link {
        between: (0, 1),
        lane: Lane::delayed(900),
        one_way: true,
    };
    assert_eq!(plan.faults[1].what, left);
}

#[test]
fn an_eclipse_leaves_only_the_attackers_links() {
    let plan = plan(
        r#"event = [{ at = "5m", do = "eclipse", node = 2, attackers = [3], lasting = "5m" }]"#,
    );
    let lasting = Lasting::from([0]);
    let cut: Vec<(usize, usize)> = (0..plan.links.len())
        .filter(|link| plan.link_state(*link, &lasting).cut)
        .map(|link| (plan.links[link].from, plan.links[link].to))
        .collect();
    assert_eq!(cut, [(2, 0), (2, 1)]);
}

const PAYING: &str = r#"
    payments = { every = "30s", accounts = 3, until = "50m" }
    payment = [
        { at = "20m", from = 5, to = 1, amount_sat = 100, node = 0 },
        { at = "21m", from = 5, to = 5, amount_sat = 90, node = 3, conflicts_with = 0 },
    ]
    merchant = [{ account = 1, accepts_after = 6 }]
"#;

#[test]
fn payments_are_in_order_of_time_and_name_each_other() {
    let plan = plan(&format!(
        "{PAYING}event = [{{ at = \"1m\", do = \"crash\", node = 1 }}]"
    ));
    assert_eq!(plan.accounts, 6);
    assert!(plan.payments.is_sorted_by_key(|payment| payment.at_us));
    let own = |from: u32| {
        plan.payments
            .iter()
            .position(|payment| payment.from == from)
    };
    let first = own(5).unwrap();
    assert_eq!(plan.payments[first].accepts_after, Some(6));
    let mut rivals = plan.payments.iter();
    let rival = rivals
        .find(|payment| payment.conflicts_with.is_some())
        .unwrap();
    assert_eq!((rival.conflicts_with, rival.node), (Some(first), 3));
    // Nobody pays at a node that is down, and everybody else is asked.
    let of = |node| {
        plan.payments
            .iter()
            .filter(|payment| payment.node == node)
            .count()
    };
    assert!(of(1) <= 2 && of(0) > 10 && of(2) > 10 && of(3) > 10);
    let last = plan.payments.last().unwrap();
    assert!(last.at_us < 50 * 60_000_000);
}

#[test]
fn a_double_spend_of_another_account_is_refused() {
    let text = format!(
        "{HEAD}{}",
        PAYING.replace("from = 5, to = 5", "from = 4, to = 5")
    );
    let error = Scenario::from_toml(&text).unwrap_err().to_string();
    assert!(error.contains("payment[1].conflicts_with"), "{error}");
}

#[test]
fn the_same_seed_gives_the_same_plan() {
    let chaotic = scenario(
        r#"
        chaos = { every = "2m", lasting = "5m", until = "40m", kinds = ["crash", "stall", "partition"] }
        churn = { up = "20m", down = "1m", until = "50m" }
        payments = { every = "30s" }
        "#,
    );
    let once = Plan::of(&chaotic, 7).unwrap();
    assert!(once.faults.len() > 10 && once.faults.is_sorted_by_key(|fault| fault.at_us));
    assert_eq!(once, Plan::of(&chaotic, 7).unwrap());
    assert_ne!(once, Plan::of(&chaotic, 8).unwrap());
}
