//! Claims without work: peers that boast of a better chain and never show it.

use std::time::{Duration, Instant};

use chain::fixtures::Key;
use serde_json::json;

use crate::judge::Cost;
use crate::peer::{HostilePeer, Manners, Reply, WhenLetGo};
use crate::scene::Scene;
use crate::support::node::Node;
use crate::wire::{self, STATUS};

/// Tells everybody that it has the best chain of all, and then nothing more.
fn boaster(network: &str, when_let_go: WhenLetGo) -> Manners {
    Manners {
        answer: Box::new(|request| match request.first() {
            Some(&STATUS) => Reply::Now(wire::boast()),
            _ => Reply::Silence,
        }),
        greeting: Some(wire::boast()),
        when_let_go,
        ..Manners::silent(network)
    }
}

#[test]
fn boasters_do_not_keep_a_node_from_syncing() {
    let scene = Scene::new();
    let without = scene.seconds_to_sync_in_peace();
    for (attack, when_let_go) in [
        ("six boasters that come back", WhenLetGo::ComesBack),
        (
            "six boasters that come back as others",
            WhenLetGo::ComesBackAsAnother,
        ),
    ] {
        let honest = scene.honest(&format!("honest of {attack}"));
        let victim = scene.start(&format!("victim of {attack}"), &[]);
        let boasters: Vec<HostilePeer> = (0..6)
            .map(|_| HostilePeer::join(&victim.address, boaster(&scene.network(), when_let_go)))
            .collect();
        // They have been believed, if they ever are.
        boasters[5].wait_until("asked or heard", |peer| {
            peer.answers() > 0 || peer.times_asked(wire::HEADERS) > 0
        });
        let with = scene.seconds_to_sync(&victim, &honest, Duration::from_secs(120));
        let cost = Cost {
            attack,
            measure: "seconds to sync",
            without,
            with,
        };
        cost.at_most(1.5, 1.0, 6.0);
    }
}

#[test]
fn one_boaster_does_not_stop_a_miner() {
    /// Two blocks a second on a network whose blocks take two hashes.
    const RATE: &str = "4";
    const WATCHED: Duration = Duration::from_secs(10);
    let scene = Scene::new();
    let payee = Key::p2tr("miner").address().to_string();
    let mined = |victim: &Node| {
        let height = || victim.call("getblockcount", json!([])).as_u64();
        let before = height().expect("a number");
        let began = Instant::now();
        std::thread::sleep(WATCHED);
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let blocks = (height().expect("a number") - before) as f64;
        60.0 * blocks / began.elapsed().as_secs_f64()
    };
    let start = |name: &str| {
        let arguments = ["--mine", &payee, "--rate", RATE];
        let victim = scene.start(name, &arguments);
        victim.wait_until("first blocks", |node| {
            node.call("getblockcount", json!([])).as_u64() > Some(3)
        });
        victim
    };
    let without = mined(&start("alone"));
    let victim = start("victim");
    let boaster = HostilePeer::join(
        &victim.address,
        boaster(&scene.network(), WhenLetGo::ComesBack),
    );
    boaster.wait_until("heard", |peer| {
        peer.answers() > 0 || peer.times_asked(STATUS) > 0
    });
    let cost = Cost {
        attack: "one boaster beside a miner",
        measure: "blocks a minute",
        without,
        with: mined(&victim),
    };
    cost.at_least(0.5);
    let info = victim.call("getblockchaininfo", json!([]));
    assert_eq!(info["initialblockdownload"], json!(false), "{info}");
}
