//! The attacks of the TUF specification (1.5.2) and what else a repository, a mirror or a network may try.
//!
//! Each begins with a device that has taken an honest repository, unless it is new; after the attack the honest one
//! goes on, and so does the device.

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::{
    author::{
        ACME, EARLIER, IMAGE, Key, PUMP, ROOT, Repo, SNAPSHOT, STRANGER, Served, TARGETS, TIMESTAMP, hex,
        sha256,
    },
    device::Device,
};

/// What the device is asked for.
#[derive(Clone, Copy)]
enum Ask {
    Resolve(&'static str),
    Plugin(Option<&'static str>),
    Claim(&'static str, &'static str),
}

use Ask::{Claim, Plugin, Resolve};

struct Case {
    name: &'static str,
    /// The error's code.
    refused: &'static str,
    ask: Ask,
    /// The device has seen nothing of the repository but its root.
    new: bool,
    attack: fn(&mut Repo),
}

const fn case(name: &'static str, refused: &'static str, attack: fn(&mut Repo)) -> Case {
    Case { name, refused, ask: Resolve(IMAGE), new: false, attack }
}

const fn asked(ask: Ask, case: Case) -> Case {
    Case { ask, ..case }
}

const fn new(case: Case) -> Case {
    Case { new: true, ..case }
}

/// A later release in which this role has expired.
fn expired(repo: &mut Repo, role: &str) {
    repo.role(role)["expires"] = json!(EARLIER);
    repo.advance();
}

/// A later release in which this role is signed by these.
fn signed_by(repo: &mut Repo, role: &str, keys: &[Key]) {
    repo.signers.insert(role.to_owned(), keys.to_vec());
    repo.advance();
}

/// A later release with this file served otherwise.
fn serving(repo: &mut Repo, role: &str, served: Served) {
    repo.advance();
    repo.serve(&repo.file(role), served);
}

/// A later release whose file of this role is the earlier one.
fn mixed(repo: &mut Repo, role: &str, hashes: bool) {
    repo.hashes = hashes;
    let before = repo.signed(role);
    repo.advance();
    repo.serve(&repo.file(role), Served::Bytes(before));
}

/// Sets a role back by one version after the device saw it, and names it like that all the way up.
fn rolled_back(repo: &mut Repo, role: &str) {
    repo.advance();
    repo.role(role)["version"] = json!(1);
    repo.release();
}

/// A target's `custom` with something else in it.
fn custom(repo: &mut Repo, name: &str, custom: Value) {
    repo.target("acme", name)["custom"] = custom;
    repo.advance();
}

fn root_by(repo: &mut Repo, keys: &[Key], threshold: u64, signers: &[Key]) {
    repo.rotate("root", keys, threshold, signers);
}

const N4: [Key; 3] = [Key(4), Key(5), Key(6)];

const CASES: &[Case] = &[
    // Rollback.
    case("an older timestamp", "rollback", |repo| {
        repo.role("timestamp")["version"] = json!(1);
        repo.put("timestamp");
    }),
    case("a timestamp that names an older snapshot", "rollback", |repo| {
        repo.bump(&["timestamp"]);
        repo.role("snapshot")["version"] = json!(1);
        repo.release_snapshot();
    }),
    case("a snapshot that names older targets", "rollback", |repo| rolled_back(repo, "targets")),
    case("a snapshot that names an older role of a vendor", "rollback", |repo| rolled_back(repo, "acme")),
    case("a snapshot without a vendor that was there", "rollback", |repo| {
        repo.bump(&["timestamp", "snapshot"]);
        repo.role("snapshot")["meta"].as_object_mut().unwrap().remove("acme.json");
        repo.release_snapshot();
    }),
    case("a snapshot without targets", "rollback", |repo| {
        repo.bump(&["timestamp", "snapshot"]);
        repo.role("snapshot")["meta"].as_object_mut().unwrap().remove("targets.json");
        repo.release_snapshot();
    }),
    // Indefinite freeze.
    case("a timestamp that has expired", "freeze", |repo| expired(repo, "timestamp")),
    case("a snapshot that has expired", "freeze", |repo| expired(repo, "snapshot")),
    case("targets that have expired", "freeze", |repo| expired(repo, "targets")),
    case("a vendor's role that has expired", "freeze", |repo| expired(repo, "acme")),
    new(case("an expired timestamp, first contact", "freeze", |repo| expired(repo, "timestamp"))),
    // Mix and match.
    case("the snapshot of before", "mixAndMatch", |repo| mixed(repo, "snapshot", true)),
    case("the snapshot of before, no hashes signed", "mixAndMatch", |repo| mixed(repo, "snapshot", false)),
    case("the targets of before", "mixAndMatch", |repo| mixed(repo, "targets", true)),
    case("the targets of before, no hashes signed", "mixAndMatch", |repo| mixed(repo, "targets", false)),
    case("a vendor's role of before", "mixAndMatch", |repo| mixed(repo, "acme", true)),
    case("a vendor's role of before, no hashes signed", "mixAndMatch", |repo| mixed(repo, "acme", false)),
    case("a byte more than was signed", "endlessData", |repo| {
        repo.advance();
        let mut bytes = repo.signed("snapshot");
        bytes.push(b' ');
        repo.serve(&repo.file("snapshot"), Served::Bytes(bytes));
    }),
    // Endless data.
    case("an endless root", "endlessData", |repo| repo.serve("/metadata/2.root.json", Served::Endless)),
    case("an endless timestamp", "endlessData", |repo| serving(repo, "timestamp", Served::Endless)),
    case("an endless snapshot", "endlessData", |repo| serving(repo, "snapshot", Served::Endless)),
    case("endless targets", "endlessData", |repo| serving(repo, "targets", Served::Endless)),
    case("an endless role of a vendor", "endlessData", |repo| serving(repo, "acme", Served::Endless)),
    case("an endless snapshot, no length signed", "endlessData", |repo| {
        repo.hashes = false;
        serving(repo, "snapshot", Served::Endless);
    }),
    case("a timestamp of a terabyte", "endlessData", |repo| serving(repo, "timestamp", Served::Boast)),
    asked(
        Plugin(Some("1.2.0")),
        case("an endless plugin", "endlessData", |repo| {
            repo.serve(&format!("/targets/{PUMP}"), Served::Endless);
        }),
    ),
    // Slow retrieval, and a mirror that holds back.
    new(case("a timestamp that never comes", "unreachable", |repo| {
        serving(repo, "timestamp", Served::Stall)
    })),
    new(case("a timestamp that comes in drops", "unreachable", |repo| {
        serving(repo, "timestamp", Served::Drip)
    })),
    new(case("no timestamp", "unreachable", |repo| {
        serving(repo, "timestamp", Served::Status("404 Not Found"));
    })),
    new(case("no snapshot", "unreachable", |repo| {
        serving(repo, "snapshot", Served::Status("404 Not Found"))
    })),
    new(case("no targets", "unreachable", |repo| serving(repo, "targets", Served::Status("404 Not Found")))),
    new(case("no role of the vendor", "unreachable", |repo| {
        serving(repo, "acme", Served::Status("404 Not Found"));
    })),
    new(case("a redirect to plain HTTP", "unreachable", |repo| {
        serving(repo, "timestamp", Served::Redirect("http://localhost/timestamp.json"));
    })),
    new(case("a redirect to another server", "unreachable", |repo| {
        serving(repo, "timestamp", Served::Redirect("https://localhost:1/timestamp.json"));
    })),
    // Keys.
    case("a timestamp by a stranger", "signature", |repo| signed_by(repo, "timestamp", &[STRANGER])),
    case("a snapshot by a stranger", "signature", |repo| signed_by(repo, "snapshot", &[STRANGER])),
    case("targets by a stranger", "signature", |repo| signed_by(repo, "targets", &[STRANGER])),
    case("a vendor's role by a stranger", "signature", |repo| signed_by(repo, "acme", &[STRANGER])),
    case("a stolen timestamp key signs a snapshot", "signature", |repo| {
        signed_by(repo, "snapshot", &[TIMESTAMP]);
    }),
    case("stolen timestamp and snapshot keys sign targets", "signature", |repo| {
        signed_by(repo, "targets", &[TIMESTAMP, SNAPSHOT]);
    }),
    case("a vendor signs the operator's targets", "signature", |repo| signed_by(repo, "targets", &[ACME])),
    case("the operator signs for a vendor", "signature", |repo| signed_by(repo, "acme", &[TARGETS])),
    case("another vendor signs for a vendor", "signature", |repo| {
        repo.delegate("targets", "zeta", Key(21), &["images/zeta/*"]);
        signed_by(repo, "acme", &[Key(21)]);
    }),
    case("nobody signs", "signature", |repo| signed_by(repo, "timestamp", &[])),
    case("a signature of something else", "signature", |repo| {
        let signed = repo.signed("timestamp");
        repo.advance();
        let mut file: Value = serde_json::from_slice(&repo.signed("timestamp")).unwrap();
        let before: Value = serde_json::from_slice(&signed).unwrap();
        file["signatures"] = before["signatures"].clone();
        repo.serve("/metadata/timestamp.json", Served::Bytes(file.to_string().into_bytes()));
    }),
    case("a signature under another key's id", "signature", |repo| {
        repo.advance();
        let mut file: Value = serde_json::from_slice(&repo.signed("timestamp")).unwrap();
        file["signatures"] =
            json!([{ "keyid": TIMESTAMP.id(), "sig": STRANGER.sign(&file["signed"])["sig"] }]);
        repo.serve("/metadata/timestamp.json", Served::Bytes(file.to_string().into_bytes()));
    }),
    case("a member that stands there twice", "signature", |repo| {
        repo.advance();
        let text = String::from_utf8(repo.signed("timestamp")).unwrap();
        let twice = format!("{},\"version\":99}}}}", text.strip_suffix("}}").unwrap());
        repo.serve("/metadata/timestamp.json", Served::Bytes(twice.into_bytes()));
    }),
    case("one key of two for the targets", "threshold", |repo| {
        repo.rotate("targets", &[TARGETS, Key(13)], 2, &ROOT[..2]);
        signed_by(repo, "targets", &[TARGETS]);
    }),
    case("one key of two for a vendor", "threshold", |repo| {
        repo.role("targets")["delegations"]["roles"][0]["threshold"] = json!(2);
        repo.advance();
    }),
    case("one key that signs twice for two", "duplicateSignature", |repo| {
        repo.rotate("targets", &[TARGETS, Key(13)], 2, &ROOT[..2]);
        signed_by(repo, "targets", &[TARGETS, TARGETS]);
    }),
    case("one key that is named twice, for two", "threshold", |repo| {
        repo.rotate("targets", &[TARGETS, TARGETS], 2, &ROOT[..2]);
        signed_by(repo, "targets", &[TARGETS]);
    }),
    // Rotation of the root.
    case("a root by one old key of two", "rootRotation", |repo| root_by(repo, &ROOT, 2, &ROOT[..1])),
    case("a root by strangers", "rootRotation", |repo| root_by(repo, &N4, 2, &N4)),
    case("a root by the old keys alone", "rootRotation", |repo| root_by(repo, &N4, 2, &ROOT)),
    case("a root by the old and too few of the new", "rootRotation", |repo| {
        root_by(repo, &N4, 2, &[ROOT[0], ROOT[1], N4[0]]);
    }),
    case("a root by one old key twice", "rootRotation", |repo| root_by(repo, &ROOT, 2, &[ROOT[0], ROOT[0]])),
    case("a root that leaves a version out", "rootRotation", |repo| {
        repo.bump(&["root", "root"]);
        let skipped = repo.signed("root");
        repo.serve("/metadata/2.root.json", Served::Bytes(skipped));
    }),
    case("the same root again", "rootRotation", |repo| {
        let same = repo.signed("root");
        repo.serve("/metadata/2.root.json", Served::Bytes(same));
    }),
    case("a root that is no JSON", "rootRotation", |repo| {
        repo.serve("/metadata/2.root.json", Served::Bytes(b"<html>".to_vec()));
    }),
    case("a root whose key is not what its id says", "rootRotation", |repo| {
        repo.role("root")["keys"][TARGETS.id()] = STRANGER.public();
        root_by(repo, &ROOT, 2, &ROOT);
    }),
    // Files that are not what they should be.
    case("a snapshot in place of a timestamp", "malformed", |repo| {
        repo.advance();
        let mut signed = repo.roles["snapshot"].clone();
        signed["meta"] = json!({ "snapshot.json": { "version": 2 } });
        let file = json!({ "signatures": [TIMESTAMP.sign(&signed)], "signed": signed });
        repo.serve("/metadata/timestamp.json", Served::Bytes(file.to_string().into_bytes()));
    }),
    case("a timestamp that is a page", "malformed", |repo| {
        serving(repo, "timestamp", Served::Bytes(b"<html>Please log in</html>".to_vec()));
    }),
    case("a timestamp that is deep", "malformed", |repo| {
        serving(repo, "timestamp", Served::Bytes("[".repeat(60_000).into_bytes()));
    }),
    case("a timestamp of version 0", "malformed", |repo| {
        repo.role("timestamp")["version"] = json!(0);
        repo.put("timestamp");
    }),
    case("a timestamp without a snapshot", "malformed", |repo| {
        repo.advance();
        repo.role("timestamp")["meta"] = json!({});
        repo.put("timestamp");
    }),
    case("metadata of another specification", "malformed", |repo| {
        repo.role("timestamp")["spec_version"] = json!("2.0.0");
        repo.advance();
    }),
    // Delegations.
    asked(
        Resolve("images/zeta/fw.img"),
        case("a vendor's image outside of its prefix", "outsideDelegation", |repo| {
            repo.add("acme", "images/zeta/fw.img", b"evil", json!({ "kind": "firmware" }));
            repo.advance();
        }),
    ),
    asked(
        Resolve("images/acme/deep/fw.img"),
        case("deeper than the prefix goes", "outsideDelegation", |repo| {
            repo.add("acme", "images/acme/deep/fw.img", b"evil", json!({ "kind": "firmware" }));
            repo.advance();
        }),
    ),
    asked(
        Resolve("images/acme2/fw.img"),
        case("a folder that begins like the prefix", "outsideDelegation", |repo| {
            repo.add("acme", "images/acme2/fw.img", b"evil", json!({ "kind": "firmware" }));
            repo.advance();
        }),
    ),
    asked(
        Resolve("plugins/hotshoe.x/1.0.0.wasm"),
        case("a vendor's plugin under another name", "outsideDelegation", |repo| {
            repo.add("acme", "plugins/hotshoe.x/1.0.0.wasm", b"evil", json!({ "kind": "plugin" }));
            repo.advance();
        }),
    ),
    asked(
        Resolve("images/zeta/fw.img"),
        case("a vendor who gives away what is not his", "outsideDelegation", |repo| {
            repo.delegate("acme", "friend", Key(30), &["images/zeta/*"]);
            repo.add("friend", "images/zeta/fw.img", b"evil", json!({ "kind": "firmware" }));
            repo.advance();
        }),
    ),
    asked(
        Resolve("images/acme/x.img"),
        case("roles that delegate in a circle", "unknownTarget", |repo| {
            repo.delegate("acme", "friend", Key(30), &["images/acme/*"]);
            repo.delegate("friend", "acme", ACME, &["images/acme/*"]);
            repo.advance();
        }),
    ),
    asked(
        Resolve("images/acme/x.img"),
        case("more roles than anybody needs", "tooManyRoles", |repo| {
            for number in 0..70 {
                repo.delegate("targets", &format!("role-{number}"), Key(30), &["images/*/*"]);
            }
            repo.advance();
        }),
    ),
    asked(
        Resolve("images/acme/late.img"),
        case("a role behind a terminating one", "outsideDelegation", |repo| {
            repo.role("targets")["delegations"]["roles"][0]["terminating"] = json!(true);
            repo.delegate("targets", "late", Key(30), &["images/acme/*"]);
            repo.add("late", "images/acme/late.img", b"late", json!({ "kind": "firmware" }));
            repo.advance();
        }),
    ),
    // Wrong software.
    asked(
        Resolve("images/acme/none.img"),
        case("an image that nobody signed", "unknownTarget", |repo| {
            repo.serve("/targets/images/acme/none.img", Served::Bytes(b"evil".to_vec()));
        }),
    ),
    asked(Resolve("readme.txt"), case("a file that is no target", "unknownTarget", |repo| repo.advance())),
    asked(
        Resolve("images/acme/%2e%2e/fw.img"),
        case("a name with dots", "unknownTarget", |repo| repo.advance()),
    ),
    case("an image for other hardware", "wrongHardware", |repo| {
        custom(repo, IMAGE, json!({ "kind": "firmware", "hardware": ["acme-gateway-3"] }));
    }),
    asked(
        Plugin(None),
        case("a plugin for other hardware", "wrongHardware", |repo| {
            for version in ["1.0.0", "1.2.0"] {
                let name = format!("plugins/acme.pump/{version}.wasm");
                repo.target("acme", &name)["custom"]["hardware"] = json!(["acme-gateway-3"]);
            }
            repo.advance();
        }),
    ),
    case("an image that is said to be a plugin", "badTarget", |repo| {
        custom(repo, IMAGE, json!({ "kind": "plugin" }));
    }),
    asked(
        Plugin(Some("1.2.0")),
        case("a plugin that is said to be of another version", "badTarget", |repo| {
            custom(repo, PUMP, json!({ "kind": "plugin", "version": "1.2.1" }));
        }),
    ),
    asked(
        Plugin(Some("1.2.0")),
        case("a plugin that is said to be another one", "badTarget", |repo| {
            custom(repo, PUMP, json!({ "kind": "plugin", "name": "acme.valve" }));
        }),
    ),
    case("a condition that this device does not know", "badTarget", |repo| {
        custom(repo, IMAGE, json!({ "kind": "firmware", "notBefore": "2031-01-01" }));
    }),
    case("an image that says nothing of itself", "badTarget", |repo| custom(repo, IMAGE, json!({}))),
    case("a digest that is short", "badTarget", |repo| {
        repo.target("acme", IMAGE)["hashes"]["sha256"] = json!("abcd");
        repo.advance();
    }),
    asked(Plugin(Some("9.9.9")), case("a version that is not there", "unknownTarget", |repo| repo.advance())),
    asked(
        Plugin(Some("1.2.0")),
        case("a plugin of a gigabyte", "tooLarge", |repo| {
            repo.target("acme", PUMP)["length"] = json!(1 << 30);
            repo.advance();
        }),
    ),
    // Arbitrary installation.
    asked(
        Plugin(Some("1.2.0")),
        case("another plugin's bytes", "wrongBytes", |repo| {
            repo.serve(&format!("/targets/{PUMP}"), Served::Bytes(b"1.2.x".to_vec()));
        }),
    ),
    asked(
        Plugin(Some("1.2.0")),
        case("a part of the plugin", "wrongBytes", |repo| {
            repo.serve(&format!("/targets/{PUMP}"), Served::Bytes(b"1.2".to_vec()));
        }),
    ),
    asked(
        Plugin(Some("1.2.0")),
        case("another BLAKE3 than is signed", "wrongBytes", |repo| {
            custom(
                repo,
                PUMP,
                json!({ "kind": "plugin", "digests": [format!("blake3:{}", "0".repeat(64))] }),
            );
        }),
    ),
    asked(
        Claim("digest", "sha256:0000000000000000000000000000000000000000000000000000000000000000"),
        case("a job that wants another digest", "disagreement", |repo| repo.advance()),
    ),
    asked(
        Claim("digest", "blake3:0000000000000000000000000000000000000000000000000000000000000000"),
        case("a job that wants a digest that nobody signed", "disagreement", |repo| repo.advance()),
    ),
    asked(Claim("size", "10"), case("a job that wants another size", "disagreement", |repo| repo.advance())),
    asked(
        Claim("version", "3.0.0"),
        case("a job that wants another version", "disagreement", |repo| repo.advance()),
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attack_is_refused_by_its_name_and_leaves_nothing_behind() {
    assert!(CASES.len() >= 40, "{} cases", CASES.len());
    let ran = stream::iter(CASES).map(|case| tokio::spawn(async move { (case.name, run(case).await) }));
    let ran: Vec<_> = ran.buffer_unordered(8).collect().await;
    let ran = ran.into_iter().map(|ran| ran.expect("a case does not panic"));
    let wrong: Vec<String> =
        ran.filter_map(|(name, result)| Some(format!("{name}: {}", result.err()?))).collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
}

async fn run(case: &Case) -> Result<(), String> {
    let mut repo = Repo::new();
    let device = Device::new(&repo).await;
    if !case.new {
        // The control: what is to be refused goes well without the attack, and twice for what is seen a second time.
        device.resolve(IMAGE).await.map_err(|error| format!("before: {error}"))?;
        repo.advance();
        device.serve(&repo);
        device.resolve(IMAGE).await.map_err(|error| format!("before: {error}"))?;
        device.plugin(None).await.map_err(|error| format!("before: {error}"))?;
    }
    let mut honest = repo.clone();
    (case.attack)(&mut repo);
    device.serve(&repo);
    let asked = match case.ask {
        Resolve(target) => device.resolve(target).await.map(drop),
        Plugin(version) => device.plugin(version).await.map(drop),
        Claim(what, value) => device.resolve(IMAGE).await.and_then(|target| {
            let digest = (what == "digest").then(|| value.parse().unwrap());
            let size = (what == "size").then(|| value.parse().unwrap());
            target.agrees(digest.as_ref(), size, (what == "version").then_some(value))
        }),
    };
    match asked {
        Ok(()) => return Err("was taken".to_owned()),
        Err(error) if error.code() != case.refused => return Err(format!("{}: {error}", error.code())),
        Err(_) => {}
    }
    // The honest repository goes on. Where the attack held valid keys, its owner must use higher versions than it did.
    for (name, role) in repo.roles.iter().filter(|(name, _)| *name != "root") {
        honest.roles.entry(name.clone()).or_insert_with(|| role.clone())["version"] = json!(10);
        honest.signers.entry(name.clone()).or_insert_with(|| repo.signers[name].clone());
    }
    if repo.roles["root"]["version"] != honest.roles["root"]["version"] && case.refused != "rootRotation" {
        // The root was rotated by those who may; they go on from there.
        honest.roles.insert("root".to_owned(), repo.roles["root"].clone());
        honest.files.insert(repo.file("root"), repo.files[&repo.file("root")].clone());
        honest.signers.insert("targets".to_owned(), vec![TARGETS, Key(13)]);
        if case.name.contains("named twice") {
            return Ok(());
        }
    }
    honest.release();
    device.serve(&honest);
    let after = device.resolve(IMAGE).await.map_err(|error| format!("after: {error}"))?;
    let bytes = device.plugin(Some("1.2.0")).await.map_err(|error| format!("after: {error}"))?;
    if after.digest.hex() != sha256(b"the image") || bytes != b"1.2.0" {
        return Err(format!("after: {} {}", after.digest, hex(&bytes)));
    }
    Ok(())
}
