//! Fees against size: [`FeeRate`] to compare packages, [`SatPerKvb`] for limits.

use std::cmp::Ordering;

use bitcoin::Amount;

/// A fee over a virtual size, compared exactly (without division).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeRate {
    /// The fee.
    pub fee: Amount,
    /// Virtual bytes, above zero.
    pub vsize: u64,
}

impl FeeRate {
    /// Satoshis per 1,000 virtual bytes, rounded down.
    #[must_use]
    pub fn per_kvb(self) -> SatPerKvb {
        let per_kvb = u128::from(self.fee.to_sat()) * 1_000 / u128::from(self.vsize.max(1));
        SatPerKvb(u64::try_from(per_kvb).unwrap_or(u64::MAX))
    }
}

impl Ord for FeeRate {
    /// By rate; equal rates by size, so that only equal pairs are equal.
    fn cmp(&self, other: &FeeRate) -> Ordering {
        let ours = u128::from(self.fee.to_sat()) * u128::from(other.vsize);
        let theirs = u128::from(other.fee.to_sat()) * u128::from(self.vsize);
        ours.cmp(&theirs).then_with(|| self.vsize.cmp(&other.vsize))
    }
}

impl PartialOrd for FeeRate {
    fn partial_cmp(&self, other: &FeeRate) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Satoshis per 1,000 virtual bytes: the unit of Core's fee limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SatPerKvb(pub u64);

impl SatPerKvb {
    /// The fee at this rate, rounded up as Core rounds it.
    #[must_use]
    pub fn fee_for(self, vsize: u64) -> Amount {
        let fee = (u128::from(self.0) * u128::from(vsize)).div_ceil(1_000);
        Amount::from_sat(u64::try_from(fee).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(fee: u64, vsize: u64) -> FeeRate {
        FeeRate {
            fee: Amount::from_sat(fee),
            vsize,
        }
    }

    #[test]
    fn rates_compare_exactly() {
        assert!(rate(1, 3) < rate(34, 100));
        assert!(rate(1, 3) > rate(33, 100));
        assert!(rate(1, 2) < rate(2, 4), "equal rates go by size");
        assert_ne!(rate(1, 2), rate(2, 4));
        assert!(rate(u64::MAX, 1) > rate(u64::MAX, 2), "no overflow");
    }

    #[test]
    fn limits_round_up() {
        assert_eq!(SatPerKvb(100).fee_for(101), Amount::from_sat(11));
        assert_eq!(SatPerKvb(0).fee_for(101), Amount::ZERO);
        assert_eq!(rate(11, 101).per_kvb(), SatPerKvb(108));
    }
}
