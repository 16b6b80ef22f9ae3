//! [`Session`]: one miner's connection, without IO. Lines and the time go in, lines and found blocks come out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::{BlockHash, ScriptBuf};
use miner::ROLLING_MASK;
use p2p::Mono;
use serde_json::{Value, json};

use super::counts::ShareCounts;
use super::difficulty::{self, ShareRate, Vardiff};
use super::job::{EXTRA_NONCE_2_BYTES, Found, Job, Work};
use super::limits::{
    IDLE_TIMEOUT, LOGIN_TIMEOUT, MAX_JOBS, MAX_REFUSALS_IN_A_ROW, MAX_SHARES_PER_JOB, MAX_WORKERS,
};
use super::message::{self, Refusal, Request};
use super::share::Submission;
use super::worker::{name, payout_of};
use node_core::Now;

/// What a session wants done.
#[derive(Debug)]
pub enum Act {
    /// Send this line; its newline is there.
    Send(String),
    /// Submit the block of this share.
    Submit(Box<Found>),
    /// End the connection.
    Close(&'static str),
}

/// One miner's connection.
#[derive(Debug)]
pub struct Session {
    extra_nonce_1: [u8; 4],
    default_payout: Option<ScriptBuf>,
    work: Arc<Work>,
    subscribed: bool,
    agent: String,
    workers: Vec<String>,
    payout: Option<ScriptBuf>,
    version_mask: u32,
    vardiff: Vardiff,
    told_difficulty: Option<f64>,
    jobs: VecDeque<Job>,
    jobs_made: u32,
    counts: ShareCounts,
    rate: ShareRate,
    refusals_in_a_row: u32,
    begun: Mono,
    /// When it last sent a share that was good, or only late.
    last_share: Mono,
}

impl Session {
    /// A connection that begins.
    ///
    /// `extra_nonce_1` must be another for each connection. `default_payout` is paid where a worker's name is no address.
    #[must_use]
    pub fn new(
        now: Now,
        extra_nonce_1: u32,
        default_payout: Option<ScriptBuf>,
        work: Arc<Work>,
    ) -> Session {
        Session {
            extra_nonce_1: extra_nonce_1.to_be_bytes(),
            default_payout,
            work,
            subscribed: false,
            agent: String::new(),
            workers: Vec::new(),
            payout: None,
            version_mask: 0,
            vardiff: Vardiff::new(now.mono),
            told_difficulty: None,
            jobs: VecDeque::new(),
            jobs_made: 0,
            counts: ShareCounts::default(),
            rate: ShareRate::default(),
            refusals_in_a_row: 0,
            begun: now.mono,
            last_share: now.mono,
        }
    }

    /// Advances the session by one line of the miner, without its newline. `tip` is the active tip: shares for another
    /// parent are stale, even before new work was made.
    #[must_use = "what comes out is the session's only way to act"]
    pub fn handle(&mut self, now: Now, tip: &BlockHash, line: &[u8]) -> Vec<Act> {
        let mut acts = Vec::new();
        match message::parse(line) {
            Ok(request) => match self.carry_out(now, tip, &request, &mut acts) {
                Ok(result) => {
                    // The answer comes before what follows from it.
                    acts.insert(0, Act::Send(message::answer(&request.id, result)));
                }
                Err(refusal) => self.refuse(&request.id, &refusal, &mut acts),
            },
            Err((id, refusal)) => self.refuse(&id, &refusal, &mut acts),
        }
        acts
    }

    /// There is new work.
    #[must_use = "what comes out is the session's only way to act"]
    pub fn work_changed(&mut self, now: Now, work: Arc<Work>) -> Vec<Act> {
        let clean = work.parent() != self.work.parent();
        self.work = work;
        let mut acts = Vec::new();
        self.vardiff.adapt(now.mono, self.work.network_difficulty());
        self.give_job(clean, &mut acts);
        acts
    }

    /// Time has passed. May be called at any time; every few seconds is often enough.
    #[must_use = "what comes out is the session's only way to act"]
    pub fn tick(&mut self, now: Now) -> Vec<Act> {
        let mut acts = Vec::new();
        let (age, silence) = (now.mono.since(self.begun), now.mono.since(self.last_share));
        if !self.may_mine() {
            if age >= LOGIN_TIMEOUT {
                acts.push(Act::Close("it did not subscribe and authorize in time"));
            }
            return acts;
        }
        if silence >= IDLE_TIMEOUT {
            acts.push(Act::Close("no share came from it for long"));
            return acts;
        }
        self.adapt_difficulty(now.mono, &mut acts);
        acts
    }

