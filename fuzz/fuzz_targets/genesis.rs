//! Text that claims to be a `genesis.json`: what is accepted says the same after it was written again.

#![no_main]

use chain::Params;
use chain::genesis::GenesisFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(file) = GenesisFile::from_json(text) else {
        return;
    };
    let written = file.to_json();
    let again = GenesisFile::from_json(&written).expect("what we write we read");
    assert_eq!(again.to_json(), written);
    if let Ok(params) = file.verify() {
        let again = Params::from_json(&written).expect("valid stays valid");
        assert_eq!(again.digest, params.digest);
        assert_eq!(again.genesis_hash, params.genesis.block_hash());
    }
});
