use cap_std::ambient_authority;
use hotshoe_core::digest::Algorithm;

use super::{hash::Hasher, *};

struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A new process.
    fn store(&self, limit: u64) -> ArtifactStore {
        ArtifactStore::open(Dir::open_ambient_dir(self.0.path(), ambient_authority()).unwrap(), limit)
            .unwrap()
    }

    fn files(&self, folder: &str) -> usize {
        std::fs::read_dir(self.0.path().join(folder)).unwrap().count()
    }
}

fn bytes(seed: u8, length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8 ^ seed).collect()
}

fn digest(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(bytes);
    hasher.finish()
}

fn origin(total: Option<u64>) -> Origin {
    Origin { url: "https://a/x".into(), validator: Some(Validator::Etag("\"1\"".into())), total }
}

fn keep(store: &ArtifactStore, bytes: &[u8]) -> Result<Artifact, ArtifactError> {
    let mut partial = store.partial(&Key::of_digest(&digest(bytes)))?.unwrap();
    partial.begin(origin(Some(bytes.len() as u64)), false)?;
    partial.write(bytes)?;
    partial.finish("https://b/x", Vouched::Request)
}

#[test]
fn a_finished_file_is_found_by_its_digest_by_later_processes_too() {
    let disk = Disk::new();
    let content = bytes(1, 100_000);
    let artifact = keep(&disk.store(1 << 20), &content).unwrap();
    assert_eq!(
        (artifact.size(), artifact.origin(), artifact.vouched()),
        (100_000, "https://b/x", Vouched::Request)
    );
    assert_eq!(artifact.read(99_990, 100).unwrap(), content[99_990..]);
    assert_eq!(artifact.read(100_000, 100).unwrap(), b"");
    assert_eq!(artifact.read(u64::MAX, 100).unwrap(), b"");
    let again = disk.store(1 << 20).find(&digest(&content)).unwrap().unwrap();
    assert_eq!(again.read(0, 100_000).unwrap(), content);
    assert_eq!(again.origin(), "https://b/x");
    assert_eq!(disk.store(1 << 20).find(&digest(b"other")).unwrap().map(|found| found.size()), None);
    assert_eq!((disk.files("whole"), disk.files("partial"), disk.files("journal")), (1, 0, 0));
}

#[test]
fn only_durable_bytes_are_trusted_after_a_crash() {
    let disk = Disk::new();
    let content = bytes(1, 300_000);
    let key = Key::of_digest(&digest(&content));
    let store = disk.store(1 << 20);
    let mut partial = store.partial(&key).unwrap().unwrap();
    partial.begin(origin(Some(300_000)), false).unwrap();
    partial.write(&content[..100_000]).unwrap();
    partial.pause().unwrap();
    partial.begin(origin(Some(300_000)), true).unwrap();
    partial.write(&content[100_000..200_000]).unwrap();
    // The process dies here: nothing was flushed since.
    std::mem::forget(partial);
    let store = disk.store(1 << 20);
    let mut partial = store.partial(&key).unwrap().unwrap();
    assert_eq!(partial.position(), 100_000);
    assert_eq!(partial.origin(), Some(&origin(Some(300_000))));
    partial.begin(origin(Some(300_000)), true).unwrap();
    partial.write(&content[100_000..]).unwrap();
    let artifact = partial.finish("https://b/x", Vouched::Request).unwrap();
    assert_eq!(artifact.read(0, 300_000).unwrap(), content, "the hash went on over what was there");
}

#[test]
fn what_the_journal_does_not_vouch_for_is_thrown_away() {
    let disk = Disk::new();
    let content = bytes(1, 300_000);
    let key = Key::of_digest(&digest(&content));
    type Spoil = fn(&std::path::Path, &str);
    let cases: [(&str, Spoil); 4] = [
        ("no journal", |root, name| std::fs::remove_file(root.join("journal").join(name)).unwrap()),
        ("corrupt journal", |root, name| std::fs::write(root.join("journal").join(name), "x").unwrap()),
        ("shorter than noted", |root, name| {
            std::fs::File::options()
                .write(true)
                .open(root.join("partial").join(name))
                .unwrap()
                .set_len(99)
                .unwrap();
        }),
        ("no file", |root, name| std::fs::remove_file(root.join("partial").join(name)).unwrap()),
    ];
    for (case, spoil) in cases {
        let store = disk.store(1 << 20);
        let mut partial = store.partial(&key).unwrap().unwrap();
        partial.begin(origin(None), false).unwrap();
        partial.write(&content[..200_000]).unwrap();
        partial.pause().unwrap();
        drop(partial);
        assert_eq!(disk.store(1 << 20).partial(&key).unwrap().unwrap().position(), 200_000, "{case}: before");
        spoil(disk.0.path(), key.name());
        assert_eq!(disk.store(1 << 20).partial(&key).unwrap().unwrap().position(), 0, "{case}");
    }
}

