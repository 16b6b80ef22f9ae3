//! Arguments of `mend wallet`, and which command they mean.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use crate::commands;
use crate::file;
use crate::keys::AccountKind;
use crate::node::NodeArgs;

/// Keys, payments and history.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  mend wallet create --wallet alice\n  mend wallet address --wallet alice\n  mend wallet send bcrt1q... 0.5 --wallet alice"
)]
pub struct WalletArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct CommonArgs {
    /// The wallet: a name, or the path of its file
    #[arg(
        long,
        short,
        global = true,
        value_name = "NAME|FILE",
        default_value = "default",
        env = "MEND_WALLET"
    )]
    pub(crate) wallet: String,
    /// Folder of the wallets known by name [default: ~/.mend/wallets]
    #[arg(long, global = true, value_name = "DIR", env = "MEND_WALLET_DIR")]
    pub(crate) wallet_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseArgs,
}

impl CommonArgs {
    /// The wallet's file.
    pub(crate) fn path(&self) -> anyhow::Result<PathBuf> {
        file::locate(&self.wallet, self.wallet_dir.as_deref())
    }
}

/// Where the passphrase comes from.
#[derive(Args, Clone, Debug)]
pub(crate) struct PassphraseArgs {
    /// File whose first line is the passphrase (else MEND_WALLET_PASSPHRASE, else asked for)
    #[arg(long, global = true, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Keep the words unencrypted in a file that only you can read (for throw-away wallets)
    #[arg(long, global = true)]
    no_encryption: bool,
}

impl PassphraseArgs {
    /// The passphrase of an existing wallet.
    pub(crate) fn existing(&self) -> anyhow::Result<String> {
        match self.given()? {
            Some(passphrase) => Ok(passphrase),
            None => ask("Passphrase: "),
        }
    }

    /// A passphrase for a new wallet, asked for twice; empty for `--no-encryption`.
    pub(crate) fn chosen(&self) -> anyhow::Result<String> {
        if self.no_encryption {
            return Ok(String::new());
        }
        if let Some(passphrase) = self.given()? {
            return Ok(passphrase);
        }
        let first = ask("Choose a passphrase: ")?;
        if first.is_empty() {
            bail!("an empty passphrase encrypts nothing; choose one, or say --no-encryption");
        }
        if ask("Once more: ")? != first {
            bail!("the two passphrases differ; nothing was written, try again");
        }
        Ok(first)
    }

    fn given(&self) -> anyhow::Result<Option<String>> {
        if let Some(path) = &self.passphrase_file {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let first = text.lines().next().unwrap_or_default();
            if first.is_empty() {
                bail!(
                    "the first line of {} is empty; write the passphrase there, or say --no-encryption for a new wallet",
                    path.display()
                );
            }
            return Ok(Some(first.to_owned()));
        }
        // A variable that is set to nothing is as good as none.
        let given = std::env::var("MEND_WALLET_PASSPHRASE").ok();
        Ok(given.filter(|passphrase| !passphrase.is_empty()))
    }
}

