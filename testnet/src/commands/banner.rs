//! What a person copies next, right after the start.

use std::fmt::Write as _;

use bitcoin::Amount;

use crate::real::Manifest;

/// Addresses, cookies, funded accounts, and commands to try.
pub(super) fn banner(manifest: &Manifest, dir: &str) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "Testnet {}: {} nodes\n",
        manifest.name,
        manifest.nodes.len()
    );
    let _ = writeln!(text, "Nodes");
    for node in &manifest.nodes {
        let mining = match node.mining {
            0 => String::new(),
            rate => format!("  mines at {rate} H/s"),
        };
        let _ = writeln!(
            text,
            "  ({}) {}  {}{mining}",
            node.index,
            node.rpc,
            node.cookie.display()
        );
    }
    let _ = writeln!(
        text,
        "\nAccounts (known to everybody: worthless outside of this testnet)"
    );
    for account in &manifest.accounts {
        let _ = writeln!(
            text,
            "  ({}) {}  {}  {}",
            account.index,
            account.address,
            Amount::from_sat(account.funded_sat),
            account.derivation
        );
    }
    if let Some(http) = &manifest.http {
        let _ = writeln!(
            text,
            "\nHTTP\n  {}/1  for regtest-client (APIURL)\n  curl -d '{{\"address\": \"bcrt1...\", \"amount\": 0.5}}' {}/faucet",
            http.url, http.url
        );
    }
    let _ = writeln!(text, "\nWords\n  {}", manifest.words);
    let _ = writeln!(
        text,
        "\nFiles\n  {dir}/testnet.json\n  {}",
        manifest.genesis.display()
    );
    let at = if dir == ".mend-testnet" {
        String::new()
    } else {
        format!(" --dir {dir}")
    };
    let last = manifest.nodes.len().saturating_sub(1);
    let _ = writeln!(text, "\nTry");
    let _ = writeln!(text, "  mend testnet{at} status");
    let _ = writeln!(text, "  mend testnet{at} pay 0 1 2.5");
    if last >= 1 {
        let _ = writeln!(text, "  mend testnet{at} partition {}", halves(last + 1));
        let _ = writeln!(text, "  mend testnet{at} mine {last} 5");
        let _ = writeln!(text, "  mend testnet{at} heal");
    }
    if let Some(node) = manifest.nodes.first() {
        let address = node.rpc.trim_start_matches("http://");
        let (host, port) = address.split_once(':').unwrap_or((address, ""));
        let _ = writeln!(
            text,
            "  mend cli -rpcconnect={host} -rpcport={port} -rpccookiefile={} getblockchaininfo",
            node.cookie.display()
        );
        if let Some(account) = manifest.accounts.first() {
            let _ = writeln!(
                text,
                "  mend mine --rpc http://{address} --address {}",
                account.segwit_address
            );
        }
    }
    let _ = writeln!(text, "  mend testnet{at} down");
    text
}

/// The nodes in two groups, the first one larger: `0,1,2/3,4`.
fn halves(nodes: usize) -> String {
    let list = |range: std::ops::Range<usize>| {
        let names: Vec<String> = range.map(|node| node.to_string()).collect();
        names.join(",")
    };
    let middle = nodes.div_ceil(2);
    format!("{}/{}", list(0..middle), list(middle..nodes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_partition_names_every_node() {
        assert_eq!(halves(5), "0,1,2/3,4");
        assert_eq!(halves(2), "0/1");
    }
}
