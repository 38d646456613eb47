//! What is linked into what, as cargo builds it.
//!
//! Cargo is asked for the tree of the very packages that are built together, for the machine that is built for, without
//! what only tests, build scripts and macros need: those run on the machine that builds and are in no program. Licences
//! come from `cargo metadata`, checksums from `Cargo.lock`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::tools::{capture, cargo, root};

/// A package, by name and version.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    /// In the terms of SPDX.
    pub(super) licence: Option<String>,
    pub(super) repository: Option<String>,
    /// Of the package's file in the registry, SHA-256 in hexadecimal; none of what is ours.
    pub(super) checksum: Option<String>,
    /// Where its files are.
    pub(super) directory: std::path::PathBuf,
}

/// Name and version.
type Id = (String, String);

/// What is linked into what.
pub(super) struct Graph {
    packages: BTreeMap<Id, Package>,
    needs: BTreeMap<Id, BTreeSet<Id>>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Described>,
}

#[derive(Deserialize)]
struct Described {
    name: String,
    version: String,
    license: Option<String>,
    repository: Option<String>,
    manifest_path: std::path::PathBuf,
}

impl Graph {
    /// Of these packages, built together for this machine.
    pub(super) fn read(group: &[&str], target: &str) -> Result<Graph> {
        let packages = group.iter().flat_map(|program| ["--package", program]);
        let edges =
            ["--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", " {p}", "--target", target];
        let tree = capture(cargo().args(["tree", "--locked"]).args(packages).args(edges))?;
        let metadata = capture(cargo().args(["metadata", "--locked", "--format-version", "1"]))?;
        let lock = std::fs::read_to_string(root().join("Cargo.lock"))?;
        Graph::of(&tree, &metadata, &lock)
    }

    fn of(tree: &str, metadata: &str, lock: &str) -> Result<Graph> {
        let needs = needs(tree)?;
        let checksums = checksums(lock);
        let Metadata { packages } = serde_json::from_str(metadata).context("cargo metadata")?;
        let package = |described: Described| {
            let Described { name, version, license, repository, manifest_path } = described;
            let id = (name.clone(), version.clone());
            // The old way of writing a choice.
            let licence = license.map(|licence| licence.replace(" / ", "/").replace('/', " OR "));
            let checksum = checksums.get(&id).cloned();
            let directory = manifest_path.parent().map(Into::into).unwrap_or_default();
            (id, Package { name, version, licence, repository, checksum, directory })
        };
        let packages = packages.into_iter().map(package).filter(|(id, _)| needs.contains_key(id));
        Ok(Graph { packages: packages.collect(), needs })
    }

    /// The package of this name that is built.
    pub(super) fn package(&self, name: &str) -> Result<&Package> {
        let found = self.packages.values().find(|package| package.name == name);
        found.with_context(|| format!("cargo tree does not tell of {name}"))
    }

    /// What a package needs by itself.
    pub(super) fn needs(&self, package: &Package) -> Vec<&Package> {
        let needs = self.needs.get(&package.id()).into_iter().flatten();
        needs.filter_map(|id| self.packages.get(id)).collect()
    }

    /// All that is linked into a program, itself apart; sorted.
    pub(super) fn below(&self, program: &str) -> Result<BTreeSet<&Package>> {
        let (mut all, mut open) = (BTreeSet::new(), vec![self.package(program)?]);
        while let Some(package) = open.pop() {
            open.extend(self.needs(package).into_iter().filter(|need| all.insert(*need)));
        }
        Ok(all)
    }
}

impl Package {
    fn id(&self) -> Id {
        (self.name.clone(), self.version.clone())
    }

    /// Whether it comes from the registry.
    pub(super) fn is_foreign(&self) -> bool {
        self.checksum.is_some()
    }
}

