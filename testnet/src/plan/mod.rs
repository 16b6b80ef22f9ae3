//! What an experiment will do, with nothing left open: a scenario and a seed resolved into links, faults with an end, payments,
//! miners. Only who finds a block, and when, is not in it.
//!
//! Plain data: both engines carry it out, and a record begins with it. All times are microseconds since the start of the run.

mod chaos;
mod events;
mod fault;
mod payments;
pub(crate) mod random;
mod resolve;
pub mod steps;

use serde::{Deserialize, Serialize};

use crate::link::LinkSettings;
use crate::scenario::file::{Difficulty, Expectations, GossipPlan};

pub use events::entry_of;
pub use fault::{Apart, Fault, FaultKind};
pub use resolve::lay;
pub use steps::Step;

/// An experiment, resolved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Name of the scenario.
    pub name: String,
    /// What it shows, in a sentence.
    #[serde(default)]
    pub about: String,
    /// Number of nodes: they are numbered from 0.
    pub nodes: usize,
    /// How long it runs.
    pub duration_us: u64,
    /// Mean time between blocks of all miners together.
    pub spacing_us: u64,
    /// Who dials whom, over what.
    pub links: Vec<Link>,
    /// Nodes that are down at the start.
    #[serde(default)]
    pub down: Vec<usize>,
    /// Who mines, and how.
    pub miners: Vec<Miner>,
    /// How hard the next block is.
    #[serde(default)]
    pub difficulty: Difficulty,
    /// Number of accounts that can pay.
    #[serde(default)]
    pub accounts: u32,
    /// How gossip spreads; the simulator's only, real nodes have their own.
    #[serde(default)]
    pub gossip: GossipPlan,
    /// What is done to the network, in order of time. Lines of a record name faults by their place in this list.
    pub faults: Vec<Fault>,
    /// Who pays whom, in order of time. Lines of a record name payments by their place in this list.
    pub payments: Vec<Payment>,
    /// What must hold in the end.
    #[serde(default)]
    pub expect: Expectations,
}

/// A link.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// The node that dials.
    pub from: usize,
    /// The node that is dialled.
    pub to: usize,
    /// What the link does while no fault changes it, and again when one is over.
    #[serde(default)]
    pub settings: LinkSettings,
}

/// A miner.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Miner {
    /// The node that it mines on.
    pub node: usize,
    /// Its weight among all miners.
    pub share: f64,
    /// What it does with its blocks.
    #[serde(default)]
    pub strategy: Strategy,
}

/// What a miner does with the blocks that it finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Strategy {
    /// Tells each at once.
    #[default]
    Honest,
    /// Keeps a private branch, as Eyal and Sirer's selfish miner.
    Selfish,
    /// As selfish, but also goes on when it is behind by up to so many blocks.
    Stubborn {
        /// Blocks.
        trail: u32,
    },
    /// Keeps a branch until a payment has so many confirmations on the public one, then shows it if it is longer.
    Withholding {
        /// Confirmations that the merchant waits for.
        confirmations: u32,
    },
}

/// A payment between two accounts, handed to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// When.
    pub at_us: u64,
    /// Number of the account that pays.
    pub from: u32,
    /// Number of the account that is paid.
    pub to: u32,
    /// How much, in satoshi.
    pub amount_sat: u64,
    /// The node that it is handed to.
    pub node: usize,
    /// It spends the coins of this payment, by its place in the plan: a double spend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflicts_with: Option<usize>,
    /// The merchant takes it for done after so many confirmations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepts_after: Option<u32>,
}
