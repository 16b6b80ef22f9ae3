//! BIP 66: what a strictly DER-encoded signature looks like.

/// Whether `signature`, with its signature-hash byte at the end, is strictly DER: two positive integers without needless
/// padding, in a sequence that fills the rest exactly.
///
/// ```text
/// 30 [length] 02 [length of R] [R] 02 [length of S] [S] [signature-hash byte]
/// ```
pub(super) fn is_strict_der(signature: &[u8]) -> bool {
    let Some((_, der)) = signature.split_last() else {
        return false;
    };
    let (9..=73) = signature.len() else {
        return false;
    };
    let [0x30, length, integers @ ..] = der else {
        return false;
    };
    if usize::from(*length) != integers.len() {
        return false;
    }
    split_integer(integers)
        .and_then(split_integer)
        .is_some_and(|rest| rest.is_empty())
}

/// Takes one minimal, non-negative integer off the front.
fn split_integer(bytes: &[u8]) -> Option<&[u8]> {
    let [0x02, length, rest @ ..] = bytes else {
        return None;
    };
    let (number, rest) = rest.split_at_checked(usize::from(*length))?;
    let minimal_and_positive = match number {
        [] => false,
        [0, second, ..] => second & 0x80 != 0,
        [first, ..] => first & 0x80 == 0,
    };
    minimal_and_positive.then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::is_strict_der;

    const SMALLEST: [u8; 9] = [0x30, 6, 2, 1, 1, 2, 1, 1, 1];

    #[test]
    fn the_smallest_signature_is_strict() {
        assert!(is_strict_der(&SMALLEST));
        assert!(
            is_strict_der(&[0x30, 6, 2, 1, 0, 2, 1, 0, 0]),
            "zero is non-negative"
        );
    }

    #[test]
    fn every_single_change_of_structure_is_refused() {
        // BIP 66 rules in turn: type, total length, type and length of R, type and length of S.
        for (at, value) in [
            (0, 0x31),
            (1, 5),
            (1, 7),
            (2, 3),
            (3, 0),
            (3, 2),
            (5, 3),
            (6, 0),
            (6, 2),
        ] {
            let mut bytes = SMALLEST;
            bytes[at] = value;
            assert!(!is_strict_der(&bytes), "byte {at} set to {value}");
        }
    }

    #[test]
    fn negative_and_padded_numbers_are_refused() {
        assert!(
            !is_strict_der(&[0x30, 6, 2, 1, 0x80, 2, 1, 1, 1]),
            "negative R"
        );
        assert!(
            !is_strict_der(&[0x30, 6, 2, 1, 1, 2, 1, 0xff, 1]),
            "negative S"
        );
        assert!(
            !is_strict_der(&[0x30, 7, 2, 2, 0, 1, 2, 1, 1, 1]),
            "padded R"
        );
        assert!(
            !is_strict_der(&[0x30, 7, 2, 1, 1, 2, 2, 0, 0x7f, 1]),
            "padded S"
        );
        assert!(
            is_strict_der(&[0x30, 7, 2, 2, 0, 0x80, 2, 1, 1, 1]),
            "needed zero"
        );
    }

    #[test]
    fn lengths_end_at_9_and_73() {
        let of_lengths = |r: usize, s: usize| {
            let mut bytes = vec![0x30, (4 + r + s) as u8, 2, r as u8];
            bytes.extend(vec![1; r]);
            bytes.extend([2, s as u8]);
            bytes.extend(vec![1; s]);
            bytes.push(1);
            bytes
        };
        assert!(is_strict_der(&of_lengths(33, 33)));
        assert_eq!(of_lengths(33, 33).len(), 73);
        assert!(!is_strict_der(&of_lengths(33, 34)));
        assert!(!is_strict_der(&SMALLEST[..8]));
        assert!(!is_strict_der(&[]));
    }
}
