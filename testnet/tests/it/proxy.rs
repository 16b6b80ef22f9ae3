//! The link proxy on real sockets.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use testnet::link::{Flow, Lane, LinkProxy, LinkSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(5);

/// A proxy, and the two ends of a connection through it.
struct Pair {
    proxy: LinkProxy,
    near: TcpStream,
    far: TcpStream,
    listener: TcpListener,
}

async fn pair() -> Pair {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = LinkProxy::listen(1).await.unwrap();
    proxy.set_target(Some(listener.local_addr().unwrap()));
    let near = TcpStream::connect(proxy.address()).await.unwrap();
    let (far, _) = timeout(SOON, listener.accept()).await.unwrap().unwrap();
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    Pair {
        proxy,
        near,
        far,
        listener,
    }
}

async fn pass(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) -> Duration {
    let start = Instant::now();
    from.write_all(bytes).await.unwrap();
    let mut got = vec![0; bytes.len()];
    timeout(SOON, to.read_exact(&mut got))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(got, bytes);
    start.elapsed()
}

/// How a connection ends for who reads from it.
async fn ending(stream: &mut TcpStream) -> Result<usize, ErrorKind> {
    let mut byte = [0];
    timeout(SOON, stream.read(&mut byte))
        .await
        .expect("the connection should end")
        .map_err(|error| error.kind())
}

#[tokio::test]
async fn bytes_pass_unchanged_both_ways_and_are_counted() {
    let mut pair = pair().await;
    pass(&mut pair.near, &mut pair.far, b"to the dialled").await;
    pass(&mut pair.far, &mut pair.near, b"back").await;
    let traffic = pair.proxy.traffic();
    assert_eq!((traffic.forward_bytes, traffic.backward_bytes), (14, 4));
    assert_eq!((traffic.accepted, traffic.open), (1, 1));
}

#[tokio::test]
async fn megabytes_pass_in_order() {
    let Pair {
        proxy: _proxy,
        mut near,
        mut far,
        ..
    } = pair().await;
    let sent: Vec<u8> = (0..20_000_000u32).map(|n| (n % 251) as u8).collect();
    let expected = sent.clone();
    let writer = tokio::spawn(async move {
        near.write_all(&sent).await.unwrap();
        near.shutdown().await.unwrap();
    });
    let mut got = Vec::new();
    timeout(SOON * 4, far.read_to_end(&mut got))
        .await
        .unwrap()
        .unwrap();
    writer.await.unwrap();
    assert!(got == expected);
}

#[tokio::test]
async fn each_lane_has_its_own_delay() {
    let mut pair = pair().await;
    pair.proxy.set(LinkSettings {
        forward: Lane::delayed(120),
        backward: Lane::delayed(40),
        refuse: false,
    });
    let there = pass(&mut pair.near, &mut pair.far, b"x").await;
    let back = pass(&mut pair.far, &mut pair.near, b"y").await;
    assert!(there >= Duration::from_millis(120), "{there:?}");
    assert!(back >= Duration::from_millis(40), "{back:?}");
    assert!(back < Duration::from_millis(115), "{back:?}");
}

#[tokio::test]
async fn a_rate_slows_bytes_down() {
    let mut pair = pair().await;
    // 100 kB/s: 20 kB take 200 ms.
    pair.proxy.set(LinkSettings::both(Lane {
        rate_kbit: Some(800),
        ..Lane::default()
    }));
    let took = pass(&mut pair.near, &mut pair.far, &[7; 20_000]).await;
    assert!(took >= Duration::from_millis(195), "{took:?}");
}

#[tokio::test]
async fn a_stalled_lane_holds_bytes_back_and_gives_them_later() {
    let mut pair = pair().await;
    let stalled = Lane {
        flow: Flow::Stalled,
        ..Lane::default()
    };
    pair.proxy.set(LinkSettings {
        forward: stalled,
        ..LinkSettings::default()
    });
    pair.near.write_all(b"late").await.unwrap();
    let mut got = [0; 4];
    let early = timeout(Duration::from_millis(150), pair.far.read_exact(&mut got)).await;
    assert!(early.is_err(), "nothing may pass");
    // The other lane is open: a one-way cut.
    pass(&mut pair.far, &mut pair.near, b"ok").await;
    pair.proxy.set(LinkSettings::default());
    timeout(SOON, pair.far.read_exact(&mut got))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&got, b"late");
}

#[tokio::test]
async fn severing_resets_both_sides_and_new_connections_work() {
    let mut pair = pair().await;
    pass(&mut pair.near, &mut pair.far, b"x").await;
    pair.proxy.sever();
    assert_eq!(
        ending(&mut pair.near).await,
        Err(ErrorKind::ConnectionReset)
    );
    assert_eq!(ending(&mut pair.far).await, Err(ErrorKind::ConnectionReset));
    let mut near = TcpStream::connect(pair.proxy.address()).await.unwrap();
    let (mut far, _) = timeout(SOON, pair.listener.accept())
        .await
        .unwrap()
        .unwrap();
    pass(&mut near, &mut far, b"again").await;
}

#[tokio::test]
async fn a_cut_link_refuses_until_it_is_healed() {
    let mut pair = pair().await;
    pair.proxy.set(LinkSettings {
        refuse: true,
        ..LinkSettings::default()
    });
    // What is open stays until it is severed.
    pass(&mut pair.near, &mut pair.far, b"x").await;
    let mut refused = TcpStream::connect(pair.proxy.address()).await.unwrap();
    assert_ne!(ending(&mut refused).await, Ok(1));
    assert_eq!(pair.proxy.traffic().refused, 1);
    pair.proxy.set(LinkSettings::default());
    let mut near = TcpStream::connect(pair.proxy.address()).await.unwrap();
    let (mut far, _) = timeout(SOON, pair.listener.accept())
        .await
        .unwrap()
        .unwrap();
    pass(&mut near, &mut far, b"healed").await;
}

#[tokio::test]
async fn a_node_that_is_down_refuses() {
    let pair = pair().await;
    pair.proxy.set_target(None);
    let mut refused = TcpStream::connect(pair.proxy.address()).await.unwrap();
    assert_ne!(ending(&mut refused).await, Ok(1));
}

#[tokio::test]
async fn the_end_of_one_side_reaches_the_other_after_its_bytes() {
    let mut pair = pair().await;
    pair.proxy.set(LinkSettings::both(Lane::delayed(30)));
    pair.near.write_all(b"bye").await.unwrap();
    pair.near.shutdown().await.unwrap();
    let mut got = Vec::new();
    timeout(SOON, pair.far.read_to_end(&mut got))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(got, b"bye");
    // Half closed: the other lane still works.
    pass(&mut pair.far, &mut pair.near, b"answer").await;
}

#[tokio::test]
async fn dropping_a_proxy_ends_its_connections() {
    let Pair {
        proxy,
        mut near,
        listener: _listener,
        far: _far,
    } = pair().await;
    drop(proxy);
    assert_ne!(ending(&mut near).await, Ok(1));
}
