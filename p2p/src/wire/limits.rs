//! Every limit on what a peer can send, with its reason.

use std::time::Duration;

/// Headers in one response: as in Bitcoin; 160 kB.
pub const MAX_HEADERS: usize = 2_000;
/// Hashes in a locator: as in Bitcoin; enough for any height with doubling steps.
pub const MAX_LOCATOR: usize = 101;
/// Headers that one chain may have ahead of its bodies before more are asked for: twenty windows of bodies.
pub const MAX_HEADERS_AHEAD: u32 = 20_000;
/// Known headers beside the active chain, fetched or announced, from whatever peers. Where work is cheap, headers with more work than our chain are
/// cheap, too; what nobody backs by bodies must not fill the memory. One that is full takes [`LOW_WORK_HEADERS`] more, one a second.
pub const MAX_SIDE_HEADERS: usize = 200_000;
/// The part of [`MAX_SIDE_HEADERS`] that peers who dialled us may use. The rest is for peers that we chose.
pub const MAX_SIDE_HEADERS_INBOUND: usize = MAX_SIDE_HEADERS / 2;
/// Headers with less work than our tip that one peer, or one group of peers, may bring into the tree; refilled by one a second.
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

/// Single transactions are given of blocks that are at most so far below the tip, as in Bitcoin Core; older ones as a whole.
pub const MAX_PART_DEPTH: u32 = 10;
/// Blocks that are decoded so that all peers together get single transactions of them; one more each second. Fresh blocks are
/// decoded already.
pub const PART_DECODINGS: u32 = 40;
/// Bytes of blocks that are kept decoded for that.
pub const SERVED_BYTES: usize = 8_000_000;
/// Blocks asked in one request.
pub const MAX_BLOCKS_PER_REQUEST: usize = 16;
/// Bytes of one response on the wire; two blocks of the largest weight fit.
pub const MAX_RESPONSE_BYTES: usize = 9_000_000;
/// Bytes of one block: as many as its weight, when all of it is witness.
pub const MAX_BLOCK_BYTES: usize = 4_000_000;
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
/// A request of ours is given up after this time; then it is asked of someone else. Blocks have longer, see [`BLOCKS_TIMEOUT`].
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for blocks, and for whatever a peer asks of us: the largest answer over the slowest link that is served. Who is
/// merely slow is not given up while nobody else could give them; the engine asks others long before.
pub const BLOCKS_TIMEOUT: Duration =
    Duration::from_secs((MAX_RESPONSE_BYTES / MIN_READ_BYTES_PER_S) as u64 + 6);
/// Idle time between two pings of a peer.
pub const PING_INTERVAL: Duration = Duration::from_secs(5);
/// A ping without an answer for this long has failed; the second one in a row ends the connection.
pub const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests of one peer from their coming until their answers are read: half as many again as our own engine asks of one peer for
/// blocks. More are dropped.
pub const MAX_INBOUND_REQUESTS_PER_PEER: usize = 48;
/// Requests of ours that wait for one peer: as many as it would take. More fail at once.
pub const MAX_OUTBOUND_REQUESTS_PER_PEER: usize = MAX_INBOUND_REQUESTS_PER_PEER;
/// Request streams of one connection, both ways; more are reset.
pub const MAX_STREAMS_PER_PEER: usize =
    MAX_INBOUND_REQUESTS_PER_PEER + MAX_OUTBOUND_REQUESTS_PER_PEER;
