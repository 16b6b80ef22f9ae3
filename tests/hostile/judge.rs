//! What an attack may cost.

/// Whether the long chain is played and the stated bounds hold, or only generous ones.
pub(crate) fn is_full() -> bool {
    std::env::var("MEND_HOSTILE").is_ok_and(|word| word == "full")
}

/// What an attack cost in one measure.
pub(crate) struct Cost {
    pub(crate) attack: &'static str,
    /// What was measured, with its unit.
    pub(crate) measure: &'static str,
    pub(crate) without: f64,
    pub(crate) with: f64,
}

impl Cost {
    fn tell(&self) {
        let Cost {
            attack,
            measure,
            without,
            with,
        } = self;
        println!("hostile: {attack}: {measure}: {without:.2} without, {with:.2} with");
    }

    /// At most `times` what it was and `more`; in the short form, on a busy machine, `slack` beyond that.
    pub(crate) fn at_most(&self, times: f64, more: f64, slack: f64) {
        self.tell();
        let bound = (self.without * times).max(self.without + more);
        let bound = if is_full() { bound } else { bound + slack };
        assert!(
            self.with <= bound,
            "{}: {}: {:.2}, at most {bound:.2} is allowed",
            self.attack,
            self.measure,
            self.with
        );
    }

    /// At least this share of what it was.
    pub(crate) fn at_least(&self, share: f64) {
        self.tell();
        assert!(
            self.with >= self.without * share,
            "{}: {}: {:.2}, at least {:.2} is expected",
            self.attack,
            self.measure,
            self.with,
            self.without * share
        );
    }
}
