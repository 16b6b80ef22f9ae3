//! Orders to one node do not keep orders to others waiting.

use bitcoin::Amount;
use rustix::process::{Pid, Signal, kill_process};

use super::{Lab, options};

/// Freezes a node behind the lab's back, as long as it lives.
struct Frozen(Pid);

impl Frozen {
    fn node(lab: &Lab, node: usize) -> Frozen {
        let pid = lab.supervisor.network().manifest().nodes[node].pid.unwrap();
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        Frozen(pid)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

#[test]
fn nobody_waits_for_an_order_to_a_node_that_hangs() {
    let lab = Lab::start(&options(3));
    let frozen = Frozen::node(&lab, 1);
    std::thread::scope(|scope| {
        // Each of these waits for an answer that does not come.
        let paying = scope.spawn(|| lab.supervisor.pay(0, "1", Amount::ONE_BTC, Some(1)));
        let mining = scope.spawn(|| lab.supervisor.set_mining(1, 1_000));
        let finding = scope.spawn(|| lab.supervisor.mine(1, 1));
        lab.mine(0, 1);
        lab.supervisor.network().kill(2).unwrap();
        lab.supervisor.network().open_links();
        assert!(!finding.is_finished(), "node 1 is not frozen at all");
        drop(frozen);
        finding.join().unwrap().unwrap();
        // What was asked before it went on is answered, or its time was over.
        let _ = (paying.join().unwrap(), mining.join().unwrap());
    });
}

#[test]
fn a_heal_does_not_wait_for_a_node_that_is_frozen() {
    let lab = Lab::start(&options(3));
    lab.mine(0, 1);
    lab.wait_for_one_tip();
    lab.partition("0,1/2", false);
    lab.mine(0, 1);
    // Node 2 dials both others.
    lab.supervisor.network().set_paused(2, true).unwrap();
    let opening = std::thread::scope(|scope| {
        let opening = scope.spawn(|| lab.supervisor.network().open_links());
        opening.join().unwrap()
    });
    assert_eq!(opening, 2);
    lab.supervisor.heal(super::PATIENCE).unwrap();
    lab.supervisor.network().set_paused(2, false).unwrap();
    lab.wait_for_one_tip();
}
