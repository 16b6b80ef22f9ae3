//! [`Silence`]: that links which are cut carry nothing. A fault that does not take place proves nothing.

use std::time::{Duration, Instant};

use crate::real::LabError;

/// How long what was on the way when a link was cut may take to be dropped.
const SETTLE: Duration = Duration::from_millis(500);

/// Which links are cut, and what they had carried when they fell silent.
#[derive(Debug, Default)]
pub(super) struct Silence {
    cut: Vec<bool>,
    since: Option<Instant>,
    /// Bytes of each link, once all is settled.
    carried: Option<Vec<u64>>,
}

impl Silence {
    /// These links are cut from now on.
    pub(super) fn watch(&mut self, cut: Vec<bool>) {
        *self = Silence {
            cut,
            since: Some(Instant::now()),
            carried: None,
        };
    }

    /// Looks at what the links have carried so far.
    pub(super) fn look(&mut self, carried: &[u64]) -> Result<(), LabError> {
        if self.since.is_none_or(|since| since.elapsed() < SETTLE) {
            return Ok(());
        }
        let before = self.carried.get_or_insert_with(|| carried.to_vec());
        for (link, cut) in self.cut.iter().enumerate() {
            let bytes = carried[link] - before[link];
            if *cut && bytes > 0 {
                let text = format!("link {link} carried {bytes} bytes while it was cut");
                return Err(LabError::NoFault(text));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_link_that_carries_bytes_is_an_error() {
        let mut silence = Silence::default();
        silence.watch(vec![true, false]);
        // What was on the way may still pass.
        silence.look(&[10, 10]).unwrap();
        silence.since = Some(Instant::now() - SETTLE);
        silence.look(&[20, 20]).unwrap();
        silence.look(&[20, 90]).unwrap();
        let error = silence.look(&[21, 90]).unwrap_err().to_string();
        assert!(error.contains("link 0 carried 1 bytes"), "{error}");
        silence.watch(vec![false, false]);
        silence.since = Some(Instant::now() - SETTLE);
        silence.look(&[21, 90]).unwrap();
        silence.look(&[50, 90]).unwrap();
    }
}
