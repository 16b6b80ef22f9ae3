//! A TCP relay between two nodes, which can be cut and stalled: dialled at its own address, like the testnet's links.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

/// What the link does with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Passes them on.
    Up,
    /// Holds them back, connections stay open.
    Stalled,
    /// Closes connections and takes no new ones.
    Cut,
}

/// A relay to one node.
pub(crate) struct Link {
    pub(crate) address: String,
    state: Arc<watch::Sender<State>>,
}

impl Link {
    pub(crate) async fn to(port: u16) -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!(
            "/ip4/127.0.0.1/tcp/{}",
            listener.local_addr().unwrap().port()
        );
        let state = Arc::new(watch::Sender::new(State::Up));
        let target = SocketAddr::from(([127, 0, 0, 1], port));
        tokio::spawn(accept(listener, target, state.clone()));
        Link { address, state }
    }

    pub(crate) fn set(&self, state: State) {
        self.state.send_replace(state);
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, state: Arc<watch::Sender<State>>) {
    while let Ok((near, _)) = listener.accept().await {
        if *state.borrow() == State::Cut {
            continue;
        }
        let Ok(far) = connect(target).await else {
            continue;
        };
        let (near_in, near_out) = near.into_split();
        let (far_in, far_out) = far.into_split();
        tokio::spawn(pass(near_in, far_out, state.subscribe()));
        tokio::spawn(pass(far_in, near_out, state.subscribe()));
    }
}

/// With little room for what is not read, so that a stall is felt soon.
async fn connect(target: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(8 * 1024)?;
    socket.connect(target).await
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut state: watch::Receiver<State>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let now = *state.borrow_and_update();
        tokio::select! {
            read = from.read(&mut buffer), if now == State::Up => match read {
                Ok(bytes) if bytes > 0 => {
                    if to.write_all(&buffer[..bytes]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
            changed = state.changed() => {
                if changed.is_err() || *state.borrow() == State::Cut {
                    return;
                }
            }
        }
    }
}
