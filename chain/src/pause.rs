//! Where long work may pause, for a host that has other threads to think of. This crate knows no clock and no threads but rayon's.

use std::cell::RefCell;

/// What a thread does where it may pause.
type Pause = Box<dyn Fn()>;

thread_local! {
    static PAUSE: RefCell<Option<Pause>> = const { RefCell::new(None) };
}

/// Runs `work`, which calls `pause` wherever it comes to a [`point`] on this thread: a few times for each transaction of a block.
pub fn with<T>(pause: impl Fn() + 'static, work: impl FnOnce() -> T) -> T {
    let outer = PAUSE.replace(Some(Box::new(pause)));
    let _restore = Restore(outer);
    work()
}

/// A place at which nothing is half done for others to see, so that work may pause there. A pause does not pause itself.
pub fn point() {
    let running = Restore(PAUSE.take());
    if let Some(pause) = &running.0 {
        pause();
    }
}

/// Puts back what was there before, also when the work panics.
struct Restore(Option<Pause>);

impl Drop for Restore {
    fn drop(&mut self) {
        PAUSE.set(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::params::Params;
    use crate::rules::block_alone;

    /// A pause that counts, and its count.
    fn counted() -> (Rc<Cell<u32>>, impl Fn() + 'static) {
        let count = Rc::new(Cell::new(0));
        let counter = Rc::clone(&count);
        (count, move || counter.set(counter.get() + 1))
    }

    #[test]
    fn work_pauses_within_its_own_frame_only() {
        let (outer, count_outer) = counted();
        let (inner, count_inner) = counted();
        point();
        with(count_outer, || {
            point();
            with(count_inner, point);
            point();
        });
        point();
        assert_eq!((outer.get(), inner.get()), (2, 1));
    }

    #[test]
    fn a_pause_may_do_work_that_pauses() {
        let (own, count_own) = counted();
        let (work, count_work) = counted();
        let within = std::cell::RefCell::new(Some(count_work));
        let pause = move || {
            count_own();
            point();
            if let Some(count_work) = within.take() {
                with(count_work, point);
            }
        };
        with(pause, || {
            point();
            point();
        });
        assert_eq!((own.get(), work.get()), (2, 1));
    }

    #[test]
    fn a_panic_ends_the_pauses() {
        let (count, counter) = counted();
        let work = std::panic::AssertUnwindSafe(|| with(counter, || panic!("on purpose")));
        assert!(std::panic::catch_unwind(work).is_err());
        point();
        assert_eq!(count.get(), 0);
    }

    #[test]
    fn checking_a_block_pauses_at_every_transaction() {
        let params = Params::bitcoin_regtest();
        let mut block = params.genesis.clone();
        let payment = block.txdata[0].clone();
        block.txdata.extend(std::iter::repeat_n(payment, 99));
        let (count, counter) = counted();
        // The root is wrong: the pauses come before.
        with(counter, || block_alone::check(block, &params)).expect_err("another root");
        assert!(count.get() >= 100, "{} pauses", count.get());
    }
}
