//! Payments of a testnet's accounts: the lab knows every coin that it gave out, and asks nodes only whether one is unspent.
//!
//! That keeps working across partitions and reorgs, where a wallet would have to rescan.

use bitcoin::absolute::LockTime;
use bitcoin::sighash::{Prevouts, SighashCache, TapSighashType};
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness, taproot,
};

use crate::accounts::{Account, Accounts};

/// Fee rate of the lab's payments, in satoshi per virtual byte: above any minimum, so that they confirm in the next block.
pub const FEE_RATE_SAT_VB: u64 = 2;
/// Below this an output costs more to spend than it is worth (Bitcoin Core's limit for P2TR), in satoshi.
pub const DUST_SAT: u64 = 330;

/// A coin that some account got at some time. Whether it is unspent depends on the node that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownCoin {
    /// The output.
    pub outpoint: OutPoint,
    /// Its value.
    pub value: Amount,
}

/// Why a payment cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayError {
    /// The coins do not suffice.
    #[error(
        "account {account} has {available}, not {needed} (fee included); pay less, or choose another account"
    )]
    NotEnough {
        /// The account.
        account: u32,
        /// What it has on the node that was asked.
        available: Amount,
        /// Amount and fee.
        needed: Amount,
    },
    /// The amount is not worth its output.
    #[error("{got} is dust; pay at least {DUST_SAT} sat")]
    Dust {
        /// The amount.
        got: Amount,
    },
}

/// Every coin that the accounts got from genesis or from the lab's own payments.
#[derive(Debug, Default)]
pub struct Purse {
    coins: Vec<Vec<KnownCoin>>,
}

impl Purse {
    /// The purse of accounts that got `allocation`'s outputs.
    pub fn new(accounts: &Accounts, allocation: &Transaction) -> Purse {
        let mut purse = Purse {
            coins: vec![Vec::new(); accounts.list().len()],
        };
        purse.note(accounts, allocation);
        purse
    }

    /// Notes the outputs of a transaction that belong to accounts.
    pub fn note(&mut self, accounts: &Accounts, transaction: &Transaction) {
        let txid = transaction.compute_txid();
        for (vout, output) in (0u32..).zip(&transaction.output) {
            let owner = accounts
                .list()
                .iter()
                .find(|account| account.address.matches_script_pubkey(&output.script_pubkey));
            if let Some(owner) = owner {
                self.coins[owner.index as usize].push(KnownCoin {
                    outpoint: OutPoint { txid, vout },
                    value: output.value,
                });
            }
        }
    }

    /// All coins that `account` ever got, oldest first.
    pub fn coins(&self, account: u32) -> &[KnownCoin] {
        self.coins.get(account as usize).map_or(&[], Vec::as_slice)
    }
}

/// One payment to be made.
#[derive(Clone, Debug)]
pub struct Payment {
    /// Where to.
    pub to: ScriptBuf,
    /// How much.
    pub amount: Amount,
}

/// Spends the first of `coins` that suffice, with change back to `from`. Signatures are deterministic.
///
/// # Errors
///
/// [`PayError`] when the coins do not suffice or the amount is dust.
pub fn build(
    accounts: &Accounts,
    from: &Account,
    coins: &[KnownCoin],
    payment: &Payment,
) -> Result<Transaction, PayError> {
    if payment.amount.to_sat() < DUST_SAT {
        return Err(PayError::Dust {
            got: payment.amount,
        });
    }
    let selected = select(from.index, coins, payment.amount)?;
    let total: Amount = selected.iter().map(|coin| coin.value).sum();
    let mut outputs = vec![TxOut {
        value: payment.amount,
        script_pubkey: payment.to.clone(),
    }];
    let change = total - payment.amount - fee(selected.len(), 2);
    if change.to_sat() >= DUST_SAT {
        outputs.push(TxOut {
            value: change,
            script_pubkey: from.script(),
        });
    }
    Ok(sign(accounts, from, selected, outputs))
}

/// The fewest first coins that pay `amount` and the fee of a payment with change.
fn select(account: u32, coins: &[KnownCoin], amount: Amount) -> Result<&[KnownCoin], PayError> {
    let mut available = Amount::ZERO;
    for (index, coin) in coins.iter().enumerate() {
        available += coin.value;
        if available >= amount + fee(index + 1, 2) {
            return Ok(&coins[..=index]);
        }
    }
    Err(PayError::NotEnough {
        account,
        available,
        needed: amount + fee(coins.len().max(1), 2),
    })
}

/// Fee of a P2TR key-path payment. An input is 57.5 virtual bytes, an output 43, the rest 10.5.
fn fee(inputs: usize, outputs: usize) -> Amount {
    let half_bytes = 21 + 115 * inputs as u64 + 86 * outputs as u64;
    Amount::from_sat(half_bytes.div_ceil(2) * FEE_RATE_SAT_VB)
}

fn sign(
    accounts: &Accounts,
    from: &Account,
    coins: &[KnownCoin],
    output: Vec<TxOut>,
) -> Transaction {
    let input = coins
        .iter()
        .map(|coin| TxIn {
            previous_output: coin.outpoint,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::new(),
        })
        .collect();
    let mut transaction = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input,
        output,
    };
    let spent: Vec<TxOut> = coins
        .iter()
        .map(|coin| TxOut {
            value: coin.value,
            script_pubkey: from.script(),
        })
        .collect();
    let mut hasher = SighashCache::new(&transaction);
    let witnesses: Vec<Witness> = (0..coins.len())
        .map(|index| {
            let sighash = hasher
                .taproot_key_spend_signature_hash(
                    index,
                    &Prevouts::All(&spent),
                    TapSighashType::Default,
                )
                .expect("there is a spent output for every input");
            let signature = accounts
                .secp()
                .sign_schnorr_no_aux_rand(&sighash.into(), &from.keypair);
            Witness::p2tr_key_spend(&taproot::Signature {
                signature,
                sighash_type: TapSighashType::Default,
            })
        })
        .collect();
    for (input, witness) in transaction.input.iter_mut().zip(witnesses) {
        input.witness = witness;
    }
    transaction
}

