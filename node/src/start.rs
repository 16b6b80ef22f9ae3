//! From options to a running node, and down again.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use chain::txindex::TxIndex;
use chain::{Chain, ChainOptions, OnDamage, Params};
use futures::FutureExt;
use p2p::swarm::{Command, SwarmConfig, SwarmError};
use tokio::sync::mpsc;
use tokio::time::Instant;

use http_server::AllowedHosts;
use node_api::Api;
use node_api::server::{ServerOptions, Service};
use node_api::{WarmUp, auth};
use node_core::CoreOptions;
use node_host::{
    COOKIE_USER, Clock, DataDir, Message, MiningSettings, NodeHandle, Parts, StopReason,
};
use node_stratum::{EndpointStats, StratumOptions};

use crate::{listen, signals};

/// Threads of tokio beside the main one, which drives the swarm: for connections and RPC.
const WORKER_THREADS: usize = 1;
/// Threads for calls that change the chain, for templates and for the index, at most; they end when they are idle.
const BLOCKING_THREADS: usize = 16;
const IDLE_THREAD_LIFE: Duration = Duration::from_secs(5);
/// How long the swarm may take to open its ports.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(10);
/// After the stop was asked for, servers and miners' connections have so long to end ...
const SERVERS_UNTIL: Duration = Duration::from_millis(600);
/// ... peers' connections so long ...
const NETWORK_UNTIL: Duration = Duration::from_millis(900);
/// ... work that was asked for so long ...
const WORK_UNTIL: Duration = Duration::from_millis(1_200);
/// ... and whatever is still at it then ends with the process.
const THREADS_UNTIL: Duration = Duration::from_millis(1_500);

/// How a node is started.
#[derive(Debug)]
pub struct StartOptions {
    /// The network.
    pub params: Params,
    /// The node's folder.
    pub data_dir: PathBuf,
    /// Memory of the chain.
    pub chain: ChainOptions,
    /// What is done about damage to what is stored.
    pub on_damage: OnDamage,
    /// Bytes that are scrubbed in a second; `None` for no scrubbing.
    pub scrub: Option<u64>,
    /// Whether confirmed transactions are indexed.
    pub txindex: bool,
    /// Whether the mempool is saved and read again.
    pub persist_mempool: bool,
    /// For the core; the peer book is read from the folder.
    pub core: CoreOptions,
    /// Multiaddresses for peers; none for the default one.
    pub listen: Vec<String>,
    /// Most connections that peers make to us.
    pub max_inbound: u32,
    /// Most connections that we make.
    pub max_outbound: u32,
    /// Where RPC is served; `None` for the default port or the next free one.
    pub rpc: Option<SocketAddr>,
    /// Who may call beside the holder of the cookie.
    pub users: auth::Users,
    /// Serve `/rest/`.
    pub rest: bool,
    /// Names of hosts by which RPC may be called, beside addresses and `localhost`.
    pub rpc_hosts: Vec<String>,
    /// The node's own miner.
    pub mining: MiningSettings,
    /// Miners of others; `None` for none.
    pub stratum: Option<StratumOptions>,
    /// How far the node's wall clock is ahead of the machine's, in seconds.
    pub clock_offset_s: i64,
    /// Stop when standard input ends.
    pub exit_with_stdin: bool,
}

/// What a person or a program needs to know of a node that just started. The same is in `node.json`.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Started {
    /// URL of the RPC.
    pub rpc: String,
    /// The cookie file.
    pub cookie: PathBuf,
    /// URL for miners of others, if they are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stratum: Option<String>,
    /// Multiaddresses for peers, with the peer id.
    pub listen: Vec<String>,
    /// The node's identity.
    pub peer_id: String,
    /// Hash of the genesis block.
    pub genesis: String,
    /// Name of the network.
    pub network: String,
    /// The node's folder.
    pub data_dir: PathBuf,
    /// The process.
    pub pid: u32,
}

