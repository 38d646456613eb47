use cap_std::{ambient_authority, fs::Dir};
use serde_json::{Value, json};

use super::*;
use crate::disk::refusing::{Refusals, Refusing};

fn state() -> (tempfile::TempDir, StateDir) {
    let folder = tempfile::tempdir().unwrap();
    let dir = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
    (folder, StateDir::new(dir))
}

fn files(folder: &tempfile::TempDir) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_was_written_is_read_by_another() {
    let (folder, state) = state();
    assert_eq!(state.read::<Value>("job-1").unwrap(), None);
    state.write("job-1", &json!({"phase": "downloading"})).unwrap();
    state.write("job-1", &json!({"phase": "applying"})).unwrap();
    let again = StateDir::new(Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap());
    assert_eq!(again.read::<Value>("job-1").unwrap(), Some(json!({"phase": "applying"})));
    assert_eq!(files(&folder), ["job-1"], "no temporary stays");
    again.remove("job-1").unwrap();
    again.remove("job-1").unwrap();
    assert_eq!(state.read::<Value>("job-1").unwrap(), None);
}

#[test]
fn subdirectories_stand_apart() {
    let (_folder, state) = state();
    let jobs = state.subdirectory("jobs").unwrap();
    jobs.write("1", &1).unwrap();
    state.subdirectory("jobs").unwrap().write("2", &2).unwrap();
    assert_eq!(jobs.names().unwrap(), ["1", "2"]);
    assert_eq!(state.names().unwrap(), Vec::<String>::new(), "a directory is no value");
}

#[test]
fn every_flipped_bit_is_noticed_and_set_aside() {
    let (folder, state) = state();
    state.write("twin", &json!({"version": 4, "state": "ok"})).unwrap();
    let bytes = std::fs::read(folder.path().join("twin")).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(folder.path().join("twin"), &flipped).unwrap();
        assert_eq!(state.read::<Value>("twin").unwrap(), None, "bit {bit}");
        assert!(!folder.path().join("twin").exists(), "bit {bit}");
    }
    assert!(files(&folder).len() <= SET_ASIDE_LIMIT as usize, "evidence is kept, within bounds");
    assert_eq!(state.names().unwrap(), Vec::<String>::new());
    state.write("twin", &1).unwrap();
    assert_eq!(state.read::<u32>("twin").unwrap(), Some(1), "and work goes on");
}

#[test]
fn every_truncation_is_noticed_and_set_aside() {
    let (folder, state) = state();
    state.write("twin", &json!({"version": 4})).unwrap();
    let bytes = std::fs::read(folder.path().join("twin")).unwrap();
    for length in 0..bytes.len() {
        std::fs::write(folder.path().join("twin"), &bytes[..length]).unwrap();
        assert_eq!(state.read::<Value>("twin").unwrap(), None, "length {length}");
    }
    std::fs::write(folder.path().join("twin"), [&bytes[..], b" "].concat()).unwrap();
    assert_eq!(state.read::<Value>("twin").unwrap(), None, "longer");
}

#[test]
fn newer_foreign_and_monstrous_files_are_set_aside() {
    let (folder, state) = state();
    let newer = format!("hotshoe-state 2 {}\n1", blake3::hash(b"1").to_hex());
    let cases: [(&str, Vec<u8>); 5] = [
        ("newer", newer.into_bytes()),
        ("zeros", vec![0; 4096]),
        ("text", b"hello".to_vec()),
        ("latin", vec![0xff, b'\n', 0xfe]),
        ("monster", vec![b'x'; FILE_LIMIT as usize + 1]),
    ];
    for (name, bytes) in cases {
        std::fs::write(folder.path().join(name), &bytes).unwrap();
        assert_eq!(state.read::<Value>(name).unwrap(), None, "{name}");
        assert_eq!(std::fs::read(folder.path().join(format!("{name}.corrupt-1"))).unwrap(), bytes, "{name}");
    }
    state.write("number", &json!("seven")).unwrap();
    assert_eq!(state.read::<u32>("number").unwrap(), None, "a value of another shape");
}

#[test]
fn a_cut_before_the_rename_leaves_the_old_value() {
    let (folder, state) = state();
    state.write("slot", &1).unwrap();
    std::fs::write(folder.path().join("slot.new"), b"hotshoe-state 1 half").unwrap();
    assert_eq!(state.read::<u32>("slot").unwrap(), Some(1));
    assert_eq!(state.names().unwrap(), ["slot"]);
    state.write("slot", &2).unwrap();
    assert_eq!(files(&folder), ["slot"]);
}

#[test]
fn a_removal_is_acknowledged_only_when_it_is_durable() {
    let (folder, state) = state();
    state.write("value", &1).unwrap();
    let dir = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
    let refusals = Arc::<Refusals>::default();
    refusals.syncs.store(2, Ordering::Relaxed);
    let synced = || refusals.synced.load(Ordering::Relaxed);
    let state = StateDir::new(Refusing::new(dir, Arc::clone(&refusals)));
    // The name goes, and the sync fails: until one goes well a power cut may bring the value back.
    for _ in 0..2 {
        assert!(matches!(state.remove("value"), Err(StateError::Io { .. })));
    }
    assert_eq!(synced(), 0);
    state.remove("value").unwrap();
    assert_eq!(synced(), 1);
    state.remove("value").unwrap();
    assert_eq!(synced(), 1, "it is known to be gone");
}

#[test]
fn names_that_are_no_file_names_are_refused() {
    let (folder, state) = state();
    let long = "x".repeat(NAME_LIMIT + 1);
    let bad =
        ["", ".", "..", "../x", "a/b", "/etc/passwd", ".hidden", "a\0b", "ä", "x.new", "x.corrupt-1", &long];
    for name in bad {
        assert!(matches!(state.write(name, &1), Err(StateError::Name(_))), "{name:?}");
        assert!(matches!(state.read::<u32>(name), Err(StateError::Name(_))), "{name:?}");
        assert!(matches!(state.remove(name), Err(StateError::Name(_))), "{name:?}");
        assert!(state.subdirectory(name).is_err(), "{name:?}");
    }
    assert_eq!(files(&folder), Vec::<String>::new());
    state.write(&"x".repeat(NAME_LIMIT), &1).unwrap();
}

#[test]
fn concurrent_writers_leave_one_whole_value() {
    let (_folder, state) = state();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let state = state.clone();
            scope.spawn(move || {
                for _ in 0..20 {
                    state.write("shared", &vec![writer; 1000]).unwrap();
                }
            });
        }
    });
    let value: Vec<u32> = state.read("shared").unwrap().unwrap();
    assert!(value.len() == 1000 && value.iter().all(|number| *number == value[0]));
}
