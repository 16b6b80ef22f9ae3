//! What peers may make this node hold and do, and who pays for it.
//!
//! Whatever a peer causes is charged to it when it arrives and credited when it is consumed, never by the clock: what is
//! queued for the core ([`Inbox`]), what was asked and not answered, what was answered and not read ([`Serving`]), and the time
//! of the thread that works on it. Every charge counts for the connection, for its [`AddressGroup`] and for all peers together,
//! so that a new identity is no new budget. Who overdraws waits; the numbers are in [`crate::wire::limits`].
//!
//! Everything here is pure: no clock, no threads, no network.

mod answer_size;
mod group;
mod inbox;
mod ledger;
mod seats;
mod serving;

pub use answer_size::{largest_answer, size_of_answer};
pub use group::AddressGroup;
pub(crate) use group::is_private;
pub use inbox::{Charge, Full, Inbox, Lane, Shed};
pub use ledger::Payer;
pub use seats::{Seat, to_evict};
pub use serving::{Serving, TooMuchAsked};
