//! What is no plugin, or one that is made to cost its reader (A9, A10, B14).

use std::fmt::Write as _;

use hotshoe_core::package;

use super::members::{End, Trial};
use super::wat::{MANIFEST, Wat};

// A9: compile bombs. The compiler is a child with three seconds and 256 MiB.

pub(crate) fn functions_without_end() -> Trial {
    let body = "(local.set 0 (i32.mul (i32.add (local.get 0) (i32.const 7)) (i32.rotl (local.get 0) (local.get 1))))";
    let function = format!("(func (param i32 i32) {})", body.repeat(400));
    // A fast machine compiles it in the time that there is.
    Trial::called(
        Wat::with_component(&format!("(core module {})", function.repeat(2500))).plugin(),
        End::Whatever,
    )
}

pub(crate) fn a_function_that_cannot_be_kept_in_registers() -> Trial {
    // Every local is alive at every step.
    let mut body = String::new();
    for step in 0..60_000_u32 {
        let (to, from, other) = (step % 1000, (step * 7 + 3) % 1000, (step * 13 + 5) % 1000);
        write!(body, "(if (local.get {other}) (then (local.set {to} (i32.add (local.get {from}) (local.get {other})))))").unwrap();
    }
    let module = format!("(core module (func (export \"f\") {} {body}))", "(param i32)".repeat(1000));
    Trial::refused(Wat::with_component(&module).plugin(), "compile")
}

pub(crate) fn blocks_in_blocks() -> Trial {
    // Written in binary: a parser of texts has limits of its own.
    let depth = 400_000;
    let mut body = vec![0];
    body.extend([0x02, 0x40].repeat(depth));
    body.extend([0x0b].repeat(depth + 1));
    Trial::refused(
        package::embed(&component_around(&module_with_body(&body)), MANIFEST),
        "the compiler took longer",
    )
}

pub(crate) fn types_in_types() -> Trial {
    let types: String = (1..3000).map(|n| format!("(type $t{n} (tuple $t{} $t{}))", n - 1, n - 1)).collect();
    Trial::refused(
        Wat::with_component(&format!("(type $t0 (tuple u8 u8)) {types}")).plugin(),
        "does not compile",
    )
}

pub(crate) fn components_in_components() -> Trial {
    let mut component = wat::parse_str("(component)").unwrap();
    for _ in 0..2000 {
        component = component_with(4, &component);
    }
    Trial::refused(package::embed(&component, MANIFEST), "does not fit the contract")
}

pub(crate) fn a_file_without_end() -> Trial {
    Trial::refused(vec![0; 25 << 20], "the limit is")
}

// A10: what is none.

pub(crate) fn nothing() -> Trial {
    Trial::refused(Vec::new(), "not a WebAssembly component")
}

pub(crate) fn a_module() -> Trial {
    Trial::refused(package::embed(&wat::parse_str("(module)").unwrap(), MANIFEST), "core WebAssembly module")
}

pub(crate) fn an_executable() -> Trial {
    Trial::refused(
        std::fs::read("/proc/self/exe").map(|bytes| bytes.into_iter().take(1 << 20).collect()).unwrap(),
        "precompiled",
    )
}

pub(crate) fn half_of_a_file() -> Trial {
    let plugin = Wat::well().plugin();
    Trial::refused(plugin.get(..plugin.len() / 2).unwrap().to_vec(), "damaged")
}

pub(crate) fn a_section_that_lies_about_its_size() -> Trial {
    let mut plugin = Wat::well().plugin();
    plugin.extend([0, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3]);
    Trial::refused(plugin, "damaged")
}

pub(crate) fn two_manifests() -> Trial {
    let one = Wat::well().plugin();
    let section = package::embed(b"", MANIFEST);
    Trial::refused([one, section].concat(), "more than one manifest")
}

pub(crate) fn a_manifest_in_a_part() -> Trial {
    let part = package::embed(&wat::parse_str("(component)").unwrap(), MANIFEST);
    Trial::refused(component_with(4, &part), "no manifest")
}

