//! [`Description`]: what a call is named, takes and does, for people and for the check of its parameters.

use std::fmt::Write;

/// What a call is named, takes and does.
#[derive(Clone, Copy)]
pub struct Description {
    /// Its name.
    pub name: &'static str,
    /// Its parameters in order.
    pub params: &'static [Param],
    /// What it does and gives, in a few sentences.
    pub help: &'static str,
    /// How far it is Bitcoin Core's.
    pub likeness: Likeness,
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

impl Description {
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
    pub fn text(&self) -> String {
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