/// Runs a node until it is stopped. `announce` is called once it serves.
///
/// # Errors
///
/// One line with the cause and the remedy: why it did not start, or why it could not go on.
pub fn run(mut options: StartOptions, announce: impl FnOnce(&Started)) -> anyhow::Result<()> {
    let data_dir = DataDir::create(&std::path::absolute(&options.data_dir)?)?;
    let rpc = listen::rpc_listener(options.rpc)?;
    let runtime = runtime()?;
    let warm_up = runtime.block_on(async { WarmUp::start(rpc) })?;
    let chain = open_chain(&data_dir, &options)?;
    let index = match options.txindex {
        true => Some(TxIndex::open(&data_dir.lock(), &options.params)?),
        false => None,
    };
    let stratum = options.stratum.take().map(node_stratum::open).transpose()?;
    if options.listen.is_empty() {
        options.listen.push(listen::default_peer_address()?);
    }
    let (cookie, password) = data_dir.write_cookie()?;
    let salt = rand::random::<[u8; 32]>();
    options.users.add_password(COOKIE_USER, &password, &salt);
    options.core.book = node_host::load_peers(&data_dir);
    let (node, ends) = NodeHandle::start(Parts {
        chain,
        index,
        persist_mempool: options.persist_mempool,
        scrub: options.scrub,
        core: std::mem::take(&mut options.core),
        mining: options.mining.clone(),
        clock_offset_s: options.clock_offset_s,
        data_dir,
    })?;
    let miner_stats = Arc::new(EndpointStats::default());
    let ending = Ending::default();
    let outcome = runtime.block_on(async {
        signals::watch(&node);
        if options.exit_with_stdin {
            signals::watch_stdin(&node);
        }
        node.stored_blocks_connected().await;
        let rpc = warm_up.end().await?;
        let swarm = swarm(&node, &options, ends.commands);
        let service = Service::new(
            Api::new(node.clone(), Arc::clone(&miner_stats)),
            ServerOptions {
                users: std::mem::take(&mut options.users),
                rest: options.rest,
                hosts: AllowedHosts::new(&options.rpc_hosts),
            },
        );
        let urls = Urls {
            rpc: format!("http://{}", rpc.local_addr()?),
            stratum: stratum
                .as_ref()
                .map(|endpoint| format!("stratum+tcp://{}", endpoint.listen)),
        };
        let server = tokio::spawn(service.serve(rpc));
        node.start_indexing();
        node.start_loading_mempool()?;
        node.start_scrubbing();
        let miners =
            stratum.map(|endpoint| tokio::spawn(endpoint.serve(node.clone(), miner_stats)));
        let life = async {
            let served = serve(&node, urls, cookie.path().to_owned(), announce).await;
            // A failure to start ends what was started.
            node.stop().press(StopReason::Asked("a failed start"));
            ending.begin();
            let miners = async {
                if let Some(miners) = miners {
                    let _ = miners.await;
                }
            };
            let ended = futures::future::join(server, miners);
            let _ = tokio::time::timeout(ending.left_until(SERVERS_UNTIL), ended).await;
            node.leave_network();
            served
        };
        live(&node, &ending, life, swarm).await
    });
    // Nobody changes the chain after its last flush.
    node.mining().wake();
    node.tell_chain_thread(Message::Stop);
    let _ = ends.chain_thread.join();
    runtime.block_on(node.background().end(ending.left_until(WORK_UNTIL)));
    let flushed = node.shut_down();
    runtime.shutdown_timeout(ending.left_until(THREADS_UNTIL));
    drop(cookie);
    outcome?;
    if let Some(StopReason::Failed(reason)) = node.stop().reason() {
        bail!(reason);
    }
    flushed.map_err(|error| anyhow!(error))
}

/// The node's chain. What cannot be opened is set aside and replaced by what is sound in it, unless the operator wants to see to it.
fn open_chain(data_dir: &DataDir, options: &StartOptions) -> anyhow::Result<Chain> {
    let (lock, params) = (data_dir.lock(), options.params.clone());
    let mut chain = match options.on_damage {
        OnDamage::Stop => Chain::open_owned(lock, params, options.chain)?,
        OnDamage::Mend => {
            let now = Clock::new(options.clock_offset_s).wall();
            chain::salvage::open(lock, params, options.chain, now, &mut |_| {})?
        }
    };
    chain.set_on_damage(options.on_damage);
    Ok(chain)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(IDLE_THREAD_LIFE)
        .thread_name("tokio")
        .enable_all()
        .build()
        .context("cannot start threads")
}

