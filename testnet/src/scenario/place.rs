//! Errors of scenario files with the line that they are about.

use std::fmt;

use toml::de::{DeTable, DeValue};

use super::file::ScenarioError;

/// What is wrong with a scenario file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The line, from 1; absent if no line of the file is to blame, as for a field that is missing.
    pub line: Option<usize>,
    /// The field (as in `event[2].node`), got and expected.
    pub error: ScenarioError,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ScenarioError { field, problem } = &self.error;
        match self.line {
            Some(line) => write!(f, "line {line}: {field}: {problem}"),
            None => write!(f, "{field}: {problem}"),
        }
    }
}

impl std::error::Error for FileError {}

impl FileError {
    /// A field that makes no sense, of a file with this text.
    pub(super) fn of_field(text: &str, error: ScenarioError) -> FileError {
        FileError {
            line: line_of(text, &error.field),
            error,
        }
    }

    /// A text that is no TOML, or has other fields or kinds of values than a scenario.
    pub(super) fn of_toml(text: &str, error: &toml::de::Error) -> FileError {
        let problem = error.message().replace('\n', ", ");
        let is_missing = problem.starts_with("missing field");
        let start = error.span().map(|span| span.start);
        let line = start
            .filter(|start| !(is_missing && *start == 0))
            .map(|start| line_at(text, start));
        let key = line
            .and_then(|line| text.lines().nth(line - 1))
            .and_then(|line| line.split_once('='))
            .map_or("scenario", |(key, _)| key.trim());
        FileError {
            line,
            error: ScenarioError::new(key, problem),
        }
    }

    /// Changes that do not fit the file.
    pub(super) fn of_changes(error: &toml::de::Error) -> FileError {
        let problem = error.to_string().trim().replace('\n', " ");
        FileError {
            line: None,
            error: ScenarioError::new("with the changes", problem),
        }
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == b'\n').count()
}

/// The line where a field stands, or what is nearest around it.
fn line_of(text: &str, field: &str) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let mut at: Option<usize> = None;
    let mut value: Option<&DeValue<'_>> = None;
    for part in field.split(['.', '[', ']']).filter(|part| !part.is_empty()) {
        let table = match value {
            None => Some(root.get_ref()),
            Some(value) => value.as_table(),
        };
        let next = match (table, value.and_then(DeValue::as_array)) {
            (Some(table), _) => {
                let entry = table.iter().find(|(key, _)| key.get_ref() == part);
                entry.map(|(key, value)| (key.span().start, value.get_ref()))
            }
            (None, Some(list)) => {
                let item = part.parse::<usize>().ok().and_then(|index| list.get(index));
                item.map(|item| (item.span().start, item.get_ref()))
            }
            (None, None) => None,
        };
        let Some((start, inner)) = next else { break };
        at = Some(start);
        value = Some(inner);
    }
    at.map(|start| line_at(text, start))
}

#[cfg(test)]
mod tests {
    use super::super::Scenario;

    const PLAIN: &str = r#"name = "x"
nodes = 4
duration = "1h"
topology = "line"

[[miner]]
node = 0
share = 1.0

[[event]]
at = "10m"
do = "heal"

[[event]]
at = "20m"
do = "sever"
between = [0, 1]
"#;

    fn error(change: (&str, &str), changes: &[&str]) -> String {
        let text = PLAIN.replacen(change.0, change.1, 1);
        let changes: Vec<_> = changes.iter().map(|text| text.parse().unwrap()).collect();
        let error = Scenario::from_toml_with(&text, &changes).unwrap_err();
        error.to_string()
    }

    #[test]
    fn mistakes_are_told_in_one_line_with_its_number() {
        for (change, expected) in [
            (
                ("nodes = 4", "nodes = 0"),
                "line 2: nodes: is 0, expected 1",
            ),
            (
                ("nodes = 4", "nodes = \"four\""),
                "line 2: nodes: invalid type",
            ),
            (("nodes = 4", "nodes ="), "line 2: nodes: "),
            (
                ("nodes = 4", "nods = 4"),
                "line 2: nods: unknown field `nods`",
            ),
            (("nodes = 4", ""), "scenario: missing field `nodes`"),
            (
                ("\"1h\"", "\"soon\""),
                "line 3: duration: \"soon\" is no length",
            ),
            (
                ("node = 0", "node = 9"),
                "line 7: miner[0].node: names node 9",
            ),
            (("node = 0", "node = 0.5"), "line 7: node: invalid type"),
            (
                ("\"heal\"", "\"explode\""),
                "line 12: event[0].do: is \"explode\"",
            ),
            (
                ("between = [0, 1]", ""),
                "line 14: event[1].between: is missing",
            ),
            (
                ("[0, 1]", "[0, 3]"),
                "line 17: event[1].between: nodes 0 and 3",
            ),
            (("[[event]]", "[[event]"), "line 10: "),
        ] {
            let text = error(change, &[]);
            assert!(text.starts_with(expected), "{text:?}, not {expected:?}");
            assert!(!text.contains('\n'), "{text:?}");
        }
    }

    #[test]
    fn changes_are_not_blamed_on_a_line() {
        let plain = ("nodes = 4", "nodes = 4");
        let text = error(plain, &["nodes=0"]);
        assert!(text.starts_with("nodes: is 0, expected 1"), "{text:?}");
        let text = error(plain, &["spacing=10s", "nodes=many"]);
        assert!(text.starts_with("with the changes: "), "{text:?}");
        let text = error(("node = 0", "node = 9"), &["spacing=10s"]);
        assert!(text.starts_with("line 7: miner[0].node"), "{text:?}");
    }
}
