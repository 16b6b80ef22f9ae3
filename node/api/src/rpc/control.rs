//! The node itself: `help`, `stop`, `uptime` and the like.

use std::time::Duration;

use serde_json::json;

use super::args::Args;
use super::call::Handler::{Immediate, Read, Scan, Table};
use super::call::{Call, Group, Kind, Likeness, optional, required};
use super::error::Failure;
use super::reply::Reply;
use super::reply::reply;
use crate::Api;
use node_host::StopReason;

/// The calls of this file.
pub(super) const CALLS: &[Call] = &[
    Call {
        name: "backup",
        params: &[required(
            "destination|destinations",
            Kind::Any,
            "the directory to write, or a list of them, in the data directory unless absolute; they must hold no chain",
        )],
        help: "Copies the chain as it is now to a directory, and gives the manifest. Of a list of directories each stands for itself: \
               what came of each is told, as destination with manifest or error. mend restore verifies them. The node goes on meanwhile.",
        likeness: Likeness::Ours,
        handler: Scan(backup),
    },
    Call {
        name: "getmemoryinfo",
        params: &[optional("mode", Kind::Text, "\"stats\" (default)")],
        help: "Gives the memory in use, in bytes.",
        likeness: Likeness::Subset("the resident set of the process instead of locked pages"),
        handler: Read(get_memory_info),
    },
    Call {
        name: "getrpcinfo",
        params: &[],
        help: "Gives the calls that are being carried out, with the microseconds they run already.",
        likeness: Likeness::Subset("logpath is empty: logs go to standard error"),
        handler: Immediate(get_rpc_info),
    },
    Call {
        name: "help",
        params: &[optional(
            "command",
            Kind::Text,
            "the call to describe; all are listed by default",
        )],
        help: "Lists all calls, or describes one.",
        likeness: Likeness::Core,
        handler: Table(help),
    },
    Call {
        name: "stop",
        params: &[optional(
            "wait",
            Kind::Number,
            "milliseconds to wait before stopping, at most 10000",
        )],
        help: "Stops the node: what is in memory is saved, and peers are left.",
        likeness: Likeness::Core,
        handler: Immediate(stop),
    },
    Call {
        name: "uptime",
        params: &[],
        help: "Gives the seconds since the node started.",
        likeness: Likeness::Core,
        handler: Immediate(|node, _| reply(&node.clock().uptime().as_secs())),
    },
];

fn help(groups: &[Group], args: &Args) -> Result<Reply, Failure> {
    let Some(name) = args.opt_text(0)? else {
        let listed = groups.iter().map(|group| {
            let lines: Vec<String> = group.calls.iter().map(Call::usage).collect();
            format!("== {} ==\n{}\n", group.title, lines.join("\n"))
        });
        let text = listed.collect::<Vec<String>>().join("\n");
        return reply(&text.trim_end());
    };
    let mut calls = groups.iter().flat_map(|group| group.calls);
    match calls.find(|call| call.name == name) {
        Some(call) => reply(&call.help_text().trim_end()),
        None => reply(&format!("help: unknown command: {name}")),
    }
}

fn stop(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let millis = u64::try_from(args.opt_int(0)?.unwrap_or(0)).unwrap_or(0);
    let pause = Duration::from_millis(millis.min(10_000));
    let stop = node.stop().clone();
    if pause.is_zero() {
        stop.press(StopReason::Asked("the call stop"));
    } else {
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            stop.press(StopReason::Asked("the call stop"));
        });
    }
    reply(&"Mend stopping")
}

fn get_rpc_info(node: &Api, _: &Args) -> Result<Reply, Failure> {
    let running = node.activity().running(node.clock().mono());
    let commands = running.iter().map(|(method, since)| {
        json!({"method": method, "duration": u64::try_from(since.as_micros()).unwrap_or(u64::MAX)})
    });
    reply(&json!({"active_commands": commands.collect::<Vec<_>>(), "logpath": ""}))
}

fn get_memory_info(_: &Api, args: &Args) -> Result<Reply, Failure> {
    match args.opt_text(0)? {
        None | Some("stats") => {}
        Some(mode) => return Err(Failure::invalid(format!("unknown mode {mode}"))),
    }
    reply(&json!({"resident": crate::memory::resident_bytes()}))
}

fn backup(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let base = node.data_dir().path();
    if let Some(dir) = args.value(0).as_str() {
        let chain = node.frozen_chain()?;
        let manifest = chain::backup::copy(&chain, &base.join(dir), &mut |_| {});
        return reply(&manifest.map_err(|error| Failure::misc(error.to_string()))?);
    }
    let wrong = || Failure::wrong_type("destinations must be a directory or a list of them");
    let list = args.value(0).as_array().ok_or_else(wrong)?;
    let dirs: Vec<_> = list
        .iter()
        .map(|dir| Some(base.join(dir.as_str()?)))
        .collect::<Option<_>>()
        .ok_or_else(wrong)?;
    let chain = node.frozen_chain()?;
    let results = chain::backup::copy_to_all(&chain, &dirs, &mut |_| {});
    let outcomes = dirs.iter().zip(results).map(|(dir, result)| match result {
        Ok(manifest) => json!({"destination": dir, "manifest": manifest}),
        Err(error) => json!({"destination": dir, "error": error.to_string()}),
    });
    reply(&outcomes.collect::<Vec<_>>())
}
