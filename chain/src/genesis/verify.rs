//! From a [`GenesisFile`] to [`Params`]: every value is checked, and every refusal names its field.

use std::fmt::Display;
use std::ops::RangeInclusive;

use bitcoin::{Amount, Block, Target, Weight};

use super::block;
use super::error::GenesisError;
use super::file::{Algorithm, AnchorName, GenesisFile, HexBits, PowSection};
use crate::params::{AsertAnchor, DifficultyRule, NetworkDigest, Params, PowParams, SubsidyParams};
use crate::rules::error::RuleError;
use crate::rules::header::{check_proof_of_work, target_of_bits};
use crate::rules::transaction::check_alone;
use crate::units::Height;

const DAY_S: u32 = 86_400;

impl GenesisFile {
    /// Checks everything that the file says, and gives the network's parameters.
    ///
    /// # Errors
    ///
    /// [`GenesisError`] names the first field that is wrong, with what it says and what was expected.
    pub fn verify(&self) -> Result<Params, GenesisError> {
        let params = self.to_params()?;
        self.check_header(&params)?;
        Ok(params)
    }

    /// Everything but the claims that only hold once the header is mined.
    pub(super) fn to_params(&self) -> Result<Params, GenesisError> {
        check_name(&self.name)?;
        let pow = pow_params(&self.pow)?;
        check_bits(self, &pow)?;
        self.check_ranges()?;
        let genesis = block::build(&self.genesis, &self.allocations)?;
        let mut params = Params {
            name: self.name.clone(),
            genesis_hash: genesis.block_hash(),
            genesis,
            digest: NetworkDigest([0; 32]),
            pow,
            subsidy: SubsidyParams {
                initial: Amount::from_sat(self.subsidy.initial_sat),
                halving_interval: self.subsidy.halving_interval,
            },
            coinbase_maturity: self.coinbase_maturity,
            bip34_height: Height(self.bip34_height),
            max_block_weight: Weight::from_wu(self.max_block_weight),
            max_future_s: self.max_future_s,
            forbid_64_byte_transactions: true,
        };
        check_transactions(&params)?;
        params.digest = NetworkDigest::of(&params);
        Ok(params)
    }

    fn check_ranges(&self) -> Result<(), GenesisError> {
        within("coinbase_maturity", self.coinbase_maturity, 1..=10_000)?;
        within("bip34_height", self.bip34_height, 1..=u32::MAX)?;
        within(
            "max_block_weight",
            self.max_block_weight,
            20_000..=4_000_000,
        )?;
        within("max_future_s", self.max_future_s, 1..=DAY_S)?;
        self.check_supply()
    }

    /// All coins that can ever exist must be a valid amount. Where subsidies never end, those of 2^31 blocks (68 years of a block a
    /// second) must at least be countable.
    fn check_supply(&self) -> Result<(), GenesisError> {
        let all_money = Amount::MAX_MONEY.to_sat();
        within(
            "subsidy.initial_sat",
            self.subsidy.initial_sat,
            0..=all_money,
        )?;
        let mut allocated = 0;
        for (index, allocation) in self.allocations.iter().enumerate() {
            let field = format!("allocations[{index}].amount_sat");
            within(&field, allocation.amount_sat, 1..=all_money)?;
            allocated += u128::from(allocation.amount_sat);
        }
        let initial = u128::from(self.subsidy.initial_sat);
        let (mined, most) = match self.subsidy.halving_interval {
            0 => (initial << 31, u128::from(u64::MAX)),
            // Halving for ever doubles what the first interval pays.
            interval => (2 * initial * u128::from(interval), u128::from(all_money)),
        };
        let supply = allocated + mined;
        if allocated > u128::from(all_money) || supply > most {
            let field = if allocated > u128::from(all_money) {
                "allocations"
            } else {
                "subsidy"
            };
            let problem = format!(
                "allocations and all subsidies sum to {supply} sat, expected at most {most}"
            );
            return Err(GenesisError::new(field, problem));
        }
        Ok(())
    }

    fn check_header(&self, params: &Params) -> Result<(), GenesisError> {
        let block: &Block = &params.genesis;
        equal(
            "genesis.merkle_root",
            self.genesis.merkle_root,
            block::merkle_root(block),
        )?;
        equal("genesis.hash", self.genesis.hash, params.genesis_hash)?;
        check_proof_of_work(&block.header, params).map_err(|error| {
            GenesisError::new("genesis.nonce", format!("no proof of work: {error}"))
        })
    }
}

