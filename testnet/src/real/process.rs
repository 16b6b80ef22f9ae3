//! One node as a process of the lab: started from an executable, watched, always ended.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How long a node may take to print where it listens.
const START_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a node may take to stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);

/// How often a node is started whose port is still taken by what it was before.
const START_TRIES: u32 = 20;
/// Pause between two tries.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// What a node says about itself on its first line (`mend node --json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StartLine {
    /// URL of its RPC.
    pub(crate) rpc: String,
    /// Its cookie file.
    pub(crate) cookie: PathBuf,
    /// Multiaddresses that it listens on.
    pub(crate) listen: Vec<String>,
    /// Its libp2p identity.
    #[serde(default)]
    pub(crate) peer_id: String,
}

impl StartLine {
    /// The first address as the system knows it: `/ip4/127.0.0.1/tcp/4001/p2p/..` is 127.0.0.1:4001.
    pub(crate) fn socket_address(&self) -> Option<SocketAddr> {
        self.listen.iter().find_map(|address| {
            let mut parts = address.split('/').skip(1);
            match (parts.next()?, parts.next()?, parts.next()?, parts.next()?) {
                ("ip4" | "ip6", ip, "tcp", port) => {
                    Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?))
                }
                _ => None,
            }
        })
    }
}

/// A running node. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct NodeProcess {
    child: Child,
    /// The node stops by itself when this end is closed: also when the lab is killed.
    stdin: Option<ChildStdin>,
    /// What the node said about itself.
    pub(crate) start: StartLine,
}

/// Everything that a node's process is started with.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// Where it says what goes wrong.
    pub(crate) log: PathBuf,
}

impl Launch {
    /// Starts the process, without waiting for it.
    ///
    /// # Errors
    ///
    /// In words, when it cannot be started at all.
    pub(crate) fn spawn(&self) -> Result<Starting, String> {
        Starting::spawn(&self.program, &self.arguments, &self.log)
    }

    /// Starts the process and waits for its first line; again while the port that it had before is still taken.
    ///
    /// # Errors
    ///
    /// In words.
    pub(crate) fn run(&self) -> Result<NodeProcess, String> {
        let mut tries = 1;
        loop {
            let started = self.spawn().and_then(Starting::ready);
            let is_taken = |problem: &String| problem.contains("in use");
            if tries == START_TRIES || !started.as_ref().is_err_and(is_taken) {
                return started;
            }
            tries += 1;
            std::thread::sleep(TRY_AGAIN_AFTER);
        }
    }
}

/// A process that has not said yet where it listens.
#[derive(Debug)]
pub(crate) struct Starting {
    process: NodeProcess,
    first_line: mpsc::Receiver<String>,
    log: PathBuf,
    since: Instant,
}

impl Starting {
    /// Starts `program` with `arguments`; what it says on stderr goes to the end of `log`.
    ///
    /// # Errors
    ///
    /// In words, when it cannot be started at all.
    pub(crate) fn spawn(
        program: &Path,
        arguments: &[String],
        log: &Path,
    ) -> Result<Starting, String> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .map_err(|error| format!("{}: {error}", log.display()))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file);
        own_process_group(&mut command);
        let mut child = command
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let process = NodeProcess {
            child,
            stdin,
            start: StartLine {
                rpc: String::new(),
                cookie: PathBuf::new(),
                listen: Vec::new(),
                peer_id: String::new(),
            },
        };
        let (sender, first_line) = mpsc::channel();
        if let Some(stdout) = stdout {
            // Ends with the process. What comes after the first line is read so that the node never blocks on it.
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        Ok(Starting {
            process,
            first_line,
            log: log.to_owned(),
            since: Instant::now(),
        })
    }

    /// Waits for the node's first line.
    ///
    /// # Errors
    ///
    /// In words, with the end of the log when the node gave up.
    pub(crate) fn ready(mut self) -> Result<NodeProcess, String> {
        let left = START_TIMEOUT.saturating_sub(self.since.elapsed());
        match self.first_line.recv_timeout(left) {
            Ok(line) => {
                self.process.start = serde_json::from_str(&line).map_err(|error| {
                    format!("its first line {line:?} is not understood: {error}")
                })?;
                Ok(self.process)
            }
            Err(mpsc::RecvTimeoutError::Timeout) => Err(format!(
                "it said nothing within {} s",
                START_TIMEOUT.as_secs()
            )),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                Err(last_line(&self.log).unwrap_or_else(|| "it ended without a word".to_owned()))
            }
        }
    }
}

