//! [`PowerDisk`]: a disk in memory whose power can be cut.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chain::store::MemoryDisk;
use rand::{Rng, RngExt};
use redb::StorageBackend;

/// A disk that keeps for certain only what was synced. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct PowerDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// What the program sees.
    seen: MemoryDisk,
    /// What is there whatever happens.
    synced: MemoryDisk,
    /// Changes since the last sync, in order.
    unsynced: Vec<Change>,
    /// So many more operations until the power is gone; absent: it stays.
    left: Option<u32>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

impl PowerDisk {
    /// An empty disk.
    pub(super) fn new() -> PowerDisk {
        PowerDisk {
            state: Arc::default(),
        }
    }

    /// The power goes off after so many more changes: from then on nothing is written, and every attempt fails.
    pub(super) fn cut_power_after(&self, changes: u32) {
        self.state().left = Some(changes);
    }

    /// The power is back. Of what was not synced, some is there whole, some in part, some not. Gives the number of changes that
    /// are lost or torn.
    pub(super) fn power_returns(&self, rng: &mut impl Rng) -> usize {
        let mut state = self.state();
        let mut lost = 0;
        // A file system may write the length first or last.
        let has_length = rng.random_bool(0.5);
        for change in std::mem::take(&mut state.unsynced) {
            let kept = match &change {
                Change::Length(_) => usize::from(has_length),
                Change::Write(_, data) => match rng.random_range(0..3) {
                    0 => 0,
                    1 => rng.random_range(0..=data.len()),
                    _ => data.len(),
                },
            };
            lost += usize::from(!apply(&state.synced, &change, kept));
        }
        state.seen = state.synced.copy();
        state.left = None;
        lost
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a change, or the first `kept` bytes of it; whether that was all of it.
fn apply(disk: &MemoryDisk, change: &Change, kept: usize) -> bool {
    match change {
        Change::Length(length) => kept > 0 && disk.set_len(*length).is_ok(),
        Change::Write(offset, data) => {
            // Beyond an end that was not moved there is nothing.
            let end = disk.len().unwrap_or(0);
            let room = usize::try_from(end.saturating_sub(*offset)).unwrap_or(usize::MAX);
            let kept = kept.min(room);
            disk.write(*offset, &data[..kept]).is_ok() && kept == data.len()
        }
    }
}

impl State {
    fn change(&mut self, change: Change) -> Result<(), io::Error> {
        self.use_power()?;
        match &change {
            Change::Write(offset, data) => self.seen.write(*offset, data)?,
            Change::Length(length) => self.seen.set_len(*length)?,
        }
        self.unsynced.push(change);
        Ok(())
    }

    fn use_power(&mut self) -> Result<(), io::Error> {
        match &mut self.left {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the power is off")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

impl StorageBackend for PowerDisk {
    fn len(&self) -> Result<u64, io::Error> {
        self.state().seen.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.state().seen.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.state().change(Change::Length(len))
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut state = self.state();
        state.use_power()?;
        for change in std::mem::take(&mut state.unsynced) {
            match &change {
                Change::Write(offset, data) => state.synced.write(*offset, data)?,
                Change::Length(length) => state.synced.set_len(*length)?,
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.state().change(Change::Write(offset, data.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn bytes(disk: &PowerDisk, length: usize) -> Vec<u8> {
        let mut out = vec![0; length];
        disk.read(0, &mut out).unwrap();
        out
    }

    #[test]
    fn what_was_synced_stays_and_the_rest_is_lost_or_torn() {
        let mut seen = [false; 3];
        for seed in 0..50 {
            let disk = PowerDisk::new();
            disk.set_len(100).unwrap();
            disk.write(0, &[1; 50]).unwrap();
            disk.sync_data().unwrap();
            disk.write(50, &[2; 50]).unwrap();
            disk.cut_power_after(0);
            assert!(disk.write(0, &[3; 50]).is_err() && disk.sync_data().is_err());
            let lost = disk.power_returns(&mut ChaCha8Rng::seed_from_u64(seed));
            let after = bytes(&disk, 100);
            assert_eq!(after[..50], [1; 50]);
            let there = after[50..].iter().filter(|byte| **byte == 2).count();
            assert_eq!(lost == 0, there == 50);
            let kind = match there {
                0 => 0,
                50 => 2,
                _ => 1,
            };
            seen[kind] = true;
            // And it works again.
            disk.write(0, &[4; 50]).unwrap();
            disk.sync_data().unwrap();
        }
        assert_eq!(seen, [true; 3]);
    }

    #[test]
    fn power_may_go_in_the_middle_of_what_is_written() {
        let disk = PowerDisk::new();
        disk.set_len(10).unwrap();
        disk.cut_power_after(2);
        disk.write(0, &[1; 10]).unwrap();
        disk.sync_data().unwrap();
        assert!(disk.write(0, &[2; 10]).is_err());
        let lost = disk.power_returns(&mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!((lost, bytes(&disk, 10)), (0, vec![1; 10]));
    }
}
