//! `mend lab new`: a scenario to begin with.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;

/// Write a scenario with a comment on every field, to be changed.
///
/// Example: mend lab new my.toml
#[derive(Args, Debug)]
pub(super) struct NewArgs {
    /// The file to write; none may be there.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// The file, but for its name.
const TEMPLATE: &str = include_str!("template.toml");

pub(super) fn run(args: &NewArgs) -> anyhow::Result<()> {
    let path = args.file.display();
    let mut file = match OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&args.file)
    {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{path} is there already; name another file")
        }
        Err(error) => return Err(error).with_context(|| format!("cannot make {path}")),
    };
    let stem = args.file.file_stem().unwrap_or_default().to_string_lossy();
    file.write_all(named(&stem).as_bytes())
        .with_context(|| format!("cannot write {path}"))?;
    terminal::line(format_args!("{path}   # mend lab run {path}"))?;
    Ok(())
}

fn named(name: &str) -> String {
    let quoted = toml::Value::String(name.to_owned()).to_string();
    TEMPLATE.replacen("\"new\"", &quoted, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;
    use crate::sim;
    use crate::tell::Report;

    #[test]
    fn the_template_runs_and_holds_what_it_expects() {
        let scenario = Scenario::from_toml(&named("a \"b\"")).unwrap();
        assert_eq!(scenario.name, "a \"b\"");
        let run = sim::simulate(&scenario, 1, None).unwrap();
        let report = Report::of(&run.record.unwrap());
        assert!(report.ok, "{report}");
        assert_eq!(report.heals.len(), 1);
    }

    #[test]
    fn what_is_commented_out_can_be_used() {
        let with_all: Vec<&str> = TEMPLATE
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .collect();
        assert!(with_all.len() > TEMPLATE.matches("#: ").count());
        let scenario = Scenario::from_toml(&with_all.join("\n")).unwrap();
        crate::plan::Plan::of(&scenario, 1).unwrap();
    }
}
