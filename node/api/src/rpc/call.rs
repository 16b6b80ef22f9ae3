//! [`Call`]: a name, parameters, help, and what carries it out.

use std::future::Future;
use std::pin::Pin;

use super::args::Args;
use super::description::Description;
pub use super::description::{Kind, Likeness, Param, optional, required};
use super::error::Failure;
use super::reply::Reply;
use crate::Api;

/// One call.
pub struct Call {
    /// Its name.
    pub name: &'static str,
    /// Its parameters in order.
    pub params: &'static [Param],
    /// What it does and gives, in a few sentences.
    pub help: &'static str,
    /// How far it is Bitcoin Core's.
    pub likeness: Likeness,
    /// What carries it out.
    pub handler: Handler,
}

/// What carries a call out.
#[derive(Clone, Copy)]
pub enum Handler {
    /// Looks up or shows something, behind what the node does for itself.
    Read(fn(&Api, &Args) -> Result<Reply, Failure>),
    /// The same, but it may take long: it reads all coins or many blocks.
    Scan(fn(&Api, &Args) -> Result<Reply, Failure>),
    /// Moves the chain, as urgently as a peer's block does.
    Write(fn(&Api, &Args) -> Result<Reply, Failure>),
    /// Touches neither chain nor disk: carried out at once, whatever else waits, on a thread that serves connections.
    Immediate(fn(&Api, &Args) -> Result<Reply, Failure>),
    /// Shows something of the table of calls, at once.
    Table(fn(&[Group], &Args) -> Result<Reply, Failure>),
    /// Waits for something first, without holding a thread.
    Wait(fn(Api, Args) -> Waiting),
}

/// A call on its way.
pub type Waiting = Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send>>;

/// Calls that belong together, as `help` lists them.
pub struct Group {
    /// Its title.
    pub title: &'static str,
    /// Its calls, in the order of the alphabet.
    pub calls: &'static [Call],
}

impl Handler {
    /// Whether it is carried out at once, without a place in the queue.
    pub fn is_immediate(&self) -> bool {
        matches!(self, Handler::Immediate(_) | Handler::Table(_))
    }
}

impl Call {
    /// What it is called, takes and does.
    pub fn description(&self) -> Description {
        Description {
            name: self.name,
            params: self.params,
            help: self.help,
            likeness: self.likeness,
        }
    }

    /// The call with its parameters on one line: `getblock "blockhash" ( verbosity )`.
    pub fn usage(&self) -> String {
        self.description().usage()
    }

    /// The whole help of the call.
    pub fn help_text(&self) -> String {
        self.description().text()
    }
}
