//! A node that is killed while its chain changes deeply. `cargo bench --bench deep_reorg` does it with many more blocks.

use crate::support::deep::Scene;

const BLOCKS: usize = 160;
const PAYMENTS: usize = 100;

/// Where each kill falls: on the way down below 1, on the way up above.
const PARTS: [f64; 6] = [0.1, 0.5, 0.8, 1.1, 1.5, 1.8];

#[test]
fn kills_in_a_deep_change_leave_a_tip_on_the_way_that_goes_on() {
    let mut scene = Scene::make(BLOCKS, PAYMENTS);
    scene.cache_mib = 4;
    scene.commits_on_the_way = true;
    let kills = PARTS.map(|part| scene.kill_at(part));
    let on_the_way = |height: u64| height < BLOCKS as u64;
    let moved = kills.iter().filter(|kill| on_the_way(kill.height)).count();
    assert!(
        moved > 1,
        "the tip on disk moved with the change: {kills:?}"
    );
}