/// Streams of one connection of any kind: all that both sides may ask, and some for gossip, pings and identify. With more the
/// connection ends.
pub const MAX_STREAMS_PER_CONNECTION: usize = MAX_STREAMS_PER_PEER + 32;
/// An inbound connection has this long for its handshake.
pub const INBOUND_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Dials under way; more fail.
pub const MAX_PENDING_CONNECTIONS: u32 = 64;
/// Handshakes of inbound connections under way; the oldest of the group of addresses that has most makes room for one more.
pub const MAX_PENDING_HANDSHAKES: usize = 64;
/// A group of addresses may have one in so many inbound connections.
pub const GROUP_SHARE_OF_INBOUND: usize = 4;
/// Who cost too much is discouraged for so long: taken only while most seats are free, and the first to go.
pub const DISCOURAGED: Duration = Duration::from_secs(600);
/// Whoever is remembered as discouraged, at most; the oldest is forgotten first.
pub const MAX_DISCOURAGED: usize = 1_000;
/// A peer that comes back while it is connected has this long to show that the connection it has still lives.
pub const PROOF_OF_LIFE: Duration = Duration::from_millis(1_500);
/// The time a verdict on gossip may take; later ones do not forward it. The library keeps messages a little longer.
pub const VERDICT_TIMEOUT: Duration = Duration::from_secs(4);
/// Gossip whose verdict is awaited, at most: what waits for the core, and as much again that the core has in hand. Of more the
/// oldest is given up.
pub const MAX_VERDICTS: usize = 2 * MAX_INBOX_BYTES / INBOX_ITEM_BYTES;
/// Requests of one connection that are dropped for being too many, until it is let go.
pub const MAX_DROPPED_REQUESTS: u32 = 256;
/// Gossip that waits to be sent to one peer. A peer that lets more wait is disconnected; when it is back mempools are compared, so that
/// it misses nothing.
pub const MAX_UNSENT_GOSSIP: usize = 2_048;
/// Malformed gossip of one connection, until it is let go without waiting for the core's verdict on it.
pub const MAX_MALFORMED_GOSSIP: u32 = 16;
/// Gossip of one connection that is refused for being too much, until it is let go.
pub const MAX_REFUSED_GOSSIP: u32 = 20_000;
/// Messages of a peer that are held back until it has said which network it belongs to.
pub const MAX_EARLY_MESSAGES: usize = 32;
/// Their bytes, by connection: a few questions and the announcement of a block.
pub const MAX_EARLY_BYTES: usize = 200_000;
/// Their bytes, of all connections together.
pub const MAX_EARLY_BYTES_OF_ALL: usize = 2_000_000;
/// Characters of a peer's agent name that are kept.
pub const MAX_AGENT_CHARS: usize = 100;
/// Listen addresses of one peer that are looked at.
pub const MAX_LISTEN_ADDRESSES: usize = 8;
/// Times per connection that a peer may tell new listen addresses.
pub const MAX_LISTEN_UPDATES: usize = 16;

// What peers may make this node hold. Charged when it comes and credited when it is consumed (see [`crate::budget`]).

/// Gossip is in memory twice while it waits: decoded, and as it is forwarded.
pub const GOSSIP_COPIES: usize = 2;
/// What waits for the core, of one connection: the largest transaction twice. More of it is refused.
pub const MAX_INBOX_BYTES_PER_PEER: usize = 2_000_000;
/// What one thing that waits takes beside its bytes; it bounds how many small ones may wait.
pub const INBOX_ITEM_BYTES: usize = 512;
/// What waits for the core, of one group of addresses.
pub const MAX_INBOX_BYTES_PER_GROUP: usize = 4_000_000;
/// What waits for the core of all peers together, blocks and headers included.
pub const MAX_INBOX_BYTES: usize = 16_000_000;
/// Above this only blocks and headers are taken.
pub const MAX_INBOX_PAYMENT_BYTES: usize = 10_000_000;

/// Answers that are being made or unread, of all peers together: four of the largest.
pub const MAX_ANSWER_BYTES: usize = 4 * MAX_RESPONSE_BYTES;
/// The share of peers that have not yet read a large answer to its end.
pub const MAX_ANSWER_BYTES_OF_NEWCOMERS: usize = MAX_ANSWER_BYTES / 2;
/// The share of one group of addresses.
pub const MAX_ANSWER_BYTES_PER_GROUP: usize = MAX_ANSWER_BYTES / 4;
/// A peer with more than this unread gets no further answer made: enough to keep a link busy while one is made.
pub const ANSWER_WINDOW_BYTES: usize = 1_000_000;
/// Answers up to this size are made beside a large one: a tip, addresses, a message of headers.
pub const SMALL_ANSWER_BYTES: usize = 170_000;
/// Who reads slower, while others wait for the room that its answers take, is let go: half of a link of 1 Mbit/s.
pub const MIN_READ_BYTES_PER_S: usize = 62_500;
/// Requests that wait to be handed on, of one connection.
pub const MAX_WAITING_REQUEST_BYTES_PER_PEER: usize = 4 * MAX_REQUEST_BYTES;
/// The same of all peers together.
pub const MAX_WAITING_REQUEST_BYTES: usize = 4_000_000;

