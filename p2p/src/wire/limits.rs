//! Every limit on what a peer can send, with its reason.

use std::time::Duration;

/// Headers in one response: as in Bitcoin; 160 kB.
pub const MAX_HEADERS: usize = 2_000;
/// Hashes in a locator: as in Bitcoin; enough for any height with doubling steps.
pub const MAX_LOCATOR: usize = 101;
/// Headers that one chain may have ahead of its bodies before more are asked for: twenty windows of bodies.
pub const MAX_HEADERS_AHEAD: u32 = 20_000;
/// Known headers beside the active chain, from whatever peers. Where work is cheap, headers with more work than our chain are
/// cheap, too; what nobody backs by bodies must not fill the memory. One that is full takes [`LOW_WORK_HEADERS`] more, one a second.
pub const MAX_SIDE_HEADERS: usize = 200_000;
/// The part of [`MAX_SIDE_HEADERS`] that peers who dialled us may use. The rest is for peers that we chose.
pub const MAX_SIDE_HEADERS_INBOUND: usize = MAX_SIDE_HEADERS / 2;
/// Headers with less work than our tip that one peer, or one group of peers, may bring into the tree.
pub const LOW_WORK_HEADERS_PER_PEER: u32 = 2_000;
/// The same for all peers together, refilled by one a second.
pub const LOW_WORK_HEADERS: u32 = 10_000;
/// Messages of headers whose last hashes are remembered while their work is being counted: 4 million headers.
pub const MAX_PRESYNC_BATCHES: usize = 2_000;

/// Bytes of memory of one known header, its index and its row that waits to be written included (177 were measured).
pub const HEADER_MEMORY_BYTES: usize = 180;
/// Bytes of memory that headers which nobody backs by bodies take at most.
pub const MAX_SIDE_HEADER_BYTES: usize = 40_000_000;
const _: () = {
    let most = MAX_SIDE_HEADERS + LOW_WORK_HEADERS as usize;
    assert!(most * HEADER_MEMORY_BYTES <= MAX_SIDE_HEADER_BYTES);
    assert!(MAX_HEADERS_AHEAD as usize * 2 <= MAX_SIDE_HEADERS_INBOUND);
};

/// Blocks asked in one request.
pub const MAX_BLOCKS_PER_REQUEST: usize = 16;
/// Bytes of one response on the wire; two blocks of the largest weight fit.
pub const MAX_RESPONSE_BYTES: usize = 9_000_000;
/// Bytes of one request on the wire: every index of a full block at 5 bytes fits.
pub const MAX_REQUEST_BYTES: usize = 100_000;
/// Bytes of one gossiped announcement; larger blocks are announced by their header.
pub const MAX_ANNOUNCEMENT_BYTES: usize = 150_000;
/// Bytes of one gossiped transaction: Core's standard transaction weight limit.
pub const MAX_TRANSACTION_BYTES: usize = 400_000;
/// Transactions in one block: the smallest serialises to 60 bytes of weight 4 each, and a block weighs 4,000,000.
pub const MAX_BLOCK_TRANSACTIONS: usize = 16_666;
/// Ids in a mempool response; 1.6 MB.
pub const MAX_MEMPOOL_IDS: usize = 50_000;
/// Transactions asked in one request.
pub const MAX_TRANSACTIONS_PER_REQUEST: usize = 1_000;
/// Addresses in one response.
pub const MAX_PEER_ADDRESSES: usize = 100;
/// Bytes of one address: a DNS name (253) with protocols, port and peer id.
pub const MAX_ADDRESS_BYTES: usize = 400;

// Connections, kept by the swarm.

/// A dial and its handshake may take this long: a TCP connection, Noise (1.5 round trips) and Yamux.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connected peer has this long to say which network it belongs to.
pub const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(10);
/// A request, ours or a peer's, is given up after this time; then it is asked of someone else.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle time between two pings of a peer.
pub const PING_INTERVAL: Duration = Duration::from_secs(5);
/// A ping without an answer for this long has failed; the second one in a row ends the connection.
pub const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests of one peer that wait for our answer: twice what our own engine asks of one peer. More are dropped.
pub const MAX_INBOUND_REQUESTS_PER_PEER: usize = 32;
/// Requests of ours that wait for one peer. More fail at once.
pub const MAX_OUTBOUND_REQUESTS_PER_PEER: usize = 64;
/// Request streams of one connection, both ways; more are reset. With [`MAX_REQUEST_BYTES`] this bounds what one peer can
/// make us hold: 10 MB.
pub const MAX_STREAMS_PER_PEER: usize =
    MAX_INBOUND_REQUESTS_PER_PEER + MAX_OUTBOUND_REQUESTS_PER_PEER;
/// Handshakes under way, in each direction.
pub const MAX_PENDING_CONNECTIONS: u32 = 64;
/// The time a verdict on gossip may take; later ones do not forward it. The library keeps messages a little longer.
pub const VERDICT_TIMEOUT: Duration = Duration::from_secs(4);
/// Gossip of one peer that waits for a verdict, in items. More is ignored.
pub const MAX_GOSSIP_WAITING_PER_PEER: usize = 4_096;
/// Gossip of one peer that waits for a verdict, in bytes. More is ignored.
pub const MAX_GOSSIP_WAITING_BYTES_PER_PEER: usize = 16_000_000;
/// Messages of a peer that are held back until it has said which network it belongs to.
pub const MAX_EARLY_MESSAGES: usize = 32;
/// Characters of a peer's agent name that are kept.
pub const MAX_AGENT_CHARS: usize = 100;
/// Listen addresses of one peer that are looked at.
pub const MAX_LISTEN_ADDRESSES: usize = 8;
/// Times per connection that a peer may tell new listen addresses.
pub const MAX_LISTEN_UPDATES: usize = 16;
