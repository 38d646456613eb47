//! The texts of the licences of all that is linked, each once, with whose it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::graph::Package;

/// What files with licences are called.
const NAMES: [&str; 5] = ["licen", "copying", "copyright", "notice", "unlicense"];

/// All texts, with the packages that have them; then those that have none with them, by what they say of themselves.
pub(super) fn collect(linked: &BTreeSet<Package>) -> Result<String> {
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut silent = BTreeSet::new();
    for package in linked.iter().filter(|package| package.is_foreign()) {
        let name = format!("{} {}", package.name, package.version);
        let files = files(&package.directory)?;
        if files.is_empty() {
            silent.insert(format!("{name}: {}", package.licence.as_deref().unwrap_or("nothing is said")));
        }
        for file in files {
            let text = String::from_utf8_lossy(&std::fs::read(file)?).trim_end().replace("\r\n", "\n");
            texts.entry(text).or_default().insert(name.clone());
        }
    }
    // By whose they are, so that a change of one text moves no other.
    let mut texts: Vec<(BTreeSet<String>, String)> =
        texts.into_iter().map(|(text, whose)| (whose, text)).collect();
    texts.sort();
    let mut all = String::from(
        "What is linked into the programs of this archive, under the licences of its authors.\n",
    );
    for (whose, text) in texts {
        let whose: Vec<String> = whose.into_iter().collect();
        write!(all, "\n{}\n{}\n\n{text}\n", "=".repeat(80), whose.join("\n"))?;
    }
    if !silent.is_empty() {
        let silent: Vec<String> = silent.into_iter().collect();
        write!(all, "\n{}\nWithout a text of their own:\n{}\n", "=".repeat(80), silent.join("\n"))?;
    }
    Ok(all)
}

fn files(directory: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_lowercase();
        if entry.file_type()?.is_file() && NAMES.iter().any(|start| name.starts_with(start)) {
            files.insert(entry.path());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_stands_once_under_the_names_of_all_that_have_it() {
        let place = tempfile::tempdir().unwrap();
        let package = |name: &str, text: Option<&str>, checksum: Option<&str>| {
            let directory = place.path().join(name);
            std::fs::create_dir(&directory).unwrap();
            if let Some(text) = text {
                std::fs::write(directory.join("LICENSE-MIT"), text).unwrap();
            }
            Package {
                name: name.to_owned(),
                version: "1.0.0".to_owned(),
                licence: Some("MIT".to_owned()),
                repository: None,
                checksum: checksum.map(str::to_owned),
                directory,
            }
        };
        let linked = BTreeSet::from([
            package("one", Some("do as you like\r\n"), Some("aa")),
            package("two", Some("do as you like\n"), Some("bb")),
            package("three", None, Some("cc")),
            package("ours", Some("our own"), None),
        ]);
        let all = collect(&linked).unwrap();
        assert_eq!(all.matches("do as you like").count(), 1, "{all}");
        assert!(all.contains("one 1.0.0\ntwo 1.0.0\n\ndo as"), "{all}");
        assert!(all.contains("three 1.0.0: MIT") && !all.contains("our own"), "{all}");
    }
}
