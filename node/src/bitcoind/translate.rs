//! What Bitcoin Core's settings mean for a node of ours.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};

use super::settings::Setting;

/// What is to be run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Translated {
    /// Arguments of `mend node`.
    pub(super) args: Vec<String>,
    /// Whether it goes to the background.
    pub(super) daemon: bool,
    /// Settings that mean nothing here and that somebody may have counted on.
    pub(super) ignored: Vec<String>,
}

/// Settings of other networks.
const OTHER_NETWORKS: &[&str] = &["testnet", "testnet4", "signet"];

/// What has no meaning here, and what nobody misses: its effect is there anyway, or it is about speed and looks.
const WITHOUT_EFFECT: &[&str] = &[
    "server",
    "fallbackfee",
    "disablewallet",
    "wallet",
    "walletbroadcast",
    "walletrbf",
    "addresstype",
    "changetype",
    "blockfilterindex",
    "coinstatsindex",
    "debug",
    "debugexclude",
    "debuglogfile",
    "loglevel",
    "logips",
    "logsourcelocations",
    "logthreadnames",
    "logtimemicros",
    "logtimestamps",
    "printtoconsole",
    "printpriority",
    "shrinkdebugfile",
    "uacomment",
    "par",
    "rpcthreads",
    "rpcworkqueue",
    "rpcservertimeout",
    "rpcallowip",
    "discover",
    "dnsseed",
    "fixedseeds",
    "forcednsseed",
    "dns",
    "upnp",
    "natpmp",
    "listenonion",
    "keypool",
    "checkblocks",
    "checklevel",
    "checkmempool",
    "checkaddrman",
    "checkblockindex",
    "checkpoints",
    "stopatheight",
    "maxsigcachesize",
    "rpcdoccheck",
    "v2transport",
    "peertimeout",
    "timeout",
    "asmap",
    "unsafesqlitesync",
    "bantime",
    "blockreconstructionextratxn",
    "ipcbind",
    "rpccookieperms",
    "cjdnsreachable",
    "i2psam",
    "txreconciliation",
    "limitancestorcount",
    "limitdescendantcount",
    "acceptnonstdtxn",
    "minimumchainwork",
    "assumevalid",
    "capturemessages",
    "includeconf",
    "blocksxor",
    "maxuploadtarget",
    "txospenderindex",
];

/// What has no meaning here though it might be counted on: it is told.
const TOLD: &[&str] = &[
    "pid",
    "minrelaytxfee",
    "incrementalrelayfee",
    "dustrelayfee",
    "blockmintxfee",
    "blockmaxweight",
    "blockreservedweight",
    "blockversion",
    "mempoolexpiry",
    "mempoolfullrbf",
    "datacarrier",
    "datacarriersize",
    "permitbaremultisig",
    "bytespersigop",
    "whitelist",
    "whitebind",
    "whitelistrelay",
    "whitelistforcerelay",
    "peerbloomfilters",
    "peerblockfilters",
    "blocksonly",
    "maxorphantx",
    "maxtipage",
    "maxtxfee",
    "maxapsfee",
    "mintxfee",
    "paytxfee",
    "txconfirmtarget",
    "spendzeroconfchange",
    "avoidpartialspends",
    "discardfee",
    "consolidatefeerate",
    "walletdir",
    "walletnotify",
    "walletrejectlongchains",
    "walletcrosschain",
    "seednode",
    "externalip",
    "proxy",
    "onion",
    "onlynet",
    "onlynet",
    "rpccookiefile",
    "vbparams",
    "testactivationheight",
    "blocksdir",
    "settings",
    "allowignoredconf",
    "deprecatedrpc",
    "limitclustercount",
    "limitclustersize",
    "privatebroadcast",
];

/// What would mislead: why, and what to do instead.
const REFUSED: &[(&str, &str)] = &[
    (
        "zmqpub",
        "there is no ZeroMQ here, and nothing would ever come: read /events, or poll getbestblockhash",
    ),
    (
        "reindex",
        "nothing here is indexed apart from the chain: mend verify --repair mends a database",
    ),
    (
        "prune",
        "blocks are never pruned here: leave it out, or give -prune=0",
    ),
    ("blocknotify", "no program is run here: read /events"),
    ("alertnotify", "no program is run here: read /events"),
    (
        "startupnotify",
        "no program is run here: wait for the RPC port, or give -daemonwait",
    ),
    ("shutdownnotify", "no program is run here"),
    (
        "loadblock",
        "blocks are taken in before the node starts: mend import FILE",
    ),
    ("signetchallenge", "there is no signet here"),
    (
        "mocktime",
        "the clock stands still only when it is told so in a call: setmocktime",
    ),
];

