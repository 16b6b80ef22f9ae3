//! Bytes from a peer: what is decoded is encoded to a message that says the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use p2p::wire::{Gossip, Request, Response};

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    let mut first = Vec::new();
    let mut second = Vec::new();
    macro_rules! round_trip {
        ($message:ty) => {
            if let Ok(message) = <$message>::decode(bytes) {
                message.encode(&mut first);
                let again = <$message>::decode(&first).expect("what we write we read");
                again.encode(&mut second);
            }
        };
    }
    match kind % 3 {
        0 => round_trip!(Request),
        1 => round_trip!(Response),
        _ => round_trip!(Gossip),
    }
    assert_eq!(first, second);
});
