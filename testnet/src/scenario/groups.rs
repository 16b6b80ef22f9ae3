//! Who can still talk to whom: `0,1/2,3,4`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A partition: nodes in different groups cannot talk. A node that is in no group keeps all its links.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Groups(Vec<BTreeSet<usize>>);

/// What is wrong with a partition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupsError {
    /// Not a number.
    #[error("{got:?} is not a node number; write groups as 0,1/2,3,4")]
    NotANumber {
        /// What stands there.
        got: String,
    },
    /// A node in two groups.
    #[error("node {node} is in two groups; name each node once")]
    Twice {
        /// The node.
        node: usize,
    },
    /// Fewer than two groups.
    #[error("a partition needs two groups or more; write them as 0,1/2,3,4")]
    TooFew,
}

impl Groups {
    /// Groups that share no node.
    pub(crate) fn of(groups: Vec<BTreeSet<usize>>) -> Groups {
        Groups(groups)
    }

    /// Whether a link between `a` and `b` is cut.
    pub fn separates(&self, a: usize, b: usize) -> bool {
        match (self.group_of(a), self.group_of(b)) {
            (Some(a), Some(b)) => a != b,
            _ => false,
        }
    }

    /// The group of a node.
    pub fn group_of(&self, node: usize) -> Option<usize> {
        self.0.iter().position(|group| group.contains(&node))
    }

    /// The groups.
    pub fn iter(&self) -> impl Iterator<Item = &BTreeSet<usize>> {
        self.0.iter()
    }

    /// The highest node number.
    pub fn highest(&self) -> usize {
        self.0.iter().flatten().copied().max().unwrap_or(0)
    }
}

impl FromStr for Groups {
    type Err = GroupsError;

    fn from_str(text: &str) -> Result<Groups, GroupsError> {
        let mut groups = Vec::new();
        let mut seen = BTreeSet::new();
        for part in text.split(['/', '|']) {
            let mut group = BTreeSet::new();
            for word in part.split(',').map(str::trim) {
                let node = word.parse().map_err(|_| GroupsError::NotANumber {
                    got: word.to_owned(),
                })?;
                if !seen.insert(node) {
                    return Err(GroupsError::Twice { node });
                }
                group.insert(node);
            }
            groups.push(group);
        }
        if groups.len() < 2 {
            return Err(GroupsError::TooFew);
        }
        Ok(Groups(groups))
    }
}

impl TryFrom<String> for Groups {
    type Error = GroupsError;

    fn try_from(text: String) -> Result<Groups, GroupsError> {
        text.parse()
    }
}

impl From<Groups> for String {
    fn from(groups: Groups) -> String {
        groups.to_string()
    }
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<String> = self
            .0
            .iter()
            .map(|group| {
                let nodes: Vec<String> = group.iter().map(usize::to_string).collect();
                nodes.join(",")
            })
            .collect();
        f.write_str(&groups.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_between_groups_are_cut() {
        let groups: Groups = "0,1/2,3".parse().unwrap();
        assert!(groups.separates(0, 2) && groups.separates(3, 1));
        assert!(!groups.separates(0, 1));
        // Node 4 is in no group: a bridge.
        assert!(!groups.separates(4, 0) && !groups.separates(2, 4));
        assert_eq!(groups.to_string(), "0,1/2,3");
        assert_eq!(groups.highest(), 3);
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text: &str| text.parse::<Groups>().unwrap_err();
        assert_eq!(error("0,1"), GroupsError::TooFew);
        assert_eq!(error("0/0"), GroupsError::Twice { node: 0 });
        assert!(matches!(error("0,x/1"), GroupsError::NotANumber { .. }));
        assert!(matches!(error("0/"), GroupsError::NotANumber { .. }));
    }
}