    /// Shares so far.
    #[must_use]
    pub fn counts(&self) -> &ShareCounts {
        &self.counts
    }

    /// What the miner calls its program.
    #[must_use]
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// The names that may mine on this connection.
    #[must_use]
    pub fn workers(&self) -> &[String] {
        &self.workers
    }

    /// The difficulty that shares must have; `None` before the first job.
    #[must_use]
    pub fn difficulty(&self) -> Option<f64> {
        self.told_difficulty
    }

    /// The version bits that the miner may roll.
    #[must_use]
    pub fn version_mask(&self) -> u32 {
        self.version_mask
    }

    /// Hashes per second by the work of its shares in about the last minute.
    #[must_use]
    pub fn hashes_per_second(&self, now: Mono) -> f64 {
        self.rate.get(now)
    }

    /// How long the connection has been there.
    #[must_use]
    pub fn age(&self, now: Mono) -> Duration {
        now.since(self.begun)
    }

    fn carry_out(
        &mut self,
        now: Now,
        tip: &BlockHash,
        request: &Request,
        acts: &mut Vec<Act>,
    ) -> Result<Value, Refusal> {
        let params = &request.params;
        match request.method.as_str() {
            "mining.configure" => self.configure(now, params, acts),
            "mining.subscribe" => Ok(self.subscribe(params, acts)),
            "mining.authorize" => self.authorize(params, acts),
            "mining.submit" => self.submit(now, tip, params, acts),
            "mining.suggest_difficulty" => {
                let difficulty = params.first().and_then(Value::as_f64);
                self.suggest(now, difficulty, acts)
            }
            // The extra nonce never changes: there will be nothing to tell.
            "mining.extranonce.subscribe" => Ok(json!(true)),
            "mining.ping" => Ok(json!("pong")),
            _ => Err(Refusal::UnknownMethod),
        }
    }

    /// BIP 310.
    fn configure(
        &mut self,
        now: Now,
        params: &[Value],
        acts: &mut Vec<Act>,
    ) -> Result<Value, Refusal> {
        let extensions = params
            .first()
            .and_then(Value::as_array)
            .ok_or(Refusal::Malformed("configure needs a list of extensions"))?;
        let options = params.get(1).unwrap_or(&Value::Null);
        let mut result = serde_json::Map::new();
        for extension in extensions.iter().filter_map(Value::as_str) {
            let granted = match extension {
                "version-rolling" => {
                    self.version_mask = rolling_mask(options)?;
                    let mask = format!("{:08x}", self.version_mask);
                    result.insert("version-rolling.mask".to_owned(), json!(mask));
                    self.version_mask != 0
                }
                "minimum-difficulty" => {
                    let least = options["minimum-difficulty.value"].as_f64();
                    self.suggest(now, least, acts).is_ok()
                }
                "subscribe-extranonce" | "info" => true,
                _ => false,
            };
            result.insert(extension.to_owned(), json!(granted));
        }
        Ok(Value::Object(result))
    }

    fn subscribe(&mut self, params: &[Value], acts: &mut Vec<Act>) -> Value {
        self.agent = name(params.first().and_then(Value::as_str).unwrap_or_default());
        let first = !self.subscribed;
        self.subscribed = true;
        if first {
            self.give_job(true, acts);
        }
        let id = hex(self.extra_nonce_1);
        json!([
            [["mining.set_difficulty", id], ["mining.notify", id]],
            id,
            EXTRA_NONCE_2_BYTES
        ])
    }

