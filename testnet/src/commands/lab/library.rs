//! The scenarios that are part of the program.

/// A scenario of the program.
pub(super) struct Shipped {
    /// Its name, as `mend lab run` takes it.
    pub(super) name: &'static str,
    /// The file.
    pub(super) text: &'static str,
}

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        &[$(Shipped {
            name: $name,
            text: include_str!(concat!("../../../../scenarios/", $name, ".toml")),
        }),*]
    };
}

/// All of `scenarios/`, by name.
pub(super) const SCENARIOS: &[Shipped] = shipped![
    "clean-split",
    "clock-skew",
    "crash-during-sync",
    "eclipse",
    "flapping-link",
    "long-partition",
    "lost-announcements",
    "majorities-ring",
    "many-joins",
    "mixed-faults",
    "one-node-alone",
    "one-way-cut",
    "slow-link",
    "thousand-nodes",
    "unequal-hash-power",
    "published/block-intervals",
    "published/four-miners",
    "published/hundred-miners",
    "published/nine-miners",
];

/// The scenario with a name.
pub(super) fn find(name: &str) -> Option<&'static Shipped> {
    SCENARIOS.iter().find(|shipped| shipped.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn every_file_of_the_folder_is_here_and_right() {
        let folder = format!("{}/../scenarios", env!("CARGO_MANIFEST_DIR"));
        let mut files = BTreeSet::new();
        for (below, prefix) in [("", ""), ("/published", "published/")] {
            for entry in std::fs::read_dir(format!("{folder}{below}")).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                files.extend(
                    name.strip_suffix(".toml")
                        .map(|name| format!("{prefix}{name}")),
                );
            }
        }
        let here: BTreeSet<String> = SCENARIOS
            .iter()
            .map(|shipped| shipped.name.to_owned())
            .collect();
        assert_eq!(here, files);
        for shipped in SCENARIOS {
            let scenario = Scenario::from_toml(shipped.text);
            assert!(scenario.is_ok(), "{}: {scenario:?}", shipped.name);
        }
    }
}
