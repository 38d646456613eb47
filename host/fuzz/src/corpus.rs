//! Where inputs stand: `fuzz/corpus/TARGET/` for what leads a fuzzer on, `fuzz/regressions/TARGET/` for each bug found.

use std::{fs, io, path::PathBuf};

/// The most files of a committed corpus, and their bytes together.
pub const MOST_FILES: usize = 60;
/// See [`MOST_FILES`].
pub const MOST_BYTES: u64 = 200 * 1024;

/// The folder `fuzz` of the project.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// The committed inputs of a target by their files' names, in order: its corpus and its regression cases.
///
/// # Errors
/// Of the file system. A target without regression cases has no folder for them, one without a corpus is an error.
pub fn inputs(target: &str) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut found = files(root().join("corpus").join(target))?;
    match files(root().join("regressions").join(target)) {
        Ok(regressions) => found.extend(regressions),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(found)
}

fn files(folder: PathBuf) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let bytes = fs::read(&path)?;
        found.push((path, bytes));
    }
    found.sort();
    Ok(found)
}
