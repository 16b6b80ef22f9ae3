//! Fails when modules of a crate use each other in a circle: the top-level modules of the crate, and those inside of each
//! module. Called by `.ci/circles`.
//!
//! Looks at the paths that begin with `crate`, `self` or `super`, and follows what a parent re-exports. Between a module and
//! its own parent both directions are fine; tests may use what they like.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Names from the crate's root to a module.
type ModulePath = Vec<String>;

#[derive(Default)]
struct Module {
    children: BTreeSet<String>,
    /// Paths that its code names; those of `use` are whole.
    paths: Vec<Vec<String>>,
    /// What it brings into its own scope: a name, and the path behind it.
    imports: BTreeMap<String, Vec<String>>,
}

type Modules = BTreeMap<ModulePath, Module>;

fn main() -> ExitCode {
    let mut circles = 0;
    for dir in std::env::args().skip(1) {
        let source = Path::new(&dir).join("src");
        let root = ["lib.rs", "main.rs"].map(|name| source.join(name));
        let root = root.into_iter().find(|root| root.exists());
        let root = root.unwrap_or_else(|| panic!("{dir} has no crate"));
        let mut modules = Modules::new();
        load(&read(&root), &source, Vec::new(), &mut modules);
        for circle in modules
            .keys()
            .filter_map(|parent| circle_below(parent, &modules))
        {
            println!("{dir}: {circle}");
            circles += 1;
        }
    }
    if circles > 0 {
        return ExitCode::FAILURE;
    }
    println!("ok");
    ExitCode::SUCCESS
}

fn read(file: &Path) -> String {
    let text = std::fs::read_to_string(file);
    text.unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Takes in the module at `path`, whose children lie in `folder`, and all below it.
fn load(text: &str, folder: &Path, path: ModulePath, modules: &mut Modules) {
    let mut module = Module::default();
    let mut tokens = without_tests(&tokens(text)).into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token.as_str() {
            "mod" => {
                let name = tokens.next().expect("a module has a name");
                let child = [path.as_slice(), std::slice::from_ref(&name)].concat();
                let inside = folder.join(&name);
                if tokens.next().as_deref() == Some("{") {
                    let body = up_to_closing(&mut tokens);
                    load(&body.join(" "), &inside, child, modules);
                } else {
                    let file: PathBuf = [folder.join(format!("{name}.rs")), inside.join("mod.rs")]
                        .into_iter()
                        .find(|file| file.exists())
                        .unwrap_or_else(|| panic!("no file of module {name}"));
                    load(&read(&file), &inside, child, modules);
                }
                module.children.insert(name);
            }
            "use" => {
                let tree: Vec<String> = tokens.by_ref().take_while(|token| token != ";").collect();
                take_use(&tree, &mut module);
            }
            // `pub(in crate::x)` uses nothing.
            "pub" if tokens.peek().is_some_and(|next| next == "(") => {
                tokens.by_ref().take_while(|token| token != ")").count();
            }
            "crate" | "self" | "super" => {
                let mut named = vec![token];
                while tokens.next_if_eq("::").is_some() {
                    match tokens.next_if(|next| is_name(next)) {
                        Some(name) => named.push(name),
                        None => break,
                    }
                }
                module.paths.push(named);
            }
            _ => {}
        }
    }
    modules.insert(path, module);
}

/// Takes in the tree of a `use`.
fn take_use(tree: &[String], module: &mut Module) {
    for (path, name) in leaves(tree) {
        module.paths.push(path.clone());
        module.imports.insert(name, path);
    }
}

/// The paths of a tree with their names.
fn leaves(tree: &[String]) -> Vec<(Vec<String>, String)> {
    let mut path = Vec::new();
    let mut rest = tree;
    while let [token, others @ ..] = rest {
        match token.as_str() {
            "::" => {}
            "as" => return vec![(path, others[0].clone())],
            "{" => {
                let inner = &others[..others.len() - 1];
                let below = branches(inner).into_iter().flat_map(leaves);
                return below
                    .map(|(end, name)| {
                        let whole: Vec<String> = path.iter().cloned().chain(end).collect();
                        match name.as_str() {
                            "self" => (path.clone(), path.last().cloned().unwrap_or_default()),
                            _ => (whole, name),
                        }
                    })
                    .collect();
            }
            name => path.push(name.to_owned()),
        }
        rest = others;
    }
    let name = path.last().cloned().unwrap_or_default();
    vec![(path, name)]
}

/// What lies between the commas outside of all braces.
fn branches(tokens: &[String]) -> Vec<&[String]> {
    let mut depth = 0;
    let at_comma = |token: &String| {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        depth == 0 && token == ","
    };
    tokens
        .split(at_comma)
        .filter(|branch| !branch.is_empty())
        .collect()
}

