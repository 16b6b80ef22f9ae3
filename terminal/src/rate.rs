//! Numbers in a second, as people type them: hashes, bytes.

/// Reads `50`, `200k`, `1.5M`, `2G`: a whole number of at least 1.
///
/// # Errors
///
/// A sentence with an example.
pub fn rate(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a rate; write it as 200k or 1.5M");
    let (number, factor) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'm' | 'M')) => (&text[..at], 1e6),
        Some((at, 'g' | 'G')) => (&text[..at], 1e9),
        _ => (text, 1.0),
    };
    let rate = number.parse::<f64>().map_err(|_| wrong())? * factor;
    if (1.0..1e15).contains(&rate) {
        Ok(rate.round() as u64)
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        assert_eq!(rate("200k"), Ok(200_000));
        assert_eq!(rate("1.5M"), Ok(1_500_000));
        assert_eq!(rate("300"), Ok(300));
        for wrong in ["", "k", "-1", "0", "0.2", "nan", "inf", "1e30", "5x"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
