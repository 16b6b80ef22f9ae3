//! Tests of parsing, verifying, mining and presets.

use bitcoin::hashes::Hash;
use bitcoin::{Amount, BlockHash, TxMerkleNode, Txid};

use super::*;
use crate::fixtures::Key;
use crate::params::{DifficultyRule, NetworkDigest};
use crate::rules::header::check_proof_of_work;
use crate::units::Timestamp;

const NEW_YEAR_2026: Timestamp = Timestamp(1_767_225_600);

/// How the built-in network was made.
fn local_spec() -> GenesisSpec {
    GenesisSpec {
        name: Params::LOCAL_NAME.to_owned(),
        time: NEW_YEAR_2026,
        ..GenesisSpec::default()
    }
}

fn with_allocations() -> GenesisSpec {
    let coins = Amount::from_int_btc(1000);
    GenesisSpec::trivial("tiny", NEW_YEAR_2026)
        .allocate(&Key::p2tr("alice").address(), coins)
        .allocate(&Key::p2wpkh("bob").address(), coins)
}

/// A mined file, changed as JSON text would be.
fn refused(change: impl FnOnce(&mut serde_json::Value)) -> GenesisError {
    let file = with_allocations().mine().expect("a valid spec");
    let mut json = serde_json::to_value(&file).expect("JSON");
    change(&mut json);
    Params::from_json(&json.to_string()).expect_err("the change makes it invalid")
}

fn refused_field(change: impl FnOnce(&mut serde_json::Value)) -> String {
    refused(change).field
}

#[test]
fn the_built_in_network_can_be_made_again() {
    let made = local_spec().mine().expect("a valid spec").to_json();
    assert_eq!(
        made,
        Params::local_json(),
        "genesis.json should be:\n{made}"
    );
}

#[test]
fn the_built_in_network_has_the_agreed_rules() {
    let params = Params::local();
    assert_eq!(params.name, "mend-local");
    assert_eq!(params.pow.limit_bits.to_consensus(), 0x1e7f_ffff);
    assert_eq!(
        params.pow.difficulty,
        DifficultyRule::Ema { half_life_s: 140 }
    );
    assert_eq!(params.bip34_height, Height(17));
    assert!(params.forbid_64_byte_transactions);
    assert_eq!(params.genesis_coins().count(), 0);
    check_proof_of_work(&params.genesis.header, &params).expect("mined");
}

#[test]
fn bitcoin_regtest_is_that_of_core() {
    let params = Params::bitcoin_regtest();
    let hash = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206";
    assert_eq!(params.genesis_hash.to_string(), hash);
    assert_eq!(
        params.genesis_coins().count(),
        0,
        "the genesis coinbase is no coin"
    );
    assert!(!params.forbid_64_byte_transactions);
    check_proof_of_work(&params.genesis.header, &params).expect("mined");
    assert_eq!(
        Params::built_in("bitcoin-regtest")
            .expect("a preset")
            .digest,
        params.digest
    );
    assert!(Params::built_in("bitcoin").is_none());
}

#[test]
fn subsidies_halve_and_end() {
    let params = Params::bitcoin_regtest();
    let at = |height| params.subsidy_at(Height(height)).to_sat();
    assert_eq!(at(0), 5_000_000_000);
    assert_eq!(at(149), 5_000_000_000);
    assert_eq!(at(150), 2_500_000_000);
    assert_eq!(at(150 * 32), 1);
    assert_eq!(at(150 * 33), 0);
    assert_eq!(at(150 * 64), 0);
    assert_eq!(at(u32::MAX), 0);
}

#[test]
fn an_interval_of_zero_never_halves() {
    let mut params = Params::bitcoin_regtest();
    params.subsidy.halving_interval = 0;
    assert_eq!(
        params.subsidy_at(Height(u32::MAX)),
        Amount::from_int_btc(50)
    );
}

#[test]
fn a_mined_file_survives_its_text() {
    let file = with_allocations().mine().expect("a valid spec");
    assert_eq!(GenesisFile::from_json(&file.to_json()), Ok(file.clone()));
    let params = file.verify().expect("mined");
    assert_eq!(params.genesis_hash, file.genesis.hash);
    assert_eq!(
        params.digest,
        Params::from_json(&file.to_json()).expect("same").digest
    );
}