    fn authorize(&mut self, params: &[Value], acts: &mut Vec<Act>) -> Result<Value, Refusal> {
        let user = params
            .first()
            .and_then(Value::as_str)
            .ok_or(Refusal::Malformed("authorize needs a user"))?;
        let user = name(user);
        let payout = payout_of(&user)?.or_else(|| self.default_payout.clone());
        let payout = payout.ok_or(Refusal::Unauthorized(
            "whom to pay? Give an address (bcrt1...) as the user, or start the node with --stratum-address",
        ))?;
        // A job has one payee, and nobody says which worker it is for.
        if self.payout.as_ref().is_some_and(|paid| *paid != payout) {
            return Err(Refusal::Unauthorized(
                "this connection pays another address: connect again to mine for this one",
            ));
        }
        if !self.workers.contains(&user) {
            if self.workers.len() >= MAX_WORKERS {
                return Err(Refusal::Unauthorized("too many workers on one connection"));
            }
            self.workers.push(user);
        }
        if self.payout.is_none() {
            self.payout = Some(payout);
            self.give_job(true, acts);
        }
        Ok(json!(true))
    }

    fn suggest(
        &mut self,
        now: Now,
        difficulty: Option<f64>,
        acts: &mut Vec<Act>,
    ) -> Result<Value, Refusal> {
        let difficulty = difficulty
            .filter(|difficulty| difficulty.is_finite() && *difficulty > 0.0)
            .ok_or(Refusal::Malformed(
                "the difficulty must be a positive number",
            ))?;
        self.vardiff.suggest(now.mono, difficulty);
        self.tell_new_difficulty(acts);
        Ok(json!(true))
    }

    fn submit(
        &mut self,
        now: Now,
        tip: &BlockHash,
        params: &[Value],
        acts: &mut Vec<Act>,
    ) -> Result<Value, Refusal> {
        match self.judge(now, tip, params) {
            Ok(accepted) => {
                self.refusals_in_a_row = 0;
                self.last_share = now.mono;
                self.counts.accept(accepted.need, accepted.got);
                self.rate.share(now.mono, accepted.need);
                self.vardiff.share();
                acts.extend(accepted.found.map(|found| Act::Submit(Box::new(found))));
                if accepted.job_is_full {
                    self.give_job(true, acts);
                }
                self.adapt_difficulty(now.mono, acts);
                Ok(json!(true))
            }
            Err(refusal) => {
                self.counts.refuse(&refusal);
                if refusal.is_late() {
                    self.last_share = now.mono;
                }
                Err(refusal)
            }
        }
    }

    fn judge(&mut self, now: Now, tip: &BlockHash, params: &[Value]) -> Result<Accepted, Refusal> {
        if !self.subscribed {
            return Err(Refusal::NotSubscribed);
        }
        let share = Submission::parse(params)?;
        if !self.workers.contains(&name(share.worker)) {
            return Err(Refusal::Unauthorized(
                "unknown worker: send mining.authorize first",
            ));
        }
        let easier = self.told_difficulty.unwrap_or(f64::MAX);
        let job = self.jobs.iter_mut().find(|job| job.id == share.job);
        let job = job.ok_or(Refusal::JobNotFound)?;
        if job.work.parent() != *tip {
            return Err(Refusal::Stale);
        }
        let attempt = share.attempt;
        let (got, mask) = (attempt.version_bits, self.version_mask);
        if got & !mask != 0 {
            return Err(Refusal::VersionOutsideMask { got, mask });
        }
        let (least, most) = job.work.times(now);
        let got = attempt.time;
        if !(least..=most).contains(&got) {
            return Err(Refusal::TimeOutOfRange { got, least, most });
        }
        if job.was_accepted(&attempt) {
            return Err(Refusal::Duplicate);
        }
        let header = job.header(&attempt);
        let hash = header.block_hash();
        let is_block = header.target().is_met_by(hash);
        // A change of difficulty and a share may cross on the way: the easier one counts.
        let (got, need) = (difficulty::of_hash(&hash), job.difficulty.min(easier));
        if !is_block && !difficulty::reaches(got, need) {
            return Err(Refusal::LowDifficulty { got, need });
        }
        Ok(Accepted {
            got,
            need,
            found: is_block.then(|| job.found(&attempt, header)),
            job_is_full: job.accept(attempt) >= MAX_SHARES_PER_JOB,
        })
    }

    fn refuse(&mut self, id: &Value, refusal: &Refusal, acts: &mut Vec<Act>) {
        acts.push(Act::Send(message::refuse(id, refusal)));
        if refusal.is_late() {
            return;
        }
        self.refusals_in_a_row += 1;
        if self.refusals_in_a_row >= MAX_REFUSALS_IN_A_ROW {
            acts.push(Act::Close("nothing that came from it was good"));
        }
    }

