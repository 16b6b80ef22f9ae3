//! What ends a process from outside, and that nothing is lost by it.
#![cfg(unix)]

use std::time::Duration;

use crate::process::{Node, mend};

const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

/// `timeout` sends its signal to the process and to its group: that is one request, not a second, impatient one.
#[test]
fn a_request_to_end_that_comes_several_times_is_one() {
    for name in ["-TERM", "-INT"] {
        let folder = tempfile::tempdir().expect("a folder");
        let regtest = ["--genesis", "bitcoin-regtest"];
        let node = Node::start(folder.path(), &regtest);
        // Enough to write that the node is still at it when the others come.
        node.call(&["-generate", "500", ADDRESS]);
        for _ in 0..5 {
            node.signal(name);
            std::thread::sleep(Duration::from_millis(1));
        }
        let (code, errors) = node.wait();
        assert_eq!(code, Some(0), "{name}: {errors}");
        assert!(folder.path().join("mempool.dat").exists(), "{name}");
        let again = Node::start_by(folder.path(), &regtest, |_, args| {
            let mut command = mend(args);
            command.env("RUST_LOG", "info");
            command
        });
        assert_eq!(again.call(&["getblockcount"]), "500");
        let (_, log) = again.stopped();
        assert!(
            !log.contains("block connected"),
            "nothing had to be done again: {log}"
        );
    }
}