#[test]
fn allocations_are_coins_of_a_second_transaction_that_is_no_coinbase() {
    let params = with_allocations()
        .mine()
        .and_then(|file| file.verify())
        .expect("valid");
    let [_, tx] = &params.genesis.txdata[..] else {
        panic!("two transactions")
    };
    assert_eq!(
        tx.input[0].previous_output,
        OutPoint {
            txid: Txid::all_zeros(),
            vout: 0
        }
    );
    assert!(!tx.is_coinbase());
    let coins: Vec<_> = params.genesis_coins().collect();
    assert_eq!(coins.len(), 2);
    assert_eq!(
        coins[1].0,
        OutPoint {
            txid: tx.compute_txid(),
            vout: 1
        }
    );
    assert_eq!(coins[0].1.output.script_pubkey, Key::p2tr("alice").script());
    assert!(
        coins
            .iter()
            .all(|(_, coin)| !coin.coinbase && coin.height == Height::GENESIS)
    );
}

#[test]
fn the_digest_follows_every_rule_but_not_the_name() {
    let spec = with_allocations();
    let digest = |spec: &GenesisSpec| {
        spec.mine()
            .and_then(|file| file.verify())
            .expect("a valid spec")
            .digest
    };
    let base = digest(&spec);
    let renamed = GenesisSpec {
        name: "other".to_owned(),
        ..spec.clone()
    };
    assert_eq!(digest(&renamed), base);
    let changes: [fn(&mut GenesisSpec); 10] = [
        |spec| spec.message.push('!'),
        |spec| spec.time = Timestamp(1),
        |spec| spec.allocations[0].amount_sat += 1,
        |spec| spec.pow.spacing_s += 1,
        |spec| spec.subsidy.initial_sat += 1,
        |spec| spec.subsidy.halving_interval += 1,
        |spec| spec.coinbase_maturity += 1,
        |spec| spec.bip34_height += 1,
        |spec| spec.max_block_weight -= 1,
        |spec| spec.max_future_s += 1,
    ];
    let mut seen = vec![base];
    for change in changes {
        let mut changed = spec.clone();
        change(&mut changed);
        let digest = digest(&changed);
        assert!(!seen.contains(&digest));
        seen.push(digest);
    }
    let mut asert = spec.clone();
    asert.pow.algorithm = Algorithm::Asert;
    for (half_life_s, anchor) in [
        (600, AnchorName::Genesis),
        (601, AnchorName::Genesis),
        (600, AnchorName::FirstBlock),
    ] {
        asert.pow.half_life_s = Some(half_life_s);
        asert.pow.anchor = Some(anchor);
        assert!(!seen.contains(&digest(&asert)));
        seen.push(digest(&asert));
    }
    let mut ema = spec.clone();
    ema.pow.algorithm = Algorithm::Ema;
    for half_life_s in [600, 601] {
        ema.pow.half_life_s = Some(half_life_s);
        assert!(!seen.contains(&digest(&ema)));
        seen.push(digest(&ema));
    }
}

/// The built-in network before it had a rule without a schedule.
const OLD_LOCAL: &str = r#"{
  "name": "mend-local",
  "genesis": {
    "message": "made to be split apart and to mend itself",
    "version": 536870912,
    "time": 1767225600,
    "bits": "1e7fffff",
    "nonce": 10953,
    "merkle_root": "204d2d766efd51d6062acd091f540799c0961fcf805f337160f8a14a5a47c9cf",
    "hash": "00002ee66166c20e391f86186f50572fe759da9e53828858bc2917e609ef0acd"
  },
  "allocations": [],
  "pow": {
    "algorithm": "asert",
    "limit": "1e7fffff",
    "spacing_s": 10,
    "half_life_s": 600,
    "anchor": "first_block"
  },
  "subsidy": {
    "initial_sat": 5000000000,
    "halving_interval": 150
  },
  "coinbase_maturity": 100,
  "bip34_height": 17,
  "max_block_weight": 4000000,
  "max_future_s": 7200
}
"#;