/// What peers can make this node hold between its sockets and its core, however many they are. Not in it: answers that we asked
/// for, which the engine bounds, and what the library buffers by connection ([`MAX_UNREAD_BYTES_PER_CONNECTION`]).
pub const MAX_HELD_BYTES: usize = MAX_INBOX_BYTES
    + MAX_ANSWER_BYTES
    + MAX_WAITING_REQUEST_BYTES
    + GOSSIP_COPIES * MAX_EARLY_BYTES_OF_ALL;

/// Bytes of a frame of Yamux that is coming.
pub const YAMUX_FRAME_BYTES: usize = 1024 * 1024;
/// Bytes of one stream that came and were not read yet, as Yamux has it.
pub const YAMUX_WINDOW_BYTES: usize = 256 * 1024;
/// Streams of one connection of which something may lie unread for long: gossip and pings, which are read as fast as they are worked
/// off. Requests are read as they come, and nothing may come after them.
pub const UNREAD_STREAMS_PER_CONNECTION: usize = 2;
/// What the library may hold of one connection of what comes in.
pub const MAX_UNREAD_BYTES_PER_CONNECTION: usize =
    YAMUX_FRAME_BYTES + UNREAD_STREAMS_PER_CONNECTION * YAMUX_WINDOW_BYTES;
/// What it may hold to be sent to one connection: most gossip is a small payment, and all of it together was in the mempool.
pub const USUAL_UNSENT_BYTES_PER_CONNECTION: usize = MAX_UNSENT_GOSSIP * 500;

const _: () = {
    // What 157 connections (125 inbound, 32 outbound) can make the library hold, beside what is promised below.
    assert!(157 * MAX_UNREAD_BYTES_PER_CONNECTION <= 256 * 1024 * 1024);
    assert!(MAX_UNREAD_BYTES_PER_CONNECTION + USUAL_UNSENT_BYTES_PER_CONNECTION <= 3_000_000);
    assert!(MAX_HELD_BYTES <= 64 * 1024 * 1024, "64 MiB are promised");
    // Whoever is alone gets whatever may be asked for.
    assert!(MAX_RESPONSE_BYTES <= MAX_ANSWER_BYTES_PER_GROUP);
    assert!(MAX_RESPONSE_BYTES <= MAX_ANSWER_BYTES_OF_NEWCOMERS);
    assert!(2 * MAX_BLOCK_BYTES <= MAX_RESPONSE_BYTES);
    assert!(ANSWER_WINDOW_BYTES < MAX_RESPONSE_BYTES);
    assert!(
        SMALL_ANSWER_BYTES > MAX_HEADERS * 80
            && SMALL_ANSWER_BYTES > MAX_PEER_ADDRESSES * (MAX_ADDRESS_BYTES + 3)
    );
    // No single message is too large for the budget of its peer, no peer too large for its group, no group for all.
    assert!(GOSSIP_COPIES * MAX_TRANSACTION_BYTES + INBOX_ITEM_BYTES <= MAX_INBOX_BYTES_PER_PEER);
    assert!(GOSSIP_COPIES * MAX_ANNOUNCEMENT_BYTES + INBOX_ITEM_BYTES <= MAX_INBOX_BYTES_PER_PEER);
    assert!(2 * MAX_INBOX_BYTES_PER_PEER <= MAX_INBOX_BYTES_PER_GROUP);
    assert!(2 * MAX_INBOX_BYTES_PER_GROUP <= MAX_INBOX_PAYMENT_BYTES);
    assert!(MAX_INBOX_PAYMENT_BYTES + MAX_INBOX_BYTES_PER_GROUP <= MAX_INBOX_BYTES);
    assert!(MAX_REQUEST_BYTES <= MAX_WAITING_REQUEST_BYTES_PER_PEER);
    assert!(MAX_WAITING_REQUEST_BYTES_PER_PEER <= MAX_WAITING_REQUEST_BYTES);
    assert!(MAX_ANNOUNCEMENT_BYTES <= MAX_EARLY_BYTES);
};
