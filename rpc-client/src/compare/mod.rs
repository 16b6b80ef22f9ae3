//! `mend compare`: where two nodes differ, in few questions.
//!
//! First the chains: the highest block that both have, by halving heights. Then the coins at that block: a hash of all, and where it differs,
//! hashes of ever smaller ranges, sixteen for each that differs, until the coins themselves can be listed.

mod coins;
mod found;
mod pair;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::{Auth, Client, place};
use coins::differing_coins;
use found::{json_of, text_of};
use pair::{NAMES, Pair};

pub use coins::CoinDifference;
pub use found::{Comparison, Fork};
pub use pair::{Ask, CompareError};

const EXAMPLES: &str = "\
Examples:
  mend compare http://127.0.0.1:18443 ~/other-node
  mend compare http://user:password@127.0.0.1:18443 http://user:password@127.0.0.1:18453 --json";

/// Find the first block in which two nodes differ, and the coins that differ at one block.
///
/// The exit code is 0 when they agree (one may be ahead), 1 when they differ, and 2 when they cannot be asked.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CompareArgs {
    /// The data directory of a running node, or its URL, with user:password@ if it asks for one.
    first: String,
    /// The other node.
    second: String,
    /// Tell the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

/// Compares two nodes.
///
/// # Errors
///
/// [`CompareError`].
pub fn compare<A: Ask>(first: &mut A, second: &mut A) -> Result<Comparison, CompareError> {
    let mut pair = Pair {
        nodes: [first, second],
        questions: [0; 2],
    };
    let counts = pair.both("getblockcount", &json!([]))?;
    let height_of = |which: usize| {
        counts[which].as_u64().ok_or(CompareError::Strange {
            node: NAMES[which],
            method: "getblockcount",
        })
    };
    let heights = [height_of(0)?, height_of(1)?];
    let (common, fork) = last_common(&mut pair, heights[0].min(heights[1]))?;
    let (coins, more) = differing_coins(&mut pair, &common.1)?;
    Ok(Comparison {
        heights,
        common,
        fork,
        coins,
        more,
        questions: pair.questions,
    })
}

/// The highest block that both have, and the one above it of each if both have one.
fn last_common<A: Ask>(
    pair: &mut Pair<'_, A>,
    lower: u64,
) -> Result<((u64, String), Option<Fork>), CompareError> {
    let [a, b] = pair.hashes_at(lower)?;
    if a == b {
        return Ok(((lower, a), None));
    }
    let mut differs = Fork {
        height: lower,
        blocks: [a, b],
    };
    let [a, b] = pair.hashes_at(0)?;
    if a != b {
        return Err(CompareError::Networks(a, b));
    }
    let mut same = (0, a);
    while same.0 + 1 < differs.height {
        let height = u64::midpoint(same.0, differs.height);
        let [a, b] = pair.hashes_at(height)?;
        if a == b {
            same = (height, a);
        } else {
            differs = Fork {
                height,
                blocks: [a, b],
            };
        }
    }
    Ok((same, Some(differs)))
}

/// Runs `mend compare`.
#[must_use]
pub fn run(args: &CompareArgs) -> ExitCode {
    let compared = client_of(&args.first).and_then(|mut first| {
        let mut second = client_of(&args.second)?;
        compare(&mut first, &mut second)
    });
    match compared {
        Ok(found) => {
            let printed = if args.json {
                terminal::line(json_of(&found))
            } else {
                terminal::line(text_of(&found))
            };
            match printed {
                Ok(()) => ExitCode::from(u8::from(found.differs())),
                Err(error) => error.exit_code(),
            }
        }
        Err(error) => {
            terminal::note(format_args!("error: {error}"));
            ExitCode::from(2)
        }
    }
}

/// A URL, or the data directory of a running node, which tells its own.
fn client_of(place: &str) -> Result<Client, CompareError> {
    let dir = PathBuf::from(place);
    if !dir.is_dir() {
        return Ok(Client::new(place, Auth::None).with_timeout(std::time::Duration::ZERO));
    }
    let no_node = || CompareError::NoNode(place.to_owned());
    let url = place::published_url(&dir).ok_or_else(no_node)?;
    let auth = Auth::Cookie(place::cookie_file(&dir));
    Ok(Client::new(&url, auth).with_timeout(std::time::Duration::ZERO))
}
