//! A chain on both nodes with coins to spend, and blocks that are not finished yet.

use bitcoin::block::{Header, Version};
use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Transaction, TxMerkleNode, TxOut,
    Witness,
};
use chain::fixtures::{BlockBuilder, Key, Payment, commit_to_witnesses, grind};
use chain::{Height, Params, Timestamp};

use crate::pair::{Pair, Tally};
use crate::verdict::{Outcome, Verdict};

/// Blocks before there are coins to spend.
const FIRST_BLOCKS: u32 = 110;

/// Coinbases that are divided, and into how many coins each.
const DIVIDED: u32 = 8;
const PARTS: u64 = 40;

/// What a payment leaves to the miner.
pub(crate) const FEE: Amount = Amount::from_sat(1_000);

/// A coin and the key that spends it.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    pub(crate) outpoint: OutPoint,
    pub(crate) output: TxOut,
    pub(crate) key: Key,
}

impl Owned {
    pub(crate) fn of(tx: &Transaction, vout: u32, key: &Key) -> Owned {
        Owned {
            outpoint: OutPoint {
                txid: tx.compute_txid(),
                vout,
            },
            output: tx.output[vout as usize].clone(),
            key: key.clone(),
        }
    }
}

/// Two keys of each kind of output.
pub(crate) fn taproot_key() -> Key {
    Key::p2tr("oracle")
}

pub(crate) fn witness_key() -> Key {
    Key::p2wpkh("oracle")
}

/// A payment that spends these coins back to a key, and leaves the fee if they hold so much.
pub(crate) fn payment(coins: &[Owned]) -> Payment {
    let sum: Amount = coins.iter().map(|coin| coin.output.value).sum();
    let paid = sum.checked_sub(FEE).unwrap_or(Amount::ZERO);
    spending(coins).pay(&Key::p2tr("sink"), paid)
}

/// A payment that spends these coins, and pays nobody yet.
pub(crate) fn spending(coins: &[Owned]) -> Payment {
    coins.iter().fold(Payment::new(), |payment, coin| {
        payment.spend(coin.outpoint, &coin.output, &coin.key)
    })
}

/// A chain on both nodes, and who owns what.
pub(crate) struct Scene {
    pub(crate) pair: Pair,
    pub(crate) params: Params,
    name: String,
    /// Coins of both kinds in turn, confirmed and unspent unless taken.
    pub(crate) coins: Vec<Owned>,
    /// The coinbases of all blocks, by height from 1 on.
    pub(crate) coinbases: Vec<Owned>,
    /// A confirmed transaction none of whose outputs is spent for long.
    pub(crate) confirmed: Transaction,
}

impl Scene {
    /// 111 blocks, the last of which makes 320 coins.
    pub(crate) fn new(name: &str) -> Scene {
        let mut scene = Scene::empty(name);
        for _ in 0..FIRST_BLOCKS {
            scene.mine_empty();
        }
        let mut block = scene.draft();
        for index in 0..DIVIDED as usize {
            let coinbase = scene.coinbases[index].clone();
            let part = coinbase.output.value / PARTS;
            let divide = (0..PARTS).fold(spending(&[coinbase]), |payment, n| {
                payment.pay(&key_of(n), part)
            });
            let divide = divide.sign();
            let parts = (0..).zip(0..PARTS);
            scene
                .coins
                .extend(parts.map(|(vout, n)| Owned::of(&divide, vout, &key_of(n))));
            scene.confirmed = divide.clone();
            block.txs.push(divide);
        }
        scene.accept("coins to spend", &block);
        scene
    }

    /// Genesis alone.
    pub(crate) fn empty(name: &str) -> Scene {
        Scene {
            pair: Pair::new(),
            params: Params::bitcoin_regtest(),
            name: name.to_owned(),
            coins: Vec::new(),
            coinbases: Vec::new(),
            confirmed: Payment::new().unsigned().0,
        }
    }

    pub(crate) fn tip_header(&self) -> Header {
        let chain = self.pair.ours().chain();
        self.header_at(chain.tip().height)
    }

    pub(crate) fn height(&self) -> Height {
        self.pair.ours().chain().tip().height
    }

