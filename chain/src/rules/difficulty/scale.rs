//! Targets times powers of two, in integers.

use bitcoin::Target;

/// `target` times 2^(`drift_s` / `half_life_s`), never zero and never above `limit`. The same on every machine.
///
/// The exponent is a fixed-point number with 16 fractional bits, and its division truncates toward zero, as in the
/// reference of aserti3-2d; flooring would differ in most blocks that are ahead of the schedule.
pub(super) fn times_two_to_the(
    target: Target,
    drift_s: i128,
    half_life_s: i64,
    limit: Target,
) -> Target {
    let exponent = drift_s * 65_536 / i128::from(half_life_s);
    let whole = exponent >> 16;
    let fraction = (exponent & 0xffff) as u64;
    let product = Wide::from_target(target).times(two_to_the(fraction));
    // `two_to_the` carries 16 fractional bits: they go with the shift.
    within(product.shifted(whole - 16), limit)
}

/// `target` times 2^`doublings`, never zero and never above `limit`.
pub(super) fn doubled(target: Target, doublings: u32, limit: Target) -> Target {
    within(Wide::from_target(target).shifted_left(doublings), limit)
}

/// `target` halved `halvings` times, never zero.
pub(super) fn halved(target: Target, halvings: u32) -> Target {
    within(
        Some(Wide::from_target(target).shifted_right(halvings)),
        target,
    )
}

/// `target`, or the nearest that is allowed; `None` is one too large for 320 bits.
fn within(target: Option<Wide>, limit: Target) -> Target {
    match target.and_then(Wide::to_target) {
        Some(Target::ZERO) => smallest_target(),
        Some(target) if target <= limit => target,
        _ => limit,
    }
}

fn smallest_target() -> Target {
    Wide([1, 0, 0, 0, 0]).to_target().expect("one fits")
}

/// 65,536 times 2^(`fraction` / 65,536), by the specification's cubic; `fraction` is below 65,536.
fn two_to_the(fraction: u64) -> u64 {
    let cubic = 195_766_423_245_049 * fraction
        + 971_821_376 * fraction * fraction
        + 5_127 * fraction * fraction * fraction;
    // The sum stays below 2^64: it is at most 2^64 - 2^47 before the rounding half is added.
    65_536 + ((cubic + (1 << 47)) >> 48)
}

/// A 320-bit number, least significant limb first: a 256-bit target times a factor of 17 bits needs 273.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wide([u64; 5]);

impl Wide {
    fn from_target(target: Target) -> Wide {
        let bytes = target.to_le_bytes();
        let mut limbs = [0; 5];
        for (limb, chunk) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
            *limb = u64::from_le_bytes(chunk.try_into().expect("a chunk has eight bytes"));
        }
        Wide(limbs)
    }

    /// The product; `factor` is below 2^64, and the topmost limb of `self` is empty, so nothing is lost.
    fn times(self, factor: u64) -> Wide {
        let mut carry = 0u128;
        Wide(self.0.map(|limb| {
            let product = u128::from(limb) * u128::from(factor) + carry;
            carry = product >> 64;
            product as u64
        }))
    }

    fn bits(self) -> u32 {
        (0..5)
            .rev()
            .find(|&i| self.0[i] != 0)
            .map_or(0, |i| 64 * i as u32 + 64 - self.0[i].leading_zeros())
    }

    /// Shifted to the left, or where `shift` is negative to the right; `None` where a bit would be lost on the left.
    fn shifted(self, shift: i128) -> Option<Wide> {
        let bits = u32::try_from(shift.unsigned_abs()).unwrap_or(u32::MAX);
        match shift {
            0.. => self.shifted_left(bits),
            _ => Some(self.shifted_right(bits)),
        }
    }

    /// `None` where a bit would be lost.
    fn shifted_left(self, shift: u32) -> Option<Wide> {
        if self.bits() == 0 {
            return Some(self);
        }
        if self.bits().checked_add(shift)? > 320 {
            return None;
        }
        let (limbs, bits) = ((shift / 64) as usize, shift % 64);
        let limb = |i: Option<usize>| i.and_then(|i| self.0.get(i)).copied().unwrap_or(0);
        Some(Wide(std::array::from_fn(|i| {
            let from = i.checked_sub(limbs);
            let below = from.and_then(|from| from.checked_sub(1));
            limb(from) << bits | limb(below).checked_shr(64 - bits).unwrap_or(0)
        })))
    }

    fn shifted_right(self, shift: u32) -> Wide {
        let (limbs, bits) = ((shift / 64) as usize, shift % 64);
        let limb = |i: usize| self.0.get(i).copied().unwrap_or(0);
        Wide(std::array::from_fn(|i| {
            let from = i + limbs;
            limb(from) >> bits | limb(from + 1).checked_shl(64 - bits).unwrap_or(0)
        }))
    }

    /// `None` where more than 256 bits are needed.
    fn to_target(self) -> Option<Target> {
        if self.0[4] != 0 {
            return None;
        }
        let mut bytes = [0; 32];
        for (chunk, limb) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&limb.to_le_bytes());
        }
        Some(Target::from_le_bytes(bytes))
    }
}

#[cfg(test)]
mod tests;
