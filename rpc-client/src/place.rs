//! Where a node is: its data directory says on which port it answers, and holds the cookie for calls.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

/// Where a node answers unless its data directory says something else.
pub const DEFAULT_URL: &str = "http://127.0.0.1:18443";
/// The network of `mend node` without arguments.
const DEFAULT_NETWORK: &str = "mend-local";

/// The options by which every command finds a node.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct PlaceArgs {
    /// The node's network, which names its default folder: a genesis.json, or one that is built in (mend-local, bitcoin-regtest).
    #[arg(long, global = true, value_name = "FILE|NAME", env = "MEND_GENESIS")]
    pub genesis: Option<String>,
    /// The node's folder, which holds its cookie and says where its RPC is [default: ~/.mend/NETWORK].
    #[arg(long, global = true, value_name = "DIR", env = "MEND_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
}

impl PlaceArgs {
    /// The folder with the cookie: the data directory itself, or its `regtest` folder where Bitcoin Core keeps it.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        let Some(given) = &self.data_dir else {
            let home = std::env::var_os("HOME").unwrap_or_default();
            let network = self.genesis.as_deref().map(network_name);
            let network = network.unwrap_or_else(|| DEFAULT_NETWORK.to_owned());
            return PathBuf::from(home).join(".mend").join(network);
        };
        let of_core = given.join("regtest");
        if !given.join(".cookie").exists() && of_core.join(".cookie").exists() {
            return of_core;
        }
        given.clone()
    }
}

/// The name in a genesis.json, or the text itself: the name of a built-in network.
fn network_name(genesis: &str) -> String {
    let in_file = || {
        let text = std::fs::read_to_string(genesis).ok()?;
        let file: Value = serde_json::from_str(&text).ok()?;
        file["name"].as_str().map(str::to_owned)
    };
    in_file().unwrap_or_else(|| genesis.to_owned())
}

/// The cookie file in a data directory.
#[must_use]
pub fn cookie_file(data_dir: &Path) -> PathBuf {
    data_dir.join(".cookie")
}

/// The RPC address that a running node wrote into its data directory: the port may be another than the usual.
#[must_use]
pub fn published_url(data_dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(data_dir.join("node.json")).ok()?;
    let node: Value = serde_json::from_str(&text).ok()?;
    Some(node.get("rpc")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_names_the_default_folder() {
        let folder = std::env::temp_dir().join(format!("mend-place-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("genesis.json");
        std::fs::write(&file, r#"{"name": "lab", "pow": {}}"#).expect("written");
        let of = |genesis: &str| PlaceArgs {
            genesis: Some(genesis.to_owned()),
            data_dir: None,
        };
        assert!(
            of("bitcoin-regtest")
                .folder()
                .ends_with(".mend/bitcoin-regtest")
        );
        assert!(
            of(file.to_str().expect("text"))
                .folder()
                .ends_with(".mend/lab")
        );
        assert!(PlaceArgs::default().folder().ends_with(".mend/mend-local"));
        let given = PlaceArgs {
            data_dir: Some(folder.clone()),
            ..of("bitcoin-regtest")
        };
        assert_eq!(given.folder(), folder);
        std::fs::create_dir_all(folder.join("regtest")).expect("a folder");
        std::fs::write(folder.join("regtest/.cookie"), "a:b").expect("written");
        assert_eq!(given.folder(), folder.join("regtest"));
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
