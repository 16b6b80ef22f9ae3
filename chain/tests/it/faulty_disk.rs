//! [`FaultyDisk`]: a disk in memory whose k-th operation fails, and what a crash leaves of it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use chain::store::MemoryDisk;
use redb::StorageBackend;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Write,
    Length,
    Sync,
    Read,
}

pub(crate) const CHANGES: [Operation; 3] = [Operation::Write, Operation::Length, Operation::Sync];

/// Which operation fails, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// The kind that is counted; `None` for every change (writes, lengths and syncs together).
    pub(crate) counted: Option<Operation>,
    /// The operation of that kind, from 1 on.
    pub(crate) at: u64,
    /// What the system says then.
    pub(crate) error: io::ErrorKind,
    /// Whether all changes after it fail too. If not, the disk works again at once: whoever goes on would be found out.
    pub(crate) lasts: bool,
}

impl Plan {
    pub(crate) const NEVER: Plan = Plan::crash(u64::MAX);

    /// The machine stops at the `at`-th change.
    pub(crate) const fn crash(at: u64) -> Plan {
        Plan {
            counted: None,
            at,
            error: io::ErrorKind::Other,
            lasts: true,
        }
    }

    /// The machine stops at the `at`-th sync.
    pub(crate) const fn crash_at_sync(at: u64) -> Plan {
        Plan {
            counted: Some(Operation::Sync),
            ..Plan::crash(at)
        }
    }

    /// The `at`-th operation of a kind fails, once.
    pub(crate) fn once(counted: Operation, at: u64, error: io::ErrorKind) -> Plan {
        Plan {
            counted: Some(counted),
            at,
            error,
            lasts: false,
        }
    }

    fn counts(&self, operation: Operation) -> bool {
        match self.counted {
            None => operation != Operation::Read,
            Some(counted) => counted == operation,
        }
    }
}

/// What of the writes since the last sync is on the disk after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remains {
    /// All of them: only the process died.
    All,
    /// None.
    Synced,
    /// Some whole, some in part, some not: a choice that follows from the number.
    Torn(u64),
}

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

#[derive(Debug)]
struct State {
    plan: Plan,
    counted: u64,
    fired: bool,
    changes_after: u64,
    /// What the program sees.
    seen: MemoryDisk,
    /// What is there for certain.
    synced: MemoryDisk,
    unsynced: Vec<Change>,
}

/// A disk that follows a [`Plan`]. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

impl FaultyDisk {
    pub(crate) fn new(start: MemoryDisk, plan: Plan) -> FaultyDisk {
        FaultyDisk {
            state: Arc::new(Mutex::new(State {
                plan,
                counted: 0,
                fired: false,
                changes_after: 0,
                synced: start.copy(),
                seen: start,
                unsynced: Vec::new(),
            })),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Operations of the counted kind so far.
    pub(crate) fn counted(&self) -> u64 {
        self.state().counted
    }

    pub(crate) fn has_fired(&self) -> bool {
        self.state().fired
    }

    /// Changes that the program tried after its disk had failed.
    pub(crate) fn changes_after(&self) -> u64 {
        self.state().changes_after
    }

    /// What is on the disk after a crash.
    pub(crate) fn remains(&self, remains: Remains) -> MemoryDisk {
        let state = self.state();
        match remains {
            Remains::All => state.seen.copy(),
            Remains::Synced => state.synced.copy(),
            Remains::Torn(seed) => torn(&state, seed),
        }
    }
}

fn torn(state: &State, seed: u64) -> MemoryDisk {
    let disk = state.synced.copy();
    let mut random = seed;
    for change in &state.unsynced {
        // SplitMix64.
        random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut dice = random;
        dice = (dice ^ (dice >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        dice = (dice ^ (dice >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        dice ^= dice >> 31;
        match change {
            Change::Length(length) => {
                // A file system may write the length first or last.
                if seed.is_multiple_of(2) {
                    disk.set_len(*length).unwrap();
                }
            }
            Change::Write(offset, data) => {
                let kept = match dice % 3 {
                    0 => 0,
                    1 => (dice >> 8) as usize % data.len(),
                    _ => data.len(),
                };
                // Beyond an end that was not moved there is nothing.
                let room = disk.len().unwrap().saturating_sub(*offset) as usize;
                disk.write(*offset, &data[..kept.min(room)]).unwrap();
            }
        }
    }
    disk
}

impl State {
    fn operate(&mut self, operation: Operation) -> Result<(), io::Error> {
        let is_change = operation != Operation::Read;
        if self.fired && is_change {
            self.changes_after += 1;
        }
        if self.plan.counts(operation) {
            self.counted += 1;
            if self.counted == self.plan.at {
                self.fired = true;
                return Err(self.plan.error.into());
            }
        }
        if self.fired && self.plan.lasts && is_change {
            return Err(self.plan.error.into());
        }
        Ok(())
    }
}

impl StorageBackend for FaultyDisk {
    fn len(&self) -> Result<u64, io::Error> {
        self.state().seen.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let mut state = self.state();
        state.operate(Operation::Read)?;
        state.seen.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let mut state = self.state();
        state.operate(Operation::Length)?;
        state.unsynced.push(Change::Length(len));
        state.seen.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut state = self.state();
        state.operate(Operation::Sync)?;
        state.synced = state.seen.copy();
        state.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut state = self.state();
        state.operate(Operation::Write)?;
        state.unsynced.push(Change::Write(offset, data.to_vec()));
        state.seen.write(offset, data)
    }
}