    pub(crate) fn median_time_past(&self) -> Timestamp {
        self.pair.ours().chain().tip().median_time_past
    }

    /// The header of the active chain at a height.
    pub(crate) fn header_at(&self, height: Height) -> Header {
        let chain = self.pair.ours().chain();
        let hash = chain.at_height(height).expect("not above the tip").hash;
        chain
            .block(&hash)
            .expect("storage works")
            .expect("it is stored")
            .block()
            .header
    }

    /// An unfinished child of the tip with nothing wrong.
    pub(crate) fn draft(&self) -> Draft {
        let parent = self.tip_header();
        self.draft_on(&parent, self.height().next())
    }

    /// An unfinished child of any block.
    pub(crate) fn draft_on(&self, parent: &Header, height: Height) -> Draft {
        let key = key_of(u64::from(height.0));
        let shape = BlockBuilder::on(&self.params, parent, height)
            .reward_to(key.script())
            .unmined();
        Draft {
            parent: shape.header.prev_blockhash,
            height,
            version: 0x2000_0000,
            time: shape.header.time,
            bits: shape.header.bits,
            coinbase: shape.txdata[0].clone(),
            txs: Vec::new(),
            commitment: Commitment::WhereNeeded,
            faults: Faults::default(),
            coins_used: 0,
        }
    }

    /// Hands a block to both.
    pub(crate) fn submit(&mut self, case: &str, block: &Block) -> Outcome {
        self.submit_bytes(case, &serialize(block))
    }

    /// Hands bytes to both that may be no block.
    pub(crate) fn submit_bytes(&mut self, case: &str, bytes: &[u8]) -> Outcome {
        let case = format!("{}: {case}", self.name);
        self.pair.submit_bytes(&case, bytes)
    }

    /// Hands a block to both that has to become the tip.
    pub(crate) fn accept(&mut self, case: &str, draft: &Draft) -> Block {
        let block = draft.build();
        let outcome = self.submit(case, &block);
        assert_eq!(
            (outcome.verdict, &outcome.failed[..], outcome.tip),
            (Verdict::Stored, &[][..], block.block_hash()),
            "{}: {case}",
            self.name
        );
        let key = key_of(u64::from(draft.height.0));
        if block.txdata[0].output[0].script_pubkey == key.script() {
            self.coinbases.push(Owned::of(&block.txdata[0], 0, &key));
        }
        block
    }

    /// Hands a block to both that has to be refused with a reason.
    pub(crate) fn refuse(&mut self, case: &str, draft: &Draft, reason: &str) {
        let block = draft.build();
        let tip = self.pair.ours().chain().tip().hash;
        let outcome = self.submit(case, &block);
        assert_eq!(outcome.tip, tip, "{}: {case}: {outcome}", self.name);
        let got = outcome.reason().unwrap_or_default();
        assert!(
            got.contains(reason),
            "{}: {case}: got {got}, expected {reason}",
            self.name
        );
    }

    pub(crate) fn mine_empty(&mut self) -> Block {
        self.accept("an empty block", &self.draft())
    }

    /// Takes coins that nobody else will spend: `count` of P2TR if `taproot`, else of P2WPKH.
    pub(crate) fn take(&mut self, taproot: bool, count: usize) -> Vec<Owned> {
        let mut taken = Vec::new();
        let mut kept = Vec::new();
        for coin in std::mem::take(&mut self.coins) {
            let fits = coin.output.script_pubkey.is_p2tr() == taproot;
            if fits && taken.len() < count {
                taken.push(coin);
            } else {
                kept.push(coin);
            }
        }
        self.coins = kept;
        assert_eq!(taken.len(), count, "{} has coins enough", self.name);
        taken
    }

    pub(crate) fn finish(self) -> Tally {
        let case = format!("{}: the end", self.name);
        self.pair.finish(&case)
    }
}

/// Keys of both kinds in turn.
fn key_of(n: u64) -> Key {
    if n.is_multiple_of(2) {
        taproot_key()
    } else {
        witness_key()
    }
}

/// What the coinbase says of the witnesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commitment {
    /// A commitment if there are witnesses.
    WhereNeeded,
    Always,
    Never,
}

