//! Walking a set of coins with changes on top of it, in key order.

use bitcoin::OutPoint;

use super::cache::CoinChange;
use super::encoding::{OUTPOINT_BYTES, PackedCoin, decode_outpoint, encode_outpoint};

/// Takes one coin of a walk.
pub(crate) type Visit<'a, E> = dyn FnMut(OutPoint, PackedCoin) -> Result<(), E> + 'a;

/// Calls `visit` with every coin of `base` as changed by `changes`. Both are in key order, and so is the outcome.
pub(crate) fn merge<E>(
    changes: &[([u8; OUTPOINT_BYTES], CoinChange<'_>)],
    base: impl FnOnce(&mut Visit<'_, E>) -> Result<(), E>,
    visit: &mut Visit<'_, E>,
) -> Result<(), E> {
    let mut changes = changes.iter().peekable();
    base(&mut |outpoint, coin| {
        let key = encode_outpoint(&outpoint);
        while let Some((changed, change)) = changes.next_if(|(changed, _)| *changed < key) {
            visit_change(changed, change, visit)?;
        }
        match changes.next_if(|(changed, _)| *changed == key) {
            None => visit(outpoint, coin),
            Some((changed, change)) => visit_change(changed, change, visit),
        }
    })?;
    for (changed, change) in changes {
        visit_change(changed, change, visit)?;
    }
    Ok(())
}

fn visit_change<E>(
    key: &[u8; OUTPOINT_BYTES],
    change: &CoinChange<'_>,
    visit: &mut Visit<'_, E>,
) -> Result<(), E> {
    match change {
        CoinChange::Put(coin) => visit(decode_outpoint(key), (*coin).clone()),
        CoinChange::Delete => Ok(()),
    }
}