    fn may_mine(&self) -> bool {
        self.subscribed && self.payout.is_some()
    }

    fn adapt_difficulty(&mut self, now: Mono, acts: &mut Vec<Act>) {
        self.vardiff.adapt(now, self.work.network_difficulty());
        self.tell_new_difficulty(acts);
    }

    /// A new difficulty counts from the next job on, so one is given at once.
    fn tell_new_difficulty(&mut self, acts: &mut Vec<Act>) {
        let difficulty = self.vardiff.on(self.work.network_difficulty());
        if self.may_mine() && self.told_difficulty != Some(difficulty) {
            self.give_job(false, acts);
        }
    }

    /// Gives a job on the current work, if the miner is ready. `clean`: all that were given before are worth nothing.
    fn give_job(&mut self, clean: bool, acts: &mut Vec<Act>) {
        let Some(payout) = self.payout.as_ref().filter(|_| self.subscribed) else {
            return;
        };
        let difficulty = self.vardiff.on(self.work.network_difficulty());
        if self.told_difficulty != Some(difficulty) {
            self.told_difficulty = Some(difficulty);
            let line = message::notify("mining.set_difficulty", [number(difficulty)]);
            acts.push(Act::Send(line));
        }
        if clean {
            self.jobs.clear();
        } else if self.jobs.len() >= MAX_JOBS {
            self.jobs.pop_front();
        }
        self.jobs_made = self.jobs_made.wrapping_add(1);
        // The connection's extra nonce makes it unlike any job of another connection.
        let id = format!("{}{:x}", hex(self.extra_nonce_1), self.jobs_made);
        let job = Job::new(
            id,
            Arc::clone(&self.work),
            payout,
            self.extra_nonce_1,
            difficulty,
        );
        let line = message::notify("mining.notify", job.notification(clean));
        acts.push(Act::Send(line));
        self.jobs.push_back(job);
    }
}

struct Accepted {
    got: f64,
    need: f64,
    found: Option<Found>,
    job_is_full: bool,
}

/// The bits that a miner may roll, of those it asks for.
fn rolling_mask(options: &Value) -> Result<u32, Refusal> {
    let wanted = match &options["version-rolling.mask"] {
        Value::Null => u32::MAX,
        Value::String(text) => u32::from_str_radix(text, 16)
            .map_err(|_| Refusal::Malformed("version-rolling.mask must be eight hex digits"))?,
        _ => {
            return Err(Refusal::Malformed("version-rolling.mask must be text"));
        }
    };
    let mask = wanted & ROLLING_MASK;
    let least = options["version-rolling.min-bit-count"].as_u64();
    let enough = u64::from(mask.count_ones()) >= least.unwrap_or(0);
    Ok(if enough { mask } else { 0 })
}

/// Whole numbers without a fraction: some miners read no others.
fn number(difficulty: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if difficulty.fract() == 0.0 && difficulty < EXACT {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive whole number below 2^53"
        )]
        let whole = difficulty as u64;
        return json!(whole);
    }
    json!(difficulty)
}

fn hex(bytes: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_difficulties_are_written_without_a_fraction() {
        assert_eq!(number(512.0).to_string(), "512");
        assert_eq!(number(0.01).to_string(), "0.01");
        assert_eq!(number(4.656e-10).to_string(), "4.656e-10");
    }

    #[test]
    fn the_mask_is_what_both_sides_allow() {
        let mask = |options: Value| rolling_mask(&options);
        assert_eq!(mask(json!({})), Ok(ROLLING_MASK));
        let all = json!({"version-rolling.mask": "ffffffff", "version-rolling.min-bit-count": 2});
        assert_eq!(mask(all), Ok(0x1fff_e000));
        assert_eq!(
            mask(json!({"version-rolling.mask": "00c00000"})),
            Ok(0x00c0_0000)
        );
        let more = json!({"version-rolling.mask": "00002000", "version-rolling.min-bit-count": 2});
        assert_eq!(mask(more), Ok(0), "too few bits are none");
        assert!(mask(json!({"version-rolling.mask": "xyz"})).is_err());
        assert!(mask(json!({"version-rolling.mask": 7})).is_err());
    }
}