/// When the node began to end. What is waited for then is counted from there, so that the waits do not add up.
#[derive(Debug, Default)]
struct Ending(OnceLock<Instant>);

impl Ending {
    fn begin(&self) {
        self.0.get_or_init(Instant::now);
    }

    /// What is left of a time that counts from the beginning of the end.
    fn left_until(&self, time: Duration) -> Duration {
        let began = self.0.get_or_init(Instant::now);
        time.saturating_sub(began.elapsed())
    }
}

/// Drives the swarm on this thread for as long as the node lives.
async fn live(
    node: &NodeHandle,
    ending: &Ending,
    life: impl Future<Output = anyhow::Result<()>>,
    swarm: impl Future<Output = Result<(), SwarmError>>,
) -> anyhow::Result<()> {
    let mut life = std::pin::pin!(life);
    let mut swarm = std::pin::pin!(AssertUnwindSafe(swarm).catch_unwind());
    let ended = tokio::select! {
        served = &mut life => {
            // What does not end in time ends with the process.
            let _ = tokio::time::timeout(ending.left_until(NETWORK_UNTIL), swarm).await;
            return served;
        }
        ended = &mut swarm => ended,
    };
    let reason = match ended {
        Ok(Err(error)) => error.to_string(),
        Ok(Ok(())) => "the network part ended by itself; start the node again".to_owned(),
        Err(_) => {
            "an internal error ended the network part (see above); start the node again".to_owned()
        }
    };
    node.stop().press(StopReason::Failed(reason));
    life.await
}

fn swarm(
    node: &NodeHandle,
    options: &StartOptions,
    commands: mpsc::UnboundedReceiver<Command>,
) -> impl Future<Output = Result<(), SwarmError>> + use<> {
    let config = SwarmConfig {
        listen: options.listen.clone(),
        network: options.params.digest,
        key_file: Some(node.data_dir().key_file()),
        max_inbound: options.max_inbound,
        max_outbound: options.max_outbound,
    };
    let told = node.clone();
    let events = move |event| told.swarm_event(event);
    p2p::swarm::run(config, commands, events, Arc::clone(node.traffic()))
}

/// Where programs find the node.
struct Urls {
    rpc: String,
    stratum: Option<String>,
}

/// Tells that the node is up, and lets it run until it is stopped.
async fn serve(
    node: &NodeHandle,
    urls: Urls,
    cookie: PathBuf,
    announce: impl FnOnce(&Started),
) -> anyhow::Result<()> {
    let mut listening = node.listening_changes();
    tokio::select! {
        known = tokio::time::timeout(LISTEN_TIMEOUT, listening.wait_for(|list| !list.is_empty())) => {
            known.context("the network part opened no port in time; give another --listen")??;
        }
        _ = node.stop().pressed() => return Ok(()),
    }
    let listen = node.listening();
    let started = Started {
        rpc: urls.rpc,
        stratum: urls.stratum,
        cookie,
        peer_id: peer_id_of(&listen),
        listen,
        genesis: node.read(|core| core.chain().params().genesis_hash.to_string()),
        network: node.read(|core| core.chain().params().name.clone()),
        data_dir: node.data_dir().path().to_owned(),
        pid: std::process::id(),
    };
    let json = serde_json::to_vec(&started).context("the start cannot be written down")?;
    let _file = node.data_dir().write_runtime_file("node.json", &json)?;
    announce(&started);
    node.start_mining();
    let reason = node.stop().pressed().await;
    match reason {
        StopReason::Asked(by) => tracing::info!(by, "stopping"),
        // Told in full when the process ends, once.
        StopReason::Failed(_) => tracing::info!("stopping after a failure"),
    }
    Ok(())
}

fn peer_id_of(listen: &[String]) -> String {
    let id = listen
        .first()
        .and_then(|address| address.rsplit_once("/p2p/"));
    id.map(|(_, id)| id.to_owned()).unwrap_or_default()
}
