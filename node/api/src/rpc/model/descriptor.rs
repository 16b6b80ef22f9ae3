//! Output descriptors as far as they are needed: the checksum (BIP 380), and what a script's own descriptor is.

use bitcoin::{Address, Network, Script, ScriptBuf};

use super::super::error::Failure;

const INPUT_CHARSET: &str = "0123456789()[],'/*abcdefgh@:$%{}IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~ijklmnopqrstuvwxyzABCDEFGH`#\"\\ ";
const CHECKSUM_CHARSET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const GENERATOR: [u64; 5] = [
    0xf5_dee5_1989,
    0xa9_fdca_3312,
    0x1b_ab10_e32d,
    0x37_06b1_677a,
    0x64_4d62_6ffd,
];

/// The eight characters after `#`; `None` if a character has no place in descriptors.
pub fn checksum(descriptor: &str) -> Option<String> {
    let mut c = 1;
    let (mut class, mut class_count) = (0, 0);
    for character in descriptor.chars() {
        let position = INPUT_CHARSET.find(character)? as u64;
        c = step(c, position & 31);
        class = class * 3 + (position >> 5);
        class_count += 1;
        if class_count == 3 {
            c = step(c, class);
            (class, class_count) = (0, 0);
        }
    }
    if class_count > 0 {
        c = step(c, class);
    }
    for _ in 0..8 {
        c = step(c, 0);
    }
    c ^= 1;
    let symbol = |index: u32| {
        let five_bits = (c >> (5 * (7 - index))) & 31;
        char::from(CHECKSUM_CHARSET[five_bits as usize])
    };
    Some((0..8).map(symbol).collect())
}

fn step(c: u64, value: u64) -> u64 {
    let top = c >> 35;
    let mut c = ((c & 0x7_ffff_ffff) << 5) ^ value;
    for (bit, generator) in GENERATOR.iter().enumerate() {
        if (top >> bit) & 1 == 1 {
            c ^= generator;
        }
    }
    c
}

/// The descriptor that Bitcoin Core infers from a script alone.
pub fn of_script(script: &Script) -> String {
    let body = if script.is_p2tr() {
        format!("rawtr({:x})", HexOf(&script.as_bytes()[2..]))
    } else {
        match Address::from_script(script, Network::Regtest) {
            Ok(address) => format!("addr({address})"),
            Err(_) => format!("raw({script:x})"),
        }
    };
    with_checksum(&body)
}

fn with_checksum(body: &str) -> String {
    let checksum = checksum(body).unwrap_or_default();
    format!("{body}#{checksum}")
}

struct HexOf<'a>(&'a [u8]);

impl std::fmt::LowerHex for HexOf<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The script of `addr(..)`, `raw(..)` or `rawtr(..)`, with or without checksum.
///
/// # Errors
///
/// -5 in Bitcoin Core's words when it is none of them.
pub fn script_of(descriptor: &str) -> Result<ScriptBuf, Failure> {
    let invalid =
        |why: &str| Failure::not_found(format!("Invalid descriptor '{descriptor}': {why}"));
    let body = match descriptor.split_once('#') {
        Some((body, given)) if checksum(body).as_deref() == Some(given) => body,
        Some(_) => return Err(invalid("the checksum does not match")),
        None => descriptor,
    };
    let inner = |name: &str| {
        body.strip_prefix(name)?
            .strip_prefix('(')?
            .strip_suffix(')')
    };
    if let Some(address) = inner("addr") {
        return Ok(super::super::args::address_from(address)?.script_pubkey());
    }
    if let Some(hex) = inner("raw") {
        return ScriptBuf::from_hex(hex).map_err(|_| invalid("raw() needs hex"));
    }
    if let Some(key) = inner("rawtr") {
        let key: bitcoin::XOnlyPublicKey = key
            .parse()
            .map_err(|_| invalid("rawtr() needs a key of 64 hex digits"))?;
        let key = bitcoin::key::TweakedPublicKey::dangerous_assume_tweaked(key);
        return Ok(ScriptBuf::new_p2tr_tweaked(key));
    }
    Err(invalid(
        "only addr(), raw() and rawtr() are understood here",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_bip_380() {
        assert_eq!(checksum("raw(deadbeef)").as_deref(), Some("89f8spxm"));
        assert_eq!(checksum("\u{e9}"), None);
    }

    #[test]
    fn descriptors_lead_back_to_their_scripts() {
        let tr = format!(
            "5120{}",
            "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
        );
        for hex in [
            tr.as_str(),
            "0014751e76e8199196d454941c45d1b3a323f1433bd6",
            "6a01ff",
        ] {
            let script = ScriptBuf::from_hex(hex).expect("hex");
            assert_eq!(script_of(&of_script(&script)), Ok(script));
        }
        for wrong in ["addr(x)", "raw(zz)", "raw(00)#aaaaaaaa", "wpkh(00)", ""] {
            assert_eq!(script_of(wrong).expect_err(wrong).code, -5);
        }
    }
}
