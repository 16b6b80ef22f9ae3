//! Connections that serve nobody: newcomers get in nevertheless, and dials are not wasted.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::judge::Cost;
use crate::peer::{HostilePeer, Manners};
use crate::scene::Scene;
use crate::support::node::Node;

/// Inbound connections that a node takes.
const INBOUND: usize = 125;

/// Seconds until a newcomer, which dials the victim, has a peer that stays for a second.
fn seconds_to_get_in(scene: &Scene, name: &str, victim: &Node) -> f64 {
    let began = Instant::now();
    let newcomer = scene.start(name, &["--connect", &victim.address]);
    let deadline = began + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < deadline, "{name} never gets in");
        if newcomer.connections() == 0 {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        }
        let in_after = began.elapsed();
        std::thread::sleep(Duration::from_secs(1));
        if newcomer.connections() > 0 {
            return in_after.as_secs_f64();
        }
    }
}

#[test]
fn idle_connections_do_not_keep_newcomers_out() {
    let scene = Scene::new();
    let victim = scene.honest("victim");
    let without = seconds_to_get_in(&scene, "early", &victim);
    let before = victim.resident_mib();
    let idlers: Vec<HostilePeer> = (0..INBOUND)
        .map(|_| HostilePeer::join(&victim.address, Manners::silent(&scene.network())))
        .collect();
    let connected = idlers.iter().filter(|peer| peer.is_connected()).count();
    assert!(connected > INBOUND * 9 / 10, "only {connected} are idle");
    let cost = Cost {
        attack: "125 idle connections",
        measure: "seconds until a newcomer is in",
        without,
        with: seconds_to_get_in(&scene, "late", &victim),
    };
    cost.at_most(1.0, 3.0, 20.0);
    let memory = Cost {
        attack: "125 idle connections",
        measure: "resident MiB",
        without: before,
        with: victim.resident_mib(),
    };
    memory.at_most(1.0, 64.0, 0.0);
}

#[test]
fn silent_sockets_do_not_keep_newcomers_out() {
    let scene = Scene::new();
    let victim = scene.honest("victim");
    let without = seconds_to_get_in(&scene, "early", &victim);
    let sockets: Vec<TcpStream> = (0..128)
        .map(|_| TcpStream::connect(("127.0.0.1", victim.port())).expect("it listens"))
        .collect();
    let cost = Cost {
        attack: "128 silent sockets",
        measure: "seconds until a newcomer is in",
        without,
        with: seconds_to_get_in(&scene, "late", &victim),
    };
    cost.at_most(1.0, 3.0, 20.0);
    drop(sockets);
}

#[test]
fn a_listener_that_closes_is_not_dialled_again_and_again() {
    let scene = Scene::new();
    let victim = scene.start("victim", &[]);
    let closer = HostilePeer::start(Manners {
        closes: true,
        ..Manners::silent(&scene.network())
    });
    victim.call("addnode", json!([closer.address, "add"]));
    closer.wait_until("dialled", |peer| peer.times_connected() > 0);
    let before = closer.times_connected();
    std::thread::sleep(Duration::from_secs(10));
    let dials = closer.times_connected() - before;
    println!("hostile: a listener that closes after identify: {dials} dials in 10 s");
    assert!(
        closer.times_let_go() > 0,
        "it never closed: the attack did not take place"
    );
    assert!(dials <= 12, "{dials} dials in 10 s");
}
