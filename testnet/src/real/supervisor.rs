//! [`Supervisor`]: owns a running testnet, carries out orders, and ends everything in the end.

use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bitcoin::{Amount, BlockHash};
use serde_json::{Value, json};

use super::control::{self, Handler};
use super::faults::{stop_all, stop_process};
use super::network::Network;
use super::{LabError, Layout, Order, Probe, manifest};
use crate::pay::SentPayment;
use crate::report::{HealReport, observe};

/// Owner of a running testnet.
#[derive(Clone)]
pub struct Supervisor {
    network: Arc<Mutex<Network>>,
    ended: Arc<Mutex<bool>>,
    /// Held while a payment is made.
    paying: Arc<Mutex<()>>,
    layout: Layout,
}

impl Supervisor {
    /// Takes over a testnet and writes its `testnet.json`.
    ///
    /// # Errors
    ///
    /// [`LabError::Io`] when the file cannot be written.
    pub fn new(mut network: Network) -> Result<Supervisor, LabError> {
        let layout = network.layout.clone();
        network.manifest().write(&layout.manifest())?;
        Ok(Supervisor {
            network: Arc::new(Mutex::new(network)),
            ended: Arc::default(),
            paying: Arc::default(),
            layout,
        })
    }

    /// The testnet. Held only for short acts: orders of other commands wait.
    pub fn network(&self) -> MutexGuard<'_, Network> {
        // An order that panicked has left nodes and links as they were.
        self.network.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the testnet's files are.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Answers orders until one says down, or Ctrl-C. Then ends everything and takes the files away by which commands find
    /// the testnet; data and logs stay.
    ///
    /// # Errors
    ///
    /// When orders cannot be answered at all.
    pub fn serve(&self, ready: impl FnOnce()) -> Result<(), LabError> {
        let (stop, stopped) = mpsc::channel();
        let (me, by_order) = (self.clone(), stop.clone());
        let handler: Handler = Arc::new(move |order| {
            let is_down = order == Order::Down;
            let answer = me.carry_out(order);
            if is_down {
                let _ = by_order.send(());
            }
            answer
        });
        self.network().on_end(move || {
            let _ = stop.send(());
        });
        control::serve(&self.layout, handler)?;
        ready();
        let _ = stopped.recv();
        self.end();
        Ok(())
    }

    /// Ends all nodes and takes the files away by which commands find the testnet.
    pub fn end(&self) {
        let processes = self.network().take_all();
        stop_all(processes);
        let mut ended = self.ended();
        *ended = true;
        for path in [self.layout.manifest(), self.layout.control()] {
            // A file that is gone already is as good.
            let _: Result<(), std::io::Error> = std::fs::remove_file::<PathBuf>(path);
        }
    }

    fn carry_out(&self, order: Order) -> Result<Value, LabError> {
        let answer = match order {
            Order::Status => {
                let question = self.network().question();
                json!(question.answer())
            }
            Order::Partition { groups, silent } => {
                json!(self.network().partition(&groups, silent)?)
            }
            Order::Heal { wait_s } => json!(self.heal_and_report(Duration::from_secs(wait_s))?),
            Order::Kill { node } => json!(self.network().kill(node)?),
            Order::Stop { node } => json!(self.stop(node)?),
            Order::Restart { node } => json!(self.restart(node)?),
            Order::Pause { node, paused } => json!(self.network().set_paused(node, paused)?),
            Order::Link {
                a,
                b,
                change,
                one_way,
            } => json!(self.network().change_link(a, b, change, one_way)?),
            Order::Mine { node, count } => json!(self.mine(node, count)?),
            Order::Mining { node, rate } => json!(self.set_mining(node, rate)?),
            Order::Pay {
                from,
                to,
                amount_sat,
                node,
            } => {
                let amount = Amount::from_sat(amount_sat);
                json!(self.pay(from, &to, amount, node)?)
            }
            Order::Down => Value::Null,
        };
        self.write_manifest()?;
        Ok(answer)
    }

    /// Mines blocks at once, paid to the node's own payout address. Other orders do not wait for it.
    ///
    /// # Errors
    ///
    /// [`LabError`].
    pub fn mine(&self, node: usize, count: u32) -> Result<Vec<BlockHash>, LabError> {
        let (probe, address) = self.network().miner(node)?;
        probe.generate(count, &address)
    }

