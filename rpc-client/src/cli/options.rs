//! The options of `bitcoin-cli`: `-name=value`, with one dash or two.

use std::path::{Path, PathBuf};

use crate::auth::Auth;
use crate::client::Client;
use crate::place::{PlaceArgs, cookie_file, published_url};

/// Where a node's RPC is unless something else is said.
const DEFAULT_PORT: u16 = 18443;

/// What stands before the method.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    connect: Option<String>,
    port: Option<u16>,
    cookie_file: Option<PathBuf>,
    user: Option<String>,
    password: Option<String>,
    place: PlaceArgs,
    wallet: Option<String>,
    /// Parameters are `name=value`.
    pub(super) named: bool,
    /// More parameters come from standard input, one a line.
    pub(super) stdin: bool,
    /// Wait until the node answers.
    pub(super) wait: bool,
    /// Give up waiting after so many seconds; 0 for never.
    pub(super) wait_timeout_s: u64,
    /// How long one call may take, in seconds; 0 for ever.
    pub(super) client_timeout_s: Option<u64>,
    /// A summary instead of a call.
    pub(super) get_info: bool,
    /// Mine instead of a call.
    pub(super) generate: bool,
}

/// Takes the options off the front of `words`, above what is known of the node's `place`; what is left is the method and its parameters.
///
/// # Errors
///
/// A sentence about the option that is wrong.
pub(super) fn parse(place: PlaceArgs, words: &[String]) -> Result<(Options, Vec<String>), String> {
    let mut options = Options {
        place,
        ..Options::default()
    };
    let mut rest = words.iter();
    let mut left = Vec::new();
    while let Some(word) = rest.next() {
        // After the method, words that start with a dash are parameters (negative numbers).
        let Some(option) = word.strip_prefix('-').filter(|option| !option.is_empty()) else {
            left.push(word.clone());
            break;
        };
        let option = option.strip_prefix('-').unwrap_or(option);
        // As all other commands of Mend take it.
        match rest
            .as_slice()
            .first()
            .filter(|_| ["data-dir", "genesis"].contains(&option))
        {
            Some(value) => {
                options.take(&format!("{option}={value}"))?;
                rest.next();
            }
            None => options.take(option)?,
        }
    }
    left.extend(rest.cloned());
    Ok((options, left))
}

impl Options {
    fn take(&mut self, option: &str) -> Result<(), String> {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        };
        let text = || {
            value
                .map(str::to_owned)
                .ok_or_else(|| format!("-{name} needs a value; write -{name}=VALUE"))
        };
        let number = || {
            text()?
                .parse::<u64>()
                .map_err(|_| format!("-{name} needs a whole number, got {option}"))
        };
        let on = value != Some("0");
        match name {
            "rpcconnect" => self.connect = Some(text()?),
            "rpcport" => {
                let port = u16::try_from(number()?).map_err(|_| format!("{option}: no such port"));
                self.port = Some(port?);
            }
            "rpccookiefile" => self.cookie_file = Some(text()?.into()),
            "rpcuser" => self.user = Some(text()?),
            "rpcpassword" => self.password = Some(text()?),
            "rpcwallet" => self.wallet = Some(text()?),
            "rpcclienttimeout" => self.client_timeout_s = Some(number()?),
            "rpcwait" => self.wait = on,
            "rpcwaittimeout" => self.wait_timeout_s = number()?,
            "datadir" | "data-dir" => self.place.data_dir = Some(text()?.into()),
            "regtest" if on => self.place.genesis = Some(name_here("regtest")),
            "chain" | "network" | "genesis" => self.place.genesis = Some(name_here(&text()?)),
            "named" => self.named = on,
            "stdin" => self.stdin = on,
            "getinfo" => self.get_info = on,
            "generate" => self.generate = on,
            _ => return Err(format!("unknown option -{name}; see mend cli --help")),
        }
        Ok(())
    }

    /// A client of the node that the options name.
    pub(super) fn client(&self) -> Client {
        let data_dir = self.place.folder();
        let auth = match (&self.user, &self.password, &self.cookie_file) {
            (_, Some(password), None) => {
                Auth::UserPass(self.user.clone().unwrap_or_default(), password.clone())
            }
            (_, _, Some(cookie)) => Auth::Cookie(cookie.clone()),
            _ => Auth::Cookie(cookie_file(&data_dir)),
        };
        let mut url = self.url(&data_dir);
        if let Some(wallet) = &self.wallet {
            url.push_str(&format!("/wallet/{wallet}"));
        }
        Client::new(&url, auth)
    }

    fn url(&self, data_dir: &Path) -> String {
        if self.connect.is_none()
            && self.port.is_none()
            && let Some(url) = published_url(data_dir)
        {
            return url;
        }
        let host = self.connect.as_deref().unwrap_or("127.0.0.1");
        match self.port {
            None if host.contains(':') => format!("http://{host}"),
            port => format!("http://{host}:{}", port.unwrap_or(DEFAULT_PORT)),
        }
    }
}

/// Bitcoin Core's name of a network in ours.
fn name_here(network: &str) -> String {
    match network {
        "regtest" => "bitcoin-regtest".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_end_at_the_method() {
        let (options, left) = parse(
            PlaceArgs::default(),
            &words("-rpcport=1 --rpcuser=u -rpcpassword=p -named x -a b=-1"),
        )
        .expect("valid");
        assert_eq!(options.port, Some(1));
        assert!(options.named);
        assert_eq!(left, ["x", "-a", "b=-1"]);
        assert_eq!(options.client().url(), "http://127.0.0.1:1/");
    }

    #[test]
    fn wrong_options_are_named() {
        for (line, part) in [
            ("-rpcport=x", "whole number"),
            ("-rpcport=70000", "no such port"),
            ("-rpcuser", "-rpcuser=VALUE"),
            ("-colour=1", "unknown option -colour"),
        ] {
            let error = parse(PlaceArgs::default(), &words(line)).expect_err(line);
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn a_host_may_bring_its_port() {
        let (options, _) = parse(PlaceArgs::default(), &words("-rpcconnect=h:5")).expect("valid");
        assert_eq!(options.client().url(), "http://h:5/");
    }
}