pub(crate) fn a_manifest_without_end() -> Trial {
    let manifest = format!("{MANIFEST}summary = \"{}\"\n", "x".repeat(70 * 1024));
    Trial::refused(package::embed(&Wat::well().bare(), &manifest), "manifest")
}

pub(crate) fn a_manifest_of_tables_in_tables() -> Trial {
    let manifest = format!("{MANIFEST}x = {}1{}\n", "[".repeat(20_000), "]".repeat(20_000));
    Trial::refused(package::embed(&Wat::well().bare(), &manifest), "recurse")
}

pub(crate) fn a_manifest_that_claims_the_hosts_methods() -> Trial {
    let manifest = MANIFEST.replace("\"go\"", "\"hotshoe.installPlugin\"");
    Trial::refused(package::embed(&Wat::well().bare(), &manifest), "the host's own")
}

pub(crate) fn a_manifest_that_claims_the_hosts_properties() -> Trial {
    let manifest = MANIFEST.replace("[[methods]]", "reported = [\"hotshoe.jobs\"]\n[[methods]]");
    Trial::refused(package::embed(&Wat::well().bare(), &manifest), "hotshoe")
}

pub(crate) fn a_name_that_is_a_path() -> Trial {
    let manifest = MANIFEST.replace("zoo.hand-made", "../../etc/zoo");
    Trial::refused(package::embed(&Wat::well().bare(), &manifest), "not a plugin's name")
}

pub(crate) fn imports_that_no_host_has() -> Trial {
    let import = "(import \"acme:secret/door@1.0.0\" (instance (export \"open\" (func))))";
    Trial::refused(
        Wat::with_component(import).plugin(),
        "acme:secret/door@1.0.0, which this host does not have",
    )
}

pub(crate) fn imports_that_it_was_not_granted() -> Trial {
    let import = "(import \"hotshoe:plugin/storage@0.1.1\" (instance (export \"delete\" (func (param \"key\" string)))))";
    Trial::refused(Wat::with_component(import).plugin(), "its manifest does not ask for storage")
}

pub(crate) fn imports_of_another_shape() -> Trial {
    let import = "(import \"hotshoe:plugin/log@0.1.1\" (instance (export \"write\" (func (param \"raw\" (list u8))))))";
    Trial::refused(Wat::with_component(import).plugin(), "does not fit the contract")
}

pub(crate) fn exports_nothing() -> Trial {
    Trial::refused(
        package::embed(&wat::parse_str("(component)").unwrap(), MANIFEST),
        "does not fit the contract",
    )
}

/// A byte of a good plugin is another one: refused or as good as before, and the host is there after each.
pub(crate) fn a_byte_that_is_another(position: usize) -> Trial {
    let mut plugin = Wat::well().plugin();
    let place = 8 + position * 7919 % (plugin.len() - 8);
    if let Some(byte) = plugin.get_mut(place) {
        *byte ^= 1 << (position % 8);
    }
    Trial::called(plugin, End::Whatever)
}

/// A component with one section of this kind.
fn component_with(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut component = vec![0, b'a', b's', b'm', 0x0d, 0, 1, 0, kind];
    push_size(&mut component, content.len());
    component.extend_from_slice(content);
    component
}

/// A component with this module in it.
fn component_around(module: &[u8]) -> Vec<u8> {
    component_with(1, module)
}

/// A module with one function.
fn module_with_body(body: &[u8]) -> Vec<u8> {
    let mut module = vec![0, b'a', b's', b'm', 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10];
    let mut code = vec![1];
    push_size(&mut code, body.len());
    code.extend_from_slice(body);
    push_size(&mut module, code.len());
    module.extend_from_slice(&code);
    module
}

fn push_size(bytes: &mut Vec<u8>, mut size: usize) {
    loop {
        let low = u8::try_from(size % 128).unwrap();
        size /= 128;
        bytes.push(if size == 0 { low } else { low | 128 });
        if size == 0 {
            return;
        }
    }
}
