//! `cargo xtask dist`: what is shipped, in one archive with a list of all that is in it.
//!
//! | In the archive | from |
//! |---|---|
//! | `bin/` | the programs as a release is built, stripped |
//! | `share/man/man1/`, `share/completions/` | `hotshoe` itself says them |
//! | `lib/systemd/system/hotshoed.service`, `share/doc/hotshoe/` | `examples/device`, `SECURITY.md`, `README.md` |
//! | `share/doc/hotshoe/LICENSE`, `THIRD-PARTY.txt` | ours, and those of all that is linked, each once ([`licences`]) |
//! | `share/sbom/PROGRAM.cdx.json` | CycloneDX 1.5: what each program links ([`sbom`]) |
//! | `SHA256SUMS` | of all of these |
//!
//! Reproducible: names are sorted, times are the last commit's, owners are nobody's, nothing is random. Two runs over the
//! same tree give the same bytes; another machine needs the same compiler and the same paths, which programs carry in the
//! texts of panics.
//!
//! `hotshoe-aot` is built apart from the others: together, `hotshoed` would get the compiler linked in.

mod graph;
mod licences;
mod sbom;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::tools::{capture, cargo, require, root, run, target};
use graph::{Graph, Package};

/// The programs, in the groups in which they are built.
const GROUPS: [&[&str]; 2] = [&["hotshoe-aot"], &["hotshoed", "hotshoe", "hotshoe-localhub"]];
/// Files of the repository, and where they go.
const FILES: [(&str, &str); 6] = [
    ("LICENSE", "share/doc/hotshoe/LICENSE"),
    ("README.md", "share/doc/hotshoe/README.md"),
    ("SECURITY.md", "share/doc/hotshoe/SECURITY.md"),
    ("examples/device/hotshoed.service", "lib/systemd/system/hotshoed.service"),
    ("examples/device/device.toml", "share/doc/hotshoe/examples/device.toml"),
    ("examples/device/policy.toml", "share/doc/hotshoe/examples/policy.toml"),
];
/// Shells, and what each calls a file of completions.
const SHELLS: [(&str, &str); 3] = [("bash", "hotshoe.bash"), ("zsh", "_hotshoe"), ("fish", "hotshoe.fish")];

/// What of it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only the lists of what is linked, into target/dist/sbom: builds nothing.
    #[arg(long)]
    sbom: bool,
    /// Packs the programs as target/release has them.
    #[arg(long)]
    no_build: bool,
}

/// Makes the archive.
pub(crate) fn run_dist(arguments: &Arguments) -> Result<()> {
    let dist = target().join("dist");
    if arguments.sbom {
        let linked = write_boms(&dist.join("sbom"))?;
        println!(
            "{} packages are linked; what each program links is in {}",
            linked.len(),
            dist.join("sbom").display()
        );
        return Ok(());
    }
    require("tar", "tar")?;
    require("zstd", "zstd")?;
    for group in GROUPS.into_iter().filter(|_| !arguments.no_build) {
        let packages = group.iter().flat_map(|program| ["--package", program]);
        run(cargo().args(["build", "--release", "--locked", "--bins"]).args(packages))?;
    }
    let name = format!("hotshoe-{}-{}", env!("CARGO_PKG_VERSION"), host()?);
    let tree = dist.join(&name);
    if tree.exists() {
        std::fs::remove_dir_all(&tree)?;
    }
    fill(&tree)?;
    let archive = dist.join(format!("{name}.tar.zst"));
    pack(&dist, &name, &archive, commit_time()?)?;
    let sum = sums(&dist, &[archive.file_name().map(PathBuf::from).context("the archive has no name")?])?;
    std::fs::write(dist.join(format!("{name}.tar.zst.sha256")), &sum)?;
    println!("{sum}{} bytes in {}", std::fs::metadata(&archive)?.len(), archive.display());
    Ok(())
}

/// Puts everything where it goes.
fn fill(tree: &Path) -> Result<()> {
    for program in GROUPS.into_iter().flatten() {
        copy(&target().join("release").join(program), &tree.join("bin").join(program))?;
    }
    for (from, to) in FILES {
        copy(&root().join(from), &tree.join(to))?;
    }
    let hotshoe = tree.join("bin/hotshoe");
    let man = tree.join("share/man/man1");
    std::fs::create_dir_all(&man)?;
    // Without the connection that whoever builds this may have stored.
    let hotshoe = || {
        let mut hotshoe = Command::new(&hotshoe);
        hotshoe.env_clear().env("HOME", "/nonexistent");
        hotshoe
    };
    capture(hotshoe().arg("man").arg(&man))?;
    for (shell, file) in SHELLS {
        write(&tree.join("share/completions").join(file), &capture(hotshoe().args(["completions", shell]))?)?;
    }
    let linked = write_boms(&tree.join("share/sbom"))?;
    write(&tree.join("share/doc/hotshoe/THIRD-PARTY.txt"), &licences::collect(&linked)?)?;
    let files = files(tree, Path::new(""))?;
    let sums = sums(tree, &files.into_iter().collect::<Vec<_>>())?;
    write(&tree.join("SHA256SUMS"), &sums)
}

