//! Who is to blame for what the chain refused. Pure: facts in, judgement out.
//!
//! The line is Bitcoin Core's (`MaybePunishNodeForBlock`), with one exception: a block on an unknown parent is not
//! suspicious here, because announcements are pushed; it is the usual sign of a gap.

use chain::{RuleError, Standing};

use super::{BlockOutcome, HeaderProblem};
use crate::Direction;

/// How a block or header came to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The peer sent it itself, because we asked it to.
    Asked,
    /// Rebuilt from an announcement, our mempool and what the announcer filled in. The peer passed it on before it
    /// could check the body, and the rebuilding may be wrong.
    Rebuilt,
}

/// Why the sender of a refused header is to blame; `None`: it is not.
///
/// `broken`: it follows a block that broke a rule.
pub(super) fn for_header(
    problem: &HeaderProblem,
    direction: Direction,
    broken: bool,
) -> Option<String> {
    match problem {
        HeaderProblem::UnknownParent => None,
        HeaderProblem::KnownInvalid => for_known_invalid(direction, broken),
        HeaderProblem::Rule(rule) => match rule.standing() {
            Standing::Never | Standing::OtherBytes => Some(format!("sent a bad header: {rule}")),
            Standing::NotYet => None,
        },
    }
}

/// Why the sender of a refused block is to blame; `None`: it is not.
pub(super) fn for_block(
    outcome: &BlockOutcome,
    origin: Origin,
    direction: Direction,
    broken: bool,
) -> Option<String> {
    match (outcome, origin) {
        (BlockOutcome::Accepted | BlockOutcome::UnknownParent, _) => None,
        (_, Origin::Rebuilt) => None,
        (BlockOutcome::KnownInvalid, Origin::Asked) => for_known_invalid(direction, broken),
        (BlockOutcome::Rule(rule), Origin::Asked) => for_asked_block(rule),
    }
}

fn for_asked_block(rule: &RuleError) -> Option<String> {
    match rule.standing() {
        Standing::Never => Some(format!("sent an invalid block: {rule}")),
        Standing::OtherBytes => Some(format!("sent a mutated block: {rule}")),
        Standing::NotYet => None,
    }
}

/// Whom we chose to dial should be on a valid chain; who dialled us may need our help to get there. What an operator marked, or
/// what is damaged here, is nobody's fault.
fn for_known_invalid(direction: Direction, broken: bool) -> Option<String> {
    match direction {
        Direction::Outbound if broken => {
            Some("is on a chain that is known to be invalid".to_owned())
        }
        Direction::Outbound | Direction::Inbound => None,
    }
}
