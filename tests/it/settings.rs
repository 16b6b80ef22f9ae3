//! Where a node is can be told by option, variable or file, and means the same to every command.

use std::path::Path;
use std::process::Command;

use crate::process::{Node, mend};

fn home(command: &mut Command, dir: &Path) {
    command
        .env("HOME", dir)
        .env("MEND_WALLET_PASSPHRASE", "word");
}

fn tip_is_told(mut command: Command, what: &str) {
    let output = command.output().expect("mend runs");
    let (told, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{what}: {errors}");
    assert!(!told.is_empty(), "{what}");
}

#[test]
fn one_variable_or_one_line_of_a_file_leads_all_commands_to_the_node() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let config = folder.path().join(".mend/config.toml");
    std::fs::create_dir_all(config.parent().expect("a folder")).expect("made");
    let node = Node::start(&data, &["--genesis", "bitcoin-regtest"]);
    let commands = [
        "cli getblockcount",
        "wallet --no-encryption create",
        "wallet address",
        "mine --address bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080 --blocks 1 --json",
    ];
    let found = |command: &str| {
        let words: Vec<&str> = command.split_whitespace().collect();
        let mut command = mend(&words);
        home(&mut command, folder.path());
        command
    };
    // `mend mine` would wait for a node to come up, and a wallet may be made before there is one.
    for command in ["cli getblockcount", "wallet balance"] {
        let output = found(command).output().expect("mend runs");
        assert!(
            !output.status.success(),
            "{command}: without a word nobody knows where it is"
        );
    }
    for command in commands {
        let mut with_variable = found(command);
        with_variable.env("MEND_DATA_DIR", &data);
        tip_is_told(with_variable, command);
    }
    let text = format!(
        "data-dir = {data:?}\ngenesis = \"bitcoin-regtest\"\n[wallet]\nwallet = \"other\"\n"
    );
    std::fs::write(&config, text).expect("written");
    for command in commands {
        tip_is_told(found(command), command);
    }
    assert!(
        folder
            .path()
            .join(".mend/wallets")
            .read_dir()
            .expect("wallets")
            .count()
            >= 2
    );
    node.stop();
    // Commands on the data of a node that does not run, by the same words.
    tip_is_told(found("verify"), "verify");
    let mut by_variable = found("verify");
    by_variable
        .env("MEND_CONFIG", "")
        .env("MEND_DATA_DIR", &data);
    by_variable.env("MEND_GENESIS", "bitcoin-regtest");
    tip_is_told(by_variable, "verify by variables");

    std::fs::write(&config, "[node]\ncolour = 1\n").expect("written");
    let output = found("genesis show").output().expect("mend runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(
        errors.contains("config.toml") && errors.contains("--colour"),
        "{errors}"
    );
}
