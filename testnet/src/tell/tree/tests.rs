use super::*;
use crate::tell::history::History;

/// c1 - a2 - a3 - a4 - a5
///    \ b2 - b3
///         \ d3
fn net() -> (History, Record) {
    let mut net = History::of(4);
    net.at(1).finds(0, "c1").go(1..4, "c1");
    let split = net.at(10).splits("0,1/2,3");
    net.at(11)
        .finds(0, "a2")
        .goes(1, "a2")
        .at(12)
        .finds(2, "b2")
        .goes(3, "b2");
    net.at(13)
        .finds(3, "d3")
        .at(14)
        .finds(2, "b3")
        .at(15)
        .finds(0, "a3")
        .goes(1, "a3");
    net.at(16)
        .finds(1, "a4")
        .goes(0, "a4")
        .at(17)
        .finds(2, "b4");
    net.at(20)
        .ends(split)
        .at(21)
        .go([2, 3], "a4")
        .at(25)
        .finds(1, "a5")
        .goes(0, "a5");
    for (second, name) in (30..42).zip([
        "11", "12", "13", "14", "15", "16", "17", "18", "19", "20", "21", "22",
    ]) {
        net.at(second).finds(0, name).goes(1, name);
    }
    let record = net.end(50);
    (net, record)
}

#[test]
fn branches_that_overlap_in_time_have_lanes_of_their_own() {
    let (net, record) = net();
    let tree = Tree::of(&record);
    let lane = |name: &str| {
        let id = record.blocks.id(&net.place(name).hash).unwrap();
        tree.blocks
            .iter()
            .find(|block| block.id == id)
            .unwrap()
            .lane
    };
    let lanes = ["c1", "a5", "22", "b2", "b3", "b4", "d3"].map(lane);
    assert_eq!(lanes, [0, 0, 0, 1, 1, 1, 2]);
    assert_eq!(tree.lanes, 3);
    assert_eq!(tree.branches.len(), 3);
    assert_eq!(
        tree.branches
            .iter()
            .map(|branch| branch.blocks)
            .sum::<u32>(),
        22
    );
    // A branch whose time is over leaves its lane to the next.
    let mut later = History::of(2);
    later
        .at(1)
        .finds(0, "a1")
        .finds(1, "b1")
        .at(2)
        .finds(0, "a2")
        .goes(1, "a2");
    later
        .at(5)
        .finds(0, "a3")
        .finds(1, "b3")
        .at(6)
        .finds(0, "a4")
        .goes(1, "a4");
    assert_eq!(Tree::of(&later.end(9)).lanes, 2);
}

#[test]
fn the_tree_is_drawn_with_its_forks_and_straight_runs_cut_short() {
    let (net, record) = net();
    let text = net.named(&text::draw(&record, &Tree::of(&record)));
    let expected = "
        0 s       0  ●      0
     1.00 s       1  ●      c1  by node 0
    10.00 s          │      -- partition 0,1/2,3 begins
    11.00 s       2  ●      a2  by node 0
                     ├─╮
    12.00 s       2  │ ○    b2  by node 2
                     │ ├─╮
    13.00 s       3  │ │ ○  d3  by node 3
    14.00 s       3  │ ○    b3  by node 2
    15.00 s       3  ● │    a3  by node 0
    16.00 s       4  ● │    a4  by node 1  <- nodes 2, 3
    17.00 s       4  │ ○    b4  by node 2
    20.00 s          │      -- partition 0,1/2,3 is over
    25.00 s       5  ●      a5  by node 1
    30.00 s       6  ●      11  by node 0
                  :  :      8 more blocks
    39.00 s      15  ●      20  by node 0
    40.00 s      16  ●      21  by node 0
    41.00 s      17  ●      22  by node 0  <- nodes 0, 1
";
    assert_eq!(text, expected.trim_start_matches('\n'), "{text}");
}
