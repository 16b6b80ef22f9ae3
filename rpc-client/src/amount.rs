//! Amounts as calls and answers write them.

use bitcoin::{Amount, Denomination};
use serde_json::Value;

/// Reads an amount in BTC from a JSON number or string with at most eight digits, without floats in between.
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
    let amount = Amount::from_str_in(&text, Denomination::Bitcoin).ok()?;
    (amount <= Amount::MAX_MONEY).then_some(amount)
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
        for wrong in [
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