/// Reads the lines `DEPTH NAME vVERSION …`. What was told once is not told again below others; all tellings are one.
fn needs(tree: &str) -> Result<BTreeMap<Id, BTreeSet<Id>>> {
    let mut needs: BTreeMap<Id, BTreeSet<Id>> = BTreeMap::new();
    let mut path: Vec<Id> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let told = || format!("cargo tree: not a line of its: {line:?}");
        let depth: usize = words.next().and_then(|depth| depth.parse().ok()).with_context(told)?;
        let name = words.next().with_context(told)?.to_owned();
        let version = words.next().and_then(|version| version.strip_prefix('v')).with_context(told)?;
        let id = (name, version.to_owned());
        path.truncate(depth);
        if let Some(parent) = path.last() {
            needs.entry(parent.clone()).or_default().insert(id.clone());
        }
        needs.entry(id.clone()).or_default();
        path.push(id);
    }
    Ok(needs)
}

/// The checksums of `Cargo.lock`.
fn checksums(lock: &str) -> BTreeMap<Id, String> {
    let field = |block: &str, key: &str| {
        let value = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
        value.map(|value| value.trim_end_matches('"').to_owned())
    };
    let blocks = lock.split("[[package]]").skip(1);
    let entry = |block| Some(((field(block, "name")?, field(block, "version")?), field(block, "checksum")?));
    blocks.filter_map(entry).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A program, a library of ours, two of others of which one is needed twice, and a tool that is only built with.
    pub(in crate::dist) fn small() -> Graph {
        let tree = "0 pump v0.1.0 (/src/pump)\n1 core v0.1.0 (/src/core)\n2 serde v1.0.0\n1 log v0.4.1\n2 serde v1.0.0 (*)\n\n\
                    0 other v0.1.0 (/src/other)\n1 tiny v2.0.0\n";
        let described = |name: &str, version: &str, licence: &str| {
            format!(
                r#"{{"name":"{name}","version":"{version}","license":"{licence}","repository":"https://example.com/{name}","manifest_path":"/src/{name}/Cargo.toml"}}"#
            )
        };
        let packages = [
            described("pump", "0.1.0", "Apache-2.0"),
            described("core", "0.1.0", "Apache-2.0"),
            described("serde", "1.0.0", "MIT/Apache-2.0"),
            described("log", "0.4.1", "MIT OR Apache-2.0"),
            described("other", "0.1.0", "Apache-2.0"),
            described("tiny", "2.0.0", "ISC"),
            described("built-with", "3.0.0", "MIT"),
        ];
        let metadata = format!(r#"{{"packages":[{}]}}"#, packages.join(","));
        let locked = |name: &str, version: &str| {
            let sum = format!("{:064x}", name.len());
            format!(
                "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"registry+x\"\nchecksum = \"{sum}\"\n\n"
            )
        };
        let lock = [
            "# made by cargo\nversion = 4\n\n[[package]]\nname = \"pump\"\nversion = \"0.1.0\"\n\n"
                .to_owned(),
            locked("serde", "1.0.0"),
            locked("log", "0.4.1"),
            locked("tiny", "2.0.0"),
            locked("built-with", "3.0.0"),
        ];
        Graph::of(tree, &metadata, &lock.concat()).unwrap()
    }

    #[test]
    fn a_program_links_what_stands_below_it_and_nothing_of_others() {
        let graph = small();
        let names = |program: &str| -> Vec<String> {
            graph.below(program).unwrap().into_iter().map(|package| package.name.clone()).collect()
        };
        assert_eq!(names("pump"), ["core", "log", "serde"]);
        assert_eq!(names("other"), ["tiny"]);
        assert!(graph.below("built-with").is_err(), "it is in no program");
        let serde = graph.package("serde").unwrap();
        assert_eq!(serde.licence.as_deref(), Some("MIT OR Apache-2.0"));
        assert!(serde.is_foreign() && !graph.package("core").unwrap().is_foreign());
    }

    #[test]
    fn a_line_that_cargo_does_not_write_is_refused() {
        assert!(needs("serde v1.0.0").is_err());
        assert!(needs("1 serde").is_err());
    }
}
