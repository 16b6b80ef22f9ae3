//! How long the engine waits, and how often it tries. What peers may send is limited in [`crate::wire::limits`].

use std::time::Duration;

use crate::wire::limits::MAX_INBOUND_REQUESTS_PER_PEER;
use crate::{Mono, SplitMix64};

/// Peers that disagree about the tip ask each other again after this, doubling up to [`STATUS_DISAGREE_MAX`].
pub(super) const STATUS_DISAGREE: Duration = Duration::from_secs(3);
/// See [`STATUS_DISAGREE`].
pub(super) const STATUS_DISAGREE_MAX: Duration = Duration::from_secs(300);
/// Peers that agree ask each other this seldom: whoever changes tells, so this is the last resort.
pub(super) const STATUS_IDLE: Duration = Duration::from_secs(1_200);
/// Least time between two status requests to one peer.
pub(super) const STATUS_MIN_GAP: Duration = Duration::from_millis(200);
/// A tip that was gossiped is told to those who may have missed it after this, plus up to [`STATUS_JITTER`].
pub(super) const STATUS_AFTER_GOSSIP: Duration = Duration::from_secs(1);
/// Spread of the above: the first to ask spares the other side its own request.
pub(super) const STATUS_JITTER: Duration = Duration::from_secs(2);
/// While blocks are still missing, the moving tip is told this seldom.
pub(super) const STATUS_CATCHING_UP: Duration = Duration::from_secs(3);

/// A header request that takes longer is silent: other peers are asked beside it.
pub(super) const HEADERS_STALL: Duration = Duration::from_secs(2);
/// A fetch that brings fewer headers a second than this, after [`HEADERS_STALL`], does not keep others from being asked.
pub(super) const BRISK_HEADERS_PER_S: u64 = 2_000;
/// For so long after a peer was silent, many are asked at the same time.
pub(super) const HEADERS_ALARM: Duration = Duration::from_secs(60);
/// Peers asked at the same time then, of each direction: together with the one that was silent they cost one time-out.
pub(super) const MAX_HEADER_FETCHES: usize = 64;
/// Peers of groups that were fruitless before and that are asked at the same time.
pub(super) const MAX_SUSPECT_FETCHES: usize = 4;
/// Groups of peers whose fetches are remembered; the one that was heard of least lately is forgotten.
pub(super) const REMEMBERED_GROUPS: usize = 1_024;
/// What is held against a group is halved after this.
pub(super) const GROUP_HALF_LIFE: Duration = Duration::from_secs(60);
/// While its work is being counted, a branch has to be on the way to reach that of our tip within this; doubled with every
/// fruitless fetch, since a link may be slow.
pub(super) const PRESYNC_TIME: Duration = Duration::from_secs(30);
/// The pace is not looked at before.
pub(super) const PRESYNC_GRACE: Duration = Duration::from_secs(5);
/// A fetch whose headers are far ahead of the bodies looks this often whether it may go on.
pub(super) const HEADERS_AHEAD_PAUSE: Duration = Duration::from_millis(100);
/// Rounds of looking for the fork point before a peer counts as fruitless; three do for a million blocks.
pub(super) const MAX_LOCATE_ROUNDS: u32 = 12;
/// Pause after a fruitless header fetch, doubling with each up to 64 s.
pub(super) const HEADERS_PAUSE: Duration = Duration::from_secs(1);
/// Header fetches in a row that showed less work than was claimed, before the peer is punished.
pub(super) const MAX_FALSE_CLAIMS: u32 = 4;
/// Requests in a row that fail before a peer is given up.
pub(super) const MAX_FAILURES: u32 = 4;
/// What our clock forbids today is tried again after this.
pub(super) const NOT_YET_PAUSE: Duration = Duration::from_secs(10);