/// The module that `path`, named inside of `from`, ends in.
fn resolve(path: &[String], from: &ModulePath, modules: &Modules) -> Option<ModulePath> {
    let (first, mut rest) = path.split_first()?;
    let mut module = match first.as_str() {
        "crate" => Vec::new(),
        "self" => from.clone(),
        "super" => from[..from.len().checked_sub(1)?].to_vec(),
        child if modules[from].children.contains(child) => [from.as_slice(), &path[..1]].concat(),
        _ => return None,
    };
    while let Some((name, others)) = rest.split_first() {
        rest = others;
        if name == "super" {
            module.pop();
        } else if modules[&module].children.contains(name) {
            module.push(name.clone());
        } else if let Some(import) = modules[&module].imports.get(name) {
            // Another name for something elsewhere, or for something outside of the crate.
            let whole: Vec<String> = import.iter().chain(rest).cloned().collect();
            return resolve(&whole, &module, modules).or(Some(module));
        } else {
            break;
        }
    }
    Some(module)
}

/// A circle among the children of `parent`, with one place for each of its arrows.
fn circle_below(parent: &ModulePath, modules: &Modules) -> Option<String> {
    let mut arrows: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
    let resolved: Vec<(&ModulePath, ModulePath)> = modules
        .iter()
        .filter(|(from, _)| from.starts_with(parent))
        .flat_map(|(from, module)| module.paths.iter().map(move |path| (from, path)))
        .filter_map(|(from, path)| Some((from, resolve(path, from, modules)?)))
        .collect();
    for (from, to) in &resolved {
        if let (Some(a), Some(b)) = (from.get(parent.len()), to.get(parent.len()))
            && to.starts_with(parent)
            && a != b
        {
            let place = format!("{} uses {}", from.join("::"), to.join("::"));
            arrows.entry(a).or_default().entry(b).or_insert(place);
        }
    }
    // Whoever uses only what is in no circle is in none.
    loop {
        let standing: BTreeSet<&str> = arrows.keys().copied().collect();
        arrows
            .values_mut()
            .for_each(|to| to.retain(|name, _| standing.contains(name)));
        arrows.retain(|_, to| !to.is_empty());
        if arrows.len() == standing.len() {
            break;
        }
    }
    let mut seen = vec![*arrows.keys().next()?];
    loop {
        let next = *arrows[seen.last()?].keys().next()?;
        if let Some(start) = seen.iter().position(|name| *name == next) {
            let circle = &seen[start..];
            let ends = circle.iter().zip(circle.iter().skip(1).chain([&next]));
            let places: Vec<&str> = ends.map(|(a, b)| arrows[a][b].as_str()).collect();
            return Some(format!("a circle: {}", places.join(", ")));
        }
        seen.push(next);
    }
}

/// Names and signs; no comments, texts and numbers.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = literal_length(rest) {
            length
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            let name = rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                .unwrap_or(rest.len());
            let length = name.max(first.len_utf8());
            if !first.is_whitespace() {
                tokens.push(rest[..length].to_owned());
            }
            length
        };
        rest = &rest[length..];
    }
    tokens
}

/// Length of the text or character that `rest` begins with.
fn literal_length(rest: &str) -> Option<usize> {
    let raw = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'));
    if let Some(body) = raw
        .map(|raw| raw.trim_start_matches('#'))
        .filter(|body| body.starts_with('"'))
    {
        let hashes = raw.map_or(0, str::len) - body.len();
        let start = rest.len() - body.len() + 1;
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(start + rest[start..].find(&end)? + end.len());
    }
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if !escaped && c == quote {
            return Some(at + 1);
        }
        // A lifetime has no second quote behind its first letter.
        if quote == '\'' && at > 1 && !rest[1..].starts_with('\\') {
            return None;
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

/// Leaves out every item behind `#[cfg(test)]`.
fn without_tests(tokens: &[String]) -> Vec<String> {
    const CFG_TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut tokens = tokens.iter().cloned().peekable();
    while let Some(token) = tokens.next() {
        kept.push(token);
        if kept.ends_with(&CFG_TEST.map(str::to_owned)) {
            kept.truncate(kept.len() - CFG_TEST.len());
            // The item ends with its first `;`, or with the block that comes before one.
            for token in tokens.by_ref() {
                if token == ";" || token == "{" {
                    if token == "{" {
                        up_to_closing(&mut tokens);
                    }
                    break;
                }
            }
        }
    }
    kept
}

/// What comes before the brace that closes the one that was just opened.
fn up_to_closing(tokens: &mut impl Iterator<Item = String>) -> Vec<String> {
    let mut depth = 1;
    tokens
        .take_while(|token| {
            match token.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            depth > 0
        })
        .collect()
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}
