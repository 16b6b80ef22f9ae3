//! A model of the Arm operations that `aarch64.rs` uses, so that its arithmetic can be tested on other CPUs.
//!
//! Made from the pseudocode of `SHA256H`, `SHA256H2`, `SHA256SU0` and `SHA256SU1` in Arm's Architecture
//! Reference Manual. The names are those of `std::arch::aarch64`.

use super::sha256::{big_sigma0, big_sigma1, small_sigma0, small_sigma1};

#[expect(non_camel_case_types, reason = "the name of the type it stands for")]
pub(super) type uint32x4_t = [u32; 4];

pub(super) fn vcreate_u32(bits: u64) -> [u32; 2] {
    [bits as u32, (bits >> 32) as u32]
}

pub(super) fn vcombine_u32(low: [u32; 2], high: [u32; 2]) -> uint32x4_t {
    [low[0], low[1], high[0], high[1]]
}

pub(super) fn vaddq_u32(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
    core::array::from_fn(|i| a[i].wrapping_add(b[i]))
}

pub(super) fn vgetq_lane_u32<const LANE: usize>(v: uint32x4_t) -> u32 {
    v[LANE]
}

/// `SHA256hash(X, Y, W, part1)` of the manual: four rounds, each rotating `Y:X` by one word.
fn sha256hash(mut x: uint32x4_t, mut y: uint32x4_t, w: uint32x4_t) -> (uint32x4_t, uint32x4_t) {
    for kw in w {
        let choose = ((y[1] ^ y[2]) & y[0]) ^ y[2];
        let majority = (x[0] & x[1]) | ((x[0] | x[1]) & x[2]);
        let t = y[3]
            .wrapping_add(big_sigma1(y[0]))
            .wrapping_add(choose)
            .wrapping_add(kw);
        x[3] = t.wrapping_add(x[3]);
        y[3] = t.wrapping_add(big_sigma0(x[0])).wrapping_add(majority);
        let (old_x, old_y) = (x, y);
        x = [old_y[3], old_x[0], old_x[1], old_x[2]];
        y = [old_x[3], old_y[0], old_y[1], old_y[2]];
    }
    (x, y)
}

pub(super) fn vsha256hq_u32(abcd: uint32x4_t, efgh: uint32x4_t, kw: uint32x4_t) -> uint32x4_t {
    sha256hash(abcd, efgh, kw).0
}

pub(super) fn vsha256h2q_u32(efgh: uint32x4_t, abcd: uint32x4_t, kw: uint32x4_t) -> uint32x4_t {
    sha256hash(abcd, efgh, kw).1
}

pub(super) fn vsha256su0q_u32(w0_3: uint32x4_t, w4_7: uint32x4_t) -> uint32x4_t {
    let next = [w0_3[1], w0_3[2], w0_3[3], w4_7[0]];
    core::array::from_fn(|i| small_sigma0(next[i]).wrapping_add(w0_3[i]))
}

pub(super) fn vsha256su1q_u32(
    early: uint32x4_t,
    w8_11: uint32x4_t,
    w12_15: uint32x4_t,
) -> uint32x4_t {
    let seven_back = [w8_11[1], w8_11[2], w8_11[3], w12_15[0]];
    let mut out = [0; 4];
    for i in 0..4 {
        let two_back = if i < 2 { w12_15[2 + i] } else { out[i - 2] };
        out[i] = early[i]
            .wrapping_add(seven_back[i])
            .wrapping_add(small_sigma1(two_back));
    }
    out
}
