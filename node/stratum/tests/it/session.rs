//! A Stratum session driven by hand: what miners of others send, and what nobody should.

use std::time::Duration;

use bitcoin::{Address, ScriptBuf};
use node_stratum::limits::{
    IDLE_TIMEOUT, LOGIN_TIMEOUT, MAX_JOBS, MAX_REFUSALS_IN_A_ROW, MAX_WORKERS,
};
use node_stratum::{Act, Session};
use serde_json::{Value, json};

use crate::scene::{ADDRESS, EASY, MAX_FUTURE_S, Scene, TIME, TRIVIAL, code, tip, work};
use crate::stratum_client::{ClientJob, Try, difficulty_of};

#[test]
fn cpuminer_logs_in_line_by_line() {
    let mut scene = Scene::new(EASY);
    let lines =
        scene.line(r#"{"id": 1, "method": "mining.subscribe", "params": ["cpuminer-opt/26.1"]}"#);
    let result = &lines[0]["result"];
    assert_eq!(result[0][1][0], "mining.notify");
    assert_eq!(result[1].as_str().map(str::len), Some(8));
    // It takes 2 to 16.
    assert_eq!(result[2], 4);
    assert_eq!(lines.len(), 1, "no job before it is known whom to pay");
    let login =
        format!(r#"{{"id": 2, "method": "mining.authorize", "params": ["{ADDRESS}", "x"]}}"#);
    let lines = scene.line(&login);
    assert_eq!(lines[0], json!({"id": 2, "result": true, "error": null}));
    assert_eq!(lines[1]["method"], "mining.set_difficulty");
    assert_eq!(lines[2]["method"], "mining.notify");
    assert_eq!(lines[2]["params"][8], true);
    let lines = scene.line(r#"{"id": 3, "method": "mining.extranonce.subscribe", "params": []}"#);
    assert_eq!(lines[0]["result"], true);
    assert_eq!(scene.session.agent(), "cpuminer-opt/26.1");
}

#[test]
fn bitaxe_logs_in_line_by_line_and_rolls_versions() {
    let mut scene = Scene::new(EASY);
    let lines = scene.line(
        r#"{"jsonrpc": "2.0", "id": 1, "method": "mining.configure", "params": [["version-rolling"], {"version-rolling.mask": "ffffffff"}]}"#,
    );
    assert_eq!(lines[0]["result"]["version-rolling"], true);
    assert_eq!(lines[0]["result"]["version-rolling.mask"], "1fffe000");
    let lines = scene.line(
        r#"{"jsonrpc": "2.0", "id": 2, "method": "mining.subscribe", "params": ["bitaxe/BM1370/v2.9.0"]}"#,
    );
    lines[0]["result"][1]
        .as_str()
        .expect("hex")
        .clone_into(&mut scene.extra_nonce_1);
    let suggest =
        r#"{"jsonrpc": "2.0", "id": 3, "method": "mining.suggest_difficulty", "params": [1000]}"#;
    assert_eq!(scene.line(suggest)[0]["result"], true);
    let worker = format!("{ADDRESS}.bitaxe");
    let login = format!(
        r#"{{"jsonrpc": "2.0", "id": 4, "method": "mining.authorize", "params": ["{worker}", "x"]}}"#
    );
    let lines = scene.line(&login);
    assert_eq!(lines[0]["result"], true);
    let job = scene.job();
    assert_eq!(
        job.version & 0x1fff_e000,
        0,
        "the bits that it rolls are free"
    );
    let rolled = Try {
        version_bits: 0x0123_4000 & 0x1fff_e000,
        ..job.first_try(1)
    };
    let (share, header) = job.share(&scene.extra_nonce_1, rolled, scene.difficulty, true);
    let params = share.params_with_version(&worker, &job.id);
    let submit =
        json!({"jsonrpc": "2.0", "id": 5, "method": "mining.submit", "params": params}).to_string();
    assert_eq!(
        scene.line(&submit)[0],
        json!({"id": 5, "result": true, "error": null})
    );
    assert_eq!(header.version.to_consensus(), 0x2123_4000);
    assert_eq!(
        scene.submitted.len(),
        1,
        "the network is easier than it suggested"
    );
    assert_eq!(scene.submitted[0].header, header);
}

#[test]
fn a_share_that_meets_the_blocks_target_becomes_a_whole_block() {
    let mut scene = Scene::new(EASY);
    scene.good("mining.subscribe", json!([]));
    scene.good("mining.authorize", json!([format!("{ADDRESS}.rig"), "x"]));
    let job = scene.job();
    let share = scene.share(9, 0);
    let params = share.params(&format!("{ADDRESS}.rig"), &job.id);
    scene.good("mining.submit", json!(params));
    let block = scene.submitted.pop().expect("it is a block");
    assert_eq!(block.header, job.header(&scene.extra_nonce_1, &share));
    assert!(block.check_merkle_root() && block.check_witness_commitment());
    assert!(block.header.validate_pow(block.header.target()).is_ok());
    let coinbase = &block.txdata[0];
    let address: Address<_> = ADDRESS.parse().expect("an address");
    let payout = address.assume_checked().script_pubkey();
    assert_eq!(coinbase.output[0].script_pubkey, payout);
    assert_eq!(coinbase.output[0].value.to_sat(), 5_000_000_000);
    assert_eq!(coinbase.input[0].witness[0], [0; 32]);
    // Height 7 as BIP 34 has it.
    assert_eq!(coinbase.input[0].script_sig.as_bytes()[0], 0x57);
}

#[test]
fn shares_that_are_no_blocks_are_counted_and_not_submitted() {
    // One hash in 2^35.
    let mut scene = Scene::mining(0x1c1f_ffff);
    scene.good("mining.suggest_difficulty", json!([1e-6]));
    assert_eq!(scene.difficulty, 1e-6);
    for extra_nonce_2 in 0..5 {
        let share = scene.share(extra_nonce_2, 0);
        assert_eq!(scene.submit(&share)["result"], true);
    }
    assert!(scene.submitted.is_empty());
    let counts = scene.session.counts();
    assert_eq!((counts.accepted, counts.rejected()), (5, 0));
    assert!((counts.accepted_difficulty - 5e-6).abs() < 1e-12);
    assert!(counts.best_difficulty >= 1e-6);
    assert!(scene.session.hashes_per_second(scene.now.mono) > 0.0);
}

#[test]
fn shares_are_never_asked_to_be_harder_than_a_block() {
    let mut scene = Scene::mining(TRIVIAL);
    assert!(scene.difficulty <= 4.656_542_373_906_925e-10);
    scene.good("mining.suggest_difficulty", json!([1_000_000]));
    assert!(scene.difficulty <= 4.656_542_373_906_925e-10);
    // When blocks become easier, shares do too, before the job that counts.
    let mut scene = Scene::mining(EASY);
    scene.good("mining.suggest_difficulty", json!([1_000_000]));
    let before = scene.difficulty;
    let lines = scene.give_work(work(tip(2), TRIVIAL));
    assert_eq!(lines[0]["method"], "mining.set_difficulty");
    assert_eq!(lines[1]["method"], "mining.notify");
    assert!(scene.difficulty < before);
}

#[test]
fn the_usual_codes_tell_what_is_wrong_with_a_share() {
    let mut scene = Scene::new(EASY);
    let nothing = json!(["worker", "1", "00000000", "00000000", "00000000"]);
    assert_eq!(scene.refused("mining.submit", nothing.clone()), 25);
    scene.good("mining.subscribe", json!([]));
    assert_eq!(scene.refused("mining.submit", nothing.clone()), 24);
    scene.good("mining.authorize", json!(["worker", "x"]));
    assert_eq!(scene.refused("mining.submit", nothing), 21);
    let job = scene.job();
    let good = scene.share(1, 0);
    // Another's name.
    let params = json!(good.params("somebody", &job.id));
    assert_eq!(scene.refused("mining.submit", params), 24);
    // Not enough work.
    let (bad, _) = job.share(
        &scene.extra_nonce_1,
        job.first_try(2),
        scene.difficulty,
        false,
    );
    assert_eq!(code(&scene.submit(&bad)), 23);
    assert_eq!(
        code(&scene.submit(&bad)),
        23,
        "a bad share does not become a known one"
    );
    assert_eq!(scene.submit(&good)["result"], true);
    assert_eq!(code(&scene.submit(&good)), 22);
    let counts = *scene.session.counts();
    assert_eq!((counts.accepted, counts.stale, counts.duplicate), (1, 1, 1));
    assert_eq!((counts.low_difficulty, counts.unauthorized), (2, 3));
    assert_eq!(counts.rejected(), 7);
}

#[test]
fn times_that_no_block_may_have_are_refused() {
    let mut scene = Scene::mining(TRIVIAL);
    let job = scene.job();
    for (time, code_wanted) in [
        (TIME - 101, 20),
        (TIME - 100, 0),
        (TIME + MAX_FUTURE_S, 0),
        (TIME + MAX_FUTURE_S + 1, 20),
        (0, 20),
        (u32::MAX, 20),
    ] {
        let from = Try {
            time,
            ..job.first_try(1)
        };
        let (share, _) = job.share(&scene.extra_nonce_1, from, scene.difficulty, true);
        assert_eq!(code(&scene.submit(&share)), code_wanted, "{time}");
    }
}

#[test]
fn version_bits_outside_the_mask_are_refused() {
    let mut scene = Scene::mining(TRIVIAL);
    let submit = |scene: &mut Scene, version_bits: u32| {
        let job = scene.job();
        let from = Try {
            version_bits,
            ..job.first_try(version_bits)
        };
        let (share, _) = job.share(&scene.extra_nonce_1, from, scene.difficulty, true);
        let params = json!(share.params_with_version("worker", &job.id));
        code(&scene.ask("mining.submit", params))
    };
    assert_eq!(
        submit(&mut scene, 0),
        0,
        "bits that change nothing need no agreement"
    );
    assert_eq!(submit(&mut scene, 0x0000_2000), 20, "nothing was agreed on");
    let wanted = json!([["version-rolling"], {"version-rolling.mask": "00ffe000"}]);
    let result = scene.good("mining.configure", wanted);
    assert_eq!(result["version-rolling.mask"], "00ffe000");
    assert_eq!(submit(&mut scene, 0x0000_2000), 0);
    for outside in [0x1000_0000, 0x8000_0000, 0x0000_0001, 0x2000_0000] {
        assert_eq!(submit(&mut scene, outside), 20, "{outside:08x}");
    }
}

#[test]
fn extensions_that_nobody_knows_are_declined_one_by_one() {
    let mut scene = Scene::new(EASY);
    let wanted = json!([
        ["minimum-difficulty", "subscribe-extranonce", "info", "teleport"],
        {"minimum-difficulty.value": 0.5}
    ]);
    let result = scene.good("mining.configure", wanted);
    let expected = json!({"minimum-difficulty": true, "subscribe-extranonce": true,
        "info": true, "teleport": false});
    assert_eq!(result, expected);
    assert_eq!(scene.refused("mining.configure", json!("x")), 20);
    assert_eq!(scene.refused("mining.configure", json!([])), 20);
}

#[test]
fn shares_for_an_old_tip_are_stale_even_before_there_is_new_work() {
    let mut scene = Scene::mining(EASY);
    let (old, share) = (scene.job(), scene.share(1, 0));
    scene.tip = tip(2);
    assert_eq!(code(&scene.submit(&share)), 21);
    let lines = scene.give_work(work(tip(2), EASY));
    let params = &lines.last().expect("a job")["params"];
    assert_eq!(params[8], true, "the old job is worth nothing");
    let params = json!(share.params("worker", &old.id));
    assert_eq!(scene.refused("mining.submit", params), 21);
    assert_eq!(scene.session.counts().stale, 2);
    assert!(scene.closed.is_none());
    let share = scene.share(1, 0);
    assert_eq!(scene.submit(&share)["result"], true);
}

#[test]
fn new_payments_leave_older_jobs_good_up_to_a_limit() {
    let mut scene = Scene::mining(EASY);
    let (old, share) = (scene.job(), scene.share(1, 0));
    for _ in 0..MAX_JOBS - 1 {
        let lines = scene.give_work(work(tip(1), EASY));
        assert_eq!(lines.last().expect("a job")["params"][8], false);
    }
    let params = json!(share.params("worker", &old.id));
    scene.good("mining.submit", params.clone());
    let _ = scene.give_work(work(tip(1), EASY));
    assert_eq!(
        scene.refused("mining.submit", params),
        21,
        "it was forgotten"
    );
}

#[test]
fn jobs_of_another_connection_are_not_found() {
    let now = Scene::new(EASY).now;
    let mut ids = Vec::new();
    for extra_nonce_1 in [1, 2] {
        let payout = Some(ScriptBuf::new());
        let mut session = Session::new(now, extra_nonce_1, payout, work(tip(1), EASY));
        let mut lines = Vec::new();
        for line in [
            r#"{"id":1,"method":"mining.subscribe"}"#,
            r#"{"id":2,"method":"mining.authorize","params":["w"]}"#,
        ] {
            for act in session.handle(now, &tip(1), line.as_bytes()) {
                let Act::Send(line) = act else {
                    panic!("{act:?}")
                };
                lines.push(line);
            }
        }
        let notify: Value = serde_json::from_str(lines.last().expect("a job")).expect("JSON");
        ids.push((ClientJob::read(&notify["params"]), session));
    }
    let foreign = ids[0].0.id.clone();
    let params = ids[1].0.first_try(0).params("w", &foreign);
    let line = json!({"id": 3, "method": "mining.submit", "params": params}).to_string();
    let acts = ids[1].1.handle(now, &tip(1), line.as_bytes());
    assert!(
        matches!(&acts[..], [Act::Send(line)] if line.contains("[21,")),
        "{acts:?}"
    );
}

#[test]
fn nobody_mines_without_an_address_to_pay() {
    let mut scene = Scene::paying(EASY, None);
    scene.good("mining.subscribe", json!([]));
    assert_eq!(
        scene.refused("mining.authorize", json!(["worker", "x"])),
        24
    );
    let mainnet = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    assert_eq!(scene.refused("mining.authorize", json!([mainnet, "x"])), 24);
    assert_eq!(scene.refused("mining.authorize", json!([])), 20);
    assert_eq!(scene.refused("mining.authorize", json!([7])), 20);
    assert!(scene.job.is_none());
    scene.good("mining.authorize", json!([ADDRESS, "x"]));
    assert!(scene.job.is_some());
}

#[test]
fn a_connection_has_few_workers_and_pays_one_address() {
    let mut scene = Scene::mining(EASY);
    let before = scene.job();
    // A block's finder is known when it is too late to pay somebody else: its job has one payee.
    assert_eq!(scene.refused("mining.authorize", json!([ADDRESS, "x"])), 24);
    assert_eq!(scene.job().after, before.after, "the same payee");
    for worker in 1..MAX_WORKERS {
        scene.good("mining.authorize", json!([format!("rig{worker}")]));
    }
    assert_eq!(scene.job().after, before.after, "the same payee");
    assert_eq!(scene.refused("mining.authorize", json!(["more"])), 24);
}

#[test]
fn workers_of_one_address_share_a_connection() {
    let mut scene = Scene::paying(EASY, None);
    scene.good("mining.subscribe", json!([]));
    for worker in ["rig1", "rig2"] {
        let worker = format!("{ADDRESS}.{worker}");
        scene.good("mining.authorize", json!([worker, "x"]));
        let share = scene.share(9, 0);
        let params = share.params(&worker, &scene.job().id);
        scene.good("mining.submit", json!(params));
        // The next one's share shall not be a duplicate.
        drop(scene.give_work(work(tip(1), EASY)));
    }
    assert_eq!(scene.submitted.len(), 2);
}

#[test]
fn a_worker_may_mine_by_whatever_name_it_was_authorized() {
    let long = "ä".repeat(500);
    for worker in [long.as_str(), "a\tb\u{1b}[1m"] {
        let mut scene = Scene::new(EASY);
        scene.good("mining.subscribe", json!([]));
        scene.good("mining.authorize", json!([worker, "x"]));
        let share = scene.share(1, 0);
        let params = share.params(worker, &scene.job().id);
        scene.good("mining.submit", json!(params));
    }
}

#[test]
fn difficulty_follows_the_miner() {
    let mut scene = Scene::mining(0x1b00_ffff);
    scene.good("mining.suggest_difficulty", json!([1e-6]));
    // Twelve shares in a second are sixty times too many.
    for extra_nonce_2 in 0..12 {
        let share = scene.share(extra_nonce_2, 0);
        scene.now.mono = scene.now.mono + Duration::from_millis(90);
        assert_eq!(scene.submit(&share)["result"], true);
    }
    assert!(
        (scene.difficulty / 1.6e-5 - 1.0).abs() < 1e-9,
        "by sixteen at most"
    );
    let raised = scene.job();
    // A minute without any is too few.
    scene.pass(61);
    let acts = scene.session.tick(scene.now);
    let lines = scene.take(acts);
    assert_eq!(lines[0]["method"], "mining.set_difficulty");
    assert!(scene.difficulty < 1.6e-5);
    // A share for the job before counts at the easier difficulty.
    let from = raised.first_try(77);
    let (share, header) = raised.share(&scene.extra_nonce_1, from, scene.difficulty, true);
    let params = json!(share.params("worker", &raised.id));
    scene.good("mining.submit", params);
    assert!(difficulty_of(&header.block_hash()) >= scene.difficulty);
}

#[test]
fn suggestions_that_are_no_difficulty_are_refused() {
    let mut scene = Scene::mining(EASY);
    for wrong in [
        json!([]),
        json!([0]),
        json!([-1]),
        json!(["x"]),
        json!([null]),
    ] {
        assert_eq!(scene.refused("mining.suggest_difficulty", wrong), 20);
    }
}

#[test]
fn junk_is_answered_and_in_the_end_shut_out() {
    let mut scene = Scene::mining(EASY);
    for junk in [
        "",
        "null",
        "[]",
        "[1,2,3]",
        "{",
        "{}",
        "\"text\"",
        "12345678901234567890123456789012345678901234567890",
        r#"{"id":1,"method":{}}"#,
        r#"{"id":[1],"method":"mining.submit"}"#,
        r#"{"id":1,"method":"mining.submit","params":{"a":1}}"#,
        r#"{"id":1,"method":"mining.submit","params":[[[[[[[[]]]]]]]]}"#,
    ] {
        let lines = scene.line(junk);
        assert_eq!(code(&lines[0]), 20, "{junk}: {lines:?}");
    }
    let deep = format!("{}{}", "[".repeat(2_000), "]".repeat(2_000));
    assert_eq!(code(&scene.line(&deep)[0]), 20);
    let acts = scene.session.handle(scene.now, &scene.tip, b"\xff\xfe\x00");
    assert_eq!(code(&scene.take(acts)[0]), 20);
    assert_eq!(
        code(&scene.line(r#"{"id":1,"method":"eth_submitWork"}"#)[0]),
        -3
    );
    assert!(scene.closed.is_none());
    // A good share clears the record.
    let share = scene.share(1, 0);
    assert_eq!(scene.submit(&share)["result"], true);
    for count in 1..=MAX_REFUSALS_IN_A_ROW {
        assert!(scene.closed.is_none(), "{count}");
        let _ = scene.line("junk");
    }
    assert!(scene.closed.is_some());
}

#[test]
fn who_does_not_log_in_or_falls_silent_is_let_go() {
    let mut scene = Scene::new(EASY);
    scene.good("mining.subscribe", json!([]));
    scene.pass(LOGIN_TIMEOUT.as_secs() - 1);
    let acts = scene.session.tick(scene.now);
    assert!(acts.is_empty());
    scene.pass(1);
    let acts = scene.session.tick(scene.now);
    assert!(matches!(acts[..], [Act::Close(_)]));

    let mut scene = Scene::mining(EASY);
    scene.pass(IDLE_TIMEOUT.as_secs() - 1);
    // A sign of life is no share.
    let _ = scene.line(r#"{"id": 9, "method": "mining.ping", "params": []}"#);
    let acts = scene.session.tick(scene.now);
    scene.take(acts);
    assert!(scene.closed.is_none());
    scene.pass(1);
    let acts = scene.session.tick(scene.now);
    scene.take(acts);
    assert!(scene.closed.is_some());
}