/// Networks that exist keep their names: these are what release 0.1 says of them.
#[test]
fn networks_that_exist_keep_their_digest() {
    let digest = |json: &str| Params::from_json(json).expect("valid").digest.to_string();
    assert_eq!(
        digest(OLD_LOCAL),
        "9a6150c592b540593846b7bef0267a07912ac35043088e64adbd7efba33afd75"
    );
    assert_eq!(
        Params::bitcoin_regtest().digest.to_string(),
        "0d520febf9e9cdb097dbce25031c62955524d459cfab5de8f79679399898ac9f"
    );
}

#[test]
fn the_digest_is_written_in_hex() {
    let digest = NetworkDigest([0xab; 32]);
    assert_eq!(digest.to_string(), "ab".repeat(32));
    assert_eq!(digest.short(), "ab".repeat(8));
}

#[test]
fn syntax_errors_name_the_place() {
    assert_eq!(Params::from_json("").expect_err("empty").field, "file");
    assert_eq!(Params::from_json("{} {}").expect_err("two").field, "file");
    let file = with_allocations().mine().expect("a valid spec").to_json() + "x";
    assert_eq!(
        Params::from_json(&file).expect_err("trailing").field,
        "file"
    );
}

#[test]
fn unknown_missing_and_repeated_keys_are_named() {
    let error = refused(|json| json["pow"]["spacng_s"] = 10.into());
    assert_eq!(error.field, "pow.spacng_s");
    assert!(error.problem.contains("unknown field"), "{error}");

    let error = refused(|json| {
        json["genesis"]
            .as_object_mut()
            .expect("an object")
            .remove("nonce");
    });
    assert_eq!(error.field, "genesis");
    assert!(error.problem.contains("missing field `nonce`"), "{error}");

    let text = with_allocations().mine().expect("valid").to_json();
    let twice = text.replacen("\"name\"", "\"name\": \"a\", \"name\"", 1);
    let error = Params::from_json(&twice).expect_err("repeated");
    assert!(error.problem.contains("duplicate field `name`"), "{error}");
}

#[test]
fn wrong_types_are_named_by_their_path() {
    assert_eq!(
        refused_field(|json| json["max_future_s"] = "2 h".into()),
        "max_future_s"
    );
    assert_eq!(
        refused_field(|json| json["genesis"]["hash"] = "00".into()),
        "genesis.hash"
    );
    assert_eq!(
        refused_field(|json| json["genesis"]["bits"] = 5.into()),
        "genesis.bits"
    );
    assert_eq!(
        refused_field(|json| json["pow"]["algorithm"] = "lwma".into()),
        "pow.algorithm"
    );
    let negative = refused_field(|json| json["allocations"][1]["amount_sat"] = (-1).into());
    assert_eq!(negative, "allocations[1].amount_sat");
}

#[test]
fn values_out_of_range_are_named_with_got_and_expected() {
    let error = refused(|json| json["coinbase_maturity"] = 0.into());
    assert_eq!(
        error.to_string(),
        "genesis: coinbase_maturity: got 0, expected 1 to 10000"
    );
    assert_eq!(
        refused_field(|json| json["name"] = "two words".into()),
        "name"
    );
    assert_eq!(
        refused_field(|json| json["bip34_height"] = 0.into()),
        "bip34_height"
    );
    assert_eq!(
        refused_field(|json| json["max_block_weight"] = 4_000_001.into()),
        "max_block_weight"
    );
    assert_eq!(
        refused_field(|json| json["max_future_s"] = 0.into()),
        "max_future_s"
    );
    assert_eq!(
        refused_field(|json| json["pow"]["spacing_s"] = 0.into()),
        "pow.spacing_s"
    );
    assert_eq!(
        refused_field(|json| json["genesis"]["message"] = "abc".into()),
        "genesis.message"
    );
    let long = "x".repeat(76);
    assert_eq!(
        refused_field(|json| json["genesis"]["message"] = long.into()),
        "genesis.message"
    );
}

