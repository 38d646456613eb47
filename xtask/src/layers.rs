//! Who may import what (DESIGN, section 2), checked over the text of the sources.
//!
//! A text search is enough here: the rules name crates and top-level modules, and a false alarm is cheap to mend.
//! What it does not see is a re-export that smuggles a forbidden name; review does.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::tools::{capture, cargo, root};

/// The modules of the device process; a module may use those of its own rank and below.
const RANKS: &[(&str, u8)] = &[
    ("disk", 0),
    ("state", 1),
    ("artifact", 1),
    ("fetch", 1),
    ("flash", 1),
    ("hub", 1),
    ("trust", 1),
    ("job", 2),
    ("receive", 2),
    ("gate", 2),
    ("capability", 3),
    ("plugin", 4),
    ("swap", 5),
    ("config", 6),
    ("admin", 6),
    ("fence", 6),
    ("daemon", 6),
];

/// A word, and the only places of the device process that may name it.
const FENCES: &[(&str, &[&str])] = &[
    ("wasmtime", &["plugin/", "capability/"]),
    ("rumqttc", &["hub/"]),
    ("ambient_authority", &["main.rs", "bin/"]),
    ("unsafe", &["plugin/precompiled.rs"]),
];

/// What `hotshoe-core` must never depend on: it decides, and does nothing.
const NOT_IN_CORE: &[&str] = &["tokio", "wasmtime", "cap-std", "rustix", "rand", "reqwest", "hyper"];

/// No source file is longer, unless it is a table.
const LONGEST: usize = 500;

/// Fails with one line for each broken rule.
pub(crate) fn check() -> Result<()> {
    let mut broken = Vec::new();
    daemon(&mut broken)?;
    dependencies(&mut broken)?;
    lengths(&mut broken)?;
    if broken.is_empty() {
        println!("layers: every module keeps to its place");
        return Ok(());
    }
    bail!("layers: {} broken rule(s)\n  {}", broken.len(), broken.join("\n  "));
}

fn daemon(broken: &mut Vec<String>) -> Result<()> {
    let source = root().join("host/daemon/src");
    let ranks: BTreeMap<&str, u8> = RANKS.iter().copied().collect();
    for file in rust_files(&source)? {
        let text = fs::read_to_string(&file).with_context(|| format!("could not read {}", file.display()))?;
        let name = file.strip_prefix(&source).unwrap_or(&file).to_string_lossy().into_owned();
        if name.ends_with("tests.rs") || name.contains("tests/") {
            continue;
        }
        let module = name.split(['/', '.']).next().unwrap_or_default();
        for (number, line) in code_lines(&text) {
            for (word, places) in FENCES {
                if has_word(line, word) && !places.iter().any(|place| name.starts_with(place)) {
                    broken.push(format!(
                        "host/daemon/src/{name}:{number}: `{word}` belongs in {}",
                        places.join(", ")
                    ));
                }
            }
            let Some(&rank) = ranks.get(module) else { continue };
            for (other, &other_rank) in &ranks {
                if other_rank > rank && line.contains(&format!("crate::{other}")) {
                    broken.push(format!("host/daemon/src/{name}:{number}: {module} may not use {other}"));
                }
            }
        }
    }
    Ok(())
}

fn dependencies(broken: &mut Vec<String>) -> Result<()> {
    let tree = |package: &str| {
        capture(cargo().args([
            "tree",
            "--package",
            package,
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ]))
    };
    for line in tree("hotshoe-core")?.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        if NOT_IN_CORE.contains(&name) {
            broken.push(format!("hotshoe-core depends on {name}: decisions do nothing"));
        }
    }
    for line in tree("hotshoed")?.lines() {
        if line.starts_with("cranelift-codegen ") {
            broken.push("hotshoed links a compiler: compiling is hotshoe-aot's work".to_owned());
        }
    }
    for package in ["hotshoe-localhub", "hotshoe"] {
        for line in tree(package)?.lines() {
            let name = line.split(' ').next().unwrap_or_default();
            if name == "hotshoed" || name.starts_with("wasmtime") {
                broken.push(format!(
                    "{package} depends on {name}: only hotshoe-core is shared with the device"
                ));
            }
        }
    }
    Ok(())
}

fn lengths(broken: &mut Vec<String>) -> Result<()> {
    for folder in ["host", "sdk-guest", "plugins", "xtask"] {
        for file in rust_files(&root().join(folder))? {
            let lines = fs::read_to_string(&file)?.lines().count();
            if lines > LONGEST {
                broken.push(format!("{} has {lines} lines, {LONGEST} are the most", file.display()));
            }
        }
    }
    Ok(())
}

/// The lines that are neither comments nor tests, numbered from 1.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "mod tests {")
        .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
        .filter(|(_, line)| !line.trim().is_empty())
}

/// Whether the line has the word as a whole identifier, outside of string literals and lint names.
fn has_word(line: &str, word: &str) -> bool {
    let mut in_string = false;
    let bare: String = line
        .chars()
        .map(|letter| {
            if letter == '"' {
                in_string = !in_string;
            }
            if in_string { ' ' } else { letter }
        })
        .collect();
    bare.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')).any(|found| found == word)
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("could not read {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_words_but_not_in_strings_or_comments() {
        assert!(has_word("use wasmtime::Engine;", "wasmtime"));
        assert!(!has_word("use wasmtime_wasi::x;", "wasmtime"));
        assert!(!has_word("let text = \"wasmtime\";", "wasmtime"));
        assert_eq!(code_lines("// unsafe\nlet a; // unsafe").collect::<Vec<_>>(), [(2, "let a; ")]);
    }
}
