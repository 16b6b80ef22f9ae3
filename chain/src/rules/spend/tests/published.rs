//! The vectors of BIP 340, 341 and 143.

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    Vec::from_hex(hex).expect("hex")
}

fn transaction(hex: &str) -> Transaction {
    bitcoin::consensus::encode::deserialize_hex(hex).expect("a transaction")
}

/// Vectors 15 to 18 have messages that are not 32 bytes long, which no transaction signs.
#[test]
fn vectors_of_bip_340() {
    let text = vectors::read("bips/bip-0340-test-vectors.csv");
    let mut checked = 0;
    for line in text.lines().skip(1) {
        let columns: Vec<&str> = line.split(',').collect();
        let Ok(message) = <[u8; 32]>::from_hex(columns[4]) else {
            continue;
        };
        let message = Message::from_digest(message);
        let signature = schnorr::Signature::from_slice(&bytes(columns[5])).expect("64 bytes");
        let valid = XOnlyPublicKey::from_slice(&bytes(columns[2]))
            .is_ok_and(|key| CURVE.verify_schnorr(&signature, &message, &key).is_ok());
        assert_eq!(valid, columns[6] == "TRUE", "vector {}", columns[0]);
        checked += 1;
    }
    assert_eq!(checked, 15);
}

#[test]
fn vectors_of_bip_341() {
    let text = vectors::read("bips/bip-0341-wallet-test-vectors.json");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let case = &json["keyPathSpending"][0];
    let tx = transaction(case["auxiliary"]["fullySignedTx"].as_str().expect("hex"));
    let spent: Vec<TxOut> = case["given"]["utxosSpent"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|utxo| TxOut {
            value: Amount::from_sat(utxo["amountSats"].as_u64().expect("satoshis")),
            script_pubkey: ScriptBuf::from_bytes(bytes(
                utxo["scriptPubKey"].as_str().expect("hex"),
            )),
        })
        .collect();
    let mut checked = 0;
    for input in case["inputSpending"].as_array().expect("a list") {
        let index = input["given"]["txinIndex"].as_u64().expect("an index") as usize;
        assert_eq!(check_one(&tx, &spent, index), Ok(()), "input {index}");
        let mut tx = tx.clone();
        let mut signature = item(&tx, index, 0);
        signature[10] ^= 1;
        tx.input[index].witness = Witness::from_slice(&[signature]);
        assert_eq!(
            check_one(&tx, &spent, index),
            Err(SpendError::SchnorrSignature)
        );
        checked += 1;
    }
    assert_eq!(checked, 7);
}

#[test]
fn vectors_of_bip_143() {
    let text = vectors::read("bips/bip-0143-p2wpkh.json");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let field = |name: &str| json[name].as_str().expect("text");
    let tx = transaction(field("signed_tx"));
    let index = json["input_index"].as_u64().expect("an index") as usize;
    let output = TxOut {
        value: Amount::from_sat(json["value_sat"].as_u64().expect("satoshis")),
        script_pubkey: ScriptBuf::from_bytes(bytes(field("script_pubkey"))),
    };
    let key_hash = output.script_pubkey.as_bytes()[2..]
        .try_into()
        .expect("20 bytes");
    let digest = sighash_v0::SharedHashes::default().p2wpkh(&tx, index, &output, &key_hash, 1);
    assert_eq!(digest.to_byte_array().to_vec(), bytes(field("sighash")));
    let spent = vec![output; 2];
    assert_eq!(check_one(&tx, &spent, index), Ok(()));
}
