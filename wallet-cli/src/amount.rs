//! Amounts as people type them: bitcoin with up to eight decimals, or a whole number of satoshi with `sat`.

use bitcoin::{Amount, Denomination};

/// Parses `0.5`, `0.5 BTC`, `0.5btc` or `1500sat`.
///
/// # Errors
///
/// A line that names what was typed and what is expected.
pub(crate) fn parse(text: &str) -> Result<Amount, String> {
    let trimmed = text.trim();
    let lower = trimmed.to_ascii_lowercase();
    let (digits, unit) = if let Some(digits) = lower.strip_suffix("sat") {
        (digits, Denomination::Satoshi)
    } else {
        (
            lower.strip_suffix("btc").unwrap_or(&lower),
            Denomination::Bitcoin,
        )
    };
    Amount::from_str_in(digits.trim(), unit).map_err(|error| {
        format!(
            "`{text}` is not an amount ({error}); write 0.5 for bitcoin or 50000sat for satoshi"
        )
    })
}

/// Eight decimals and no unit, as Bitcoin Core prints amounts.
pub(crate) fn show(amount: Amount) -> String {
    format!("{:.8}", amount.display_in(Denomination::Bitcoin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_units_are_read() {
        assert_eq!(parse("0.5"), Ok(Amount::from_sat(50_000_000)));
        assert_eq!(parse("1 BTC"), Ok(Amount::from_sat(100_000_000)));
        assert_eq!(parse(" 1500 sat"), Ok(Amount::from_sat(1_500)));
    }

    #[test]
    fn nonsense_is_refused_with_the_remedy() {
        for text in [
            "",
            "-1",
            "NaN",
            "1e8",
            "0.000000001",
            "1.5sat",
            "21000001000000000000",
            "0x10",
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains("write 0.5"), "{error}");
        }
    }

    #[test]
    fn eight_decimals_are_shown() {
        assert_eq!(show(Amount::from_sat(150)), "0.00000150");
    }
}
