//! Recorded runs: where they are, and how they are read.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use crate::page;
use crate::record::{self, Record, RunFolder};
use crate::tell::Report;

/// Where runs are kept unless another place is named.
pub(super) const RUNS: &str = "runs";

/// A recorded run.
#[derive(Args, Debug)]
pub(super) struct Run {
    /// The folder of a run (below `runs` its name alone is enough), or a record by itself.
    #[arg(value_name = "RUN")]
    path: PathBuf,
    /// Take a record without an end too: of a run that goes on, or was broken off.
    #[arg(long)]
    broken_off: bool,
}

impl Run {
    pub(super) fn read(&self) -> anyhow::Result<Record> {
        read(&self.path, self.broken_off)
    }

    /// Where the two files of a report go.
    pub(super) fn outputs(&self, out: Option<&Path>) -> anyhow::Result<Outputs> {
        if let Some(out) = out {
            std::fs::create_dir_all(out)
                .with_context(|| format!("cannot make {}", out.display()))?;
            return Ok(Outputs {
                json: out.join("report.json"),
                html: out.join("report.html"),
            });
        }
        let path = place(&self.path);
        if path.is_dir() {
            return Ok(Outputs::of(&RunFolder::open(path)?));
        }
        // A record by itself may lie among others.
        Ok(Outputs {
            json: path.with_extension("json"),
            html: path.with_extension("html"),
        })
    }
}

/// A path as it is, or below the folder of runs.
fn place(path: &Path) -> PathBuf {
    let below = Path::new(RUNS).join(path);
    match !path.exists() && below.is_dir() {
        true => below,
        false => path.to_owned(),
    }
}

/// Reads the record of a run's folder, or one by itself.
pub(super) fn read(path: &Path, broken_off: bool) -> anyhow::Result<Record> {
    let path = match place(path) {
        folder if folder.is_dir() => RunFolder::open(folder)?.record(),
        record => record,
    };
    let shown = path.display();
    let file = File::open(&path).with_context(|| {
        format!("cannot open {shown}; give the folder of a run, or its record.jsonl")
    })?;
    let lines = BufReader::new(file);
    let record = match broken_off {
        true => record::read_so_far(lines),
        false => record::read(lines),
    };
    record.with_context(|| match broken_off {
        true => shown.to_string(),
        false => format!("{shown} (for a run that goes on or was broken off add --broken-off)"),
    })
}

/// The two files of a report.
pub(super) struct Outputs {
    pub(super) json: PathBuf,
    pub(super) html: PathBuf,
}

impl Outputs {
    pub(super) fn of(folder: &RunFolder) -> Outputs {
        Outputs {
            json: folder.report_json(),
            html: folder.report_html(),
        }
    }

    pub(super) fn write(&self, record: &Record, report: &Report) -> anyhow::Result<()> {
        let text = serde_json::to_string(report)?;
        for (path, content) in [(&self.json, text), (&self.html, page::html(record, report))] {
            std::fs::write(path, content)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}