/// Arguments of `mend node` for settings, the first of each name before the others (command line, then file), in the folder `base`.
///
/// # Errors
///
/// What is not for regtest, unknown, or would mislead.
pub(super) fn translate(settings: &[Setting], base: &Path) -> anyhow::Result<Translated> {
    let mut translated = Translated::default();
    let single = |name: &str| settings.iter().find(|setting| setting.name == name);
    let is_on = |name: &str| single(name).is_some_and(Setting::is_on);
    let is_regtest =
        is_on("regtest") || single("chain").is_some_and(|chain| chain.value == "regtest");
    if !is_regtest || OTHER_NETWORKS.iter().any(|network| is_on(network)) {
        bail!(
            "this stands in for bitcoind on regtest alone; give -regtest (mend node runs other networks of its own)"
        );
    }
    let args = &mut translated.args;
    let mut give = |option: &str, value: String| args.extend([format!("--{option}"), value]);
    give("genesis", "bitcoin-regtest".to_owned());
    give("data-dir", folder(base).display().to_string());
    let (mut rpc_host, mut rpc_port) = ("127.0.0.1".to_owned(), "18443".to_owned());
    if let Some(bind) = single("rpcbind") {
        let (host, port) = host_and_port(&bind.value);
        rpc_host = host;
        rpc_port = port.unwrap_or(rpc_port);
    }
    if let Some(port) = single("rpcport") {
        rpc_port = checked_port(port)?;
    }
    give("rpc", format!("{rpc_host}:{rpc_port}"));
    give("listen", listening(settings)?);
    for setting in settings {
        match setting.name.as_str() {
            "rpcuser" | "rpcpassword" | "rpcauth" | "rpcwhitelist" => {
                give(&setting.name, setting.value.clone());
            }
            "rpcwhitelistdefault" | "persistmempool" if is_first(settings, setting) => {
                give(&setting.name, setting.is_on().to_string());
            }
            "dbcache" if is_first(settings, setting) => give("dbcache", setting.value.clone()),
            "maxmempool" if is_first(settings, setting) => give("mempool", setting.value.clone()),
            "maxconnections" if is_first(settings, setting) => {
                give("max-inbound", setting.value.clone());
            }
            "connect" if setting.value != "0" => give("connect", peer(&setting.value)?),
            "addnode" => give("peer", peer(&setting.value)?),
            _ => {}
        }
    }
    for (name, option) in [("rest", "--rest"), ("txindex", "--txindex")] {
        if is_on(name) {
            translated.args.push(option.to_owned());
        }
    }
    let stays_alone = settings
        .iter()
        .any(|setting| setting.name == "connect" && setting.value == "0");
    if stays_alone {
        translated.args.push("--no-discovery".to_owned());
    }
    translated.daemon = is_on("daemon") || is_on("daemonwait");
    translated.ignored = ignored(settings)?;
    Ok(translated)
}

/// Bitcoin Core keeps what is of regtest in a folder of that name, with the cookie in it; so do we.
pub(super) fn folder(base: &Path) -> PathBuf {
    base.join("regtest")
}

fn is_first(settings: &[Setting], setting: &Setting) -> bool {
    let first = settings.iter().find(|other| other.name == setting.name);
    first.is_some_and(|first| std::ptr::eq(first, setting))
}

/// Names of settings that are taken over by [`translate`] and its caller.
const TAKEN: &[&str] = &[
    "regtest",
    "chain",
    "datadir",
    "conf",
    "rpcbind",
    "rpcport",
    "port",
    "bind",
    "listen",
    "rpcuser",
    "rpcpassword",
    "rpcauth",
    "rpcwhitelist",
    "rpcwhitelistdefault",
    "persistmempool",
    "dbcache",
    "maxmempool",
    "maxconnections",
    "connect",
    "addnode",
    "rest",
    "txindex",
    "daemon",
    "daemonwait",
    "testnet",
    "testnet4",
    "signet",
];

/// Settings that do nothing here and are told.
fn ignored(settings: &[Setting]) -> anyhow::Result<Vec<String>> {
    let mut told = Vec::new();
    for setting in settings {
        let name = setting.name.as_str();
        if let Some((_, why)) = REFUSED
            .iter()
            .find(|(refused, _)| name.starts_with(refused))
        {
            if setting.is_on() || setting.value.parse::<i64>().is_err() {
                bail!("-{name} cannot be had: {why}");
            }
        } else if TOLD.contains(&name) {
            told.push(format!("-{name}"));
        } else if !TAKEN.contains(&name) && !WITHOUT_EFFECT.contains(&name) {
            bail!(
                "-{name} is no setting of bitcoind that is known here; leave it out, or see mend node --help"
            );
        }
    }
    told.dedup();
    Ok(told)
}

