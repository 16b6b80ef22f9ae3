//! Share difficulties, and how they follow a miner's speed.
//!
//! A share of difficulty 1 takes 2^32 hashes on average, as everywhere in Stratum. On an easy network fractions are usual.

use std::time::Duration;

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, Target};
use p2p::Mono;

/// Hashes that a share of difficulty 1 takes on average.
pub const HASHES_PER_DIFFICULTY: f64 = 4_294_967_296.0;
/// Where a connection begins: half a second of a fast core, 40 microseconds of a hobby ASIC.
const FIRST: f64 = 0.01;
/// Four thousand hashes.
const LEAST: f64 = 1e-6;
/// Shares shall come about so often.
const SHARE_INTERVAL: Duration = Duration::from_secs(5);
/// The difficulty is looked at after so many shares, or after so long.
const ENOUGH_SHARES: u32 = 12;
const LONG_ENOUGH: Duration = Duration::from_secs(60);
/// It changes by this factor at most.
const LARGEST_STEP: f64 = 16.0;
/// Changes by less are not worth a message.
const SMALLEST_STEP: f64 = 2.0;

/// The difficulty that a share has.
pub(super) fn of_hash(hash: &BlockHash) -> f64 {
    Target::from_le_bytes(hash.to_byte_array()).difficulty_float()
}

/// The difficulty of a network. Rounded down by a trillionth, so that no share target is ever harder than the block's.
pub(super) fn of_bits(bits: CompactTarget) -> f64 {
    Target::from_compact(bits).difficulty_float() * (1.0 - 1e-12)
}

/// Whether `got` reaches `need`. Miners compute targets from it with their own rounding: a billionth is let pass.
pub(super) fn reaches(got: f64, need: f64) -> bool {
    got >= need * (1.0 - 1e-9)
}

/// The difficulty of one connection, which follows the miner so that shares come every few seconds.
#[derive(Clone, Debug)]
pub(super) struct Vardiff {
    current: f64,
    since: Mono,
    shares: u32,
}

impl Vardiff {
    pub(super) fn new(now: Mono) -> Vardiff {
        Vardiff {
            current: FIRST,
            since: now,
            shares: 0,
        }
    }

    /// The difficulty for shares on a network of difficulty `network`: never more than that.
    pub(super) fn on(&self, network: f64) -> f64 {
        self.current.min(network)
    }

    /// Takes what the miner suggests as a new start.
    pub(super) fn suggest(&mut self, now: Mono, difficulty: f64) {
        self.restart(now, difficulty.max(LEAST));
    }

    /// A share was accepted.
    pub(super) fn share(&mut self) {
        self.shares += 1;
    }

    /// Adapts to the shares that came since the last change, if there are enough to tell.
    pub(super) fn adapt(&mut self, now: Mono, network: f64) {
        let elapsed = now.since(self.since);
        if self.shares < ENOUGH_SHARES && elapsed < LONG_ENOUGH {
            return;
        }
        let expected = elapsed.as_secs_f64().max(1e-3) / SHARE_INTERVAL.as_secs_f64();
        // None at all says "at most half a share".
        let factor = f64::from(self.shares).max(0.5) / expected;
        let factor = factor.clamp(1.0 / LARGEST_STEP, LARGEST_STEP);
        let mut next = self.on(network);
        if !(1.0 / SMALLEST_STEP..SMALLEST_STEP).contains(&factor) {
            next = (next * factor).max(LEAST).min(network);
        }
        self.restart(now, next);
    }

    fn restart(&mut self, now: Mono, difficulty: f64) {
        *self = Vardiff {
            current: difficulty,
            since: now,
            shares: 0,
        };
    }
}

/// How fast a miner is, by the work of its shares over about the last minute.
#[derive(Clone, Debug, Default)]
pub(super) struct ShareRate {
    hashes_per_second: f64,
    at: Mono,
}

impl ShareRate {
    const MEMORY_S: f64 = 60.0;

    pub(super) fn share(&mut self, now: Mono, difficulty: f64) {
        let before = self.get(now);
        self.hashes_per_second = before + difficulty * HASHES_PER_DIFFICULTY / Self::MEMORY_S;
        self.at = now;
    }

    pub(super) fn get(&self, now: Mono) -> f64 {
        let age = now.since(self.at).as_secs_f64();
        self.hashes_per_second * (-age / Self::MEMORY_S).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(s: f64) -> Mono {
        Mono::ZERO + Duration::from_secs_f64(s)
    }

    /// The difficulty after ten minutes of a miner that does `rate` hashes a second.
    fn settled(rate: f64, network: f64) -> f64 {
        let mut vardiff = Vardiff::new(Mono::ZERO);
        let (mut time, mut looked) = (0.0, 0.0);
        while time < 600.0 {
            let share_after = vardiff.on(network) * HASHES_PER_DIFFICULTY / rate;
            // Between shares the connection's timer looks every five seconds.
            if time + share_after < looked + 5.0 {
                time += share_after.max(1e-4);
                vardiff.share();
            } else {
                looked += 5.0;
                time = time.max(looked);
            }
            vardiff.adapt(seconds(time), network);
        }
        vardiff.on(network)
    }

    #[test]
    fn shares_come_every_few_seconds_whether_the_miner_is_slow_or_fast() {
        for rate in [5e4, 1e6, 3e7, 1e9, 1e12] {
            let every = settled(rate, f64::MAX) * HASHES_PER_DIFFICULTY / rate;
            assert!((1.0..25.0).contains(&every), "{rate} H/s: every {every} s");
        }
    }

    #[test]
    fn no_share_is_harder_than_a_block() {
        for bits in [0x207f_ffff, 0x1e7f_ffff, 0x1d00_ffff, 0x1c12_3456] {
            let bits = CompactTarget::from_consensus(bits);
            let (network, block) = (of_bits(bits), Target::from_compact(bits));
            assert!(settled(1e13, network) <= block.difficulty_float());
            let just_a_block = BlockHash::from_byte_array(block.to_le_bytes());
            assert!(reaches(of_hash(&just_a_block), network));
        }
    }

    #[test]
    fn a_suggestion_is_taken_and_kept_within_limits() {
        let mut vardiff = Vardiff::new(Mono::ZERO);
        vardiff.suggest(Mono::ZERO, 1_000.0);
        assert_eq!(vardiff.on(1e9), 1_000.0);
        assert_eq!(vardiff.on(0.5), 0.5);
        vardiff.suggest(Mono::ZERO, 1e-30);
        assert_eq!(vardiff.on(1e9), LEAST);
    }

    #[test]
    fn the_rate_follows_the_shares() {
        let mut rate = ShareRate::default();
        for share in 0..60 {
            rate.share(seconds(f64::from(share) * 5.0), 0.01);
        }
        let expected = 0.01 * HASHES_PER_DIFFICULTY / 5.0;
        let got = rate.get(seconds(297.5));
        assert!((got / expected - 1.0).abs() < 0.1, "{got} {expected}");
        assert!(rate.get(seconds(1_000.0)) < expected / 1_000.0);
    }
}
