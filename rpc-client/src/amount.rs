//! Amounts as calls and answers write them.

use bitcoin::Amount;
use serde_json::Value;

/// Digits behind the point.
const DECIMALS: i32 = 8;

/// Reads an amount in BTC from a JSON number, or from a string that is written as one, with at most eight digits behind the point
/// that count; without floats in between. As Bitcoin Core's `ParseFixedPoint`: an exponent is fine, `.5`, `1.` and `01` are not.
pub fn amount_from(value: &Value) -> Option<Amount> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            // The shortest text of a float has no exponent if it is formatted so, and no more digits than it was given with.
            Some(float) if !number.is_i64() && !number.is_u64() => format!("{float}"),
            _ => number.to_string(),
        },
        _ => return None,
    };
    let amount = Amount::from_sat(fixed_point(&text)?);
    (amount <= Amount::MAX_MONEY).then_some(amount)
}

/// A number as JSON writes it, times 10^8; `None` for one that is negative, too large or too fine.
fn fixed_point(text: &str) -> Option<u64> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => {
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            digits_only(digits)?;
            (number, exponent.parse::<i32>().ok()?)
        }
        None => (text, 0),
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) => (whole, digits_only(fraction)?),
        None => (number, ""),
    };
    digits_only(whole)?;
    if whole.len() > 1 && whole.starts_with('0') {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let dropped = i32::try_from(digits.len() - significant.len()).ok()?;
    let shift = exponent
        .checked_sub(i32::try_from(fraction.len()).ok()?)?
        .checked_add(DECIMALS + dropped)?;
    let factor = 10u64.checked_pow(u32::try_from(shift).ok()?)?;
    significant.parse::<u64>().ok()?.checked_mul(factor)
}

fn digits_only(text: &str) -> Option<&str> {
    let are_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_are_read_exactly() {
        let sat = |value| amount_from(&value).map(Amount::to_sat);
        assert_eq!(sat(json!(1)), Some(100_000_000));
        assert_eq!(sat(json!(0.00001)), Some(1_000));
        assert_eq!(sat(json!(0.000_000_01)), Some(1));
        assert_eq!(sat(json!("20999999.99999999")), Some(2_099_999_999_999_999));
        assert_eq!(
            sat(json!(20_999_999.999_999_99)),
            Some(2_099_999_999_999_999)
        );
        for (text, sats) in [
            ("1e-3", 100_000),
            ("1E+2", 10_000_000_000),
            ("0.10000000000", 10_000_000),
            ("0", 0),
            ("1.5e-7", 15),
        ] {
            assert_eq!(sat(json!(text)), Some(sats), "{text}");
        }
        for wrong in [
            json!(".5"),
            json!("1."),
            json!("01"),
            json!("1e"),
            json!("1e-9"),
            json!("+1"),
            json!("-0.1"),
            json!("1e99"),
            json!(" 1"),
            json!(""),
            json!(-1),
            json!(0.000_000_001),
            json!(1e30),
            json!("x"),
            json!(null),
        ] {
            assert_eq!(sat(wrong.clone()), None, "{wrong}");
        }
    }
}
