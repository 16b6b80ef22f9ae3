//! Headers, heights and times.

use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, ScriptBuf};
use chain::Height;

use crate::pair::{Tally, now};
use crate::scene::{Scene, payment};

/// Runs on a chain that grows from genesis.
pub(crate) fn compare() -> Tally {
    let mut tally = first_heights();
    tally.add(headers());
    tally.add(times());
    tally.add(lock_times());
    tally
}

/// Heights 1 to 20 and around 128: the coinbase begins with the height in one form only.
fn first_heights() -> Tally {
    let mut scene = Scene::empty("heights");
    while scene.height() < Height(132) {
        let height = scene.height().0 + 1;
        if height <= 20 || height >= 126 {
            let byte = height as u8;
            for script in [
                vec![1, byte],
                vec![1, byte, 0],
                vec![2, byte, 0],
                vec![0x4c, 1, byte],
                vec![0x50 + byte.min(16)],
                vec![0x50 + byte.min(16), 0],
                vec![0x51, 0],
                vec![0x60, 0x60],
                vec![0, 0],
            ] {
                let mut draft = scene.draft().salt(0);
                draft.coinbase.input[0].script_sig = ScriptBuf::from_bytes(script.clone());
                let block = draft.build();
                let outcome = scene.submit(&format!("height {height} as {script:x?}"), &block);
                if outcome.tip == block.block_hash() {
                    break;
                }
            }
        }
        if scene.height().0 < height {
            scene.mine_empty();
        }
    }
    scene.finish()
}

/// Versions, bits, work, parents.
fn headers() -> Tally {
    let mut scene = Scene::new("headers");
    for version in [i32::MIN, -1, 0, 1, 2, 3] {
        let mut draft = scene.draft();
        draft.version = version;
        scene.refuse("an old version", &draft, "bad-version");
    }
    for version in [4, 5, 0x3fff_ffff, i32::MAX] {
        let mut draft = scene.draft();
        draft.version = version;
        scene.accept("a version", &draft);
    }
    for bits in [0x207f_fffe, 0x1f7f_ffff, 0x200f_ffff] {
        let mut draft = scene.draft();
        draft.bits = CompactTarget::from_consensus(bits);
        scene.refuse("bits of more work", &draft, "bad-diffbits");
    }
    // Bits that are no target, or an easier one: no nonce helps.
    for bits in [
        0,
        1,
        0x0000_7fff,
        0x0100_0000,
        0x0180_0001,
        0x2080_0000,
        0x20ff_ffff,
        0x2100_8000,
        0x2100_ffff,
        0x2101_0000,
        0x2200_00ff,
        0x2200_0100,
        0x2300_0001,
        0xff7f_ffff,
        0xffff_ffff,
        0x2080_0001,
    ] {
        let mut block = scene.draft().build();
        block.header.bits = CompactTarget::from_consensus(bits);
        let outcome = scene.submit("bits that are no target", &block);
        assert_eq!(outcome.reason(), Some("high-hash"), "{bits:08x}");
    }
    let mut orphan = scene.draft();
    orphan.parent = BlockHash::from_byte_array([7; 32]);
    scene.refuse("a parent that nobody knows", &orphan, "prev-blk-not-found");
    orphan.parent = BlockHash::all_zeros();
    scene.refuse("a second genesis", &orphan, "prev-blk-not-found");
    let genesis = scene.params.genesis.clone();
    scene.submit("genesis", &genesis);
    let block = scene.mine_empty();
    scene.submit("a block again", &block);
    let mut bad = scene.draft();
    bad.coinbase.output[0].value *= 2;
    scene.refuse("a block that fails late", &bad, "bad-cb-amount");
    scene.refuse("the same again", &bad, "duplicate-invalid");
    let child = scene.draft_on(&bad.build().header, bad.height.next());
    scene.refuse("its child", &child, "bad-prevblk");
    for length in [0, 79, 80, 81, 100, 200] {
        let bytes = serialize(&scene.draft().build());
        scene.submit_bytes("a part of a block", &bytes[..length.min(bytes.len())]);
    }
    scene.mine_empty();
    scene.finish()
}

/// Times against the median of eleven, and against the clock.
fn times() -> Tally {
    let mut scene = Scene::new("times");
    for round in 0..30u32 {
        let median = scene.median_time_past().0;
        for (offset, valid) in [(-600, false), (-1, false), (0, false), (1, true)] {
            let mut draft = scene.draft().salt(u64::from(round));
            draft.time = median.saturating_add_signed(offset);
            if valid && round % 3 != 0 {
                draft.time = median + 1 + (round * 7919) % 5000;
            }
            if valid {
                scene.accept("a time after the median", &draft);
            } else {
                scene.refuse("a time not after the median", &draft, "time-too-old");
            }
        }
    }
    for time in [0, 1, now().0 + 7_200 + 60, u32::MAX] {
        let mut draft = scene.draft();
        draft.time = time;
        scene.refuse("a time out of reach", &draft, "time-too-");
    }
    // Two hours ahead again and again: the median stays behind.
    for _ in 0..12 {
        let mut draft = scene.draft();
        draft.time = now().0 + 7_200 - 30;
        let block = draft.build();
        scene.submit("almost two hours ahead", &block);
        let mut low = scene.draft();
        low.time = scene.median_time_past().0 + 1;
        let block = low.build();
        scene.submit("just after the median", &block);
    }
    scene.finish()
}

