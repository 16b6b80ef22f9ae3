//! What a link does to what passes over it.

use serde::{Deserialize, Serialize};

/// Longest delay or jitter that a lane may have: above it a node's own timeouts make the link useless anyway.
pub const MAX_DELAY_MS: u32 = 60_000;

/// A link between a node that dials and a node that is dialled. The default passes everything at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkSettings {
    /// From the node that dials to the node that is dialled.
    pub forward: Lane,
    /// The other way.
    pub backward: Lane,
    /// Whether new connections are refused. Those that exist stay until they are severed.
    pub refuse: bool,
}

/// One direction of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lane {
    /// How long everything travels, in milliseconds.
    pub delay_ms: u32,
    /// Up to this many milliseconds more, uniformly at random.
    pub jitter_ms: u32,
    /// Kilobits per second; absent: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_kbit: Option<u32>,
    /// Share of messages that are lost. A byte stream cannot lose bytes: on real links a lost chunk arrives one
    /// retransmission timeout later, as TCP would have it.
    pub loss: f64,
    /// Share of messages that come twice. No effect on real links: TCP hides it.
    pub duplicate: f64,
    /// Share of messages that may overtake earlier ones. No effect on real links: TCP hides it.
    pub reorder: f64,
    /// Whether anything passes at all.
    pub flow: Flow,
}

/// Whether a lane passes anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flow {
    /// It does.
    #[default]
    Open,
    /// Nothing arrives for now; what was sent arrives afterwards. Neither side is told.
    Stalled,
}

/// What is wrong with link settings.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LinkProblem {
    /// A share is not between 0 and 1.
    #[error("{field} is {got}, expected a share from 0 to 1, as in 0.05 for 5%")]
    Share {
        /// Name of the field.
        field: &'static str,
        /// Its value.
        got: f64,
    },
    /// A time is too long.
    #[error("{field} is {got} ms, expected at most {MAX_DELAY_MS} ms")]
    TooLong {
        /// Name of the field.
        field: &'static str,
        /// Its value.
        got: u32,
    },
    /// A rate of zero passes nothing.
    #[error("rate_kbit is 0; use the flow \"stalled\" for a lane that passes nothing")]
    NoRate,
}

impl LinkSettings {
    /// The same on both lanes.
    pub fn both(lane: Lane) -> LinkSettings {
        LinkSettings {
            forward: lane,
            backward: lane,
            refuse: false,
        }
    }

    /// Checks both lanes.
    ///
    /// # Errors
    ///
    /// [`LinkProblem`] names the first field that makes no sense.
    pub fn check(&self) -> Result<(), LinkProblem> {
        self.forward.check()?;
        self.backward.check()
    }
}

impl Lane {
    /// A lane that only delays.
    pub fn delayed(delay_ms: u32) -> Lane {
        Lane {
            delay_ms,
            ..Lane::default()
        }
    }

    /// Checks that every field makes sense.
    ///
    /// # Errors
    ///
    /// [`LinkProblem`] names the first field that does not.
    pub fn check(&self) -> Result<(), LinkProblem> {
        let shares = [
            ("loss", self.loss),
            ("duplicate", self.duplicate),
            ("reorder", self.reorder),
        ];
        for (field, got) in shares {
            if !(0.0..=1.0).contains(&got) {
                return Err(LinkProblem::Share { field, got });
            }
        }
        for (field, got) in [("delay_ms", self.delay_ms), ("jitter_ms", self.jitter_ms)] {
            if got > MAX_DELAY_MS {
                return Err(LinkProblem::TooLong { field, got });
            }
        }
        match self.rate_kbit {
            Some(0) => Err(LinkProblem::NoRate),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_link_passes_everything() {
        let settings = LinkSettings::default();
        assert_eq!(settings.check(), Ok(()));
        assert_eq!(settings.forward.flow, Flow::Open);
        assert!(!settings.refuse);
    }

    #[test]
    fn senseless_settings_are_named() {
        let loss = Lane {
            loss: 1.5,
            ..Lane::default()
        };
        assert!(
            loss.check()
                .unwrap_err()
                .to_string()
                .contains("loss is 1.5")
        );
        let not_a_number = Lane {
            reorder: f64::NAN,
            ..Lane::default()
        };
        assert!(not_a_number.check().is_err());
        let slow = LinkSettings::both(Lane::delayed(MAX_DELAY_MS + 1));
        assert!(matches!(slow.check(), Err(LinkProblem::TooLong { .. })));
        let shut = Lane {
            rate_kbit: Some(0),
            ..Lane::default()
        };
        assert_eq!(shut.check(), Err(LinkProblem::NoRate));
    }
}
