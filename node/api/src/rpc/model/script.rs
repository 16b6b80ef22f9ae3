//! Scripts as Bitcoin Core shows them: `asm`, `hex`, type and address.

use bitcoin::opcodes::{Opcode, all as op};
use bitcoin::script::Instruction;
use bitcoin::{Address, Network, Script, WitnessVersion};
use serde::Serialize;

use super::descriptor;

/// An output's script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScriptPubKey {
    /// In words.
    pub asm: String,
    /// The descriptor that can be inferred from it.
    pub desc: String,
    /// Its bytes.
    pub hex: String,
    /// Its address, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Bitcoin Core's name of its kind.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

impl ScriptPubKey {
    /// How `script` is shown.
    pub fn new(script: &Script) -> ScriptPubKey {
        let address = Address::from_script(script, Network::Regtest).ok();
        ScriptPubKey {
            asm: asm(script),
            desc: descriptor::of_script(script),
            hex: script.to_hex_string(),
            address: address.map(|address| address.to_string()),
            kind: kind(script),
        }
    }
}

/// Bitcoin Core's name of a script's kind.
pub fn kind(script: &Script) -> &'static str {
    match script.witness_version() {
        Some(WitnessVersion::V0) if script.is_p2wpkh() => return "witness_v0_keyhash",
        Some(WitnessVersion::V0) if script.is_p2wsh() => return "witness_v0_scripthash",
        Some(WitnessVersion::V0) => return "nonstandard",
        Some(_) if script.is_p2tr() => return "witness_v1_taproot",
        Some(_) if script.as_bytes() == [0x51, 0x02, 0x4e, 0x73] => return "anchor",
        Some(_) => return "witness_unknown",
        None => {}
    }
    if script.is_p2pkh() {
        "pubkeyhash"
    } else if script.is_p2sh() {
        "scripthash"
    } else if script.is_p2pk() {
        "pubkey"
    } else if script.is_op_return() && pushes_only_after_return(script) {
        "nulldata"
    } else if script.is_multisig() {
        "multisig"
    } else {
        "nonstandard"
    }
}

fn pushes_only_after_return(script: &Script) -> bool {
    script
        .as_bytes()
        .get(1..)
        .is_some_and(|rest| Script::from_bytes(rest).is_push_only())
}

/// A script in words, as Bitcoin Core's `ScriptToAsmStr`.
pub fn asm(script: &Script) -> String {
    let mut words = Vec::new();
    for instruction in script.instructions() {
        words.push(match instruction {
            Ok(Instruction::PushBytes(bytes)) => pushed(bytes.as_bytes()),
            Ok(Instruction::Op(opcode)) => name(opcode),
            Err(_) => "[error]".to_owned(),
        });
    }
    words.join(" ")
}

/// Up to four bytes are shown as the number that they are.
fn pushed(bytes: &[u8]) -> String {
    if bytes.len() > 4 {
        return bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    }
    let mut magnitude: i64 = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        let last = index + 1 == bytes.len();
        let digit = if last { byte & 0x7f } else { byte };
        magnitude |= i64::from(digit) << (8 * index);
    }
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let number = if negative { -magnitude } else { magnitude };
    number.to_string()
}

fn name(opcode: Opcode) -> String {
    let code = opcode.to_u8();
    let first = op::OP_PUSHNUM_1.to_u8();
    match opcode {
        op::OP_PUSHNUM_NEG1 => "-1".to_owned(),
        op::OP_CLTV => "OP_CHECKLOCKTIMEVERIFY".to_owned(),
        op::OP_CSV => "OP_CHECKSEQUENCEVERIFY".to_owned(),
        _ if (first..=op::OP_PUSHNUM_16.to_u8()).contains(&code) => (code - first + 1).to_string(),
        _ if code > op::OP_CHECKSIGADD.to_u8() => "OP_UNKNOWN".to_owned(),
        _ => opcode.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::ScriptBuf;

    use super::*;

    fn shown(hex: &str) -> ScriptPubKey {
        ScriptPubKey::new(&ScriptBuf::from_hex(hex).expect("hex"))
    }

    #[test]
    fn scripts_are_shown_as_bitcoin_core_does() {
        let hash = "751e76e8199196d454941c45d1b3a323f1433bd6";
        let script = shown(&format!("0014{hash}"));
        assert_eq!(script.asm, format!("0 {hash}"));
        assert_eq!(script.kind, "witness_v0_keyhash");
        assert_eq!(
            script.address.as_deref(),
            Some("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080")
        );
        let script = shown("6a0401020304");
        assert_eq!(
            (script.asm.as_str(), script.kind),
            ("OP_RETURN 67305985", "nulldata")
        );
        assert_eq!(script.address, None);
        assert_eq!(shown("51024e73").kind, "anchor");
        assert_eq!(shown("76a914").asm, "OP_DUP OP_HASH160 [error]");
        assert_eq!(shown("76a914").kind, "nonstandard");
        assert_eq!(shown("5160").asm, "1 16");
        assert_eq!(shown("0181").asm, "-1");
        assert_eq!(
            shown("b1b2ff").asm,
            "OP_CHECKLOCKTIMEVERIFY OP_CHECKSEQUENCEVERIFY OP_UNKNOWN"
        );
    }
}