fn ask(prompt: &str) -> anyhow::Result<String> {
    rpassword::prompt_password(prompt).context(
        "no terminal to ask for the passphrase; use --passphrase-file or MEND_WALLET_PASSPHRASE, or --no-encryption for a new wallet",
    )
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Make a wallet with new words
    Create {
        /// Number of words
        #[arg(long = "words", default_value_t = 12, value_parser = parse_word_count)]
        word_count: usize,
        #[command(flatten)]
        account: AccountArgs,
    },
    /// Make a wallet from words that you have (read from standard input when not given)
    Restore {
        /// The words
        words: Vec<String>,
        #[command(flatten)]
        account: AccountArgs,
    },
    /// List the wallets
    List,
    /// Show a new address to receive coins
    Address {
        /// The first unused address instead of a new one
        #[arg(long)]
        unused: bool,
        /// A label for it
        #[arg(long, value_name = "TEXT")]
        label: Option<String>,
    },
    /// Show the balance
    Balance,
    /// Pay
    Send(commands::send::SendArgs),
    /// Pay more for a payment of yours that waits (replace by fee)
    Bump(commands::bump::BumpArgs),
    /// Hurry a payment to you that waits, by spending it (child pays for parent)
    Cpfp(commands::bump::CpfpArgs),
    /// Show payments, newest first
    History,
    /// Show unspent outputs
    Utxos,
    /// Set, remove (empty text) or show labels of addresses and transactions
    Label {
        /// Address or transaction
        target: Option<String>,
        /// The label
        text: Option<String>,
    },
    /// Make, sign, finalise and send a payment in steps
    #[command(subcommand)]
    Psbt(commands::psbt::PsbtCommand),
    /// Make a wallet without keys, of descriptors or an xpub
    Watch(commands::watch::WatchArgs),
    /// Show the public descriptors; with --json as Bitcoin Core's importdescriptors takes them
    Export,
    /// Make a wallet without keys, of a file of descriptors
    Import {
        /// What `export --json` or Bitcoin Core's listdescriptors wrote, or one descriptor a line
        file: PathBuf,
        /// Genesis hash of the network, when no node is running to tell it
        #[arg(long, value_name = "HASH")]
        genesis_hash: Option<bitcoin::BlockHash>,
    },
    /// Check that words restore this wallet (read from standard input when not given)
    VerifyBackup {
        /// The words
        words: Vec<String>,
        /// BIP 39's optional extra passphrase
        #[arg(
            long,
            default_value = "",
            hide_default_value = true,
            value_name = "TEXT"
        )]
        bip39_passphrase: String,
    },
    /// Send payments again that are in no block and not in the node's mempool
    Rebroadcast,
    /// Read the whole chain again
    Rescan {
        /// Unused addresses to look ahead for
        #[arg(long, default_value_t = 25, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
        gap: u32,
    },
    /// Show how likely a payment is taken back in spite of its confirmations
    Risk {
        /// Share of all hash power that the attacker has
        #[arg(long, default_value_t = 0.1, value_name = "0..0.5")]
        share: f64,
        /// How many lines
        #[arg(long, default_value_t = 6, value_name = "COUNT")]
        confirmations: u32,
    },
}

/// Which account, on which network.
#[derive(Args, Clone, Debug)]
pub(crate) struct AccountArgs {
    /// Address kind: bcrt1p... (taproot) or bcrt1q... (segwit)
    #[arg(long, value_enum, default_value_t)]
    pub(crate) account: AccountKind,
    /// BIP 39's optional extra passphrase (part of the keys, unlike the passphrase of the file)
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "TEXT"
    )]
    pub(crate) bip39_passphrase: String,
    /// Genesis hash of the network, when no node is running to tell it
    #[arg(long, value_name = "HASH")]
    pub(crate) genesis_hash: Option<bitcoin::BlockHash>,
}

fn parse_word_count(text: &str) -> Result<usize, String> {
    match text {
        "12" | "15" | "18" | "21" | "24" => Ok(text.parse().expect("digits")),
        _ => Err("use 12, 15, 18, 21 or 24 words".to_owned()),
    }
}

/// Runs `mend wallet`.
///
/// # Errors
///
/// One line with the cause and the remedy; the wallet file is then as it was.
pub fn run(args: WalletArgs) -> anyhow::Result<()> {
    let common = &args.common;
    match args.command {
        Command::Create {
            word_count,
            account,
        } => commands::create::create(common, &account, word_count),
        Command::Restore { words, account } => commands::create::restore(common, &account, &words),
        Command::List => commands::list::list(common),
        Command::Address { unused, label } => {
            commands::address::address(common, unused, label.as_deref())
        }
        Command::Balance => commands::balance::balance(common),
        Command::Send(send) => commands::send::send(common, &send),
        Command::History => commands::history::history(common),
        Command::Utxos => commands::history::utxos(common),
        Command::Bump(bump) => commands::bump::bump(common, &bump),
        Command::Cpfp(cpfp) => commands::bump::cpfp(common, &cpfp),
        Command::Label { target, text } => {
            commands::label::label(common, target.as_deref(), text.as_deref())
        }
        Command::Psbt(psbt) => commands::psbt::psbt(common, &psbt),
        Command::Watch(watch) => commands::watch::watch(common, &watch),
        Command::Export => commands::watch::export(common),
        Command::Import { file, genesis_hash } => {
            commands::watch::import(common, &file, genesis_hash)
        }
        Command::VerifyBackup {
            words,
            bip39_passphrase,
        } => commands::create::verify_backup(common, &words, &bip39_passphrase),
        Command::Rebroadcast => commands::recover::rebroadcast(common),
        Command::Rescan { gap } => commands::recover::rescan(common, gap),
        Command::Risk {
            share,
            confirmations,
        } => commands::risk::risk(common, share, confirmations),
    }
}