/// Checks the transactions of block 0 as those of any block.
fn check_transactions(params: &Params) -> Result<(), GenesisError> {
    let block = &params.genesis;
    let too_long = |error: RuleError| GenesisError::new("allocations", error.to_string());
    block
        .txdata
        .iter()
        .try_for_each(|tx| check_alone(tx, params))
        .map_err(too_long)?;
    if block.weight() > params.max_block_weight {
        let (got, limit) = (block.weight(), params.max_block_weight);
        let problem = format!("they make block 0 weigh {got}, expected at most {limit}");
        return Err(GenesisError::new("allocations", problem));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), GenesisError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if name.is_empty() || name.len() > 32 || !name.bytes().all(allowed) {
        let problem = format!("got {name:?}, expected 1 to 32 letters, digits and dashes");
        return Err(GenesisError::new("name", problem));
    }
    Ok(())
}

fn pow_params(pow: &PowSection) -> Result<PowParams, GenesisError> {
    within("pow.spacing_s", pow.spacing_s, 1..=DAY_S)?;
    let limit = canonical_target("pow.limit", pow.limit)?;
    if limit > Target::MAX_ATTAINABLE_REGTEST {
        let problem = format!("got {}, expected at most 207fffff", pow.limit);
        return Err(GenesisError::new("pow.limit", problem));
    }
    Ok(PowParams {
        difficulty: difficulty_rule(pow)?,
        limit,
        limit_bits: pow.limit.0,
        spacing_s: pow.spacing_s,
    })
}

fn difficulty_rule(pow: &PowSection) -> Result<DifficultyRule, GenesisError> {
    match (pow.algorithm, pow.half_life_s, pow.anchor) {
        (Algorithm::Fixed, None, None) => Ok(DifficultyRule::Fixed),
        (Algorithm::Fixed, Some(_), _) => Err(GenesisError::new(
            "pow.half_life_s",
            "got a number, but only ema and asert have one",
        )),
        (Algorithm::Fixed | Algorithm::Ema, _, Some(_)) => Err(GenesisError::new(
            "pow.anchor",
            "got a name, but only asert has one",
        )),
        (Algorithm::Ema | Algorithm::Asert, None, _) => Err(GenesisError::new(
            "pow.half_life_s",
            "missing; ema and asert need it, in seconds",
        )),
        (Algorithm::Ema, Some(half_life_s), None) => {
            // Less than a block's worth would throw the target about with every block.
            within("pow.half_life_s", half_life_s, pow.spacing_s..=365 * DAY_S)?;
            Ok(DifficultyRule::Ema { half_life_s })
        }
        (Algorithm::Asert, Some(half_life_s), anchor) => {
            within("pow.half_life_s", half_life_s, 1..=365 * DAY_S)?;
            let anchor = match anchor {
                None | Some(AnchorName::Genesis) => AsertAnchor::Genesis,
                Some(AnchorName::FirstBlock) => AsertAnchor::FirstBlock,
            };
            Ok(DifficultyRule::Asert {
                half_life_s,
                anchor,
            })
        }
    }
}

fn check_bits(file: &GenesisFile, pow: &PowParams) -> Result<(), GenesisError> {
    let target = canonical_target("genesis.bits", file.genesis.bits)?;
    if target > pow.limit {
        let problem = format!(
            "got {}, expected at most pow.limit {}",
            file.genesis.bits, file.pow.limit
        );
        return Err(GenesisError::new("genesis.bits", problem));
    }
    Ok(())
}

/// The target of `bits`, which must be written the one way that computing a target gives.
fn canonical_target(field: &str, bits: HexBits) -> Result<Target, GenesisError> {
    match target_of_bits(bits.0) {
        Some(target) if target.to_compact_lossy() == bits.0 => Ok(target),
        Some(target) => {
            let expected = HexBits(target.to_compact_lossy());
            Err(GenesisError::new(
                field,
                format!("got {bits}, expected the short form {expected}"),
            ))
        }
        None => {
            let problem = format!("got {bits}, expected a target above zero and below 2^256");
            Err(GenesisError::new(field, problem))
        }
    }
}

fn within<T: PartialOrd + Display>(
    field: &str,
    got: T,
    expected: RangeInclusive<T>,
) -> Result<(), GenesisError> {
    if expected.contains(&got) {
        return Ok(());
    }
    let (min, max) = expected.into_inner();
    Err(GenesisError::new(
        field,
        format!("got {got}, expected {min} to {max}"),
    ))
}

fn equal<T: PartialEq + Display>(field: &str, got: T, expected: T) -> Result<(), GenesisError> {
    if got == expected {
        return Ok(());
    }
    Err(GenesisError::new(
        field,
        format!("got {got}, expected {expected} from the other fields"),
    ))
}
