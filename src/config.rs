//! The config file: what stands in it is the default of the option of that name, in every command that has it.
//!
//! ```toml
//! genesis = "lab/genesis.json"     # of every command that takes --genesis
//!
//! [node]                           # of `mend node` alone
//! txindex = true
//! peer = ["/ip4/10.0.0.2/tcp/18444"]
//! ```
//!
//! The command line goes before it, and so do `MEND_*` variables.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{ArgAction, Command};
use toml::{Table, Value};

/// The variable that names another file than `~/.mend/config.toml`.
const VARIABLE: &str = "MEND_CONFIG";

/// Gives `command` the defaults of the user's file, if there is one.
///
/// # Errors
///
/// Names the file and the entry that is wrong.
pub(crate) fn apply(command: Command) -> anyhow::Result<Command> {
    let Some(path) = file() else {
        return Ok(command);
    };
    let shown = path.display();
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!("cannot read the config file {shown}; {VARIABLE} names another")
    })?;
    defaults(command, &text).with_context(|| format!("the config file {shown}"))
}

/// The file that the variable names, or the one in the home folder if it is there.
fn file() -> Option<PathBuf> {
    match std::env::var_os(VARIABLE) {
        Some(name) if name.is_empty() => None,
        Some(name) => Some(PathBuf::from(name)),
        None => {
            let path = std::env::home_dir()?.join(".mend").join("config.toml");
            path.is_file().then_some(path)
        }
    }
}

fn defaults(mut command: Command, text: &str) -> anyhow::Result<Command> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map_or(1, |before| before.matches('\n').count() + 1);
        anyhow::anyhow!("line {line}: {}", error.message().replace('\n', " "))
    })?;
    // What is for one command goes before what is for all.
    let (of_one, of_all): (Vec<_>, Vec<_>) =
        table.into_iter().partition(|(_, value)| value.is_table());
    for (name, value) in of_all {
        let values = texts(&name, &value)?;
        let mut known = false;
        command = everywhere(command, &name, &values, &mut known);
        if !known {
            bail!("no command has an option --{name}; see mend COMMAND --help");
        }
    }
    for (name, value) in of_one {
        let Value::Table(entries) = value else {
            continue;
        };
        command = in_command(command, &name, &entries)?;
    }
    Ok(command)
}

fn everywhere(mut command: Command, option: &str, values: &[String], known: &mut bool) -> Command {
    if has(&command, option) {
        *known = true;
        command = with_default(command, option, values);
    }
    let names: Vec<String> = command
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned())
        .collect();
    for name in names {
        command = command.mut_subcommand(name, |sub| everywhere(sub, option, values, known));
    }
    command
}

/// The entries of a table that has the name of a subcommand, which may hold tables of its own.
fn in_command(command: Command, name: &str, entries: &Table) -> anyhow::Result<Command> {
    let Some(sub) = command.find_subcommand(name) else {
        bail!("[{name}]: there is no command of that name; see mend --help");
    };
    let mut sub = sub.clone();
    for (entry, value) in entries {
        if let Value::Table(inner) = value {
            sub = in_command(sub, entry, inner)?;
            continue;
        }
        if !has(&sub, entry) {
            bail!("[{name}] has no option --{entry}; see mend {name} --help");
        }
        sub = with_default(sub, entry, &texts(entry, value)?);
    }
    Ok(command.mut_subcommand(name, |_| sub))
}

fn has(command: &Command, option: &str) -> bool {
    command
        .get_arguments()
        .any(|argument| argument.get_long() == Some(option))
}

fn with_default(command: Command, option: &str, values: &[String]) -> Command {
    command.mut_args(|argument| {
        if argument.get_long() != Some(option) {
            return argument;
        }
        // A switch that is off has no default: off it is.
        if matches!(argument.get_action(), ArgAction::SetTrue) && values == ["false"] {
            return argument;
        }
        argument.required(false).default_values(values.to_vec())
    })
}

/// A value as it would be typed.
fn texts(name: &str, value: &Value) -> anyhow::Result<Vec<String>> {
    Ok(match value {
        Value::String(text) => vec![text.clone()],
        Value::Integer(number) => vec![number.to_string()],
        Value::Float(number) => vec![number.to_string()],
        Value::Boolean(on) => vec![on.to_string()],
        Value::Array(values) => {
            let each = values.iter().map(|value| texts(name, value));
            each.collect::<anyhow::Result<Vec<_>>>()?.concat()
        }
        _ => bail!("{name} is neither text, number, true, false nor a list of these"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, ArgMatches};

    fn command() -> Command {
        let genesis = || Arg::new("genesis").long("genesis").default_value("local");
        let node = Command::new("node")
            .arg(genesis())
            .arg(Arg::new("rest").long("rest").action(ArgAction::SetTrue))
            .arg(Arg::new("peer").long("peer").action(ArgAction::Append))
            .arg(Arg::new("threads").long("threads").required(true));
        let up = Command::new("up").arg(genesis());
        Command::new("mend")
            .subcommand(node)
            .subcommand(Command::new("testnet").subcommand(up))
    }

    fn parsed(text: &str, line: &str) -> ArgMatches {
        let command = defaults(command(), text).expect("a good file");
        command
            .try_get_matches_from(line.split_whitespace())
            .expect("a good line")
    }

    const FILE: &str = r#"
        genesis = "lab.json"
        [node]
        rest = true
        peer = ["a", "b"]
        threads = 3
        [testnet.up]
        genesis = "other.json"
    "#;

    fn text<'a>(matches: &'a ArgMatches, name: &str) -> &'a str {
        matches.get_one::<String>(name).expect("a value")
    }

    #[test]
    fn what_the_file_says_is_the_default() {
        let matches = parsed(FILE, "mend node");
        let node = matches.subcommand_matches("node").expect("node");
        assert_eq!(text(node, "genesis"), "lab.json");
        assert_eq!(text(node, "threads"), "3");
        assert!(node.get_flag("rest"));
        let peers: Vec<&String> = node.get_many("peer").expect("peers").collect();
        assert_eq!(peers, ["a", "b"]);
        let matches = parsed(FILE, "mend testnet up");
        let testnet = matches.subcommand_matches("testnet").expect("testnet");
        let up = testnet.subcommand_matches("up").expect("up");
        assert_eq!(text(up, "genesis"), "other.json", "one command before all");
    }

    #[test]
    fn what_is_typed_goes_first() {
        let matches = parsed(FILE, "mend node --genesis x --peer c --threads 1");
        let node = matches.subcommand_matches("node").expect("node");
        assert_eq!((text(node, "genesis"), text(node, "threads")), ("x", "1"));
        let peers: Vec<&String> = node.get_many("peer").expect("peers").collect();
        assert_eq!(peers, ["c"]);
        let off = parsed("[node]\nrest = false\nthreads = 1", "mend node");
        assert!(
            !off.subcommand_matches("node")
                .expect("node")
                .get_flag("rest")
        );
    }

    #[test]
    fn wrong_entries_are_named() {
        for (text, named) in [
            ("colour = 1", "--colour"),
            ("[node]\ncolour = 1", "[node] has no option --colour"),
            ("[nodes]\nrest = true", "[nodes]"),
            (
                "rest = true\ngenesis = ",
                "line 2: string values must be quoted",
            ),
            ("genesis = 2026-01-01", "neither text"),
        ] {
            let error = format!("{:#}", defaults(command(), text).expect_err(text));
            assert!(error.contains(named), "{text}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
