//! Metadata of a signed repository, through the device's own update of it: what is not signed by the right keys is never
//! believed, and what is signed is read without harm.

use std::{cell::OnceCell, fs, path::PathBuf, sync::Arc};

use cap_std::{ambient_authority, fs::Dir};
use hotshoed::{
    fetch::FetchSettings,
    state::StateDir,
    trust::{Repositories, RepositorySettings, TrustSettings},
};
use ring::{
    digest::{SHA256, digest},
    signature::{Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    device::NOW,
    memory::MemoryFolder,
    pieces::{choice, runtime},
};

const ROLES: [&str; 4] = ["root", "timestamp", "snapshot", "targets"];

struct Stage {
    repositories: Repositories,
    kept: MemoryFolder,
    good: [Value; 4],
    metadata: PathBuf,
    _directory: TempDir,
}

thread_local! {
    static STAGE: OnceCell<Stage> = const { OnceCell::new() };
}

/// Which file is another than it should be, and what it is: all of it, or what is signed in it.
pub(super) fn run(data: &[u8]) {
    let Some((kind, bytes)) = choice(data) else { return };
    let (role, signs) = (usize::from(kind & 3), kind & 4 != 0);
    STAGE.with(|stage| {
        let stage = stage.get_or_init(Stage::new);
        let forged = match serde_json::from_slice::<Value>(bytes) {
            Ok(signed) if signs => sign(role, &signed).to_string().into_bytes(),
            _ if signs => return,
            _ => bytes.to_vec(),
        };
        let file = stage.file(role);
        fs::write(&file, &forged).expect("a file in a temporary directory");
        stage.kept.clear();
        let believed = runtime(stage.repositories.refresh("acme"));
        if role == 0 {
            fs::remove_file(&file).expect("it was written");
        } else {
            fs::write(&file, stage.good[role].to_string()).expect("a file in a temporary directory");
        }
        if believed.is_ok() && !signs {
            // Another file is believed where it says what was signed, in whatever letters.
            let file: Value = serde_json::from_slice(&forged).expect("what is believed is JSON");
            let signed = &file["signed"];
            assert_eq!(*signed, stage.good[role]["signed"], "what nobody signed is believed");
        }
    });
}

impl Stage {
    fn new() -> Stage {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let metadata = directory.path().join("metadata");
        fs::create_dir(&metadata).expect("a directory");
        let good = good();
        let kept = MemoryFolder::default();
        let url = |text: &str| text.parse().expect("a URL");
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = RepositorySettings {
            name: "acme".into(),
            root: good[0].to_string().into_bytes(),
            metadata: url("https://acme.example.com/metadata/"),
            targets: url("https://acme.example.com/targets/"),
            mirrors: Vec::new(),
            directories: Vec::new(),
        };
        let roots = Arc::new(rustls::RootCertStore::empty());
        let mut settings =
            TrustSettings::new(vec![settings], vec!["acme-1".into()], roots, Arc::new(|| NOW), 1);
        settings.fetch = FetchSettings { retries: 0, ..FetchSettings::default() };
        let online = Repositories::open(settings, &StateDir::new(kept.clone())).expect("a good root");
        let dir = Dir::open_ambient_dir(directory.path(), ambient_authority()).expect("a directory");
        let repositories = online.offline(&dir).expect("a directory");
        let stage = Stage { repositories, kept: kept.inner("acme"), good, metadata, _directory: directory };
        for role in 1..4 {
            fs::write(stage.file(role), stage.good[role].to_string()).expect("a file");
        }
        runtime(stage.repositories.refresh("acme")).expect("the good metadata is believed");
        stage
    }

    fn file(&self, role: usize) -> PathBuf {
        self.metadata.join(match role {
            0 => "2.root.json".to_owned(),
            1 => "timestamp.json".to_owned(),
            role => format!("1.{}.json", ROLES[role]),
        })
    }
}

fn pair(role: usize) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[role as u8 + 1; 32]).expect("a seed is a key")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn public(role: usize) -> Value {
    let key = hex(pair(role).public_key().as_ref());
    json!({ "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": key } })
}

fn id(role: usize) -> String {
    hex(digest(&SHA256, public(role).to_string().as_bytes()).as_ref())
}

/// Signed by the role's key, over the canonical form: members are in order, and texts without control characters are the
/// same in both.
fn sign(role: usize, signed: &Value) -> Value {
    let signature = pair(role).sign(signed.to_string().as_bytes());
    json!({ "signed": signed, "signatures": [{ "keyid": id(role), "sig": hex(signature.as_ref()) }] })
}

/// A root, a timestamp, a snapshot and targets.
fn good() -> [Value; 4] {
    let keys: serde_json::Map<String, Value> = (0..4).map(|role| (id(role), public(role))).collect();
    let roles: serde_json::Map<String, Value> = (0..4)
        .map(|role| (ROLES[role].to_owned(), json!({ "keyids": [id(role)], "threshold": 1 })))
        .collect();
    let bodies = [
        json!({ "consistent_snapshot": true, "keys": keys, "roles": roles }),
        json!({ "meta": { "snapshot.json": { "version": 1 } } }),
        json!({ "meta": { "targets.json": { "version": 1 } } }),
        json!({ "targets": { "images/acme/1.img": {
            "length": 5, "hashes": { "sha256": "0".repeat(64) }, "custom": { "kind": "firmware" },
        } } }),
    ];
    let mut role = 0;
    bodies.map(|mut body| {
        let common = json!({
            "_type": ROLES[role], "spec_version": "1.0.31", "version": 1, "expires": "2030-01-01T00:00:00Z",
        });
        if let (Value::Object(body), Value::Object(common)) = (&mut body, common) {
            body.extend(common);
        }
        role += 1;
        sign(role - 1, &body)
    })
}

/// What the corpus of this target begins with: the files that are believed, as they are and to be signed.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (role, file) in good().iter().enumerate() {
        let name = ROLES[role];
        seeds.push((name.to_owned(), [vec![role as u8], file.to_string().into_bytes()].concat()));
        seeds.push((
            format!("{name}-signed"),
            [vec![role as u8 | 4], file["signed"].to_string().into_bytes()].concat(),
        ));
    }
    seeds
}
