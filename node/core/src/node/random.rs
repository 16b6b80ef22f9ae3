//! [`Nonces`]: numbers that others cannot foresee, from a seed.

/// A stream of numbers from a seed (SplitMix64). They key short ids, so that nobody can prepare collisions; nothing secret
/// hangs on them.
#[derive(Clone, Debug)]
pub(super) struct Nonces(u64);

impl Nonces {
    pub(super) fn new(seed: u64) -> Nonces {
        Nonces(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
