//! Starting `mend`, and what it says.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The program: the one that is built with the tests, or another that `MEND_PROGRAM` names.
pub(crate) fn program() -> String {
    std::env::var("MEND_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_mend").to_owned())
}

/// A command that has not begun.
pub(crate) fn mend(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(args).stdin(Stdio::null());
    command.env_remove("RUST_LOG").env("RUST_BACKTRACE", "0");
    command
}

/// What a command that ends by itself says.
pub(crate) fn output(args: &[&str]) -> Output {
    mend(args).output().expect("mend runs")
}

/// A command that must fail: its exit code and what it says on standard error.
pub(crate) fn refused(args: &[&str]) -> (i32, String) {
    let output = output(args);
    let text = String::from_utf8(output.stderr).expect("text");
    let code = output.status.code().expect("it ends by itself");
    assert_ne!(code, 0, "{args:?}: {text}");
    (code, text)
}

/// Standard output of a command that must succeed.
pub(crate) fn told(args: &[&str]) -> String {
    let output = output(args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    String::from_utf8(output.stdout)
        .expect("text")
        .trim_end()
        .to_owned()
}

/// A node; killed when it is dropped.
pub(crate) struct Node {
    child: Child,
    /// The line of JSON that it told at the start.
    pub(crate) started: Value,
}

impl Node {
    /// A node that was started elsewhere, and what it told at the start.
    pub(crate) fn new(child: Child, started: Value) -> Node {
        Node { child, started }
    }

    /// Starts a node in `dir` with any free ports.
    pub(crate) fn start(dir: &Path, more: &[&str]) -> Node {
        Node::start_by(dir, more, |_, args| mend(args))
    }

    /// As [`Node::start`], by a command of its own that is made from program and arguments.
    pub(crate) fn start_by(
        dir: &Path,
        more: &[&str],
        command: impl FnOnce(&str, &[&str]) -> Command,
    ) -> Node {
        let dir = dir.to_str().expect("text");
        let mut args = vec!["node", "--json", "--data-dir", dir, "--log", "warn"];
        if !more.contains(&"--rpc") {
            args.extend(["--rpc", "127.0.0.1:0"]);
        }
        args.extend(["--listen", "/ip4/127.0.0.1/tcp/0"]);
        args.extend(more);
        let mut child = command(&program(), &args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mend starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        let read = BufReader::new(stdout).read_line(&mut line);
        let Ok(started) = serde_json::from_str(&line) else {
            let _ = child.kill();
            let mut errors = String::new();
            let _ = child
                .stderr
                .take()
                .expect("piped")
                .read_to_string(&mut errors);
            panic!("no start line ({read:?}): {errors}");
        };
        Node { child, started }
    }

    /// A field of the start line.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.started[name].as_str().expect("a string")
    }

    /// `mend cli` with this node.
    pub(crate) fn cli(&self, args: &[&str]) -> Output {
        let dir = format!("-datadir={}", self.field("data_dir"));
        let mut all = vec!["cli", &dir];
        all.extend(args);
        output(&all)
    }

    /// The result of a call that must succeed.
    pub(crate) fn call(&self, args: &[&str]) -> String {
        let output = self.cli(args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {errors}");
        String::from_utf8(output.stdout)
            .expect("text")
            .trim_end()
            .to_owned()
    }

    /// Closes the node's standard input.
    pub(crate) fn close_stdin(&mut self) {
        self.child.stdin.take();
    }

    /// Waits for the end of the process: its exit code (`None` for a signal) and what it said on standard error.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("waited") {
                let mut errors = String::new();
                let mut stderr = self.child.stderr.take().expect("piped");
                let _ = stderr.read_to_string(&mut errors);
                return (status.code(), errors);
            }
            assert!(start.elapsed() < PATIENCE, "the node does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops the node by RPC.
    pub(crate) fn stop(self) {
        self.call(&["stop"]);
        let (code, errors) = self.wait();
        assert_eq!(code, Some(0), "{errors}");
    }

    /// Stops the node by RPC: its exit code and what it said on standard error.
    pub(crate) fn stopped(self) -> (Option<i32>, String) {
        self.call(&["stop"]);
        self.wait()
    }

    /// Sends the process a signal, as in `-TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status();
        assert!(status.expect("kill runs").success());
    }

    /// Kills the node as a power cut does.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("waited");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