impl NodeProcess {
    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How the process ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Ends the process at once, as a crash would (SIGKILL).
    pub(crate) fn kill(mut self) {
        self.end_now();
    }

    /// Asks the process to stop, then kills it if it takes too long. Says whether it stopped by itself.
    pub(crate) fn stop(mut self) -> bool {
        self.ask_to_stop();
        self.wait_or_kill()
    }

    /// Asks the process to stop, without waiting: several can stop at the same time.
    pub(crate) fn ask_to_stop(&mut self) {
        self.stdin = None;
    }

    /// Waits for the process to stop, and kills it if it takes too long.
    pub(crate) fn wait_or_kill(mut self) -> bool {
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline {
            if self.ended().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.end_now();
        false
    }

    /// Stops the process's clock and hands (SIGSTOP), or lets it go on (SIGCONT).
    ///
    /// # Errors
    ///
    /// What the system said.
    pub(crate) fn set_paused(&self, paused: bool) -> Result<(), String> {
        signal(&self.child, paused).map_err(|error| error.to_string())
    }

    fn end_now(&mut self) {
        // Both fail only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        self.end_now();
    }
}

#[cfg(unix)]
fn signal(child: &Child, paused: bool) -> Result<(), std::io::Error> {
    use rustix::process::{Pid, Signal, kill_process};
    let signal = if paused { Signal::STOP } else { Signal::CONT };
    Ok(kill_process(Pid::from_child(child), signal)?)
}

#[cfg(not(unix))]
fn signal(_child: &Child, _paused: bool) -> Result<(), std::io::Error> {
    Err(std::io::Error::new(
        std::io::ErrorKind::Unsupported,
        "this system cannot pause processes",
    ))
}

/// Keeps Ctrl-C at the terminal from reaching the nodes: the supervisor ends them in order.
#[cfg(unix)]
pub(crate) fn own_process_group(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

/// Keeps Ctrl-C at the terminal from reaching the nodes: the supervisor ends them in order.
#[cfg(not(unix))]
pub(crate) fn own_process_group(_command: &mut Command) {}

/// The last line of a log that says something.
pub(crate) fn last_line(log: &Path) -> Option<String> {
    let text = std::fs::read(log).ok()?;
    String::from_utf8_lossy(&text)
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (Result<Starting, String>, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let arguments = ["-c".to_owned(), script.to_owned()];
        let started = Starting::spawn(Path::new("/bin/sh"), &arguments, &dir.path().join("log"));
        (started, dir)
    }

    const LINE: &str = r#"{"rpc":"http://127.0.0.1:1","cookie":"/c","listen":["/ip4/127.0.0.1/tcp/4001/p2p/x"],"more":1}"#;

    #[test]
    fn a_process_that_says_its_line_is_ready_and_stops_when_its_stdin_closes() {
        let (starting, _dir) = shell(&format!("echo '{LINE}'; read line"));
        let process = starting.unwrap().ready().unwrap();
        assert_eq!(
            process.start.socket_address(),
            Some("127.0.0.1:4001".parse().unwrap())
        );
        assert!(process.stop());
    }

    #[test]
    fn a_process_that_gives_up_is_quoted() {
        let (starting, _dir) = shell("echo 'error: port taken' >&2; exit 1");
        let error = starting.unwrap().ready().unwrap_err();
        assert_eq!(error, "error: port taken");
    }

    #[test]
    fn a_node_whose_port_is_still_taken_is_started_again() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("tried");
        let script = format!(
            "if [ -e {0} ]; then echo '{LINE}'; read line; else touch {0}; echo 'error: 127.0.0.1:1 is in use' >&2; exit 1; fi",
            mark.display()
        );
        let launch = Launch {
            program: "/bin/sh".into(),
            arguments: vec!["-c".to_owned(), script],
            log: dir.path().join("log"),
        };
        assert!(launch.run().unwrap().stop());
    }

    #[test]
    fn a_dropped_process_is_dead_even_if_it_was_paused() {
        let (starting, _dir) = shell(&format!("echo '{LINE}'; sleep 60"));
        let process = starting.unwrap().ready().unwrap();
        process.set_paused(true).unwrap();
        let start = Instant::now();
        drop(process);
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = Starting::spawn(Path::new("/no/such"), &[], &dir.path().join("log"));
        assert!(error.unwrap_err().contains("/no/such"));
    }
}
