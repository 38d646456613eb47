//! `cargo xtask wit`: the contract parses, and every item of it has words and a version.
//!
//! That guest and host bind to the same text needs no check: both read the one directory `wit/`.

use anyhow::{Result, ensure};
use wit_parser::{Docs, Function, Resolve, Stability, TypeDefKind, TypeOwner, WorldItem};

/// What has no words or no version, by path.
type Faults = Vec<String>;

pub(crate) fn run() -> Result<()> {
    let directory = crate::tools::root().join("wit");
    let mut resolve = Resolve { all_features: true, ..Resolve::default() };
    let (package, _) = resolve.push_dir(&directory)?;
    let faults = check(&resolve, package);
    ensure!(faults.is_empty(), "the contract is not complete:\n  {}", faults.join("\n  "));
    let name = resolve.packages.get(package).map(|package| package.name.to_string()).unwrap_or_default();
    println!("{name}: {} interfaces, every item documented and @since", resolve.interfaces.len());
    Ok(())
}

fn check(resolve: &Resolve, package: wit_parser::PackageId) -> Faults {
    let mut faults = Faults::new();
    for (_, world) in resolve.worlds.iter().filter(|(_, world)| world.package == Some(package)) {
        item(&mut faults, &world.name, &world.docs, Some(&world.stability));
        for (key, entry) in world.imports.iter().chain(&world.exports) {
            if let WorldItem::Interface { stability, .. } = entry {
                since(&mut faults, &format!("{}, {}", world.name, resolve.name_world_key(key)), stability);
            }
        }
    }
    for (_, interface) in resolve.interfaces.iter() {
        let name = interface.name.clone().unwrap_or_default();
        item(&mut faults, &name, &interface.docs, Some(&interface.stability));
        for function in interface.functions.values() {
            self::function(&mut faults, &name, function);
        }
    }
    for (_, definition) in resolve.types.iter() {
        let (Some(name), TypeOwner::Interface(owner)) = (&definition.name, definition.owner) else {
            continue;
        };
        let owner = resolve.interfaces.get(owner).and_then(|owner| owner.name.as_deref()).unwrap_or_default();
        let path = format!("{owner}.{name}");
        // `use` makes a type of its own that takes the words of the one it names.
        if matches!(&definition.kind, TypeDefKind::Type(wit_parser::Type::Id(_))) {
            continue;
        }
        item(&mut faults, &path, &definition.docs, Some(&definition.stability));
        for (part, docs) in parts(&definition.kind) {
            item(&mut faults, &format!("{path}.{part}"), docs, None);
        }
    }
    faults
}

/// The fields and cases of a type.
fn parts(kind: &TypeDefKind) -> Vec<(&str, &Docs)> {
    match kind {
        TypeDefKind::Record(record) => record.fields.iter().map(|it| (it.name.as_str(), &it.docs)).collect(),
        TypeDefKind::Variant(variant) => {
            variant.cases.iter().map(|it| (it.name.as_str(), &it.docs)).collect()
        }
        TypeDefKind::Enum(cases) => cases.cases.iter().map(|it| (it.name.as_str(), &it.docs)).collect(),
        TypeDefKind::Flags(flags) => flags.flags.iter().map(|it| (it.name.as_str(), &it.docs)).collect(),
        _ => Vec::new(),
    }
}

fn function(faults: &mut Faults, interface: &str, function: &Function) {
    item(faults, &format!("{interface}.{}", function.name), &function.docs, Some(&function.stability));
}

fn item(faults: &mut Faults, path: &str, docs: &Docs, stability: Option<&Stability>) {
    if docs.contents.as_deref().is_none_or(|text| text.trim().is_empty()) {
        faults.push(format!("{path} has no words"));
    }
    if let Some(stability) = stability {
        since(faults, path, stability);
    }
}

fn since(faults: &mut Faults, path: &str, stability: &Stability) {
    if !matches!(stability, Stability::Stable { .. }) {
        faults.push(format!("{path} has no @since"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Faults {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("test.wit", text).unwrap();
        check(&resolve, package)
    }

    #[test]
    fn what_has_no_words_or_version_is_named() {
        let text = "package a:b@0.1.0;
            interface i {
                /// Words.
                record r { f: u8 }
                /// Words.
                @since(version = 0.1.0)
                g: func();
            }";
        assert_eq!(
            faults(text),
            ["i has no words", "i has no @since", "i.r has no @since", "i.r.f has no words"]
        );
    }
}
