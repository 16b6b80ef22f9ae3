//! `mend backup` and `mend restore`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use chain::backup::{self, BackupError, Manifest};
use chain::{OpenError, Params};
use clap::Args;
use rpc_client::{Auth, Client};
use serde::Deserialize;
use serde_json::json;

use super::{ChainArgs, load_params, progress};
use node_host::{Clock, DataDir};

const BACKUP_EXAMPLES: &str = "\
Examples:
  mend backup /mnt/backup/monday --data-dir node
  mend backup /mnt/a/monday /mnt/b/monday --data-dir node";
const RESTORE_EXAMPLES: &str = "\
Examples:
  mend restore /mnt/backup/monday --data-dir new-node
  mend restore /mnt/backup/monday --verify-only
  mend restore /mnt/backup/monday --drill --json     # for cron: the exit code tells";

/// Back up a chain to new directories, whether its node runs or not.
#[derive(Args, Debug)]
#[command(after_help = BACKUP_EXAMPLES)]
pub struct BackupArgs {
    /// The directories to write; they must hold no chain. All get the same state, and each stands for itself.
    #[arg(required = true)]
    dirs: Vec<PathBuf>,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Restore a backup to a new data directory, and verify it; or only verify it.
#[derive(Args, Debug)]
#[command(after_help = RESTORE_EXAMPLES)]
pub struct RestoreArgs {
    /// The directory of the backup.
    dir: PathBuf,
    /// Write nothing: compare the file's hash, the tip and the hash of the coins with the manifest.
    #[arg(long, conflicts_with = "drill")]
    verify_only: bool,
    /// Restore to a scratch directory, which is removed again, and connect all blocks once more with all checks.
    #[arg(long)]
    drill: bool,
    /// Where the scratch directory of a drill is made [default: the system's folder for temporary files].
    #[arg(long, value_name = "DIR", requires = "drill")]
    scratch: Option<PathBuf>,
    #[command(flatten)]
    chain: ChainArgs,
}

/// What came of one destination. The RPC answers the same.
#[derive(Debug, Deserialize)]
struct Outcome {
    destination: PathBuf,
    manifest: Option<Manifest>,
    error: Option<String>,
}

/// Runs `mend backup`.
///
/// # Errors
///
/// When the chain cannot be read or one of the copies not be written; what came of each is told before.
pub fn backup(args: BackupArgs) -> anyhow::Result<()> {
    let dirs: Vec<PathBuf> = args
        .dirs
        .iter()
        .map(std::path::absolute)
        .collect::<Result<_, _>>()?;
    let outcomes = match args.chain.look() {
        Ok(chain) => {
            let results = backup::copy_to_all(&chain, &dirs, &mut |_| {});
            dirs.into_iter().zip(results).map(outcome).collect()
        }
        Err(error) => match error.downcast_ref::<OpenError>() {
            Some(OpenError::InUse { .. }) => backup_of_running_node(&args.chain, &dirs)?,
            _ => return Err(error),
        },
    };
    let told = tell_outcomes(&args.chain, &outcomes);
    let failed: Vec<&Outcome> = outcomes
        .iter()
        .filter(|outcome| outcome.error.is_some())
        .collect();
    match (failed.as_slice(), outcomes.len()) {
        ([], _) => Ok(told?),
        ([only], 1) => Err(anyhow!(only.error.clone().unwrap_or_default())),
        (failed, all) => bail!(
            "{} of {all} copies were not made, see above; the others are whole",
            failed.len()
        ),
    }
}

fn outcome((destination, result): (PathBuf, Result<Manifest, BackupError>)) -> Outcome {
    let (manifest, error) = match result {
        Ok(manifest) => (Some(manifest), None),
        Err(error) => (None, Some(error.to_string())),
    };
    Outcome {
        destination,
        manifest,
        error,
    }
}

fn tell_outcomes(args: &ChainArgs, outcomes: &[Outcome]) -> Result<(), terminal::PrintError> {
    let texts = outcomes.iter().map(|outcome| {
        let shown = outcome.destination.display();
        match (&outcome.manifest, &outcome.error) {
            (Some(manifest), _) => format!("backup in {shown}\n{}", described(manifest)),
            (None, error) => {
                let error = error.as_deref().unwrap_or("unknown");
                format!("no backup in {shown}: {error}")
            }
        }
    });
    let text = texts.collect::<Vec<String>>().join("\n");
    let values = outcomes.iter().map(|outcome| match &outcome.manifest {
        Some(manifest) => json!({"destination": outcome.destination, "manifest": manifest}),
        None => json!({"destination": outcome.destination, "error": outcome.error}),
    });
    let json = match (outcomes, &outcomes[0].manifest) {
        ([_], Some(manifest)) => json!(manifest),
        _ => json!(values.collect::<Vec<_>>()),
    };
    args.tell(&text, &json)
}

/// The node itself makes the copies: only it can read its chain.
fn backup_of_running_node(chain: &ChainArgs, dirs: &[PathBuf]) -> anyhow::Result<Vec<Outcome>> {
    let data_dir = chain.data_dir(&load_params(&chain.genesis)?);
    let file = data_dir.join("node.json");
    let text = std::fs::read_to_string(&file).with_context(|| {
        format!(
            "the chain is in use, and {} does not tell by whom; stop that process",
            file.display()
        )
    })?;
    let node: serde_json::Value = serde_json::from_str(&text)?;
    let url = node["rpc"].as_str().unwrap_or_default();
    let client = Client::new(url, Auth::Cookie(data_dir.join(".cookie")))
        .with_timeout(std::time::Duration::ZERO);
    let dirs = dirs.iter().map(|dir| dir.to_str());
    let dirs: Vec<&str> = dirs
        .collect::<Option<_>>()
        .ok_or_else(|| anyhow!("the paths must be text; choose others"))?;
    Ok(serde_json::from_value(
        client.call("backup", json!([dirs]))?,
    )?)
}

/// Runs `mend restore`.
///
/// # Errors
///
/// When the backup does not verify, or the data directory holds a chain already.
pub fn restore(args: RestoreArgs) -> anyhow::Result<()> {
    let params = Arc::new(load_params(&args.chain.genesis)?);
    let options = args.chain.options();
    if args.drill {
        return drill(&args, &params);
    }
    let shown = args.dir.display();
    let (manifest, done) = if args.verify_only {
        let manifest = backup::check(&args.dir, params, options)?;
        (manifest, format!("the backup in {shown} is whole"))
    } else {
        let dir = DataDir::create(&args.chain.data_dir(&params))?;
        let (_, manifest) = backup::restore(&args.dir, dir.lock(), params, options, &mut |_| {})?;
        let done = format!("restored to {}, and verified", dir.path().display());
        (manifest, done)
    };
    let text = format!("{done}\n{}", described(&manifest));
    args.chain.tell(&text, &json!(manifest))?;
    Ok(())
}

/// One line, or one of JSON, and the exit code: for programs that run by themselves.
fn drill(args: &RestoreArgs, params: &Arc<Params>) -> anyhow::Result<()> {
    let clock = Clock::new(0);
    let scratch = args.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let bar = progress::bar(0, "drilling {bar:30} {percent:>3}%  {pos} steps  ETA {eta}");
    let drilled = backup::drill(
        &args.dir,
        &scratch,
        Arc::clone(params),
        args.chain.options(),
        &mut |_| {},
        &mut |done, all| {
            bar.set_length(u64::from(all));
            bar.set_position(u64::from(done));
        },
    );
    bar.finish_and_clear();
    let seconds = clock.uptime().as_secs_f64();
    let dir = &args.dir;
    match drilled {
        Ok(drill) => {
            let text = format!(
                "the backup in {} restores: {} blocks connected again, {}, in {seconds:.1} s",
                dir.display(),
                drill.blocks,
                described(&drill.manifest),
            );
            let json = json!({
                "backup": dir,
                "ok": true,
                "blocks": drill.blocks,
                "seconds": seconds,
                "manifest": drill.manifest,
            });
            args.chain.tell(&text, &json)?;
            Ok(())
        }
        Err(error) => {
            if args.chain.json {
                let json = json!({
                    "backup": dir,
                    "ok": false,
                    "error": error.to_string(),
                    "seconds": seconds,
                });
                // Why the backup is bad matters more than that nobody reads it.
                let _ = args.chain.tell("", &json);
            }
            Err(anyhow!(error).context(format!("the backup in {} does not restore", dir.display())))
        }
    }
}

fn described(manifest: &Manifest) -> String {
    format!(
        "network {}, tip {} at height {}, {} coins, MuHash {}",
        manifest.network, manifest.tip, manifest.height, manifest.coins, manifest.muhash
    )
}