#[test]
fn more_money_than_can_exist_is_refused() {
    let too_much = Amount::MAX_MONEY.to_sat() - 100_000;
    let amount = refused_field(|json| json["allocations"][0]["amount_sat"] = too_much.into());
    assert_eq!(amount, "allocations");
    assert_eq!(
        refused_field(|json| json["subsidy"]["halving_interval"] = 300_000.into()),
        "subsidy"
    );
    // Subsidies without end must be countable for as long as a network can last.
    let endless = |subsidy: u64| {
        refused_field(|json| {
            json["subsidy"]["halving_interval"] = 0.into();
            json["subsidy"]["initial_sat"] = subsidy.into();
        })
    };
    assert_eq!(endless(u64::MAX >> 31), "subsidy");
    let zero = refused_field(|json| json["allocations"][0]["amount_sat"] = 0.into());
    assert_eq!(zero, "allocations[0].amount_sat");
}

#[test]
fn targets_must_be_positive_canonical_and_within_the_limit() {
    for limit in [
        "00000000", "04923456", "217fffff", "ff123456", "20007fff", "2100ffff",
    ] {
        assert_eq!(
            refused_field(|json| json["pow"]["limit"] = limit.into()),
            "pow.limit",
            "{limit}"
        );
    }
    let error = refused(|json| {
        json["pow"]["limit"] = "1e7fffff".into();
    });
    assert_eq!(error.field, "genesis.bits");
    assert!(
        error.problem.contains("at most pow.limit 1e7fffff"),
        "{error}"
    );
}

#[test]
fn half_life_and_anchor_go_with_their_rules() {
    let error = |algorithm: Option<&str>, half_life_s: Option<u32>, anchor: Option<&str>| {
        refused(|json| {
            if let Some(name) = algorithm {
                json["pow"]["algorithm"] = name.into();
            }
            if let Some(half_life_s) = half_life_s {
                json["pow"]["half_life_s"] = half_life_s.into();
            }
            if let Some(anchor) = anchor {
                json["pow"]["anchor"] = anchor.into();
            }
        })
        .field
    };
    assert_eq!(error(None, Some(5), None), "pow.half_life_s");
    assert_eq!(error(None, None, Some("genesis")), "pow.anchor");
    for rule in ["ema", "asert"] {
        assert_eq!(error(Some(rule), None, None), "pow.half_life_s");
        assert_eq!(error(Some(rule), Some(0), None), "pow.half_life_s");
        assert_eq!(error(Some(rule), Some(31_536_001), None), "pow.half_life_s");
    }
    assert_eq!(error(Some("ema"), Some(50), Some("genesis")), "pow.anchor");
    assert_eq!(error(Some("ema"), Some(9), None), "pow.half_life_s");
}

#[test]
fn addresses_must_be_ours_and_spendable() {
    let foreign = [
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
        "bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry",
        "bcrt1qnotanaddress",
        "",
    ];
    for address in foreign {
        let error = refused(|json| json["allocations"][1]["address"] = address.into());
        assert_eq!(error.field, "allocations[1].address", "{address}");
    }
}

#[test]
fn a_changed_genesis_does_not_fit_its_hash() {
    assert_eq!(
        refused_field(|json| json["genesis"]["time"] = 5.into()),
        "genesis.hash"
    );
    assert_eq!(
        refused_field(|json| json["genesis"]["message"] = "other".into()),
        "genesis.merkle_root"
    );
    let amount = refused_field(|json| json["allocations"][0]["amount_sat"] = 1.into());
    assert_eq!(amount, "genesis.merkle_root");
    let hash = BlockHash::all_zeros().to_string();
    assert_eq!(
        refused_field(|json| json["genesis"]["hash"] = hash.into()),
        "genesis.hash"
    );
    let root = TxMerkleNode::all_zeros().to_string();
    assert_eq!(
        refused_field(|json| json["genesis"]["merkle_root"] = root.into()),
        "genesis.merkle_root"
    );
}

#[test]
fn a_genesis_without_work_is_refused() {
    let mut file = local_spec().mine().expect("a valid spec");
    file.genesis.nonce = file.genesis.nonce.wrapping_add(1);
    let mut header = Params::local().genesis.header;
    header.nonce = file.genesis.nonce;
    file.genesis.hash = header.block_hash();
    let error = file.verify().expect_err("no work");
    assert_eq!(error.field, "genesis.nonce");
}
