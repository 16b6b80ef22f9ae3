//! Backups and restores that are killed at every step: real processes, which are this test started once more.
//!
//! The process says at which step it stands and waits there, so that the kill is known to fall into that step.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use chain::backup::{MANIFEST_NAME, Manifest, Step, check, copy, restore};
use chain::fixtures::{Key, TestChain};
use chain::store::{FILE_NAME, LOCK_NAME};
use chain::{Chain, FrozenChain};

use super::copies::{SMALL, own};

/// What the child is to do: `backup` or `restore`, from, to, and the step at which it stops.
const ORDER: &str = "MEND_TEST_KILLED_COPY";

#[test]
#[expect(clippy::print_stdout, reason = "the parent reads it")]
fn the_child_that_is_killed() {
    let Ok(order) = std::env::var(ORDER) else {
        return;
    };
    let [what, from, to, step] = *order.split('|').collect::<Vec<_>>() else {
        panic!("{ORDER}={order}");
    };
    let (from, to) = (Path::new(from), Path::new(to));
    let mut watch = |now: Step| {
        if format!("{now:?}") == step {
            println!("\nstands at {step}");
            // The parent never closes it.
            let _ = std::io::stdin().read(&mut [0]);
        }
    };
    if what == "backup" {
        let chain = FrozenChain::open(from, TestChain::params(), SMALL).unwrap();
        copy(&chain, to, &mut watch).unwrap();
    } else {
        restore(from, own(to), TestChain::params(), SMALL, &mut watch).unwrap();
    }
    panic!("{what} came to its end without {step}");
}

/// Starts the child and kills it when it stands at the step.
fn kill_at(what: &str, from: &Path, to: &Path, step: Step) {
    let order = format!("{what}|{}|{}|{step:?}", from.display(), to.display());
    let mut child: Child = Command::new(std::env::current_exe().unwrap())
        .args(["copies_killed::the_child_that_is_killed", "--exact"])
        .args(["--nocapture", "--test-threads=1"])
        .env(ORDER, order)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let stands = format!("stands at {step:?}");
    let found = lines.map_while(Result::ok).any(|line| line == stands);
    child.kill().unwrap();
    let mut errors = String::new();
    let _ = child.stderr.take().unwrap().read_to_string(&mut errors);
    let status = child.wait().unwrap();
    assert!(found, "{what} never stood at {step:?}: {errors}");
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(status.signal(), Some(9), "{status}");
    }
}

fn source(dir: &Path) -> PathBuf {
    let data = dir.join("data");
    let mut net = TestChain::on(Chain::open(&data, TestChain::params(), SMALL).unwrap());
    let (alice, bob) = (Key::p2tr("alice"), Key::p2wpkh("bob"));
    for n in 1..=4 {
        let pay = net.pay(&alice, &bob, bitcoin::Amount::ONE_BTC);
        net.including(&pay).mine(&format!("a{n}"));
    }
    net.chain_mut().flush().unwrap();
    data
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_backup_that_is_killed_at_any_step_is_whole_or_none_and_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = source(dir.path());
    let again = |target: &Path| -> Manifest {
        let chain = FrozenChain::open(&data, TestChain::params(), SMALL).unwrap();
        copy(&chain, target, &mut |_| {}).unwrap()
    };
    let wanted = again(&dir.path().join("undisturbed"));
    for step in [Step::Begun, Step::Copied, Step::Verified, Step::Described] {
        let target = dir.path().join(format!("{step:?}"));
        kill_at("backup", &data, &target, step);
        assert!(!target.join(FILE_NAME).exists(), "{step:?}");
        assert_eq!(target.join(MANIFEST_NAME).exists(), step == Step::Described);
        check(&target, TestChain::params(), SMALL).unwrap_err();
        // What is left stands in nobody's way, and goes.
        assert_eq!(again(&target), wanted);
        assert_eq!(names(&target), [FILE_NAME, MANIFEST_NAME]);
        assert_eq!(check(&target, TestChain::params(), SMALL).unwrap(), wanted);
    }
    let target = dir.path().join("Named");
    kill_at("backup", &data, &target, Step::Named);
    assert_eq!(check(&target, TestChain::params(), SMALL).unwrap(), wanted);
}

#[test]
fn a_restore_that_is_killed_at_any_step_leaves_a_verified_chain_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let data = source(dir.path());
    let backup = dir.path().join("backup");
    let chain = FrozenChain::open(&data, TestChain::params(), SMALL).unwrap();
    let wanted = copy(&chain, &backup, &mut |_| {}).unwrap();
    let stats = chain.coin_set_stats(true).unwrap();
    for step in [Step::Begun, Step::Copied, Step::Verified] {
        let target = dir.path().join(format!("{step:?}"));
        kill_at("restore", &backup, &target, step);
        assert!(!target.join(FILE_NAME).exists(), "{step:?}");
        let (chain, found) = restore(
            &backup,
            own(&target),
            TestChain::params(),
            SMALL,
            &mut |_| {},
        )
        .unwrap();
        assert_eq!(found, wanted);
        assert_eq!(chain.coin_set_stats(true).unwrap(), stats);
        drop(chain);
        assert_eq!(names(&target), [LOCK_NAME, FILE_NAME]);
    }
    let target = dir.path().join("Named");
    kill_at("restore", &backup, &target, Step::Named);
    let chain = Chain::open(&target, TestChain::params(), SMALL).unwrap();
    assert_eq!(chain.coin_set_stats(true).unwrap(), stats);
}
