//! Files on their way into the artifact store and the journals beside them: only bytes that were durable are believed, and
//! what is finished has the digest that it is kept under.

use std::{cell::OnceCell, path::PathBuf};

use cap_std::{ambient_authority, fs::Dir};
use hotshoed::artifact::{ArtifactStore, Key, Vouched};
use tempfile::TempDir;

use crate::pieces::choice;

const URL: &str = "https://images.example.com/1.img";

struct Stage {
    store: ArtifactStore,
    journal: PathBuf,
    file: PathBuf,
    _directory: TempDir,
}

thread_local! {
    static STAGE: OnceCell<Stage> = const { OnceCell::new() };
}

/// A journal behind a good header or as it is, beside a file of some bytes.
pub(super) fn run(data: &[u8]) {
    let Some((kind, journal)) = choice(data) else { return };
    STAGE.with(|stage| {
        let stage = stage.get_or_init(Stage::new);
        let sealed = format!("hotshoe-state 1 {}\n", blake3::hash(journal).to_hex());
        let header = if kind & 1 == 0 { sealed.as_bytes() } else { b"" };
        std::fs::write(&stage.journal, [header, journal].concat()).expect("a file in a temporary directory");
        let bytes: Vec<u8> = (0..usize::from(kind >> 1)).map(|at| at as u8).collect();
        std::fs::write(&stage.file, &bytes).expect("a file in a temporary directory");
        let opened = stage.store.partial(&Key::of_url(URL)).expect("no journal makes opening fail");
        let partial = opened.expect("nobody else writes to it");
        let position = partial.position() as usize;
        assert!(position <= bytes.len(), "bytes that are not there are believed");
        assert_eq!(partial.origin().is_some(), position > 0);
        if kind & 0x80 == 0 {
            partial.discard().expect("it can be thrown away");
        } else {
            let artifact = partial.finish(URL, Vouched::Nobody).expect("it can be finished");
            let expected = ring::digest::digest(&ring::digest::SHA256, &bytes[..position]);
            assert_eq!(artifact.digest().bytes, expected.as_ref());
            assert_eq!(artifact.size(), position as u64);
        }
        // What was set aside, lest it be looked at again each time.
        for entry in
            std::fs::read_dir(stage.journal.parent().expect("a folder")).into_iter().flatten().flatten()
        {
            let _ = std::fs::remove_file(entry.path());
        }
    });
}

impl Stage {
    fn new() -> Stage {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let dir = Dir::open_ambient_dir(directory.path(), ambient_authority()).expect("a directory");
        let store = ArtifactStore::open(dir, 1 << 20).expect("a store");
        let name = format!("url-{}", blake3::hash(URL.as_bytes()).to_hex());
        Stage {
            store,
            journal: directory.path().join("journal").join(&name),
            file: directory.path().join("partial").join(&name),
            _directory: directory,
        }
    }
}
