//! [`Submission`]: the parameters of `mining.submit`.

use bitcoin::hex::FromHex;
use serde_json::Value;

use super::job::{Attempt, EXTRA_NONCE_2_BYTES};
use super::message::Refusal;

/// What a miner submits.
#[derive(Debug, PartialEq)]
pub(super) struct Submission<'a> {
    pub(super) worker: &'a str,
    pub(super) job: &'a str,
    pub(super) attempt: Attempt,
}

impl<'a> Submission<'a> {
    /// Reads worker, job, extra nonce, time, nonce and, with version rolling (BIP 310), version bits.
    pub(super) fn parse(params: &'a [Value]) -> Result<Submission<'a>, Refusal> {
        let text = |index: usize| params.get(index).and_then(Value::as_str);
        let (Some(worker), Some(job), Some(extra), Some(time), Some(nonce)) =
            (text(0), text(1), text(2), text(3), text(4))
        else {
            return Err(Refusal::Malformed(
                "submit needs worker, job, extranonce2, ntime and nonce as text",
            ));
        };
        let version_bits = match params.get(5) {
            None | Some(Value::Null) => 0,
            Some(bits) => word(bits.as_str().unwrap_or_default()).ok_or(Refusal::Malformed(
                "version bits must be up to eight hex digits",
            ))?,
        };
        let extra_nonce_2 = <[u8; EXTRA_NONCE_2_BYTES]>::from_hex(extra)
            .map_err(|_| Refusal::Malformed("extranonce2 must be four bytes in hex"))?;
        Ok(Submission {
            worker,
            job,
            attempt: Attempt {
                extra_nonce_2,
                time: word(time)
                    .ok_or(Refusal::Malformed("ntime must be up to eight hex digits"))?,
                nonce: word(nonce)
                    .ok_or(Refusal::Malformed("nonce must be up to eight hex digits"))?,
                version_bits,
            },
        })
    }
}

/// A number in up to eight hex digits: some firmware leaves leading zeros out.
fn word(hex: &str) -> Option<u32> {
    let is_word = (1..=8).contains(&hex.len()) && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_word.then(|| u32::from_str_radix(hex, 16).ok())?
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(params: &Value) -> Result<Attempt, Refusal> {
        let list = params.as_array().expect("a list");
        Submission::parse(list).map(|share| share.attempt)
    }

    #[test]
    fn shares_are_read_with_and_without_version_bits() {
        let plain = json!(["w", "1", "00000102", "6553f100", "0000002a"]);
        let attempt = parse(&plain).expect("as cpuminer sends it");
        assert_eq!(attempt.extra_nonce_2, [0, 0, 1, 2]);
        assert_eq!((attempt.time, attempt.nonce), (0x6553_f100, 42));
        assert_eq!(attempt.version_bits, 0);
        let rolled = json!(["w", "1", "00000102", "6553f100", "0000002a", "1fffe000"]);
        assert_eq!(parse(&rolled).expect("rolled").version_bits, 0x1fff_e000);
    }

    #[test]
    fn numbers_may_come_without_their_leading_zeros() {
        for (nonce, expected) in [("0", 0), ("2a", 0x2a), ("0000002A", 0x2a)] {
            let share = json!(["w", "1", "00000102", "6553f100", nonce, "2000"]);
            let attempt = parse(&share).expect("as NerdMiner sends it");
            assert_eq!((attempt.nonce, attempt.version_bits), (expected, 0x2000));
        }
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for wrong in [
            json!([]),
            json!(["w", "1", "00000102", "6553f100"]),
            json!(["w", 1, "00000102", "6553f100", "0000002a"]),
            json!([null, "1", "00000102", "6553f100", "0000002a"]),
            json!(["w", "1", "000102", "6553f100", "0000002a"]),
            json!(["w", "1", "0000000102", "6553f100", "0000002a"]),
            json!(["w", "1", "00000102", "+553f100", "0000002a"]),
            json!(["w", "1", "00000102", "6553f100", ""]),
            json!(["w", "1", "00000102", "6553f100", "00000002a"]),
            json!(["w", "1", "00000102", "6553f100", 42]),
            json!(["w", "1", "00000102", "6553f100", "0000002a", 7]),
            json!(["w", "1", "00000102", "6553f100", "0000002a", "é"]),
        ] {
            assert_eq!(parse(&wrong).expect_err("no share").code(), 20, "{wrong}");
        }
    }
}
