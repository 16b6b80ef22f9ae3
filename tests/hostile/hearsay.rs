//! What strangers tell of others may not replace what the operator said.

use std::time::Duration;

use serde_json::json;

use crate::peer::{HostilePeer, Manners, Reply};
use crate::scene::Scene;
use crate::wire::{self, PEERS};

#[test]
fn a_wrong_identity_told_by_a_stranger_does_not_hide_the_operators_peer() {
    let scene = Scene::new();
    // Its address is known before it runs.
    let honest = scene.honest("honest");
    let port = honest.port();
    let address = format!("/ip4/127.0.0.1/tcp/{port}");
    honest.stop();
    let victim = scene.start("victim", &["--peer", &address]);
    let stranger = HostilePeer::start(Manners::silent(&scene.network()));
    let wrong_id = stranger.address.rsplit('/').next().expect("an id");
    let lie = wire::peers(&[format!("{address}/p2p/{wrong_id}")]);
    let liar = HostilePeer::start(Manners {
        answer: Box::new(move |request| match request.first() {
            Some(&PEERS) => Reply::Now(lie.clone()),
            _ => Reply::Silence,
        }),
        ..Manners::silent(&scene.network())
    });
    // Nodes ask those whom they dialled.
    victim.call("addnode", json!([liar.address, "add"]));
    liar.wait_until("asked for addresses", |peer| peer.times_asked(PEERS) > 0);
    std::thread::sleep(Duration::from_millis(500));
    let listen = format!("/ip4/127.0.0.1/tcp/{port}");
    let _honest = scene.start("honest", &["--listen", &listen]);
    let told = victim.call("waitforblockheight", json!([scene.height(), 60_000]));
    assert_eq!(
        told["height"],
        json!(scene.height()),
        "{}",
        victim.call("getaddednodeinfo", json!([]))
    );
}