    /// Stops a node in order. Other orders do not wait for it.
    ///
    /// # Errors
    ///
    /// As [`Network::stop`].
    pub fn stop(&self, node: usize) -> Result<(), LabError> {
        let process = self.network().take_process(node)?;
        stop_process(node, process)
    }

    /// Starts a node on the data it had; stops it first if it is up. Other orders do not wait for it.
    ///
    /// # Errors
    ///
    /// As [`Network::restart`].
    pub fn restart(&self, node: usize) -> Result<(), LabError> {
        let running = self.network().take_if_up(node)?;
        if let Some(process) = running {
            // Whether it stopped by itself or had to be killed: it starts again.
            let _ = stop_process(node, process);
        }
        let launch = self.network().launch(node);
        let ready = launch.run();
        self.network().take_started(node, ready)
    }

    /// Turns a node's own miner on or off, or changes its rate. Other orders do not wait for it.
    ///
    /// # Errors
    ///
    /// As [`Network::set_mining`].
    pub fn set_mining(&self, node: usize, rate: u64) -> Result<(), LabError> {
        let (probe, address) = self.network().miner(node)?;
        probe.set_mining(rate, &address)?;
        self.network().note_rate(node, rate);
        Ok(())
    }

    /// Pays, as [`Network::pay`]. Only other payments wait for it: no two are made of one coin by mistake.
    ///
    /// # Errors
    ///
    /// As [`Network::pay`].
    pub fn pay(
        &self,
        from: u32,
        to: &str,
        amount: Amount,
        node: Option<usize>,
    ) -> Result<SentPayment, LabError> {
        let _turn = self.paying.lock().unwrap_or_else(PoisonError::into_inner);
        let draft = self.network().draft(from, to, amount, node)?;
        let paid = draft.send()?;
        Ok(self.network().note_payment(paid))
    }

    /// Writes `testnet.json` anew, unless the testnet has ended meanwhile.
    ///
    /// # Errors
    ///
    /// [`LabError::Io`].
    pub(super) fn write_manifest(&self) -> Result<(), LabError> {
        let ended = self.ended();
        if *ended {
            return Ok(());
        }
        let manifest = self.network().manifest();
        manifest.write(&self.layout.manifest())
    }

    /// Whether the testnet has ended. Whoever writes or removes the files by which commands find it holds this.
    fn ended(&self) -> MutexGuard<'_, bool> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens all cut links and waits for one tip.
    ///
    /// # Errors
    ///
    /// [`LabError::TooSlow`] when the nodes do not agree in time.
    pub fn heal(&self, wait: Duration) -> Result<Healed, LabError> {
        // Other orders may come while nodes are asked, and while we wait.
        let probes = self.network().probes();
        let before = observe::tips(&probes)?;
        let opened_at = Instant::now();
        self.network().open_links();
        let agreement = observe::wait_for_one_tip(&probes, &before, opened_at, wait)?;
        Ok(Healed {
            probes,
            before,
            agreement,
        })
    }

    /// Heals, and keeps the report beside the testnet's files.
    fn heal_and_report(&self, wait: Duration) -> Result<HealReport, LabError> {
        let report = self.heal(wait)?.report()?;
        let text = serde_json::to_string_pretty(&report).expect("plain data is always JSON");
        manifest::write_whole(&self.layout.heal_report(), &(text + "\n"))?;
        Ok(report)
    }
}

/// A network that agreed again: what the report is made of.
#[derive(Clone, Debug)]
pub struct Healed {
    probes: Vec<Probe>,
    before: observe::Tips,
    agreement: observe::Agreement,
}

impl Healed {
    /// What became of every block and payment as of now: later reports know later confirmations.
    ///
    /// # Errors
    ///
    /// [`LabError::Node`] when a node does not answer.
    pub fn report(&self) -> Result<HealReport, LabError> {
        let seen = observe::collect(&self.probes, &self.before, &self.agreement)?;
        HealReport::new(&seen).map_err(|error| LabError::Refused(error.to_string()))
    }
}
