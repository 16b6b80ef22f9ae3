//! Which inbound connection has to go when another one comes.

use std::collections::BTreeMap;

use super::AddressGroup;
use crate::Mono;

/// What is known of one inbound connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat<K> {
    /// The connection.
    pub name: K,
    /// Where it comes from; `None` for this machine.
    pub group: Option<AddressGroup>,
    /// When it came.
    pub since: Mono,
    /// The shortest round trip, in microseconds.
    pub ping_micros: Option<u64>,
    /// When it last told of a block that was new here.
    pub last_block: Option<Mono>,
    /// When it last told a transaction that was new here.
    pub last_payment: Option<Mono>,
    /// It was let go for costing too much before.
    pub discouraged: bool,
}

/// One in so many seats is kept for each thing that a peer can be good for, up to [`MOST_KEPT`].
const SHARE: usize = 16;
/// Seats kept for one merit.
const MOST_KEPT: usize = 8;

/// The connection that has to go; `None` when all are worth keeping. `lot` is random: whoever comes cannot tell whom it replaces.
///
/// As in Bitcoin Core, those are kept whom an attacker cannot easily outdo: the nearest, those who lately told blocks and
/// payments, some of each part of the network, and of the rest the half that has been here longest. Of the others one goes,
/// out of the group that has most of them; who was discouraged goes first.
pub fn to_evict<K: Copy + Ord>(seats: &[Seat<K>], lot: u64) -> Option<K> {
    let discouraged: Vec<&Seat<K>> = seats.iter().filter(|seat| seat.discouraged).collect();
    if let Some(seat) = drawn(&discouraged, lot) {
        return Some(seat.name);
    }
    let kept = (seats.len() / SHARE).min(MOST_KEPT);
    let mut left: Vec<&Seat<K>> = seats.iter().collect();
    keep_first(&mut left, kept, |seat| {
        seat.ping_micros.map(|ping| (ping, seat.name))
    });
    keep_first(&mut left, kept, |seat| {
        seat.last_block.map(|at| (std::cmp::Reverse(at), seat.name))
    });
    keep_first(&mut left, kept, |seat| {
        seat.last_payment
            .map(|at| (std::cmp::Reverse(at), seat.name))
    });
    keep_one_of_each_group(&mut left, kept);
    let half = left.len() / 2;
    keep_first(&mut left, half, |seat| Some((seat.since, seat.name)));
    let mut groups: BTreeMap<Option<AddressGroup>, Vec<&Seat<K>>> = BTreeMap::new();
    for seat in left {
        groups.entry(seat.group).or_default().push(seat);
    }
    let largest = groups
        .into_values()
        .max_by_key(|group| (group.len(), group.iter().map(|seat| seat.since).max()))?;
    drawn(&largest, lot).map(|seat| seat.name)
}

/// Takes the first `count` by `merit` off the list of those who may have to go.
fn keep_first<K, M: Ord>(
    left: &mut Vec<&Seat<K>>,
    count: usize,
    merit: impl Fn(&Seat<K>) -> Option<M>,
) {
    left.sort_by_key(|seat| {
        let merit = merit(seat);
        (merit.is_none(), merit)
    });
    let kept = left.iter().take(count).filter(|seat| merit(seat).is_some());
    let kept = kept.count();
    left.drain(..kept);
}

/// Keeps the longest-standing connection of up to `count` groups.
fn keep_one_of_each_group<K: Ord + Copy>(left: &mut Vec<&Seat<K>>, count: usize) {
    left.sort_by_key(|seat| (seat.since, seat.name));
    let mut seen = std::collections::BTreeSet::new();
    left.retain(|seat| {
        let first = seat.group.is_some() && seen.len() < count && seen.insert(seat.group);
        !first
    });
}

fn drawn<'a, K>(seats: &[&'a Seat<K>], lot: u64) -> Option<&'a Seat<K>> {
    let count = u64::try_from(seats.len()).ok().filter(|count| *count > 0)?;
    seats.get(usize::try_from(lot % count).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;

    fn idle(name: u32) -> Seat<u32> {
        Seat {
            name,
            group: None,
            since: Mono::ZERO + Duration::from_secs(u64::from(name)),
            ping_micros: Some(10_000),
            last_block: None,
            last_payment: None,
            discouraged: false,
        }
    }

    fn victims(seats: &[Seat<u32>]) -> BTreeSet<u32> {
        (0..1_000)
            .filter_map(|lot| to_evict(seats, lot * 7_919))
            .collect()
    }

    #[test]
    fn idle_connections_make_room_and_the_useful_stay() {
        let mut seats: Vec<_> = (0..125).map(idle).collect();
        // Four that came late, and are good for something.
        seats[120].ping_micros = Some(50);
        seats[121].last_block = Some(Mono::ZERO);
        seats[122].last_payment = Some(Mono::ZERO);
        seats[123].group = AddressGroup::of("8.8.8.8".parse().unwrap());
        let victims = victims(&seats);
        assert!(victims.len() > 10, "nobody can foresee it: {victims:?}");
        for useful in 120..124 {
            assert!(!victims.contains(&useful), "{useful}");
        }
        assert!(victims.iter().all(|name| *name > 40), "the old ones stay");
    }

    #[test]
    fn whoever_has_most_connections_pays_for_the_next() {
        let mut seats: Vec<_> = (0..125).map(idle).collect();
        for seat in &mut seats {
            let one_hand = seat.name >= 60;
            let third = if one_hand { 0 } else { seat.name % 50 };
            let ip = if one_hand {
                format!("9.9.{third}.1")
            } else {
                format!("{}.1.1.1", 20 + third)
            };
            seat.group = AddressGroup::of(ip.parse().unwrap());
        }
        assert!(victims(&seats).iter().all(|name| *name >= 60));
    }

    #[test]
    fn who_was_discouraged_goes_first() {
        let mut seats: Vec<_> = (0..125).map(idle).collect();
        seats[3].discouraged = true;
        seats[3].last_block = Some(Mono::ZERO);
        assert_eq!(victims(&seats), BTreeSet::from([3]));
    }

    #[test]
    fn few_seats_are_given_away_too() {
        assert_eq!(to_evict::<u32>(&[], 1), None);
        let seats: Vec<_> = (0..3).map(idle).collect();
        assert_eq!(victims(&seats), BTreeSet::from([1, 2]));
    }
}