#[test]
fn wrong_bytes_are_thrown_away() {
    let disk = Disk::new();
    let store = disk.store(1 << 20);
    let key = Key::of_digest(&digest(b"right"));
    let mut partial = store.partial(&key).unwrap().unwrap();
    partial.begin(origin(None), false).unwrap();
    partial.write(b"wrong").unwrap();
    let Err(ArtifactError::Digest { actual, .. }) = partial.finish("https://b/x", Vouched::Request) else {
        panic!()
    };
    assert_eq!(actual, digest(b"wrong"));
    assert_eq!(
        (store.usage(), disk.files("partial"), disk.files("whole"), disk.files("journal")),
        (0, 0, 0, 0)
    );
    assert_eq!(store.partial(&key).unwrap().unwrap().position(), 0);
}

#[test]
fn one_writer_per_file() {
    let disk = Disk::new();
    let store = disk.store(1 << 20);
    let key = Key::of_url("https://a/x");
    let partial = store.partial(&key).unwrap().unwrap();
    assert!(store.partial(&key).unwrap().is_none());
    assert!(store.partial(&Key::of_url("https://a/y")).unwrap().is_some());
    drop(partial);
    assert!(store.partial(&key).unwrap().is_some());
}

#[test]
fn room_is_made_from_what_nobody_holds_least_recently_used_first() {
    let disk = Disk::new();
    let store = disk.store(1000);
    let files: Vec<_> = (0..3).map(|seed| bytes(seed, 300)).collect();
    for file in &files {
        keep(&store, file).unwrap();
    }
    assert_eq!(store.usage(), 900);
    let find = |file: usize| store.find(&digest(&files[file])).unwrap();
    drop(find(0));
    keep(&store, &bytes(9, 300)).unwrap();
    assert!(find(1).is_none(), "not used for longest");
    let held = (find(0).unwrap(), find(2).unwrap());
    let Err(ArtifactError::NoRoom { needed, available }) = keep(&store, &bytes(8, 500)) else { panic!() };
    assert_eq!((needed, available), (500, 400), "what is held stays");
    assert!(store.find(&digest(&bytes(9, 300))).unwrap().is_some(), "nothing is collected in vain");
    keep(&store, &bytes(8, 400)).unwrap();
    assert_eq!(held.0.read(0, 300).unwrap(), files[0]);
    drop(held);
    assert!(matches!(
        keep(&store, &bytes(7, 1001)),
        Err(ArtifactError::NoRoom { needed: 1001, available: 1000 })
    ));
    keep(&store, &bytes(7, 1000)).unwrap();
    assert_eq!((store.usage(), disk.files("whole"), disk.files("records")), (1000, 1, 1));
}

#[test]
fn room_for_a_body_without_a_length_is_taken_as_it_comes() {
    let disk = Disk::new();
    let store = disk.store(1000);
    let mut partial = store.partial(&Key::of_url("https://a/x")).unwrap().unwrap();
    partial.begin(origin(None), false).unwrap();
    partial.write(&[0; 1000]).unwrap();
    assert!(matches!(partial.write(&[0]), Err(ArtifactError::NoRoom { needed: 1001, available: 1000 })));
    drop(partial);
    let store = disk.store(10 << 20);
    let mut partial = store.partial(&Key::of_url("https://a/x")).unwrap().unwrap();
    partial.begin(origin(None), false).unwrap();
    let mut written = 0;
    let error = loop {
        match partial.write(&[0; 100_000]) {
            Ok(()) => written += 100_000,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ArtifactError::NoRoom { .. }), "{error}");
    assert!(written > 10_000_000 && written <= 10 << 20, "{written}");
    assert!(store.usage() <= store.limit());
}

#[test]
fn an_idle_beginning_is_collected_and_a_busy_one_is_not() {
    let disk = Disk::new();
    let store = disk.store(1000);
    let start = |url: &str| {
        let mut partial = store.partial(&Key::of_url(url)).unwrap().unwrap();
        partial.begin(origin(Some(600)), false).unwrap();
        partial.write(&[1; 600]).unwrap();
        partial.pause().unwrap();
        partial
    };
    let busy = start("https://a/1");
    assert!(matches!(keep(&store, &bytes(1, 500)), Err(ArtifactError::NoRoom { .. })));
    drop(busy);
    keep(&store, &bytes(1, 500)).unwrap();
    assert_eq!(store.partial(&Key::of_url("https://a/1")).unwrap().unwrap().position(), 0);
}

#[test]
fn leftovers_are_removed_when_a_store_is_opened() {
    let disk = Disk::new();
    keep(&disk.store(1 << 20), &bytes(1, 100)).unwrap();
    for stray in ["whole/x", "whole/sha256-00", "partial/y", "journal/z"] {
        std::fs::write(disk.0.path().join(stray), "stray").unwrap();
    }
    let name = digest(&bytes(1, 100)).file_name();
    let record = disk.0.path().join("records");
    std::fs::copy(record.join(&name), record.join("sha256-11")).unwrap();
    let store = disk.store(1 << 20);
    assert!(store.find(&digest(&bytes(1, 100))).unwrap().is_some());
    assert_eq!((disk.files("whole"), disk.files("records"), disk.files("partial")), (1, 1, 0));
}