/// Where it listens for peers. They speak libp2p, not Bitcoin's protocol.
fn listening(settings: &[Setting]) -> anyhow::Result<String> {
    let single = |name: &str| settings.iter().find(|setting| setting.name == name);
    // Nobody is told of a port that the system chooses.
    let is_closed = single("listen").is_some_and(|listen| !listen.is_on());
    let port = match single("port") {
        _ if is_closed => "0".to_owned(),
        Some(port) => checked_port(port)?,
        None => "18444".to_owned(),
    };
    let Some(bind) = single("bind").filter(|_| !is_closed) else {
        return Ok(multiaddress("127.0.0.1", &port));
    };
    // Core marks an address for Tor by what follows an equal sign.
    let address = bind.value.split('=').next().unwrap_or_default();
    let (host, own) = host_and_port(address);
    Ok(multiaddress(&host, &own.unwrap_or(port)))
}

fn peer(text: &str) -> anyhow::Result<String> {
    if text.starts_with('/') {
        return Ok(text.to_owned());
    }
    let (host, port) = host_and_port(text);
    Ok(multiaddress(
        &host,
        &port.unwrap_or_else(|| "18444".to_owned()),
    ))
}

fn multiaddress(host: &str, port: &str) -> String {
    let kind = match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => "ip4",
        Ok(IpAddr::V6(_)) => "ip6",
        Err(_) => "dns",
    };
    format!("/{kind}/{host}/tcp/{port}")
}

/// `HOST`, `HOST:PORT` or `[HOST]:PORT`.
fn host_and_port(text: &str) -> (String, Option<String>) {
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        return (host.to_owned(), rest.strip_prefix(':').map(str::to_owned));
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host.to_owned(), Some(port.to_owned())),
        _ => (text.to_owned(), None),
    }
}

fn checked_port(setting: &Setting) -> anyhow::Result<String> {
    let Setting { name, value } = setting;
    value
        .parse::<u16>()
        .map(|port| port.to_string())
        .map_err(|_| anyhow!("-{name}={value} is no port; give a number from 0 to 65535"))
}

#[cfg(test)]
mod tests {
    use super::super::settings::of_words;
    use super::*;

    fn of(words: &str) -> anyhow::Result<Translated> {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        translate(&of_words(&words)?, Path::new("/d"))
    }

    /// What harnesses pass, and what comes of it.
    #[test]
    fn arguments_of_harnesses_start_a_node() {
        // The crates corepc-node and bitcoind.
        let told =
            of("-datadir=/d -rpcport=18500 -listen=0 -regtest -fallbackfee=0.0001").expect("taken");
        let expected = "--genesis bitcoin-regtest --data-dir /d/regtest --rpc 127.0.0.1:18500 --listen /ip4/127.0.0.1/tcp/0";
        assert_eq!(told.args.join(" "), expected);
        assert!(told.ignored.is_empty() && !told.daemon);
        // The same with a peer.
        let told = of("-regtest -bind=127.0.0.1:18600 -connect=127.0.0.1:18601").expect("taken");
        let args = told.args.join(" ");
        assert!(args.contains("--listen /ip4/127.0.0.1/tcp/18600"), "{args}");
        assert!(
            args.contains("--connect /ip4/127.0.0.1/tcp/18601"),
            "{args}"
        );
        // A compose file.
        let told = of("-chain=regtest -server=1 -txindex=1 -rest -rpcbind=0.0.0.0 -rpcallowip=0.0.0.0/0 -rpcuser=u -rpcpassword=p -printtoconsole -daemon").expect("taken");
        let args = told.args.join(" ");
        assert!(args.contains("--rpc 0.0.0.0:18443"), "{args}");
        assert!(
            args.ends_with("--rpcuser u --rpcpassword p --rest --txindex"),
            "{args}"
        );
        assert!(told.daemon);
    }

    #[test]
    fn what_would_mislead_is_refused_and_what_might_be_missed_is_told() {
        for (words, why) in [
            ("-datadir=/d", "-regtest"),
            ("-regtest -signet", "-regtest"),
            ("-regtest -zmqpubrawblock=tcp://127.0.0.1:1", "ZeroMQ"),
            ("-regtest -prune=550", "never pruned"),
            ("-regtest -rpcport=x", "no port"),
            ("-regtest -foo", "-foo"),
        ] {
            let error = of(words).expect_err(words).to_string();
            assert!(
                error.contains(why) && !error.contains('\n'),
                "{words}: {error}"
            );
        }
        assert!(of("-regtest -prune=0").is_ok());
        let told = of("-regtest -minrelaytxfee=0 -whitelist=1.2.3.4").expect("taken");
        assert_eq!(told.ignored, ["-minrelaytxfee", "-whitelist"]);
    }
}
