//! Where a scenario comes from: a file, or the program itself.

use anyhow::{Context as _, bail};
use clap::Args;

use super::library;
use crate::scenario::{Change, Scenario};

/// A scenario, perhaps with some fields changed.
#[derive(Args, Debug)]
pub(super) struct ScenarioArgs {
    /// A scenario file, or the name of a scenario of the program (`mend lab list`).
    #[arg(value_name = "SCENARIO")]
    source: String,
    /// Change a field of the file, as in --set spacing=10s or --set link.delay_ms=200.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    changes: Vec<Change>,
}

impl ScenarioArgs {
    pub(super) fn read(&self) -> anyhow::Result<Scenario> {
        read(&self.source, &self.changes)
    }

    /// As it was given.
    pub(super) fn source(&self) -> &str {
        &self.source
    }
}

/// Reads a file, or takes a scenario of the program: a file comes first.
pub(super) fn read(source: &str, changes: &[Change]) -> anyhow::Result<Scenario> {
    let text = match (std::fs::read_to_string(source), library::find(source)) {
        (Ok(text), _) => text,
        (Err(_), Some(shipped)) => shipped.text.to_owned(),
        (Err(error), None) => bail!(
            "cannot read {source}: {error}; give a scenario file, or a name that `mend lab list` shows"
        ),
    };
    Scenario::from_toml_with(&text, changes).with_context(|| source.to_owned())
}
