//! What can be told of a component without running it: what it imports and exports, down to functions, and how large
//! its parts are.

use hotshoe_core::imports::CONTRACT;
use serde::Serialize;
use wasmparser::{Parser, Payload};
use wit_parser::{Resolve, WorldItem, WorldKey, decoding::DecodedWasm};

/// What every plugin exports.
const EXPORTS: [&str; 3] = ["methods", "jobs", "settings"];

/// A component, looked at.
pub(crate) struct Component {
    /// What it imports, in its order.
    pub(crate) imports: Vec<Imported>,
    /// How large its parts are.
    pub(crate) sizes: Sizes,
    exports: Vec<String>,
}

/// An import and what of it is used.
#[derive(Serialize)]
pub(crate) struct Imported {
    /// The interface, `hotshoe:plugin/flash@0.1.0`, or the name of a function outside of one.
    pub(crate) name: String,
    /// The functions, a resource's as `staging.open`. None where types alone are used.
    pub(crate) functions: Vec<String>,
}

/// Sizes in bytes, over all modules within.
#[derive(Default, Serialize)]
pub(crate) struct Sizes {
    /// The whole file.
    pub(crate) file: usize,
    /// The bodies of functions.
    pub(crate) code: usize,
    /// What memory begins with.
    pub(crate) data: usize,
    /// The names of functions, with which a trap is told.
    pub(crate) names: usize,
}

impl Component {
    /// Decodes and validates the types of a component; the error is in words.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let sizes = sizes(bytes).map_err(|error| format!("it is damaged: {error}"))?;
        let decoded = wit_parser::decoding::decode(bytes);
        let decoded = decoded.map_err(|error| format!("its imports and exports do not read: {error:#}"))?;
        let DecodedWasm::Component(resolve, world) = decoded else {
            return Err("it holds interfaces alone and no code".to_owned());
        };
        let world = resolve.worlds.get(world).ok_or("it has no world")?;
        let imports = world.imports.iter().filter_map(|(key, item)| imported(&resolve, key, item)).collect();
        let exports = world.exports.keys().map(|key| resolve.name_world_key(key)).collect();
        Ok(Component { imports, sizes, exports })
    }

    /// The interfaces of the contract that a plugin exports and this one does not.
    pub(crate) fn missing_exports(&self) -> Vec<String> {
        let has = |wanted: &str| self.exports.iter().any(|name| name.split('@').next() == Some(wanted));
        let names = EXPORTS.iter().map(|name| format!("{CONTRACT}{name}"));
        names.filter(|name| !has(name)).collect()
    }
}

fn imported(resolve: &Resolve, key: &WorldKey, item: &WorldItem) -> Option<Imported> {
    let name = resolve.name_world_key(key);
    match item {
        WorldItem::Interface { id, .. } => {
            let interface = resolve.interfaces.get(*id)?;
            let functions = interface.functions.keys().map(|name| plain(name)).collect();
            Some(Imported { name, functions })
        }
        WorldItem::Function(_) => Some(Imported { name, functions: Vec::new() }),
        WorldItem::Type { .. } => None,
    }
}

/// `staging.open` for `[method]staging.open`, which is how the binary writes it.
fn plain(name: &str) -> String {
    name.split_once(']').map_or(name, |(_, name)| name).to_owned()
}

fn sizes(bytes: &[u8]) -> wasmparser::Result<Sizes> {
    let mut sizes = Sizes { file: bytes.len(), ..Sizes::default() };
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::CodeSectionStart { range, .. } => sizes.code += range.len(),
            Payload::DataSection(section) => sizes.data += section.range().len(),
            Payload::CustomSection(section) if section.name() == "name" => {
                sizes.names += section.range().len();
            }
            _ => {}
        }
    }
    Ok(sizes)
}
