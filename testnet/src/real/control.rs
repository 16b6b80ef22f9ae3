//! How commands reach the supervisor: one JSON line each way over a loopback connection.
//!
//! The address and a token stand in a file that only the user can read, so that nobody else on the machine, and no web page,
//! can give orders.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::manifest::write_private;
use super::{LabError, Layout, Order};

/// How long a command may take to say what it wants.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the longest order may take: mining many blocks, or waiting for a heal.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);
/// Largest order, in bytes.
const MAX_ORDER_BYTES: u64 = 64 << 10;

/// The file by which commands find the supervisor.
#[derive(Debug, Serialize, Deserialize)]
struct ControlFile {
    address: SocketAddr,
    token: String,
}

#[derive(Serialize, Deserialize)]
struct Request {
    token: String,
    order: Order,
}

/// Carries out orders; called from several threads.
pub type Handler = Arc<dyn Fn(Order) -> Result<Value, LabError> + Send + Sync>;

/// Listens on a free loopback port, writes the file, and answers orders on threads of its own from now on.
///
/// # Errors
///
/// When no port can be had or the file cannot be written.
pub fn serve(layout: &Layout, handler: Handler) -> Result<(), LabError> {
    let io = |error: std::io::Error| LabError::io(&layout.control(), &error);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(io)?;
    let token = format!("{:032x}", rand::random::<u128>());
    let file = ControlFile {
        address: listener.local_addr().map_err(io)?,
        token: token.clone(),
    };
    write_private(&layout.control(), &json!(file).to_string()).map_err(io)?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (handler, token) = (Arc::clone(&handler), token.clone());
            // A command that goes away in the middle concerns nobody else.
            std::thread::spawn(move || answer(stream, &token, &handler));
        }
    });
    Ok(())
}

fn answer(mut stream: TcpStream, token: &str, handler: &Handler) -> std::io::Result<()> {
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    let mut line = String::new();
    BufReader::new(Read::by_ref(&mut stream).take(MAX_ORDER_BYTES)).read_line(&mut line)?;
    let reply = match serde_json::from_str::<Request>(&line) {
        Ok(request) if request.token == token => match handler(request.order) {
            Ok(value) => json!({ "ok": value }),
            Err(error) => json!({ "error": error.to_string() }),
        },
        Ok(_) => json!({ "error": "wrong token" }),
        Err(error) => json!({ "error": format!("not an order: {error}") }),
    };
    writeln!(stream, "{reply}")
}

/// Gives an order to the testnet in `layout` and waits for the answer.
///
/// # Errors
///
/// [`LabError::Refused`] with what the supervisor said, or that none runs there.
pub fn order<T: DeserializeOwned>(layout: &Layout, order: &Order) -> Result<T, LabError> {
    let reply = exchange(layout, order)?;
    if let Some(error) = reply["error"].as_str() {
        return Err(LabError::Refused(error.to_owned()));
    }
    serde_json::from_value(reply["ok"].clone()).map_err(|error| {
        LabError::Refused(format!(
            "the testnet's answer is not understood ({error}); it may run another version: `mend testnet down`, then `up`"
        ))
    })
}

fn exchange(layout: &Layout, order: &Order) -> Result<Value, LabError> {
    let dead = |problem: &str| {
        LabError::Refused(format!(
            "no testnet runs in {} ({problem}); start one by `mend testnet up`, or name its --dir",
            layout.root().display()
        ))
    };
    let text = std::fs::read_to_string(layout.control()).map_err(|_| dead("no control.json"))?;
    let file: ControlFile =
        serde_json::from_str(&text).map_err(|error| dead(&error.to_string()))?;
    let mut stream = TcpStream::connect_timeout(&file.address, READ_TIMEOUT)
        .map_err(|error| dead(&error.to_string()))?;
    let io = |error: std::io::Error| LabError::io(&layout.control(), &error);
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(io)?;
    let request = json!({ "token": file.token, "order": order });
    writeln!(stream, "{request}").map_err(io)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).map_err(io)?;
    serde_json::from_str(&line).map_err(|_| dead("it ended before it answered"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served() -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let handler: Handler = Arc::new(|order| match order {
            Order::Mine { count, .. } => Ok(json!(count + 1)),
            _ => Err(LabError::AllDown),
        });
        serve(&layout, handler).unwrap();
        (dir, layout)
    }

    #[test]
    fn orders_are_answered() {
        let (_dir, layout) = served();
        let mine = Order::Mine { node: 0, count: 4 };
        assert_eq!(order::<u32>(&layout, &mine).unwrap(), 5);
        let error = order::<u32>(&layout, &Order::Status).unwrap_err();
        assert!(error.to_string().contains("no node is up"));
    }

    #[test]
    fn a_wrong_token_gives_no_orders() {
        let (_dir, layout) = served();
        let text = std::fs::read_to_string(layout.control()).unwrap();
        let mut file: ControlFile = serde_json::from_str(&text).unwrap();
        file.token = "guess".to_owned();
        std::fs::write(layout.control(), json!(file).to_string()).unwrap();
        let error = order::<u32>(&layout, &Order::Mine { node: 0, count: 4 }).unwrap_err();
        assert_eq!(error.to_string(), "wrong token");
    }

    #[cfg(unix)]
    #[test]
    fn the_control_file_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let (_dir, layout) = served();
        let mode = std::fs::metadata(layout.control())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_testnet_that_does_not_run_is_said_so() {
        let dir = tempfile::tempdir().unwrap();
        let error = order::<Value>(&Layout::new(dir.path()), &Order::Down).unwrap_err();
        assert!(error.to_string().contains("start one by `mend testnet up`"));
    }
}
