//! Numbers as people write them: `200k`, `50ms`, `1mbit`, `5%`, `0-3`.

/// Hashes per second: `200k`, `1.5M`, `off`.
pub(super) fn rate(text: &str) -> Result<u64, String> {
    if text == "off" {
        return Ok(0);
    }
    scaled(text, &[("k", 1e3), ("M", 1e6), ("G", 1e9), ("", 1.0)])
        .map_err(|()| format!("{text:?} is no hash rate; write 200k, 1.5M or off"))
}

/// A time between blocks: `2`, `30s`, `10m`, up to an hour.
pub(super) fn spacing(text: &str) -> Result<u32, String> {
    let seconds = terminal::seconds(text)?;
    match (1..=3_600).contains(&seconds) {
        true => Ok(seconds),
        false => Err(format!("{text:?} is not between 1s and 1h")),
    }
}

/// Milliseconds: `50ms`, `1.5s`.
pub(super) fn millis(text: &str) -> Result<u32, String> {
    scaled(text, &[("ms", 1.0), ("s", 1e3)])
        .ok()
        .and_then(|ms| u32::try_from(ms).ok())
        .ok_or_else(|| format!("{text:?} is no time with its unit; write 50ms or 1.5s"))
}

/// Kilobits per second: `64kbit`, `10mbit`, `1gbit`.
pub(super) fn kbit(text: &str) -> Result<u32, String> {
    scaled(text, &[("kbit", 1.0), ("mbit", 1e3), ("gbit", 1e6)])
        .ok()
        .and_then(|kbit| u32::try_from(kbit).ok())
        .filter(|kbit| *kbit > 0)
        .ok_or_else(|| format!("{text:?} is no rate; write 64kbit, 10mbit or 1gbit"))
}

/// A share: `5%` or `0.05`.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let parsed = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse::<f64>(),
    };
    parsed
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| format!("{text:?} is no share; write 5% or 0.05"))
}

/// Two nodes: `0-3`.
pub(super) fn pair(text: &str) -> Result<(usize, usize), String> {
    text.split_once('-')
        .and_then(|(a, b)| Some((a.trim().parse().ok()?, b.trim().parse().ok()?)))
        .ok_or_else(|| format!("{text:?} is no link; write the two nodes as 0-3"))
}

/// A miner: `0` or `0:200k`.
pub(super) fn miner(text: &str) -> Result<(usize, Option<u64>), String> {
    let (node, speed) = match text.split_once(':') {
        Some((node, speed)) => (node, Some(rate(speed)?)),
        None => (text, None),
    };
    let node = node
        .parse()
        .map_err(|_| format!("{text:?} is no miner; write a node, or node and rate as 0:200k"))?;
    Ok((node, speed))
}

fn scaled(text: &str, units: &[(&str, f64)]) -> Result<u64, ()> {
    let text = text.trim();
    for (unit, factor) in units {
        let number = text
            .strip_suffix(unit)
            .map(|number| number.trim().parse::<f64>());
        if let Some(Ok(number)) = number {
            let value = (number * factor).round();
            return match number.is_finite() && (0.0..1e18).contains(&value) {
                true => Ok(value as u64),
                false => Err(()),
            };
        }
    }
    Err(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_are_read() {
        assert_eq!(rate("200k"), Ok(200_000));
        assert_eq!(rate("1.5M"), Ok(1_500_000));
        assert_eq!((rate("off"), rate("7")), (Ok(0), Ok(7)));
        assert_eq!((millis("50ms"), millis("1.5s")), (Ok(50), Ok(1_500)));
        assert_eq!((kbit("10mbit"), kbit("64kbit")), (Ok(10_000), Ok(64)));
        assert_eq!((share("5%"), share("0.5")), (Ok(0.05), Ok(0.5)));
        assert_eq!(pair("0-3"), Ok((0, 3)));
        assert_eq!(miner("2:1k"), Ok((2, Some(1_000))));
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        for text in ["", "-1", "NaN", "k", "inf", "1e99"] {
            assert!(rate(text).is_err(), "{text}");
            assert!(millis(text).is_err(), "{text}");
            assert!(kbit(text).is_err(), "{text}");
        }
        assert!(share("105%").unwrap_err().contains("write 5%"));
        assert!(pair("0,3").is_err() && pair("0").is_err());
        assert!(miner("x:1k").is_err() && miner("0:x").is_err());
    }
}
