//! Every call, by group. What is not in this table does not exist.

use std::fmt::Write;

use super::call::{Call, Group, Likeness};
use super::{
    blockchain, coins, control, filters, generate, mempool, mining, network, rawtransactions, scan,
    snapshots, stats, util, wait,
};

/// All groups.
pub const GROUPS: &[Group] = &[
    Group {
        title: "Blockchain",
        calls: blockchain::CALLS,
    },
    Group {
        title: "Coins",
        calls: scan::CALLS,
    },
    Group {
        title: "Coins at a block",
        calls: coins::CALLS,
    },
    Group {
        title: "Control",
        calls: control::CALLS,
    },
    Group {
        title: "Filters",
        calls: filters::CALLS,
    },
    Group {
        title: "Generating",
        calls: generate::CALLS,
    },
    Group {
        title: "Mempool",
        calls: mempool::CALLS,
    },
    Group {
        title: "Mining",
        calls: mining::CALLS,
    },
    Group {
        title: "Network",
        calls: network::CALLS,
    },
    Group {
        title: "Rawtransactions",
        calls: rawtransactions::CALLS,
    },
    Group {
        title: "Snapshots",
        calls: snapshots::CALLS,
    },
    Group {
        title: "Statistics",
        calls: stats::CALLS,
    },
    Group {
        title: "Util",
        calls: util::CALLS,
    },
    Group {
        title: "Waiting",
        calls: wait::CALLS,
    },
];

/// The call of that name.
pub fn find(name: &str) -> Option<&'static Call> {
    all().find(|call| call.name == name)
}

/// All calls, by group.
pub fn all() -> impl Iterator<Item = &'static Call> {
    GROUPS.iter().flat_map(|group| group.calls)
}

/// The table of `docs/RPC.md`.
pub fn markdown_table() -> String {
    let mut text = String::new();
    for group in GROUPS {
        let _ = writeln!(
            text,
            "\n### {}\n\n| call | like Bitcoin Core's |\n|---|---|",
            group.title
        );
        for call in group.calls {
            let likeness = match call.likeness {
                Likeness::Core => "same".to_owned(),
                Likeness::Subset(what) => format!("subset: {what}"),
                Likeness::Ours => "ours".to_owned(),
            };
            let usage = call.usage().replace('|', "\\|");
            let _ = writeln!(text, "| `{usage}` | {likeness} |");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_call_is_described_once_and_in_order() {
        let mut seen = BTreeSet::new();
        for group in GROUPS {
            assert!(
                group
                    .calls
                    .windows(2)
                    .all(|pair| pair[0].name < pair[1].name),
                "{}",
                group.title
            );
            for call in group.calls {
                assert!(seen.insert(call.name), "{} is there twice", call.name);
                assert!(call.help.len() > 20, "{} has no help", call.name);
                for param in call.params {
                    assert!(!param.help.is_empty(), "{} {}", call.name, param.names);
                }
                let needed_after_optional = call
                    .params
                    .windows(2)
                    .any(|pair| pair[0].optional && !pair[1].optional);
                assert!(!needed_after_optional, "{}", call.name);
            }
        }
    }

    #[test]
    fn the_document_has_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/RPC.md");
        let document = std::fs::read_to_string(path).expect("docs/RPC.md is there");
        let (before, rest) = document.split_once("<!-- calls -->").expect("start mark");
        let (found, after) = rest.split_once("<!-- end of calls -->").expect("end mark");
        let wanted = format!("{}\n", markdown_table());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            let updated = format!("{before}<!-- calls -->{wanted}<!-- end of calls -->{after}");
            std::fs::write(path, updated).expect("docs/RPC.md can be written");
        } else {
            assert!(
                found == wanted,
                "run UPDATE_DOCS=1 cargo test -p node-api the_document_has_the_table"
            );
        }
    }
}