/// Parses `1.5`, `1.5 BTC`, `150000sat`: BTC unless a unit is given.
///
/// # Errors
///
/// One line with the cause and an example.
pub fn parse_amount(text: &str) -> Result<Amount, String> {
    let text = text.trim();
    let parsed = match text.parse::<Amount>() {
        Ok(amount) => Ok(amount),
        Err(_) => Amount::from_str_in(text, bitcoin::Denomination::Bitcoin),
    };
    parsed.map_err(|error| format!("{error}; write 1.5 (BTC) or \"150000 sat\""))
}

/// What the lab remembers of a payment that it sent.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SentPayment {
    /// Its id.
    pub txid: Txid,
    /// Who pays.
    pub from: u32,
    /// Where to.
    pub to: String,
    /// How much, in satoshi.
    pub amount_sat: u64,
    /// Fee, in satoshi.
    pub fee_sat: u64,
    /// The node that got it first.
    pub node: usize,
    /// The coins that it spends.
    #[serde(default)]
    pub spends: Vec<OutPoint>,
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;
    use bitcoin::secp256k1::Message;

    use super::*;
    use crate::accounts::WORDS;

    fn coin(number: u32, btc: f64) -> KnownCoin {
        KnownCoin {
            outpoint: OutPoint {
                txid: Txid::from_byte_array([7; 32]),
                vout: number,
            },
            value: Amount::from_btc(btc).unwrap(),
        }
    }

    fn payment(accounts: &Accounts, btc: f64) -> Payment {
        Payment {
            to: accounts.list()[1].script(),
            amount: Amount::from_btc(btc).unwrap(),
        }
    }

    #[test]
    fn a_payment_pays_its_fee_and_gives_change() {
        let accounts = Accounts::from_words(WORDS, 2).unwrap();
        let coins = [coin(0, 1.0), coin(1, 1.0), coin(2, 1.0)];
        let from = &accounts.list()[0];
        let tx = build(&accounts, from, &coins, &payment(&accounts, 1.5)).unwrap();
        assert_eq!(tx.input.len(), 2);
        let paid: Amount = tx.output.iter().map(|output| output.value).sum();
        let fee = Amount::from_btc(2.0).unwrap() - paid;
        let rate = fee.to_sat() as f64 / tx.vsize() as f64;
        assert!((2.0..2.05).contains(&rate), "{rate} sat/vB");
        assert_eq!(tx.output[1].script_pubkey, from.script());
    }

    #[test]
    fn every_signature_is_valid() {
        let accounts = Accounts::from_words(WORDS, 2).unwrap();
        let coins = [coin(0, 1.0), coin(1, 2.0)];
        let from = &accounts.list()[0];
        let tx = build(&accounts, from, &coins, &payment(&accounts, 2.5)).unwrap();
        let spent: Vec<TxOut> = coins
            .iter()
            .map(|coin| TxOut {
                value: coin.value,
                script_pubkey: from.script(),
            })
            .collect();
        let (key, _) = from.keypair.x_only_public_key();
        for index in 0..tx.input.len() {
            let signature =
                taproot::Signature::from_slice(tx.input[index].witness.nth(0).unwrap()).unwrap();
            let hash = SighashCache::new(&tx)
                .taproot_key_spend_signature_hash(
                    index,
                    &Prevouts::All(&spent),
                    TapSighashType::Default,
                )
                .unwrap();
            let message = Message::from_digest(hash.to_byte_array());
            accounts
                .secp()
                .verify_schnorr(&signature.signature, &message, &key)
                .unwrap();
        }
    }

    #[test]
    fn too_little_money_is_said_with_numbers() {
        let accounts = Accounts::from_words(WORDS, 2).unwrap();
        let from = &accounts.list()[0];
        let error = build(&accounts, from, &[coin(0, 1.0)], &payment(&accounts, 1.0)).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("1 BTC") && text.contains("1.00000308 BTC"),
            "{text}"
        );
        let dust = Payment {
            to: from.script(),
            amount: Amount::from_sat(329),
        };
        let error = build(&accounts, from, &[coin(0, 1.0)], &dust).unwrap_err();
        assert!(matches!(error, PayError::Dust { .. }));
    }

    #[test]
    fn the_purse_knows_payments_between_accounts() {
        let accounts = Accounts::from_words(WORDS, 2).unwrap();
        let from = &accounts.list()[0];
        let tx = build(&accounts, from, &[coin(0, 1.0)], &payment(&accounts, 0.4)).unwrap();
        let purse = Purse::new(&accounts, &tx);
        assert_eq!(purse.coins(1)[0].value, Amount::from_btc(0.4).unwrap());
        assert_eq!(purse.coins(0).len(), 1);
        assert!(purse.coins(9).is_empty());
    }

    #[test]
    fn amounts_are_in_btc_unless_said_otherwise() {
        assert_eq!(parse_amount("1.5").unwrap().to_sat(), 150_000_000);
        assert_eq!(parse_amount("1.5 BTC").unwrap().to_sat(), 150_000_000);
        assert_eq!(parse_amount("700 sat").unwrap().to_sat(), 700);
        assert!(parse_amount("-1").is_err());
        assert!(parse_amount("NaN").unwrap_err().contains("write 1.5"));
    }
}
