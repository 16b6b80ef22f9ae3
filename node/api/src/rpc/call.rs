//! Every call: its name, parameters, help and handler. What is not in this table does not exist.

use std::fmt::Write;
use std::future::Future;
use std::pin::Pin;

use super::args::Args;
use super::error::Failure;
use super::request::Reply;
use super::{
    blockchain, control, filters, generate, mempool, mining, network, rawtransactions, scan,
    snapshots, stats, util, wait,
};
use crate::Api;

/// One call.
pub struct Call {
    /// Its name.
    pub name: &'static str,
    /// Its parameters in order.
    pub params: &'static [Param],
    /// What it does and gives, in a few sentences.
    pub help: &'static str,
    /// How far it is Bitcoin Core's.
    pub likeness: Likeness,
    /// What carries it out.
    pub handler: Handler,
}

/// A parameter of a call.
pub struct Param {
    /// Its name, and after `|` other names that are understood.
    pub names: &'static str,
    /// Its JSON type.
    pub kind: Kind,
    /// Whether it may be left out.
    pub optional: bool,
    /// What it means.
    pub help: &'static str,
}

/// The JSON type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// A number.
    Number,
    /// True or false.
    Bool,
    /// A list.
    Array,
    /// An object.
    Object,
    /// Checked by the call itself.
    Any,
}

/// How far a call is Bitcoin Core's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// The same parameters and fields.
    Core,
    /// The same, but for what is said here.
    Subset(&'static str),
    /// Our own.
    Ours,
}

/// What carries a call out.
#[derive(Clone, Copy)]
pub enum Handler {
    /// Looks up or shows something, behind what the node does for itself.
    Works(fn(&Api, &Args) -> Result<Reply, Failure>),
    /// The same, but it may take long: it reads all coins or many blocks.
    Walks(fn(&Api, &Args) -> Result<Reply, Failure>),
    /// Moves the chain, as urgently as a peer's block does.
    Drives(fn(&Api, &Args) -> Result<Reply, Failure>),
    /// Waits for something first, without holding a thread.
    Waits(fn(Api, Args) -> Waiting),
}

/// A call on its way.
pub type Waiting = Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send>>;

/// Calls that belong together, as `help` lists them.
pub struct Group {
    /// Its title.
    pub title: &'static str,
    /// Its calls, in the order of the alphabet.
    pub calls: &'static [Call],
}

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

/// A required parameter.
pub const fn required(names: &'static str, kind: Kind, help: &'static str) -> Param {
    Param {
        names,
        kind,
        optional: false,
        help,
    }
}

/// A parameter that may be left out.
pub const fn optional(names: &'static str, kind: Kind, help: &'static str) -> Param {
    Param {
        names,
        kind,
        optional: true,
        help,
    }
}

/// The call of that name.
pub fn find(name: &str) -> Option<&'static Call> {
    all().find(|call| call.name == name)
}

/// All calls, by group.
pub fn all() -> impl Iterator<Item = &'static Call> {
    GROUPS.iter().flat_map(|group| group.calls)
}

impl Param {
    /// The name that is shown.
    pub fn name(&self) -> &'static str {
        self.names.split('|').next().unwrap_or(self.names)
    }

    /// Whether `name` means this parameter.
    pub fn is(&self, name: &str) -> bool {
        self.names.split('|').any(|known| known == name)
    }
}

impl Kind {
    /// The type's name in Bitcoin Core's words.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Text => "string",
            Kind::Number => "number",
            Kind::Bool => "bool",
            Kind::Array => "array",
            Kind::Object => "object",
            Kind::Any => "any",
        }
    }
}

impl Call {
    /// The call with its parameters on one line: `getblock "blockhash" ( verbosity )`.
    pub fn usage(&self) -> String {
        let mut line = self.name.to_owned();
        for param in self.params {
            let name = match param.kind {
                Kind::Text => format!("\"{}\"", param.name()),
                Kind::Array => format!("[{},...]", param.name()),
                Kind::Object => format!("{{{}}}", param.name()),
                Kind::Number | Kind::Bool | Kind::Any => param.name().to_owned(),
            };
            line.push_str(&if param.optional {
                format!(" ( {name} )")
            } else {
                format!(" {name}")
            });
        }
        line
    }

    /// The whole help of the call.
    pub fn help_text(&self) -> String {
        let mut text = format!("{}\n\n{}\n", self.usage(), self.help);
        if !self.params.is_empty() {
            text.push_str("\nArguments:\n");
        }
        for (number, param) in (1..).zip(self.params) {
            let need = if param.optional {
                "optional"
            } else {
                "required"
            };
            let _ = writeln!(
                text,
                "{number}. {}  ({}, {need}) {}",
                param.name(),
                param.kind.word(),
                param.help
            );
        }
        match self.likeness {
            Likeness::Core => {}
            Likeness::Subset(what) => {
                let _ = writeln!(text, "\nOther than in Bitcoin Core: {what}.");
            }
            Likeness::Ours => text.push_str("\nBitcoin Core has no such call.\n"),
        }
        text
    }
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