#[test]
fn what_cannot_be_read_or_removed_does_not_keep_a_store_from_being_opened() {
    let disk = Disk::new();
    let (good, bad) = (bytes(1, 100), bytes(2, 100));
    for content in [&good, &bad] {
        keep(&disk.store(1 << 20), content).unwrap();
    }
    // A folder in place of a file: reading it is an error, as that of a bad sector is, and so is removing it.
    let record = disk.0.path().join("records").join(digest(&bad).file_name());
    std::fs::remove_file(&record).unwrap();
    std::fs::create_dir(&record).unwrap();
    for stray in ["whole/folder", "partial/folder"] {
        std::fs::create_dir(disk.0.path().join(stray)).unwrap();
    }
    // No state file has such a name.
    for stray in ["whole/x~", "whole/.nfs0001", "partial/x~"] {
        std::fs::write(disk.0.path().join(stray), "stray").unwrap();
    }
    let store = disk.store(1 << 20);
    assert!(store.find(&digest(&good)).unwrap().is_some());
    assert!(store.find(&digest(&bad)).unwrap().is_none(), "it can be fetched again");
    assert_eq!((disk.files("whole"), disk.files("partial")), (2, 1), "only the folders stay");
}

#[test]
fn the_same_content_twice_is_one_file() {
    let disk = Disk::new();
    let store = disk.store(1 << 20);
    let first = keep(&store, &bytes(1, 100)).unwrap();
    let mut partial = store.partial(&Key::of_url("https://a/x")).unwrap().unwrap();
    partial.begin(origin(Some(100)), false).unwrap();
    partial.write(&bytes(1, 100)).unwrap();
    let second = partial.finish("https://c/x", Vouched::Nobody).unwrap();
    assert_eq!((first.digest(), store.usage(), disk.files("whole")), (second.digest(), 100, 1));
    assert_eq!(
        store.find_by_url("https://a/x"),
        Some((first.digest().clone(), Validator::Etag("\"1\"".into())))
    );
    assert_eq!(store.find_by_url("https://a/y"), None);
}

#[test]
fn a_full_disk_is_an_error_and_leaves_the_store_whole() {
    // A disk of 3 MiB needs a mount; without the right to make one this says so and stops.
    let disk = Disk::new();
    let mount = |arguments: &[&str]| std::process::Command::new("mount").args(arguments).status();
    let path = disk.0.path().to_str().unwrap();
    if !mount(&["-t", "tmpfs", "-o", "size=3m", "tmpfs", path]).is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: a_full_disk_is_an_error_and_leaves_the_store_whole needs the right to mount");
        return;
    }
    let result = std::panic::catch_unwind(|| {
        let store = disk.store(1 << 30);
        let old = keep(&store, &bytes(1, 500_000)).unwrap();
        drop(old);
        let held = keep(&store, &bytes(2, 500_000)).unwrap();
        let Err(ArtifactError::NoRoom { needed, .. }) = keep(&store, &bytes(3, 3_000_000)) else { panic!() };
        assert_eq!(needed, 3_000_000);
        assert!(store.find(&digest(&bytes(1, 500_000))).unwrap().is_none(), "what nobody holds went first");
        assert_eq!(held.read(0, 500_000).unwrap(), bytes(2, 500_000));
        keep(&store, &bytes(4, 900_000)).unwrap();
        // Without a known size the writes find out.
        let mut partial = store.partial(&Key::of_url("https://a/x")).unwrap().unwrap();
        partial.begin(origin(None), false).unwrap();
        let error = (0..100).find_map(|_| partial.write(&[0; 100_000]).err()).unwrap();
        assert!(matches!(error, ArtifactError::NoRoom { .. }), "{error}");
        drop(partial);
        drop(held);
        let state = StateDir::new(Dir::open_ambient_dir(path, ambient_authority()).unwrap());
        state.write("state", &"x".repeat(500_000)).unwrap();
        let store = disk.store(1 << 30);
        store.find(&digest(&bytes(2, 500_000))).unwrap().unwrap();
        // Others have filled it: what nobody holds makes way, and no more of it than must.
        let room = disk::available(&store.0.partial).unwrap();
        store.make_room(room).unwrap();
        assert!(disk.files("partial") + disk.files("whole") > 0, "there was room");
        store.make_room(room + 1).unwrap();
        assert_eq!(
            (disk.files("partial"), disk.files("whole")),
            (1, 0),
            "a whole one goes before a beginning"
        );
        store.make_room(1 << 30).unwrap();
        assert_eq!((disk.files("partial"), disk.files("whole"), store.usage()), (0, 0, 0));
    });
    let _ = std::process::Command::new("umount").arg(path).status();
    result.unwrap();
}
