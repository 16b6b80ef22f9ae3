//! When all nodes were on one tip after the last action.

use super::Watch;

/// The first agreement after the last action.
pub(super) struct AgreementWatch {
    last_act_us: u64,
    acted: bool,
    first_us: Option<u64>,
}

impl AgreementWatch {
    pub(super) fn new(last_act_us: u64) -> AgreementWatch {
        AgreementWatch {
            last_act_us,
            acted: last_act_us == 0,
            first_us: None,
        }
    }
}

impl Watch {
    /// An action was carried out.
    pub(crate) fn acted(&mut self, at_us: u64) {
        if at_us >= self.agreement.last_act_us {
            self.agreement.acted = true;
        }
    }

    /// All nodes that are up are on one tip.
    pub(crate) fn agreed(&mut self, at_us: u64) {
        if self.agreement.acted && at_us >= self.agreement.last_act_us {
            self.agreement.first_us.get_or_insert(at_us);
        }
    }

    /// Microseconds from the last action to the first agreement after it.
    pub(crate) fn agreed_after_us(&self) -> Option<u64> {
        let first = self.agreement.first_us?;
        Some(first - self.agreement.last_act_us)
    }

    /// When the last action was.
    pub(crate) fn last_act_us(&self) -> u64 {
        self.agreement.last_act_us
    }
}