/// Writes what each program links; gives back all of it.
fn write_boms(directory: &Path) -> Result<BTreeSet<Package>> {
    let (host, compiler) = (host()?, rustc("release")?);
    let mut linked = BTreeSet::new();
    for group in GROUPS {
        let graph = Graph::read(group, &host)?;
        for program in group {
            let bom = sbom::of(&graph, program, &compiler)?;
            write(&directory.join(format!("{program}.cdx.json")), &format!("{bom:#}\n"))?;
            linked.extend(graph.below(program)?.into_iter().cloned());
        }
    }
    Ok(linked)
}

/// The same bytes out of the same files, whenever they were written and by whom.
fn pack(directory: &Path, name: &str, archive: &Path, time: u64) -> Result<()> {
    let plain = archive.with_extension("");
    let mut tar = Command::new("tar");
    tar.args(["--create", "--format=ustar", "--sort=name", "--owner=0", "--group=0", "--numeric-owner"]);
    tar.arg("--mode=u+rwX,go=rX").arg(format!("--mtime=@{time}"));
    run(tar.arg("--file").arg(&plain).arg("--directory").arg(directory).arg(name))?;
    let zstd = ["--quiet", "--force", "-19", "--threads=1", "--rm", "--no-progress", "-o"];
    run(Command::new("zstd").args(zstd).arg(archive).arg(&plain))
}

/// The lines of `sha256sum`.
fn sums(directory: &Path, files: &[PathBuf]) -> Result<String> {
    capture(Command::new("sha256sum").args(files).current_dir(directory))
}

/// All files below, sorted.
fn files(directory: &Path, below: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut all = BTreeSet::new();
    for entry in std::fs::read_dir(directory.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            all.extend(files(directory, &path)?);
        } else {
            all.insert(path);
        }
    }
    Ok(all)
}

/// For which machine is built.
fn host() -> Result<String> {
    rustc("host")
}

/// A line of `rustc -vV`.
fn rustc(what: &str) -> Result<String> {
    let told = capture(Command::new("rustc").arg("-vV").current_dir(root()))?;
    let line = told.lines().find_map(|line| line.strip_prefix(&format!("{what}: ")));
    line.map(str::to_owned).with_context(|| format!("rustc -vV does not tell its {what}"))
}

/// When the last commit was made, in seconds since 1970; `SOURCE_DATE_EPOCH` where it is set.
fn commit_time() -> Result<u64> {
    let told = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(time) => time,
        Err(_) => capture(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(root()))?,
    };
    told.trim().parse().with_context(|| format!("{told:?} is not a time"))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to.parent().unwrap_or(to))?;
    std::fs::copy(from, to).map(drop).with_context(|| format!("copy {} to {}", from.display(), to.display()))
}

fn write(to: &Path, text: &str) -> Result<()> {
    std::fs::create_dir_all(to.parent().unwrap_or(to))?;
    std::fs::write(to, text).with_context(|| format!("write {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree, whose files are written in this order.
    fn archive(order: &[&str]) -> Vec<u8> {
        let place = tempfile::tempdir().unwrap();
        for name in order {
            write(&place.path().join("tree").join(name), name).unwrap();
        }
        let packed = place.path().join("tree.tar.zst");
        pack(place.path(), "tree", &packed, 1_795_392_000).unwrap();
        assert!(!place.path().join("tree.tar").exists());
        std::fs::read(packed).unwrap()
    }

    #[test]
    fn the_same_files_make_the_same_archive_whenever_they_are_written() {
        let first = archive(&["bin/b", "bin/a", "share/c"]);
        std::thread::sleep(std::time::Duration::from_millis(1100));
        assert_eq!(first, archive(&["share/c", "bin/a", "bin/b"]));
        assert_ne!(first, archive(&["share/c", "bin/a", "bin/d"]));
    }

    #[test]
    fn all_files_are_summed_in_order() {
        let place = tempfile::tempdir().unwrap();
        for name in ["b/x", "a", "b/c/y"] {
            write(&place.path().join(name), name).unwrap();
        }
        let files: Vec<_> = files(place.path(), Path::new("")).unwrap().into_iter().collect();
        assert_eq!(files, ["a", "b/c/y", "b/x"].map(PathBuf::from));
        let sums = sums(place.path(), &files).unwrap();
        // Of the one letter `a`.
        let a = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb  a\n";
        assert!(sums.starts_with(a) && sums.lines().count() == 3, "{sums}");
    }
}