/// Bodies are fetched at most this far above the lowest missing one.
pub(super) const BODY_WINDOW: u32 = 1_024;
/// Blocks in flight from a peer that has not delivered any: its link may be slow, and the blocks large.
pub(super) const IN_FLIGHT_FIRST: usize = 4;
/// Most blocks in flight from one peer.
pub(super) const IN_FLIGHT_BLOCKS: usize = 128;
/// Bytes in flight from one peer, but for one block at least: what a link of 1 Mbit/s brings in half a minute.
pub(super) const IN_FLIGHT_BYTES: usize = 4_000_000;
/// The same from a peer that was seen to bring [`QUICK_BYTES_PER_S`].
pub(super) const IN_FLIGHT_BYTES_QUICK: usize = 16_000_000;
/// See [`IN_FLIGHT_BYTES_QUICK`].
pub(super) const QUICK_BYTES_PER_S: u64 = 8_000_000;
/// Bytes that one request for blocks aims at.
pub(super) const REQUEST_BYTES: usize = 500_000;
// Beside all these an honest peer takes questions of other kinds.
const _: () = assert!(IN_FLIGHT_BYTES_QUICK / REQUEST_BYTES + 8 <= MAX_INBOUND_REQUESTS_PER_PEER);
/// Blocks handed to the chain whose result is not known yet.
pub(super) const MAX_HANDED_BLOCKS: usize = 128;
/// Blocks wanted outside the window: announced ones and damaged ones.
pub(super) const MAX_EXTRA_WANTS: usize = 512;
/// A branch of which no body came for this long is left for later, if there is another one worth fetching ...
pub(super) const WITHHELD_AFTER: Duration = Duration::from_secs(4);
/// ... for this long, doubling each time ...
pub(super) const WITHHELD_PAUSE: Duration = Duration::from_secs(8);
/// ... up to this.
pub(super) const WITHHELD_PAUSE_MAX: Duration = Duration::from_secs(600);
/// Branches that are remembered so.
pub(super) const MAX_WITHHELD: usize = 16;
/// A peer that delivers nothing for this long, while another could, has stalled; doubles with every stall ...
pub(super) const STALL_TIMEOUT: Duration = Duration::from_secs(2);
/// ... up to this ...
pub(super) const STALL_TIMEOUT_MAX: Duration = Duration::from_secs(64);
/// ... and decays by this factor, in percent, with every delivery, as in Core.
pub(super) const STALL_DECAY_PERCENT: u32 = 85;
/// Stalls in a row before a peer is given up, if it has also brought nothing for as long as what was asked of it takes on the
/// slowest link that is served.
pub(super) const MAX_STALLS: u32 = 2;
/// Empty answers in a row about blocks that a peer says to have, before it is given up.
pub(super) const MAX_BROKEN_PROMISES: u32 = 3;
/// Pause before a block that nobody gave is asked for again, doubling up to [`BODY_PAUSE_MAX`].
pub(super) const BODY_PAUSE: Duration = Duration::from_millis(20);
/// See [`BODY_PAUSE`].
pub(super) const BODY_PAUSE_MAX: Duration = Duration::from_secs(2);
/// The same for a damaged block, which anyone may have and perhaps nobody has.
pub(super) const DAMAGED_PAUSE_MAX: Duration = Duration::from_secs(30);
/// Times that all announcers of a block are asked in vain before it is forgotten.
pub(super) const MAX_ANNOUNCED_ROUNDS: u32 = 12;
/// Blocks that broke a rule and are remembered, to know who follows them.
pub(super) const REMEMBERED_BROKEN: usize = 64;
/// Blocks whose sender is remembered, in case they fail on connecting.
pub(super) const REMEMBERED_SENDERS: usize = 2_048;

/// Announced blocks that are being rebuilt at the same time.
pub(super) const MAX_PARTIAL_BLOCKS: usize = 16;
/// Times that missing transactions are asked for before the whole block is.
pub(super) const MAX_PARTIAL_TRIES: u32 = 4;
/// An announcer that has not given what is missing of a block after this is not the only one that is asked any more. After the
/// same time once more the whole block is asked for.
pub(super) const PART_PATIENCE: Duration = Duration::from_secs(1);
/// Peers that are asked for the missing part at the same time, then.
pub(super) const MAX_PARTIAL_SOURCES: usize = 3;
/// Announced blocks whose bodies are awaited.
pub(super) const MAX_OVERDUE: usize = 32;
/// While one of them is overdue, everyone's tip is asked for this often, doubling ...
pub(super) const PROBE_PAUSE: Duration = Duration::from_millis(250);
/// ... up to this.
pub(super) const PROBE_PAUSE_MAX: Duration = Duration::from_secs(16);
/// A block that took so long from its announcement is told to peers at once: they may wait for it, too.
pub(super) const LATE: Duration = Duration::from_millis(500);
/// Announcements without parent that are remembered, one a peer.
pub(super) const MAX_ORPHANS: usize = 128;
/// Transactions that a peer has not given for this long may be asked of another.
pub(super) const TRANSACTIONS_PATIENCE: Duration = Duration::from_secs(2);
/// Missing parents of transactions that wait to be asked of one peer.
pub(super) const MAX_PARENTS_WANTED: usize = 1_000;
/// Transactions that wait to be asked of one peer: 32 bytes each. Further ones are found when mempools are compared again.
pub(super) const MAX_QUEUED_TXIDS: usize = 10_000;

/// `base` doubled `times` times, at most `most`.
pub(super) fn doubled(base: Duration, times: u32, most: Duration) -> Duration {
    base.saturating_mul(1 << times.min(16)).min(most)
}

/// The earlier of two times, where there are any.
pub(super) fn earlier(a: Option<Mono>, b: Option<Mono>) -> Option<Mono> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Spreads requests of different nodes in time, nothing else.
#[derive(Clone, Debug)]
pub(super) struct Jitter(SplitMix64);

impl Jitter {
    pub(super) fn new(seed: u64) -> Jitter {
        Jitter(SplitMix64::new(seed))
    }

    /// Something from zero up to `span`.
    pub(super) fn up_to(&mut self, span: Duration) -> Duration {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(self.0.draw() % micros)
    }
}
