//! `mend cli`: one call from the command line, with the habits of `bitcoin-cli`.
//!
//! The exit code is the absolute value of the error code, 1 when the node could not be asked; strings are printed without
//! quotes, null prints nothing, everything else is JSON indented by two.

mod convert;
mod indent;
mod options;
mod summary;

use std::io::BufRead;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use crate::client::Client;
use crate::error::RpcError;
use crate::place::PlaceArgs;
use options::Options;

/// How long to wait between two tries of `-rpcwait`.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How long one call may take: as in `bitcoin-cli`.
const CALL_TIMEOUT_S: u64 = 900;

const OPTIONS_HELP: &str = "\
Options, before the method, with one dash or two:
  -datadir=DIR          the node's data directory [default: ~/.mend/mend-local]
  -rpcconnect=HOST      [default: 127.0.0.1]
  -rpcport=PORT         [default: as the node wrote into its data directory, else 18443]
  -rpccookiefile=FILE   [default: .cookie in the data directory]
  -rpcuser=U -rpcpassword=P
  -rpcwait              wait until the node answers, at most -rpcwaittimeout=SECONDS
  -rpcclienttimeout=N   seconds that a call may take, 0 for ever [default: 900]
  -named                parameters are name=value
  -stdin                more parameters come from standard input, one a line
  -getinfo              the node's state on one screen
  -generate [N] ADDRESS mine N blocks that pay ADDRESS

Examples:
  mend cli getblockchaininfo
  mend cli -rpcport=18444 getblock $(mend cli getbestblockhash) 2
  mend cli -named getblockhash height=0
  mend cli help getblock";

/// Call a node's RPC.
#[derive(Args, Debug)]
#[command(after_help = OPTIONS_HELP)]
pub struct CliArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Options, the method and its parameters; `help` lists the methods.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    words: Vec<String>,
}

/// Why there is nothing to print.
enum Failure {
    /// The command line is wrong, or the node could not be asked.
    Local(String),
    /// The node refused.
    Node(i64, String),
}

impl From<RpcError> for Failure {
    fn from(error: RpcError) -> Failure {
        match error {
            RpcError::Rpc { code, message } => Failure::Node(code, message),
            other => Failure::Local(other.to_string()),
        }
    }
}

/// Runs `mend cli`: prints the result or the error, and gives the exit code.
pub fn run(args: &CliArgs) -> ExitCode {
    match call(args) {
        Ok(Some(text)) => match terminal::line(text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => error.exit_code(),
        },
        Ok(None) => ExitCode::SUCCESS,
        Err(Failure::Local(text)) => {
            terminal::note(format_args!("error: {text}"));
            ExitCode::from(1)
        }
        Err(Failure::Node(code, message)) => {
            terminal::note(format_args!(
                "error code: {code}\nerror message:\n{message}"
            ));
            // As a shell sees the exit status of bitcoin-cli: the low eight bits, and never success.
            let code = u8::try_from(code.unsigned_abs() & 0xff).unwrap_or(1);
            ExitCode::from(code.max(1))
        }
    }
}

fn call(args: &CliArgs) -> Result<Option<String>, Failure> {
    let (options, mut words) =
        options::parse(args.place.clone(), &args.words).map_err(Failure::Local)?;
    if options.stdin {
        for line in std::io::stdin().lock().lines() {
            words.push(line.map_err(|error| Failure::Local(format!("standard input: {error}")))?);
        }
    }
    if options.get_info {
        return Ok(Some(patiently(&options, summary::summary)?));
    }
    let (method, params) = if options.generate {
        ("generatetoaddress".to_owned(), generate_params(&words)?)
    } else {
        let (method, params) = words
            .split_first()
            .ok_or_else(|| Failure::Local("too few parameters; need at least a method".into()))?;
        let params = if options.named {
            convert::named(method, params)
        } else {
            convert::positional(method, params)
        };
        (method.clone(), params.map_err(Failure::Local)?)
    };
    let result = patiently(&options, |client| client.call_text(&method, params.clone()))?;
    Ok(shown(&result))
}

/// With `-rpcwait`, tries again for as long as the node is not up. Each try looks anew where it is: a node that starts tells its
/// port in its data directory.
fn patiently<T>(
    options: &Options,
    mut attempt: impl FnMut(&Client) -> Result<T, RpcError>,
) -> Result<T, RpcError> {
    let start = Instant::now();
    let limit = Duration::from_secs(options.wait_timeout_s);
    let timeout = Duration::from_secs(options.client_timeout_s.unwrap_or(CALL_TIMEOUT_S));
    loop {
        match attempt(&options.client().with_timeout(timeout)) {
            Err(error)
                if options.wait
                    && error.may_pass_with_time()
                    && (limit.is_zero() || start.elapsed() < limit) =>
            {
                std::thread::sleep(RETRY_PAUSE);
            }
            done => return done,
        }
    }
}

/// `-generate [N] ADDRESS`: this node has no wallet, so the address must be given.
fn generate_params(words: &[String]) -> Result<Value, Failure> {
    let (count, address) = match words {
        [address] if address.parse::<u32>().is_err() => ("1", address),
        [count, address] => (count.as_str(), address),
        _ => {
            return Err(Failure::Local(
                "-generate needs an address to pay, as in: mend cli -generate 5 bcrt1q...; \
                 mend wallet address makes one"
                    .into(),
            ));
        }
    };
    let count: u32 = count
        .parse()
        .map_err(|_| Failure::Local(format!("-generate: {count} is not a number of blocks")))?;
    Ok(json!([count, address]))
}

/// How a result is printed; `None`: not at all.
fn shown(result: &str) -> Option<String> {
    match serde_json::from_str(result) {
        Ok(Value::Null) => None,
        Ok(Value::String(text)) => Some(text),
        _ => Some(indent::indented(result)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_printed_as_bitcoin_cli_does() {
        assert_eq!(shown("null"), None);
        assert_eq!(shown(r#""ab""#), Some("ab".into()));
        assert_eq!(shown("0.10000000"), Some("0.10000000".into()));
        assert_eq!(shown(r#"{"a":1}"#), Some("{\n  \"a\": 1\n}".into()));
    }

    #[test]
    fn generate_wants_an_address() {
        let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            generate_params(&words(&["5", "a"])).ok(),
            Some(json!([5, "a"]))
        );
        assert_eq!(generate_params(&words(&["a"])).ok(), Some(json!([1, "a"])));
        assert!(generate_params(&words(&["5"])).is_err());
        assert!(generate_params(&words(&[])).is_err());
    }
}
