//! The short run: every committed input of every target, then some thousand changed ones.
//!
//! It is the same on each run unless `HOTSHOE_FUZZ_SEED` says otherwise; `HOTSHOE_FUZZ_MUTATIONS` makes it longer.
//! Libtest's output shows the seed and, where a promise was broken, the input as a file.

// All of it is tests, the helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use hotshoe_fuzz::{
    TARGETS,
    corpus::{self, MOST_BYTES, MOST_FILES},
    find,
    mutate::Mutator,
    tuf_seeds,
};

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// Runs a target on an input; leaves the input behind where it fails.
fn check(name: &str, input: &[u8], what: &str) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (find(name).run)(input))) {
        let file = std::env::temp_dir().join(format!("hotshoe-fuzz-{name}"));
        fs::write(&file, input).expect("the input is kept");
        eprintln!("{name}: {what} breaks a promise; the input is {}", file.display());
        std::panic::resume_unwind(panic);
    }
}

fn replay(name: &str) {
    let inputs = corpus::inputs(name).unwrap_or_else(|error| panic!("fuzz/corpus/{name}: {error}"));
    assert!(!inputs.is_empty(), "fuzz/corpus/{name} is empty");
    for (path, bytes) in &inputs {
        check(name, bytes, &path.display().to_string());
    }
    let inputs: Vec<Vec<u8>> = inputs.into_iter().map(|(_, bytes)| bytes).collect();
    let (seed, wanted) = (number("HOTSHOE_FUZZ_SEED", 1), number("HOTSHOE_FUZZ_MUTATIONS", 2000));
    let mut mutator = Mutator::new(&inputs, seed);
    let start = Instant::now();
    for count in 0..wanted {
        check(name, &mutator.next_input(), &format!("mutation {count} of seed {seed}"));
    }
    println!("{name}: {} inputs, {wanted} mutations of seed {seed}, {:?}", inputs.len(), start.elapsed());
}

macro_rules! replays {
    ($($name:ident)*) => {
        $(#[test] fn $name() { replay(stringify!($name)); })*
        const TESTED: &[&str] = &[$(stringify!($name)),*];
    };
}

replays! {
    topics method_payloads twin_documents manifests policies device_config components cached_code state_files
    slot_records boot_records connection_strings sas_tokens image_descriptions http_answers hash_trees
    zstd_frames partial_files tuf_metadata admin_socket host_abi mqtt query rest
}

/// They are signed with the target's own keys, so they cannot be written by hand; `HOTSHOE_FUZZ_WRITE=1` writes them.
#[test]
fn the_corpus_of_tuf_metadata_has_the_files_that_are_believed() {
    let folder = corpus::root().join("corpus/tuf_metadata");
    for (name, bytes) in tuf_seeds() {
        if std::env::var_os("HOTSHOE_FUZZ_WRITE").is_some() {
            fs::write(folder.join(&name), &bytes).unwrap();
        }
        assert_eq!(fs::read(folder.join(&name)).unwrap(), bytes, "{name}");
    }
}

fn names(folder: &str) -> BTreeSet<String> {
    let entries =
        fs::read_dir(corpus::root().join(folder)).unwrap_or_else(|error| panic!("fuzz/{folder}: {error}"));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn each_target_has_a_test_a_program_and_a_corpus_and_nothing_else_has() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(targets, TESTED.iter().map(|&name| name.to_owned()).collect(), "tests");
    assert_eq!(targets, names("corpus"), "folders with corpora");
    let programs: BTreeSet<String> =
        names("fuzz_targets").iter().map(|name| name.trim_end_matches(".rs").to_owned()).collect();
    assert_eq!(targets, programs, "programs");
    let manifest = fs::read_to_string(corpus::root().join("Cargo.toml")).unwrap();
    for name in &targets {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "fuzz/Cargo.toml does not name {name}");
        let program = fs::read_to_string(corpus::root().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("find(\"{name}\")")), "the program {name} calls another target");
    }
    // There is none before something was found.
    let found = corpus::root().join("regressions").is_dir();
    let regressions = if found { names("regressions") } else { BTreeSet::new() };
    assert!(regressions.is_subset(&targets), "{:?} have no target", regressions.difference(&targets));
}

#[test]
fn corpora_are_small() {
    for target in TARGETS {
        let inputs = corpus::inputs(target.name).unwrap();
        let bytes: u64 = inputs.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        assert!(inputs.len() <= MOST_FILES, "fuzz/corpus/{} has {} files", target.name, inputs.len());
        assert!(bytes <= MOST_BYTES, "fuzz/corpus/{} has {bytes} bytes", target.name);
    }
}