/// What is wrong with a block beyond its transactions. Several may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) wrong_merkle_root: bool,
    pub(crate) repeated: bool,
    pub(crate) no_work: bool,
    pub(crate) no_coinbase: bool,
    pub(crate) no_reserved_value: bool,
    pub(crate) wrong_commitment: bool,
}

/// An unfinished block.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) parent: BlockHash,
    pub(crate) height: Height,
    pub(crate) version: i32,
    pub(crate) time: u32,
    pub(crate) bits: CompactTarget,
    pub(crate) coinbase: Transaction,
    pub(crate) txs: Vec<Transaction>,
    pub(crate) commitment: Commitment,
    pub(crate) faults: Faults,
    coins_used: usize,
}

impl Draft {
    /// A coin that nothing else in this block spends. It stays where it is if the block is refused.
    pub(crate) fn coin(&mut self, scene: &Scene, taproot: bool) -> Owned {
        let left = &scene.coins[self.coins_used..];
        let index = left
            .iter()
            .position(|coin| coin.output.script_pubkey.is_p2tr() == taproot)
            .expect("coins enough");
        self.coins_used += index + 1;
        left[index].clone()
    }

    pub(crate) fn with(mut self, tx: Transaction) -> Draft {
        self.txs.push(tx);
        self
    }

    /// Adds data to the coinbase's script.
    pub(crate) fn salt(mut self, salt: u64) -> Draft {
        let mut script = self.coinbase.input[0].script_sig.to_bytes();
        script.push(8);
        script.extend(salt.to_le_bytes());
        self.coinbase.input[0].script_sig = ScriptBuf::from_bytes(script);
        self
    }

    /// The transactions with the coinbase and its commitment.
    fn transactions(&self) -> Vec<Transaction> {
        let mut txs: Vec<Transaction> = Vec::new();
        if !self.faults.no_coinbase {
            txs.push(self.coinbase.clone());
        }
        txs.extend(self.txs.iter().cloned());
        let witnesses = txs
            .iter()
            .any(|tx| tx.input.iter().any(|input| !input.witness.is_empty()));
        let commit = match self.commitment {
            Commitment::WhereNeeded => witnesses,
            Commitment::Always => true,
            Commitment::Never => false,
        };
        if commit && !self.faults.no_coinbase && !txs[0].input.is_empty() {
            commit_to_witnesses(&mut txs);
            if self.faults.no_reserved_value {
                txs[0].input[0].witness = Witness::new();
            }
            if self.faults.wrong_commitment {
                let output = txs[0].output.last_mut().expect("the commitment");
                let mut script = output.script_pubkey.to_bytes();
                script[37] ^= 1;
                output.script_pubkey = ScriptBuf::from_bytes(script);
            }
        }
        txs
    }

    /// The mined block.
    pub(crate) fn build(&self) -> Block {
        let mut block = Block {
            header: Header {
                version: Version::from_consensus(self.version),
                prev_blockhash: self.parent,
                merkle_root: TxMerkleNode::all_zeros(),
                time: self.time,
                bits: self.bits,
                nonce: 0,
            },
            txdata: self.transactions(),
        };
        block.header.merkle_root = block
            .compute_merkle_root()
            .unwrap_or(TxMerkleNode::all_zeros());
        if self.faults.repeated {
            repeat_end(&mut block.txdata);
        }
        if self.faults.wrong_merkle_root {
            let mut root = block.header.merkle_root.to_byte_array();
            root[0] ^= 1;
            block.header.merkle_root = TxMerkleNode::from_byte_array(root);
        }
        grind(&mut block.header);
        if self.faults.no_work {
            let target = block.header.target();
            while target.is_met_by(block.header.block_hash()) {
                block.header.nonce += 1;
            }
        }
        block
    }
}

/// Repeats the last transactions so that the merkle root stays (CVE-2012-2459). There must be no power of two of them.
fn repeat_end(txs: &mut Vec<Transaction>) {
    let unit = 1 << txs.len().trailing_zeros();
    let end = txs[txs.len() - unit..].to_vec();
    txs.extend(end);
}