/// nLockTime and relative locks, by height and by time, at their limits.
fn lock_times() -> Tally {
    let mut scene = Scene::new("locks");
    for round in 0..6 {
        for taproot in [true, false] {
            let coin = scene.take(taproot, 1);
            let (height, median) = (scene.height().0 + 1, scene.median_time_past().0);
            for (lock_time, sequence, valid) in [
                (height, 0, false),
                (height + 1, 1, false),
                (height, 0xffff_fffe, false),
                (median, 0xffff_fffe, false),
                (499_999_999, 0, false),
                (500_000_000 + u32::MAX / 2, 0, false),
                (
                    [
                        height - 1,
                        median - 1,
                        height,
                        median,
                        u32::MAX,
                        500_000_000,
                    ][round],
                    [0, 0, u32::MAX, u32::MAX, u32::MAX, 0][round],
                    true,
                ),
            ] {
                let tx = payment(&coin)
                    .version(1)
                    .sequence(sequence)
                    .lock_time(lock_time);
                let draft = scene.draft().with(tx.sign());
                if valid {
                    scene.accept("a lock that is open", &draft);
                } else {
                    scene.refuse("a lock that is not", &draft, "bad-txns-nonfinal");
                }
            }
        }
    }
    relative_locks(&mut scene);
    let mut locked_coinbase = scene.draft();
    locked_coinbase.coinbase.lock_time = bitcoin::absolute::LockTime::from_consensus(9_999);
    locked_coinbase.coinbase.input[0].sequence = bitcoin::Sequence::ZERO;
    scene.refuse("a locked coinbase", &locked_coinbase, "bad-txns-nonfinal");
    scene.finish()
}

fn relative_locks(scene: &mut Scene) {
    // The coins are this many blocks old in the next block.
    let coin_height = 111;
    const BY_TIME: u32 = 1 << 22;
    const OFF: u32 = 1 << 31;
    for version in [1, 2, 3, -1, i32::MAX, i32::MIN] {
        for taproot in [true, false] {
            let age = scene.height().0 + 1 - coin_height;
            let median_before_coin = median_at(scene, coin_height - 1);
            let seconds = scene.median_time_past().0 - median_before_coin;
            for sequence in [
                age + 1,
                0xffff,
                BY_TIME | (seconds / 512 + 1),
                BY_TIME | 0xffff,
                age,
                age | 0x3f_0000,
                BY_TIME | (seconds / 512),
                OFF | 0xffff,
                OFF | BY_TIME | 0xffff,
            ] {
                let coin = scene
                    .coins
                    .iter()
                    .find(|coin| coin.output.script_pubkey.is_p2tr() == taproot);
                let coin = [coin.expect("coins enough").clone()];
                let tx = payment(&coin).version(version).sequence(sequence).sign();
                let block = scene.draft().with(tx).build();
                let case =
                    format!("version {version}, sequence {sequence:08x}, age {age}, {seconds} s");
                if scene.submit(&case, &block).tip == block.block_hash() {
                    scene.take(taproot, 1);
                    // The next is judged at the same age again, or later.
                    break;
                }
            }
        }
    }
    // A coin of the same block: its age is nothing.
    let first = payment(&scene.take(true, 1)).sign();
    let inner = |sequence| {
        chain::fixtures::Payment::new()
            .spend_output_of(&first, 0, &chain::fixtures::Key::p2tr("sink"))
            .sequence(sequence)
            .pay(
                &chain::fixtures::Key::p2tr("sink"),
                bitcoin::Amount::from_sat(1_000),
            )
            .sign()
    };
    for (sequence, valid) in [(1, false), (BY_TIME | 1, false), (BY_TIME, true)] {
        let draft = scene.draft().with(first.clone()).with(inner(sequence));
        if valid {
            scene.accept("no lock in the same block", &draft);
        } else {
            scene.refuse("a lock in the same block", &draft, "bad-txns-nonfinal");
        }
    }
}

/// The median time past of the active block at a height.
fn median_at(scene: &Scene, height: u32) -> u32 {
    let first = height.saturating_sub(10);
    let mut times: Vec<u32> = (first..=height)
        .map(|height| scene.header_at(Height(height)).time)
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}
