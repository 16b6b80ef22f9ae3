//! Changing single fields of a scenario file, as `spacing=10s`, for runs over a range of values.

use std::str::FromStr;

use toml::{Table, Value};

use super::file::ScenarioError;

/// One field and its new value.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its path, as in `link.delay_ms`.
    path: String,
    value: Value,
}

impl FromStr for Change {
    type Err = String;

    fn from_str(text: &str) -> Result<Change, String> {
        let (path, value) = text
            .split_once('=')
            .ok_or_else(|| format!("{text:?} is no change; write FIELD=VALUE, as spacing=10s"))?;
        let (path, value) = (path.trim().to_owned(), value.trim());
        // What is no number, list or truth is a text, quoted or not.
        let parsed = toml::from_str::<Table>(&format!("value = {value}"));
        let value = match parsed.ok().and_then(|mut table| table.remove("value")) {
            Some(value) => value,
            None => Value::String(value.to_owned()),
        };
        Ok(Change { path, value })
    }
}

impl Change {
    /// Whether the change is made in a field, or around or inside of it.
    pub(super) fn is_about(&self, field: &str) -> bool {
        let inside = |outer: &str, inner: &str| {
            let rest = inner.strip_prefix(outer);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        inside(&self.path, field) || inside(field, &self.path)
    }

    /// Makes the change.
    pub(super) fn apply(&self, table: &mut Table) -> Result<(), ScenarioError> {
        let mut parts: Vec<&str> = self.path.split('.').collect();
        let last = parts.pop().unwrap_or_default();
        let mut at = table;
        for part in parts {
            let inner = at.entry(part).or_insert_with(|| Value::Table(Table::new()));
            at = match inner {
                Value::Table(inner) => inner,
                _ => {
                    let problem = format!("has no field of its own: {part} is no table");
                    return Err(ScenarioError::new(self.path.clone(), problem));
                }
            };
        }
        at.insert(last.to_owned(), self.value.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Scenario, Span};

    const PLAIN: &str = "name = \"x\"\nnodes = 4\nduration = \"1h\"\nspacing = \"1m\"\n";

    fn changed(changes: &[&str]) -> Result<Scenario, String> {
        let changes: Result<Vec<_>, String> = changes.iter().map(|text| text.parse()).collect();
        Scenario::from_toml_with(PLAIN, &changes?).map_err(|error| error.to_string())
    }

    #[test]
    fn fields_are_changed_wherever_they_are() {
        let scenario = changed(&[
            "spacing=2s",
            "nodes=5",
            "link.delay_ms = 70",
            "topology=\"ring\"",
        ])
        .unwrap();
        assert_eq!((scenario.spacing, scenario.nodes), (Span::from_secs(2), 5));
        assert_eq!(scenario.link.delay_ms, 70);
        assert_eq!(scenario.topology.to_string(), "ring");
    }

    #[test]
    fn what_is_changed_is_checked() {
        for (change, part) in [
            ("spacing", "FIELD=VALUE"),
            ("nodes=0", "expected 1 to"),
            ("link.dealy_ms=1", "dealy_ms"),
            ("name.x=1", "is no table"),
        ] {
            let error = changed(&[change]).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
