//! When all nodes were on one tip after the last action.

use super::Watch;

/// The first agreement after the last action.
pub(super) struct AgreementWatch {
    last_act_us: u64,
    /// Actions that are still to come.
    acts_left: usize,
    first_us: Option<u64>,
    /// Since when the nodes are divided, after they had agreed once.
    divided_since_us: Option<u64>,
    longest_us: u64,
    /// Since when they are on different tips, whatever acts.
    apart_since_us: Option<u64>,
    apart_us: u64,
}

impl AgreementWatch {
    pub(super) fn new(last_act_us: u64, acts: usize) -> AgreementWatch {
        AgreementWatch {
            last_act_us,
            acts_left: acts,
            first_us: None,
            divided_since_us: None,
            longest_us: 0,
            apart_since_us: None,
            apart_us: 0,
        }
    }
}

impl Watch {
    /// An action was carried out.
    pub(crate) fn acted(&mut self) {
        self.agreement.acts_left = self.agreement.acts_left.saturating_sub(1);
    }

    /// All nodes that are up are on one tip.
    pub(crate) fn agreed(&mut self, at_us: u64) {
        self.agreement.apart_us = self.apart_us(at_us);
        self.agreement.apart_since_us = None;
        if self.agreement.acts_left == 0 {
            self.agreement.first_us.get_or_insert(at_us);
            self.agreement.longest_us = self.divided_for_us(at_us);
            self.agreement.divided_since_us = None;
        }
    }

    /// They are not any more.
    pub(crate) fn divided(&mut self, at_us: u64) {
        self.agreement.apart_since_us.get_or_insert(at_us);
        if self.agreement.first_us.is_some() {
            self.agreement.divided_since_us.get_or_insert(at_us);
        }
    }

    /// The longest time that the nodes were divided after they had agreed, up to now.
    pub(crate) fn divided_for_us(&self, at_us: u64) -> u64 {
        let since = self.agreement.divided_since_us;
        let lasting = since.map_or(0, |since| at_us - since);
        self.agreement.longest_us.max(lasting)
    }

    /// How long they were on different tips in all, up to now.
    pub(crate) fn apart_us(&self, at_us: u64) -> u64 {
        let since = self.agreement.apart_since_us;
        self.agreement.apart_us + since.map_or(0, |since| at_us - since)
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
