//! Runs of the simulator, recorded: what is told of the record is what the simulator itself counted.

use testnet::record::{self, Record};
use testnet::scenario::Scenario;
use testnet::sim::{self, Run};
use testnet::tell::fate::FateKind;
use testnet::tell::{Fate, Report};

fn scenario(name: &str) -> Scenario {
    let path = format!("{}/../scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    Scenario::from_toml(&text).unwrap()
}

fn run(scenario: &Scenario, seed: u64) -> (Run, Record, Vec<u8>) {
    let mut lines = Vec::new();
    let mut run = sim::simulate(scenario, seed, Some(&mut lines)).unwrap();
    let record = run.record.take().unwrap();
    (run, record, lines)
}

/// Whatever the simulator counts by itself, the record gives too.
fn compare(run: &Run, record: &Record) -> Report {
    let report = Report::of(record);
    let (told, counted) = (&report.figures, &run.summary);
    assert_eq!(told.blocks, counted.blocks);
    assert_eq!((told.height, told.stale), (counted.height, counted.stale));
    assert_eq!(told.reorgs, counted.reorgs);
    assert_eq!(told.tips, counted.tips);
    assert_eq!(told.parted, counted.sent_away);
    assert_eq!(told.events, Some(counted.events));
    assert_eq!(told.faults, counted.actions);
    assert_eq!(
        told.traffic.values().map(|kind| kind.bytes).sum::<u64>(),
        counted.traffic.values().map(|kind| kind.bytes).sum::<u64>()
    );
    report
}

#[test]
fn a_recorded_run_is_told_as_the_simulator_counted_it() {
    let split = scenario("clean-split");
    let (run, record, lines) = run(&split, 1);
    let report = compare(&run, &record);
    assert!(report.ok, "{report}");
    assert_eq!(record::read(lines.as_slice()).unwrap(), record);
    assert_eq!(
        report.figures.one_tip_after_ms,
        run.summary.one_tip_after_ms
    );
    let [heal] = report.heals.as_slice() else {
        panic!("one healing, not {}", report.heals.len());
    };
    assert!(heal.is_whole() && heal.deepest_reorg() >= 5, "{heal}");
    let groups: Vec<Option<usize>> = heal.sides.iter().map(|side| side.group).collect();
    assert!(
        groups.contains(&Some(0)) && groups.contains(&Some(1)),
        "{heal}"
    );
}

#[test]
fn random_faults_are_recorded_without_contradictions() {
    let faults = scenario("mixed-faults");
    for seed in 0..3 {
        let (run, record, _) = run(&faults, seed);
        let report = compare(&run, &record);
        let failed = report.checks.iter().filter(|check| check.fails());
        let failed: Vec<String> = failed.map(ToString::to_string).collect();
        assert_eq!(
            failed.is_empty(),
            run.violations.is_empty(),
            "seed {seed}: {failed:?} {:?}",
            run.violations
        );
        // The simulator knows of each payment itself what became of it.
        let (told, counted) = (&report.figures.payments, &run.summary.payments);
        let of = |wanted: fn(FateKind) -> bool| {
            let kinds = told.iter().filter(|(kind, _)| wanted(**kind));
            kinds.map(|(_, number)| *number).sum::<u64>()
        };
        assert_eq!(of(FateKind::is_confirmed), counted.confirmed, "seed {seed}");
        assert_eq!(
            of(|kind| kind == FateKind::Gone),
            counted.vanished,
            "seed {seed}"
        );
        assert_eq!(of(|_| true), counted.sent, "seed {seed}");
        let page = testnet::page::html(&record, &report);
        if let Some(folder) = option_env!("CARGO_TARGET_TMPDIR") {
            // For whoever wants to look at one.
            std::fs::write(format!("{folder}/mixed-faults-{seed}.html"), &page).unwrap();
        }
        assert!(page.ends_with("</body></html>\n"));
        for heal in &report.heals {
            let unknown = heal
                .payments
                .iter()
                .filter(|payment| payment.fate == Fate::Unknown);
            assert_eq!(unknown.count(), 0, "seed {seed}: {heal}");
        }
    }
}
