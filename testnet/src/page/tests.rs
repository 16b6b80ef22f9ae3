use super::*;
use crate::tell::history::History;

/// A history with a bit of everything, and names that must be escaped.
fn history() -> Record {
    let mut net = History::of(5);
    net.at(1).finds(0, "c1").go(1..5, "c1");
    let split = net.at(10).splits("0,1,2/3,4");
    net.payment("left", &["coin 1"]).hands(0, "left");
    net.payment("right", &["coin 1"]).hands(3, "right");
    net.at(11)
        .finds_with(0, "a1", &["left"])
        .go([1, 2], "a1")
        .at(12)
        .finds(1, "a2")
        .go([0, 2], "a2");
    net.at(13).finds_with(3, "b1", &["right"]).goes(4, "b1");
    let frozen = net.at(50).freezes(4);
    net.at(60)
        .ends(split)
        .at(62)
        .goes(3, "a2")
        .at(80)
        .ends(frozen)
        .at(82)
        .goes(4, "a2")
        .mempools(&[]);
    let mut record = net.end(100);
    record.start.plan.name = "a <b> & \"c\"".to_owned();
    record
}

#[test]
fn the_page_stands_alone_and_tells_everything() {
    let record = history();
    let report = Report::of(&record);
    let page = html(&record, &report);
    assert!(
        page.contains("<title>a &lt;b&gt; &amp; &quot;c&quot;, seed 1</title>"),
        "{page}"
    );
    // Nothing is loaded from anywhere, and nothing runs.
    for foreign in ["<script", "http:", "https:", "<link", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    for part in [
        "Checks",
        "Heights",
        "Work",
        "Fork tree",
        "Healings",
        "Payments",
        "Reorgs",
        "Traffic",
        "Plan, and what happened",
        "Miners",
        "prefers-color-scheme:dark",
        "@media print",
        "one tip 2.00 s after the links opened",
        "double-spent",
        "partition 0,1,2/3,4",
        "Node 4: frozen, back after 20.00 s",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // One block is lost, and says what was in it; three and genesis are not.
    assert_eq!(page.matches("<circle class=lost").count(), 1);
    assert_eq!(page.matches("<circle class=final").count(), 4);
    let payment = crate::tell::history::txid("right").to_string();
    let hover = page
        .split("<circle class=lost")
        .nth(1)
        .unwrap()
        .split("</circle>")
        .next()
        .unwrap();
    assert!(
        hover.contains(&payment) && hover.contains("found by node 3"),
        "{hover}"
    );
    for (open, close) in [
        ("<svg", "</svg>"),
        ("<table", "</table>"),
        ("<section", "</section>"),
        ("<div", "</div>"),
        ("<details", "</details>"),
    ] {
        assert_eq!(
            page.matches(open).count(),
            page.matches(close).count(),
            "{open}"
        );
    }
}

#[test]
fn a_run_with_nothing_in_it_has_a_page() {
    let record = History::of(1).end(10);
    let page = html(&record, &Report::of(&record));
    assert!(page.contains("No split was healed.") && page.contains("Nobody paid."));
    let record = History::of(30).end(10);
    assert!(html(&record, &Report::of(&record)).contains("the lowest of all nodes"));
}
