//! Whoever runs a repository, or has stolen some of its keys.
//!
//! Signs by itself and not with the library that verifies: an attacker is not bound to what an editor lets him write.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use ring::{
    digest::{SHA256, digest},
    signature::{Ed25519KeyPair, KeyPair},
};
use serde_json::{Map, Value, json};

/// What a server answers for a file.
#[derive(Clone, Debug)]
pub(crate) enum Served {
    Bytes(Vec<u8>),
    Status(&'static str),
    Redirect(&'static str),
    Endless,
    /// A length beyond all bounds, and nothing after it.
    Boast,
    Stall,
    Drip,
}

pub(crate) type Files = Arc<Mutex<BTreeMap<String, Served>>>;

/// A key, by its number; the same number is the same key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Key(pub(crate) u8);

impl Key {
    fn pair(self) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[self.0; 32]).unwrap()
    }

    pub(crate) fn public(self) -> Value {
        json!({ "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": hex(self.pair().public_key().as_ref()) } })
    }

    pub(crate) fn id(self) -> String {
        sha256(canonical(&self.public()).as_bytes())
    }

    pub(crate) fn sign(self, signed: &Value) -> Value {
        let signature = self.pair().sign(canonical(signed).as_bytes());
        json!({ "keyid": self.id(), "sig": hex(signature.as_ref()) })
    }
}

pub(crate) const ROOT: [Key; 3] = [Key(1), Key(2), Key(3)];
pub(crate) const TIMESTAMP: Key = Key(10);
pub(crate) const SNAPSHOT: Key = Key(11);
pub(crate) const TARGETS: Key = Key(12);
pub(crate) const ACME: Key = Key(20);
pub(crate) const STRANGER: Key = Key(99);

/// A time after that of the tests' clocks.
pub(crate) const LATER: &str = "2030-01-01T00:00:00Z";
pub(crate) const NOW: u64 = 1_800_000_000;
/// A time before.
pub(crate) const EARLIER: &str = "2027-01-01T00:00:00Z";

pub(crate) const PUMP: &str = "plugins/acme.pump/1.2.0.wasm";
pub(crate) const IMAGE: &str = "images/acme/fw-2.0.0.img";

/// A repository. `root`, `timestamp`, `snapshot`, `targets` and those of vendors are what gets signed.
#[derive(Clone, Debug)]
pub(crate) struct Repo {
    pub(crate) roles: BTreeMap<String, Value>,
    /// Who signs what.
    pub(crate) signers: BTreeMap<String, Vec<Key>>,
    pub(crate) files: BTreeMap<String, Served>,
    /// Whether length and hashes of metadata are signed too.
    pub(crate) hashes: bool,
}

impl Repo {
    /// A repository of an operator with the vendor `acme`: a root of 2 in 3 keys, three versions of a plugin, and an
    /// image.
    pub(crate) fn new() -> Repo {
        let role = |keys: &[Key], threshold: u64| json!({ "keyids": keys.iter().map(|key| key.id()).collect::<Vec<_>>(), "threshold": threshold });
        let keys = ROOT.iter().chain(&[TIMESTAMP, SNAPSHOT, TARGETS]);
        let keys: Map<String, Value> = keys.map(|key| (key.id(), key.public())).collect();
        let body =
            |kind: &str| json!({ "_type": kind, "spec_version": "1.0.31", "version": 1, "expires": LATER });
        let with = |kind: &str, more: Value| {
            let mut body = body(kind);
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body
        };
        let roles = BTreeMap::from([
            (
                "root".to_owned(),
                with(
                    "root",
                    json!({ "consistent_snapshot": true, "keys": keys, "roles": {
                        "root": role(&ROOT, 2), "timestamp": role(&[TIMESTAMP], 1),
                        "snapshot": role(&[SNAPSHOT], 1), "targets": role(&[TARGETS], 1),
                    }}),
                ),
            ),
            ("timestamp".to_owned(), with("timestamp", json!({ "meta": {} }))),
            ("snapshot".to_owned(), with("snapshot", json!({ "meta": {} }))),
            ("targets".to_owned(), with("targets", json!({ "targets": {} }))),
        ]);
        let signers = BTreeMap::from([
            ("root".to_owned(), ROOT[..2].to_vec()),
            ("timestamp".to_owned(), vec![TIMESTAMP]),
            ("snapshot".to_owned(), vec![SNAPSHOT]),
            ("targets".to_owned(), vec![TARGETS]),
        ]);
        let mut repo = Repo { roles, signers, files: BTreeMap::new(), hashes: true };
        repo.delegate("targets", "acme", ACME, &["plugins/acme.*/*", "images/acme/*"]);
        for version in ["1.0.0", "1.2.0", "1.3.0-rc.1"] {
            let custom = json!({ "kind": "plugin", "name": "acme.pump", "version": version });
            repo.add("acme", &format!("plugins/acme.pump/{version}.wasm"), version.as_bytes(), custom);
        }
        let custom = json!({ "kind": "firmware", "version": "2.0.0", "hardware": ["acme-gateway-1", "acme-gateway-2"] });
        repo.add("acme", IMAGE, b"the image", custom);
        repo.put("root");
        repo.release();
        repo
    }

