//! Numbers modulo the prime 2^3072 - 1103717, as MuHash3072 multiplies them.

/// 64-bit limbs of a number.
const LIMBS: usize = 48;

/// Bytes of a number.
pub(super) const BYTES: usize = LIMBS * 8;

/// 2^3072 modulo the prime.
const EXCESS: u64 = 1_103_717;

/// A number, little endian by limb. It may be one or the other of two representatives while it is below [`EXCESS`]; bytes are
/// of the smaller one.
#[derive(Clone, Debug)]
pub(super) struct Num3072 {
    limbs: [u64; LIMBS],
}

impl Num3072 {
    pub(super) const ONE: Num3072 = {
        let mut limbs = [0; LIMBS];
        limbs[0] = 1;
        Num3072 { limbs }
    };

    /// Reads little-endian bytes.
    pub(super) fn from_bytes(bytes: &[u8; BYTES]) -> Num3072 {
        let mut limbs = [0; LIMBS];
        for (limb, chunk) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
            *limb = u64::from_le_bytes(chunk.try_into().expect("8 bytes"));
        }
        Num3072 { limbs }
    }

    /// The number below the prime, as little-endian bytes.
    pub(super) fn to_bytes(&self) -> [u8; BYTES] {
        let mut reduced = self.clone();
        // Not below the prime exactly when adding the excess overflows 2^3072; the sum is then the number less the prime.
        let (sum, overflow) = add_small(&self.limbs, EXCESS);
        if overflow {
            reduced.limbs = sum;
        }
        let mut bytes = [0; BYTES];
        for (limb, chunk) in reduced.limbs.iter().zip(bytes.chunks_exact_mut(8)) {
            chunk.copy_from_slice(&limb.to_le_bytes());
        }
        bytes
    }

    /// `self * other` modulo the prime.
    pub(super) fn mul(&self, other: &Num3072) -> Num3072 {
        let mut product = [0u64; 2 * LIMBS];
        for (i, &a) in self.limbs.iter().enumerate() {
            let mut carry = 0u64;
            for (slot, &b) in product[i..i + LIMBS].iter_mut().zip(&other.limbs) {
                // 2^64-1 squared plus twice 2^64-1 just fits.
                let t = u128::from(a) * u128::from(b) + u128::from(*slot) + u128::from(carry);
                *slot = t as u64;
                carry = (t >> 64) as u64;
            }
            product[i + LIMBS] = carry;
        }
        // The upper half counts EXCESS times.
        let mut limbs = [0; LIMBS];
        let mut carry = 0u64;
        let (low, high) = product.split_at(LIMBS);
        for ((limb, &l), &h) in limbs.iter_mut().zip(low).zip(high) {
            let t = u128::from(h) * u128::from(EXCESS) + u128::from(l) + u128::from(carry);
            *limb = t as u64;
            carry = (t >> 64) as u64;
        }
        // What is left above 2^3072 is less than 2^21; folding it in overflows at most once more.
        let mut left = carry;
        while left != 0 {
            let (sum, overflow) = add_small(&limbs, left * EXCESS);
            limbs = sum;
            left = u64::from(overflow);
        }
        Num3072 { limbs }
    }

    /// The number by which `self` has to be multiplied to get one. Fermat: `self` to the power of the prime less two.
    pub(super) fn inverse(&self) -> Num3072 {
        // prime - 2 = 2^3072 - (EXCESS + 2): all ones above the lowest limb.
        let lowest = 0u64.wrapping_sub(EXCESS + 2);
        let mut power = Num3072::ONE;
        for bit in (0..64 * LIMBS).rev() {
            power = power.mul(&power);
            if bit >= 64 || lowest >> bit & 1 == 1 {
                power = power.mul(self);
            }
        }
        power
    }
}

/// The sum modulo 2^3072, and whether it overflowed.
fn add_small(limbs: &[u64; LIMBS], small: u64) -> ([u64; LIMBS], bool) {
    let mut sum = *limbs;
    let mut carry = small;
    for limb in &mut sum {
        let overflow;
        (*limb, overflow) = limb.overflowing_add(carry);
        carry = u64::from(overflow);
        if carry == 0 {
            return (sum, false);
        }
    }
    (sum, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(limbs: [u64; LIMBS]) -> Num3072 {
        Num3072 { limbs }
    }

    #[test]
    fn the_prime_is_zero_and_its_neighbours_wrap() {
        let mut prime = [u64::MAX; LIMBS];
        prime[0] = 0u64.wrapping_sub(EXCESS);
        assert_eq!(number(prime).to_bytes(), [0; BYTES]);
        let mut less_one = prime;
        less_one[0] -= 1;
        let minus_one = number(less_one);
        assert_eq!(
            minus_one.mul(&minus_one).to_bytes(),
            Num3072::ONE.to_bytes()
        );
        assert_eq!(
            number([u64::MAX; LIMBS]).to_bytes()[..8],
            (EXCESS - 1).to_le_bytes()
        );
    }

    #[test]
    fn a_number_times_its_inverse_is_one() {
        let mut limbs = [0; LIMBS];
        for (i, limb) in limbs.iter_mut().enumerate() {
            *limb = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        for n in [number(limbs), number([u64::MAX; LIMBS]), Num3072::ONE] {
            assert_eq!(n.mul(&n.inverse()).to_bytes(), Num3072::ONE.to_bytes());
        }
    }
}
