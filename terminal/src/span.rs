//! [`Span`]: lengths of time as people write them: `250ms`, `10s`, `5m`, `2h`, `1d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A length of time, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub u64);

/// A text that is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{got:?} is no length of time; write a number and us, ms, s, m, h or d, as in 1.5s")]
pub struct SpanError {
    got: String,
}

/// Whole seconds as people type them: `600`, `10m`, `1.5h`. A number alone is seconds.
///
/// # Errors
///
/// A sentence with an example.
pub fn seconds(text: &str) -> Result<u32, String> {
    let with_unit = match text.chars().last() {
        Some(last) if last.is_ascii_digit() => format!("{text}s"),
        _ => text.to_owned(),
    };
    with_unit
        .parse::<Span>()
        .ok()
        .filter(|span| span.0.is_multiple_of(1_000_000))
        .and_then(|span| u32::try_from(span.0 / 1_000_000).ok())
        .ok_or_else(|| format!("{text:?} is no length in whole seconds; write 90, 90s or 10m"))
}

const UNITS: [(&str, u64); 6] = [
    // Longer names first: `ms` ends in `s`, too.
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

impl Span {
    /// So many seconds.
    pub const fn from_secs(secs: u64) -> Span {
        Span(secs * 1_000_000)
    }

    /// In microseconds.
    pub fn as_micros(self) -> u64 {
        self.0
    }

    /// In seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Duration {
        Duration::from_micros(span.0)
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Span, SpanError> {
        let wrong = || SpanError {
            got: text.to_owned(),
        };
        let digits = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(wrong)?;
        let (number, unit) = text.split_at(digits);
        let (_, micros) = UNITS
            .iter()
            .find(|(name, _)| *name == unit.trim())
            .ok_or_else(wrong)?;
        let value = number.parse::<f64>().map_err(|_| wrong())? * *micros as f64;
        // A thousand years are enough for any experiment, and leave room for sums.
        if (0.0..3.2e16).contains(&value) {
            Ok(Span(value.round() as u64))
        } else {
            Err(wrong())
        }
    }
}

impl TryFrom<String> for Span {
    type Error = SpanError;

    fn try_from(text: String) -> Result<Span, SpanError> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> String {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, micros) = UNITS
            .iter()
            .rev()
            .find(|(_, micros)| self.0 != 0 && self.0.is_multiple_of(*micros))
            .unwrap_or(&("s", 1_000_000));
        write!(f, "{}{unit}", self.0 / micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written() {
        for (text, micros) in [
            ("250ms", 250_000),
            ("10s", 10_000_000),
            ("1.5s", 1_500_000),
            ("5m", 300_000_000),
            ("2h", 7_200_000_000),
            ("1d", 86_400_000_000),
            ("0s", 0),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.0, micros, "{text}");
            assert_eq!(span.to_string().parse::<Span>().unwrap(), span, "{text}");
        }
        assert_eq!(Span::from_secs(120).to_string(), "2m");
    }

    #[test]
    fn seconds_may_have_a_unit() {
        for (text, secs) in [("600", 600), ("10m", 600), ("1.5h", 5_400), ("0", 0)] {
            assert_eq!(seconds(text), Ok(secs), "{text}");
        }
        for text in ["", "x", "-1", "1.5s", "0.5", "10 years", "99999999999"] {
            assert!(seconds(text).unwrap_err().contains("write 90"), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "10", "s", "-1s", "1 week", "1e9d", "999999999999d"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
