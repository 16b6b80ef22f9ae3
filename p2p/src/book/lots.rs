//! [`Lots`]: choices that others cannot foresee, out of a seed that is passed in.

use bitcoin::hashes::{Hash, HashEngine, sha256};

/// Random numbers from a seed: the same seed gives the same ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lots {
    seed: u64,
    drawn: u64,
}

impl Lots {
    pub(super) fn new(seed: u64) -> Lots {
        Lots { seed, drawn: 0 }
    }

    pub(super) fn draw(&mut self) -> u64 {
        self.drawn += 1;
        let mut engine = sha256::Hash::engine();
        engine.input(&self.seed.to_le_bytes());
        engine.input(&self.drawn.to_le_bytes());
        let [a, b, c, d, e, f, g, h, ..] = sha256::Hash::from_engine(engine).to_byte_array();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// One of several.
    pub(super) fn pick<'a, T>(&mut self, among: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(among.len()).ok().filter(|count| *count > 0)?;
        among.get(usize::try_from(self.draw() % count).ok()?)
    }
}
