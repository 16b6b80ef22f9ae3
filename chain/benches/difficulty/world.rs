//! Blocks, chance, and miners who find blocks in continuous time.

use crate::rules::Rule;

/// Seconds between blocks, as wished.
pub(crate) const SPACING_S: f64 = 10.0;

/// A block of a simulated chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    /// What its header says, in seconds.
    pub(crate) time: i64,
    /// When it was found, in seconds.
    pub(crate) found_at: f64,
    /// Its target; 1 suits hash power 1.
    pub(crate) target: f64,
    /// Whether the liar found it.
    pub(crate) by_liar: bool,
}

/// SplitMix64: the same numbers on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Chance(pub u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to 1, evenly.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }
}

/// What time a lying miner writes into his headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// The true one.
    None,
    /// Two hours ahead.
    Ahead,
    /// The earliest that the median allows.
    Behind,
    /// These two in turn.
    Alternating,
    /// As far ahead as an eased block may be.
    AsFarAsEased,
}

/// A chain, the clock, and who mines.
#[derive(Clone, Debug)]
pub(crate) struct World<'a> {
    pub(crate) rule: &'a dyn Rule,
    pub(crate) blocks: Vec<Block>,
    pub(crate) now: f64,
    pub(crate) chance: Chance,
    pub(crate) honest: f64,
    pub(crate) liar: f64,
    pub(crate) lie: Lie,
}

impl<'a> World<'a> {
    /// A chain in time, at the right target for hash power 1, and then `blocks` mined by chance.
    pub(crate) fn settled(rule: &'a dyn Rule, seed: u64, blocks: usize) -> World<'a> {
        const START: i64 = 1_700_000_000;
        let before = rule.needs_before();
        let blocks_before = (0..before).map(|n| {
            let time = START + n * SPACING_S as i64;
            Block {
                time,
                found_at: time as f64,
                target: 1.0,
                by_liar: false,
            }
        });
        let blocks_before: Vec<Block> = blocks_before.collect();
        let mut world = World {
            rule,
            now: blocks_before[blocks_before.len() - 1].found_at,
            blocks: blocks_before,
            chance: Chance(seed),
            honest: 1.0,
            liar: 0.0,
            lie: Lie::None,
        };
        world.mine(blocks);
        world
    }

    /// Mines so many blocks.
    pub(crate) fn mine(&mut self, blocks: usize) {
        for _ in 0..blocks {
            self.mine_one();
        }
    }

    fn median(&self) -> i64 {
        let from = self.blocks.len().saturating_sub(11);
        let mut times: Vec<i64> = self.blocks[from..].iter().map(|block| block.time).collect();
        times.sort_unstable();
        times[times.len() / 2]
    }

    /// The time that the liar writes at second `now`, if a block with it would be taken; else the true one.
    fn lied_time(&self, now: i64, earliest: i64) -> i64 {
        let odd = self.blocks.len() % 2 == 1;
        let ahead = now + 7_200;
        let time = match self.lie {
            Lie::None => now,
            Lie::Ahead => ahead,
            Lie::Behind => earliest,
            Lie::Alternating if odd => ahead,
            Lie::Alternating => earliest,
            Lie::AsFarAsEased => now + self.rule.max_ahead_s(&self.blocks, i64::MAX >> 16),
        };
        let time = time.max(earliest);
        if time - now <= self.rule.max_ahead_s(&self.blocks, time) {
            time
        } else {
            now.max(earliest)
        }
    }

    fn mine_one(&mut self) {
        let earliest = self.median() + 1;
        let mut work = self.chance.exponential();
        loop {
            let second = self.now.floor() as i64;
            let time = second.max(earliest);
            let target = self.rule.target(&self.blocks, time);
            let honest = self.honest * target / SPACING_S;
            let (lied_time, lied_target, liar) = if self.liar > 0.0 {
                let lied = self.lied_time(second, earliest);
                let target = self.rule.target(&self.blocks, lied);
                (lied, target, self.liar * target / SPACING_S)
            } else {
                (time, target, 0.0)
            };
            let (both, left) = (honest + liar, self.now.floor() + 1.0 - self.now);
            if both * left < work {
                work -= both * left;
                self.now = self.now.floor() + 1.0;
                continue;
            }
            self.now += work / both;
            let by_liar = self.chance.unit() * both < liar;
            self.blocks.push(Block {
                time: if by_liar { lied_time } else { time },
                found_at: self.now,
                target: if by_liar { lied_target } else { target },
                by_liar,
            });
            return;
        }
    }

    /// Spacings that the next block is expected to take from the last one on, by honest miners alone.
    pub(crate) fn expected(&self) -> f64 {
        let earliest = self.median() + 1;
        let mut now = self.blocks[self.blocks.len() - 1].found_at;
        let (mut missing, mut expected_s) = (1.0, 0.0);
        while missing > 1e-6 {
            let time = (now.floor() as i64).max(earliest);
            let rate = self.honest * self.rule.target(&self.blocks, time) / SPACING_S;
            let next = now.floor() + 1.0;
            let still = missing * (-rate * (next - now)).exp();
            expected_s += (missing - still) / rate;
            (missing, now) = (still, next);
        }
        expected_s / SPACING_S
    }

    /// Spacings from `from` to the last block, per block after `first`.
    pub(crate) fn mean_spacing(&self, first: usize, from: f64) -> f64 {
        (self.now - from) / SPACING_S / (self.blocks.len() - first) as f64
    }
}
