//! When something sent over a lane arrives. Pure: time in microseconds and randomness are passed in.

use rand::{Rng, RngExt};

use super::settings::Lane;

/// After how long TCP sends again what was lost, at least (RFC 6298 in the practice of Linux): 200 ms.
pub const RETRANSMISSION_US: u64 = 200_000;

/// The state of one lane between messages: bytes go out one after another, and a stream keeps its order.
#[derive(Clone, Copy, Debug, Default)]
pub struct LaneClock {
    /// When the last byte so far has left the sender.
    sent_us: u64,
    /// When the last message so far arrives.
    arrived_us: u64,
}

/// When the copies of one message arrive, in microseconds; none: it was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// The first copy.
    pub first: Option<u64>,
    /// A second copy.
    pub second: Option<u64>,
}

impl LaneClock {
    /// When a chunk of a byte stream arrives: always, and never before an earlier one.
    pub fn stream(&mut self, now_us: u64, bytes: usize, lane: &Lane, rng: &mut impl Rng) -> u64 {
        let mut arrival = self.travel(now_us, bytes, lane, rng);
        if happens(lane.loss, rng) {
            arrival += RETRANSMISSION_US;
        }
        self.arrived_us = self.arrived_us.max(arrival);
        self.arrived_us
    }

    /// When a message arrives that the link may lose, double or let overtake.
    pub fn message(
        &mut self,
        now_us: u64,
        bytes: usize,
        lane: &Lane,
        rng: &mut impl Rng,
    ) -> Passage {
        let arrival = self.travel(now_us, bytes, lane, rng);
        let lost = happens(lane.loss, rng);
        let overtakes = happens(lane.reorder, rng);
        let doubled = happens(lane.duplicate, rng);
        if lost {
            return Passage::default();
        }
        let first = if overtakes {
            arrival
        } else {
            self.arrived_us = self.arrived_us.max(arrival);
            self.arrived_us
        };
        let second = doubled.then(|| first + 1 + jitter_us(lane, rng));
        Passage {
            first: Some(first),
            second,
        }
    }

    /// Queueing behind earlier bytes, then delay and jitter.
    fn travel(&mut self, now_us: u64, bytes: usize, lane: &Lane, rng: &mut impl Rng) -> u64 {
        self.sent_us = self.sent_us.max(now_us) + transmission_us(bytes, lane.rate_kbit);
        self.sent_us + u64::from(lane.delay_ms) * 1_000 + jitter_us(lane, rng)
    }
}

/// How long the sender needs to put `bytes` on a link of that rate.
fn transmission_us(bytes: usize, rate_kbit: Option<u32>) -> u64 {
    match rate_kbit {
        // 1 kbit/s is one bit per millisecond.
        Some(rate) => (bytes as u64 * 8).saturating_mul(1_000) / u64::from(rate.max(1)),
        None => 0,
    }
}

fn jitter_us(lane: &Lane, rng: &mut impl Rng) -> u64 {
    match lane.jitter_ms {
        0 => 0,
        ms => rng.random_range(0..=u64::from(ms) * 1_000),
    }
}

/// Draws only where there is a chance at all, so that unused faults do not move the random sequence.
fn happens(share: f64, rng: &mut impl Rng) -> bool {
    share > 0.0 && rng.random::<f64>() < share
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(7)
    }

    #[test]
    fn delay_and_rate_add_up() {
        let lane = Lane {
            delay_ms: 25,
            rate_kbit: Some(8_000),
            ..Lane::default()
        };
        let mut clock = LaneClock::default();
        // 8 Mbit/s is a byte per microsecond.
        assert_eq!(clock.stream(0, 1_000, &lane, &mut rng()), 26_000);
        assert_eq!(clock.stream(0, 500, &lane, &mut rng()), 26_500);
        // After a pause the queue is empty again.
        assert_eq!(clock.stream(1_000_000, 1_000, &lane, &mut rng()), 1_026_000);
    }

    #[test]
    fn jitter_stays_in_its_range_and_keeps_a_stream_in_order() {
        let lane = Lane {
            delay_ms: 10,
            jitter_ms: 20,
            ..Lane::default()
        };
        let (mut clock, mut rng) = (LaneClock::default(), rng());
        let mut last = 0;
        for n in 0..1_000 {
            let arrival = clock.stream(n * 100, 10, &lane, &mut rng);
            assert!(arrival >= last && arrival >= n * 100 + 10_000);
            assert!(arrival <= n * 100 + 30_000);
            last = arrival;
        }
    }

    #[test]
    fn shares_are_met_within_a_percent_or_two() {
        let lane = Lane {
            loss: 0.2,
            duplicate: 0.1,
            ..Lane::default()
        };
        let (mut clock, mut rng) = (LaneClock::default(), rng());
        let passages: Vec<Passage> = (0..10_000)
            .map(|n| clock.message(n, 10, &lane, &mut rng))
            .collect();
        let arrived = passages.iter().filter(|p| p.first.is_some()).count();
        let doubled = passages.iter().filter(|p| p.second.is_some()).count();
        assert!((7_800..8_200).contains(&arrived), "{arrived}");
        assert!((650..950).contains(&doubled), "{doubled}");
    }

    #[test]
    fn only_reordering_lets_messages_overtake() {
        let mut lane = Lane {
            jitter_ms: 50,
            ..Lane::default()
        };
        let overtakings = |lane: &Lane| {
            let (mut clock, mut rng) = (LaneClock::default(), rng());
            let times: Vec<u64> = (0..500)
                .filter_map(|n| clock.message(n * 1_000, 10, lane, &mut rng).first)
                .collect();
            times.windows(2).filter(|pair| pair[1] < pair[0]).count()
        };
        assert_eq!(overtakings(&lane), 0);
        lane.reorder = 0.5;
        assert!(overtakings(&lane) > 10);
    }

    #[test]
    fn the_same_seed_gives_the_same_passages() {
        let lane = Lane {
            jitter_ms: 9,
            loss: 0.3,
            duplicate: 0.3,
            reorder: 0.3,
            ..Lane::default()
        };
        let run = || {
            let (mut clock, mut rng) = (LaneClock::default(), rng());
            (0..200)
                .map(|n| clock.message(n, 100, &lane, &mut rng))
                .collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
    }
}
