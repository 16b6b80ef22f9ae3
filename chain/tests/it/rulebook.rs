//! `docs/CONSENSUS.md` names the function and the tests of each rule: they must be there, and no reason may be missing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn chain_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn document() -> String {
    fs::read_to_string(chain_folder().join("../docs/CONSENSUS.md")).unwrap()
}

fn sources(folder: &Path, out: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            out.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// All functions of the crate and its tests; and those that are tests.
fn functions() -> (BTreeSet<String>, BTreeSet<String>) {
    let mut text = String::new();
    sources(&chain_folder().join("src"), &mut text);
    sources(&chain_folder().join("tests"), &mut text);
    let (mut all, mut tests) = (BTreeSet::new(), BTreeSet::new());
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line == "#[test]" {
            is_test = true;
        } else if let Some((_, rest)) = line.split_once("fn ") {
            let end = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .unwrap_or(rest.len());
            let name = rest[..end].to_owned();
            // In `proptest!` the attribute stands before each function too.
            if is_test {
                tests.insert(name.clone());
            }
            all.insert(name);
            is_test = false;
        }
    }
    (all, tests)
}

/// What stands between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The cells of the column `name` in all tables that have it, with the rows that they stand in.
fn column<'a>(document: &'a str, name: &str) -> Vec<(&'a str, &'a str)> {
    let mut found = Vec::new();
    let mut place = None;
    for line in document.lines() {
        let Some(row) = line.strip_prefix('|') else {
            place = None;
            continue;
        };
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        if place.is_none() {
            place = Some(cells.iter().position(|cell| *cell == name));
        } else if let Some(Some(index)) = place
            && let Some(cell) = cells.get(index)
            && !cell.starts_with("--")
        {
            found.push((*cell, line));
        }
    }
    found
}

#[test]
fn every_rule_names_a_test_that_exists() {
    let document = document();
    let (_, tests) = functions();
    let rows = column(&document, "tests");
    assert!(rows.len() > 50, "the tables were found: {}", rows.len());
    let mut named = 0;
    for (cell, row) in rows {
        let mut names = quoted(cell).peekable();
        assert!(names.peek().is_some(), "no test is named: {row}");
        for name in names {
            named += 1;
            assert!(tests.contains(name), "there is no test {name}: {row}");
        }
    }
    assert!(named > 80, "{named}");
}

#[test]
fn every_rule_names_a_function_that_exists() {
    let document = document();
    let (functions, _) = functions();
    let mut named = 0;
    for (cell, row) in column(&document, "function") {
        for path in quoted(cell) {
            named += 1;
            let name = path.rsplit("::").next().unwrap();
            assert!(functions.contains(name), "there is no {path}: {row}");
        }
    }
    assert!(named > 20, "{named}");
}

#[test]
fn every_reason_of_the_rules_is_in_the_document() {
    let source = fs::read_to_string(chain_folder().join("src/rules/error/mod.rs")).unwrap();
    let (_, body) = source.split_once("pub fn reject_reason").unwrap();
    let (body, _) = body.split_once("\n    }\n").unwrap();
    let document = document();
    let mut reasons = 0;
    for reason in body.split('"').skip(1).step_by(2) {
        // Two carry details behind their word.
        let word = reason.split(['(', ' ', '{']).next().unwrap();
        assert!(
            document.contains(&format!("`{word}")),
            "{word} is not in the tables"
        );
        reasons += 1;
    }
    assert!(reasons > 30, "{reasons}");
}
