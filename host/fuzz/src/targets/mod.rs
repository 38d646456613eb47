//! The targets, one module each, and the table of all.

mod admin_socket;
mod boot_records;
mod cached_code;
mod components;
mod connection_strings;
mod device_config;
mod hash_trees;
mod host_abi;
mod http_answers;
mod image_descriptions;
mod manifests;
mod method_payloads;
mod mqtt;
mod partial_files;
mod policies;
mod query;
mod rest;
mod sas_tokens;
mod slot_records;
mod state_files;
mod topics;
mod tuf_metadata;
mod twin_documents;
mod zstd_frames;

pub use tuf_metadata::seeds as tuf_seeds;

/// A surface that others write to.
pub struct Target {
    /// Its name: of its module, of its program in `fuzz/fuzz_targets`, and of its folders with inputs.
    pub name: &'static str,
    /// Takes any bytes, ends soon, and panics where a promise is broken.
    pub run: fn(&[u8]),
    /// The longest input worth trying, in bytes.
    pub longest: usize,
}

macro_rules! targets {
    ($($name:ident: $longest:expr,)*) => {
        /// All of them.
        pub const TARGETS: &[Target] = &[$(Target { name: stringify!($name), run: $name::run, longest: $longest },)*];
    };
}

targets! {
    topics: 512,
    method_payloads: 4096,
    twin_documents: 4096,
    manifests: 4096,
    policies: 4096,
    device_config: 4096,
    components: 4096,
    cached_code: 1024,
    state_files: 2048,
    slot_records: 2048,
    boot_records: 1100,
    connection_strings: 512,
    sas_tokens: 512,
    image_descriptions: 2048,
    http_answers: 2048,
    hash_trees: 1024,
    zstd_frames: 4096,
    partial_files: 1024,
    tuf_metadata: 4096,
    admin_socket: 2048,
    host_abi: 1024,
    mqtt: 2048,
    query: 512,
    rest: 2048,
}

/// The target of this name.
///
/// # Panics
/// Where there is none.
pub fn find(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("there is no target {name}"))
}
