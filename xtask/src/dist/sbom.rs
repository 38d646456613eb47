//! What a program is made of, as CycloneDX 1.5 in JSON (<https://cyclonedx.org/docs/1.5/json/>).
//!
//! Promise: each package that is linked, with version, licence, checksum and where it comes from, and which needs which.
//! Nothing in it is random or of the moment, so that the same program has the same list: the serial number is made of the
//! list, and there is no time.
//!
//! Own code, since what is linked is known to `cargo tree` alone (features of packages that are built together, without
//! macros and build scripts), and what is left then is this (decision 0231).

use anyhow::Result;
use serde_json::{Value, json};

use super::graph::{Graph, Package};

/// The list of a program that was built by this compiler.
pub(super) fn of(graph: &Graph, program: &str, compiler: &str) -> Result<Value> {
    let subject = graph.package(program)?;
    let linked = graph.below(program)?;
    let std = format!("pkg:generic/rust-std@{compiler}");
    let mut components: Vec<Value> = linked.iter().map(|package| component("library", package)).collect();
    components.push(json!({
        "type": "library",
        "bom-ref": std,
        "name": "rust-std",
        "version": compiler,
        "description": "The standard library of the compiler, and what it links",
        "licenses": [{ "expression": "MIT OR Apache-2.0" }],
        "purl": std,
    }));
    let dependencies = std::iter::once(&subject).chain(&linked).map(|package| {
        let mut needs: Vec<String> = graph.needs(package).into_iter().map(purl).collect();
        needs.push(std.clone());
        json!({ "ref": purl(package), "dependsOn": needs })
    });
    let dependencies: Vec<Value> = dependencies.collect();
    let mut bom = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": component("application", subject) },
        "components": components,
        "dependencies": dependencies,
    });
    let serial = serial(&bom.to_string());
    if let Some(bom) = bom.as_object_mut() {
        bom.insert("serialNumber".to_owned(), json!(serial));
    }
    Ok(bom)
}

fn component(kind: &str, package: &Package) -> Value {
    let mut component = json!({
        "type": kind,
        "bom-ref": purl(package),
        "name": package.name,
        "version": package.version,
        "purl": purl(package),
    });
    let Some(fields) = component.as_object_mut() else { return component };
    if let Some(licence) = &package.licence {
        fields.insert("licenses".to_owned(), json!([{ "expression": licence }]));
    }
    if let Some(checksum) = &package.checksum {
        fields.insert("hashes".to_owned(), json!([{ "alg": "SHA-256", "content": checksum }]));
    }
    if let Some(repository) = &package.repository {
        fields.insert("externalReferences".to_owned(), json!([{ "type": "vcs", "url": repository }]));
    }
    component
}

/// The package's name wherever lists are compared (<https://github.com/package-url/purl-spec>).
fn purl(package: &Package) -> String {
    let version = package.version.replace('+', "%2B");
    format!("pkg:cargo/{}@{version}", package.name)
}

/// A UUID made of the list (version 8: by no rule but our own), by FNV-1a of 128 bits. It names the list and proves nothing.
fn serial(text: &str) -> String {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013B;
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    let hash = text.bytes().fold(BASIS, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME));
    let marked = (hash & !(0xf << 76) & !(0b11 << 62)) | (0x8 << 76) | (0b10 << 62);
    let hex = format!("{marked:032x}");
    let (a, rest) = hex.split_at(8);
    let (b, rest) = rest.split_at(4);
    let (c, rest) = rest.split_at(4);
    let (d, e) = rest.split_at(4);
    format!("urn:uuid:{a}-{b}-{c}-{d}-{e}")
}

#[cfg(test)]
mod tests {
    use super::super::graph::tests::small;
    use super::*;

    #[test]
    fn a_list_has_what_is_linked_and_how_it_hangs_together() {
        let bom = of(&small(), "pump", "1.95.0").unwrap();
        assert_eq!((&bom["bomFormat"], &bom["specVersion"]), (&json!("CycloneDX"), &json!("1.5")));
        assert_eq!(bom["metadata"]["component"]["purl"], "pkg:cargo/pump@0.1.0");
        let names: Vec<&str> =
            bom["components"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["core", "log", "serde", "rust-std"]);
        let serde = &bom["components"][2];
        assert_eq!(serde["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(serde["hashes"][0]["content"], format!("{:064x}", 5));
        assert!(bom["components"][0].get("hashes").is_none(), "ours comes from no registry");
        let needs = |name: &str| {
            let all = bom["dependencies"].as_array().unwrap();
            all.iter().find(|one| one["ref"] == format!("pkg:cargo/{name}")).unwrap()["dependsOn"].clone()
        };
        let std = "pkg:generic/rust-std@1.95.0";
        assert_eq!(needs("log@0.4.1"), json!(["pkg:cargo/serde@1.0.0", std]));
        assert_eq!(needs("pump@0.1.0"), json!(["pkg:cargo/core@0.1.0", "pkg:cargo/log@0.4.1", std]));
    }

    #[test]
    fn the_same_program_has_the_same_list_and_another_one_another_number() {
        let list = |program| of(&small(), program, "1.95.0").unwrap();
        assert_eq!(list("pump").to_string(), list("pump").to_string());
        assert_ne!(list("pump")["serialNumber"], list("other")["serialNumber"]);
        let serial = list("pump")["serialNumber"].as_str().unwrap().to_owned();
        let shape: Vec<usize> = serial.trim_start_matches("urn:uuid:").split('-').map(str::len).collect();
        assert_eq!(shape, [8, 4, 4, 4, 12], "{serial}");
        assert_eq!(serial.split('-').nth(2).unwrap().chars().next(), Some('8'), "{serial}");
    }
}
