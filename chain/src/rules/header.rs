//! Rules that a header and its ancestors decide.

use bitcoin::block::Header;
use bitcoin::{BlockHash, CompactTarget, Target};

use crate::params::Params;
use crate::rules::MIN_BLOCK_VERSION;
use crate::rules::difficulty::NextBits;
use crate::rules::error::RuleError;
use crate::units::Timestamp;

/// Checks that the hash meets the header's own bits, and that these are within the limit. Needs no ancestors: the
/// first line against floods.
///
/// # Errors
///
/// [`RuleError::BitsOutOfRange`], [`RuleError::HashAboveTarget`].
pub fn check_proof_of_work(header: &Header, params: &Params) -> Result<(), RuleError> {
    check_proof_of_work_of(header, header.block_hash(), params)
}

/// As [`check_proof_of_work`], for a caller that knows the header's hash already.
///
/// # Errors
///
/// [`RuleError::BitsOutOfRange`], [`RuleError::HashAboveTarget`].
pub fn check_proof_of_work_of(
    header: &Header,
    hash: BlockHash,
    params: &Params,
) -> Result<(), RuleError> {
    let target = target_of_bits(header.bits)
        .filter(|target| *target <= params.pow.limit)
        .ok_or(RuleError::BitsOutOfRange {
            bits: header.bits,
            limit: params.pow.limit_bits,
        })?;
    if !target.is_met_by(hash) {
        return Err(RuleError::HashAboveTarget {
            hash,
            bits: header.bits,
        });
    }
    Ok(())
}

/// The target that compact `bits` stand for; `None` where they are negative, zero, or do not fit into 256 bits.
///
/// `Target::from_compact` drops what overflows; this says so instead.
#[must_use]
pub fn target_of_bits(bits: CompactTarget) -> Option<Target> {
    const SIGN: u32 = 0x0080_0000;
    let exponent = bits.to_consensus() >> 24;
    let mantissa = bits.to_consensus() & 0x007f_ffff;
    let negative = bits.to_consensus() & SIGN != 0 && mantissa != 0;
    let overflows = mantissa != 0
        && (exponent > 34
            || (mantissa > 0xff && exponent > 33)
            || (mantissa > 0xffff && exponent > 32));
    if negative || overflows {
        return None;
    }
    let unsigned = CompactTarget::from_consensus((exponent << 24) | mantissa);
    Some(Target::from_compact(unsigned)).filter(|target| *target != Target::ZERO)
}

/// Checks everything that the ancestors and the clock say of a header, in Bitcoin Core's order: bits, median time
/// past, time ahead, version. Proof of work is [`check_proof_of_work`].
///
/// # Errors
///
/// [`RuleError::WrongBits`], [`RuleError::TimeNotAfterMedian`], [`RuleError::TimeAhead`], [`RuleError::VersionTooOld`].
pub fn check_in_place(
    header: &Header,
    expected: &NextBits,
    median_time_past: Timestamp,
    now: Timestamp,
) -> Result<(), RuleError> {
    check_bits(header, expected.bits)?;
    check_time_after_median(header, median_time_past)?;
    check_time_not_ahead(header, now, expected.max_ahead_s)?;
    check_version(header)
}

/// Checks that the bits are those of the difficulty rule ([`difficulty::next_bits`]).
///
/// [`difficulty::next_bits`]: crate::rules::difficulty::next_bits
///
/// # Errors
///
/// [`RuleError::WrongBits`].
pub fn check_bits(header: &Header, expected: CompactTarget) -> Result<(), RuleError> {
    if header.bits != expected {
        return Err(RuleError::WrongBits {
            got: header.bits,
            expected,
        });
    }
    Ok(())
}

/// Checks that the time lies after `median`, the median of the parent and its up to ten ancestors (BIP 113).
///
/// # Errors
///
/// [`RuleError::TimeNotAfterMedian`] when it is equal or earlier.
pub fn check_time_after_median(header: &Header, median: Timestamp) -> Result<(), RuleError> {
    let time = Timestamp(header.time);
    if time <= median {
        return Err(RuleError::TimeNotAfterMedian { time, median });
    }
    Ok(())
}

/// Checks `time <= now + limit_secs`, which is `max_future_s` for all blocks but eased ones ([`NextBits::max_ahead_s`]). The only rule
/// that depends on our clock; its verdict is [`Standing::NotYet`].
///
/// [`Standing::NotYet`]: crate::Standing::NotYet
///
/// # Errors
///
/// [`RuleError::TimeAhead`].
pub fn check_time_not_ahead(
    header: &Header,
    now: Timestamp,
    limit_secs: u32,
) -> Result<(), RuleError> {
    let time = Timestamp(header.time);
    if u64::from(time.0) > u64::from(now.0) + u64::from(limit_secs) {
        return Err(RuleError::TimeAhead {
            time,
            now,
            limit_secs,
        });
    }
    Ok(())
}

/// Checks that the version is not one that BIP 34, 66 or 65 retired. Versions are signed: one with the top bit set
/// is too old.
///
/// # Errors
///
/// [`RuleError::VersionTooOld`].
pub fn check_version(header: &Header) -> Result<(), RuleError> {
    let got = header.version.to_consensus();
    if got < MIN_BLOCK_VERSION {
        return Err(RuleError::VersionTooOld {
            got,
            min: MIN_BLOCK_VERSION,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