    pub(crate) fn role(&mut self, name: &str) -> &mut Value {
        self.roles.get_mut(name).unwrap()
    }

    /// Gives a role to a key, for names like these.
    pub(crate) fn delegate(&mut self, from: &str, name: &str, key: Key, paths: &[&str]) {
        let role = json!({ "name": name, "keyids": [key.id()], "threshold": 1, "paths": paths, "terminating": false });
        let delegator = self.role(from).as_object_mut().unwrap();
        let delegations =
            delegator.entry("delegations").or_insert_with(|| json!({ "keys": {}, "roles": [] }));
        delegations["keys"][key.id()] = key.public();
        delegations["roles"].as_array_mut().unwrap().push(role);
        self.roles.entry(name.to_owned()).or_insert_with(
            || json!({ "_type": "targets", "spec_version": "1.0.31", "version": 1, "expires": LATER, "targets": {} }),
        );
        self.signers.insert(name.to_owned(), vec![key]);
    }

    /// Adds a target and its file.
    pub(crate) fn add(&mut self, role: &str, name: &str, bytes: &[u8], custom: Value) {
        self.role(role)["targets"][name] =
            json!({ "length": bytes.len(), "hashes": { "sha256": sha256(bytes) }, "custom": custom });
        self.files.insert(format!("/targets/{name}"), Served::Bytes(bytes.to_vec()));
    }

    /// What is signed of a target.
    pub(crate) fn target(&mut self, role: &str, name: &str) -> &mut Value {
        &mut self.role(role)["targets"][name]
    }

    /// Signs a role as it is and puts it where it belongs.
    pub(crate) fn put(&mut self, role: &str) {
        let file = self.file(role);
        let bytes = self.signed(role);
        self.files.insert(file, Served::Bytes(bytes));
    }

    pub(crate) fn file(&self, role: &str) -> String {
        match role {
            "timestamp" => "/metadata/timestamp.json".to_owned(),
            role => format!("/metadata/{}.{role}.json", self.roles[role]["version"]),
        }
    }

    pub(crate) fn signed(&self, role: &str) -> Vec<u8> {
        let signed = &self.roles[role];
        let signatures: Vec<Value> = self.signers[role].iter().map(|key| key.sign(signed)).collect();
        json!({ "signed": signed, "signatures": signatures }).to_string().into_bytes()
    }

    /// Publishes all but the root, with what names what.
    pub(crate) fn release(&mut self) {
        let names: Vec<String> = self.roles.keys().cloned().collect();
        for name in names.iter().filter(|name| !matches!(name.as_str(), "root" | "timestamp" | "snapshot")) {
            self.put(name);
            let meta = self.meta(name);
            self.role("snapshot")["meta"][format!("{name}.json")] = meta;
        }
        self.release_snapshot();
    }

    /// Publishes snapshot and timestamp.
    pub(crate) fn release_snapshot(&mut self) {
        self.put("snapshot");
        self.release_timestamp();
    }

    pub(crate) fn release_timestamp(&mut self) {
        let meta = self.meta("snapshot");
        self.role("timestamp")["meta"] = json!({ "snapshot.json": meta });
        self.put("timestamp");
    }

    /// What is said of a role's file.
    pub(crate) fn meta(&self, role: &str) -> Value {
        let version = &self.roles[role]["version"];
        if !self.hashes {
            return json!({ "version": version });
        }
        let bytes = self.signed(role);
        json!({ "version": version, "length": bytes.len(), "hashes": { "sha256": sha256(&bytes) } })
    }

    /// The next versions of these roles.
    pub(crate) fn bump(&mut self, roles: &[&str]) {
        for role in roles {
            let version = self.role(role)["version"].as_u64().unwrap();
            self.role(role)["version"] = json!(version + 1);
        }
    }

    /// The next versions of all but the root, published.
    pub(crate) fn advance(&mut self) {
        let names: Vec<String> = self.roles.keys().filter(|name| *name != "root").cloned().collect();
        self.bump(&names.iter().map(String::as_str).collect::<Vec<_>>());
        self.release();
    }

    /// Has other keys for a role from the next root on, which is signed by these.
    pub(crate) fn rotate(&mut self, role: &str, keys: &[Key], threshold: u64, signers: &[Key]) {
        self.bump(&["root"]);
        let root = self.role("root");
        for key in keys {
            root["keys"][key.id()] = key.public();
        }
        root["roles"][role] =
            json!({ "keyids": keys.iter().map(|key| key.id()).collect::<Vec<_>>(), "threshold": threshold });
        if role != "root" {
            self.signers.insert(role.to_owned(), keys.to_vec());
        }
        self.signers.insert("root".to_owned(), signers.to_vec());
        self.put("root");
    }

    /// Serves a file otherwise.
    pub(crate) fn serve(&mut self, file: &str, served: Served) {
        self.files.insert(file.to_owned(), served);
    }
}

/// Canonical JSON: members sorted, nothing between them.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<&String, &Value> = members.iter().collect();
            let members: Vec<String> =
                sorted.iter().map(|(name, value)| format!("{}:{}", json!(name), canonical(value))).collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
