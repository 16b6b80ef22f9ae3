use proptest::prelude::*;

use super::*;

#[test]
fn the_cubic_fits_its_ends() {
    assert_eq!(two_to_the(0), 65_536);
    assert_eq!(
        two_to_the(32_768),
        92_674,
        "the root of two would give 92,682"
    );
    assert_eq!(two_to_the(65_535), 131_071);
}

proptest! {
    #[test]
    fn prop_wide_shifts_undo_each_other(bytes in any::<[u8; 32]>(), shift in 0u32..64) {
        let wide = Wide::from_target(Target::from_le_bytes(bytes));
        let shifted = wide.shifted_left(shift).expect("64 bits are free");
        prop_assert_eq!(shifted.shifted_right(shift), wide);
        prop_assert_eq!(wide.times(1 << shift), shifted);
        prop_assert_eq!(wide.to_target(), Some(Target::from_le_bytes(bytes)));
    }
}
#[test]
fn wide_shifts_across_limbs() {
    let one = Wide([1, 0, 0, 0, 0]);
    for shift in [0, 1, 63, 64, 65, 128, 255, 256, 319] {
        let shifted = one.shifted_left(shift).expect("fits");
        assert_eq!(shifted.bits(), shift + 1);
        assert_eq!(shifted.shifted_right(shift), one);
    }
    assert_eq!(one.shifted_left(320), None);
    assert_eq!(one.shifted_left(u32::MAX), None);
    assert_eq!(one.shifted_right(320), Wide([0; 5]));
    assert_eq!(Wide([0; 5]).shifted_left(u32::MAX), Some(Wide([0; 5])));
}
