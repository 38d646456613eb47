//! What a plugin imports, and whether a device has it: one reading for the device, which links, and for the tools,
//! which tell beforehand.
//!
//! The list of imports is the plugin's request for permission, told function by function. An interface of the contract
//! needs its grant. Of WASI, what a standard library needs to start is an empty world on every device; the rest of
//! `wasi:` exists and ends the call. Any other name is refused.

use crate::{
    grants::Grants,
    manifest::{Asked, Manifest, PluginName},
};

/// What the names of the contract's interfaces begin with.
pub const CONTRACT: &str = "hotshoe:plugin/";

/// What of WASI is an empty world of the host's own, without versions: what standard libraries need to start. None
/// reaches a file, the network or another program.
pub const WASI: [&str; 18] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// What becomes of an import.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Import<'a> {
    /// An interface of the contract: needs its grant, see [`granted`].
    Contract(&'a str),
    /// An empty world of the host's own.
    Wasi,
    /// It is there so that a language runtime starts; a call of it ends the plugin's call and names it.
    Trap,
    /// No device has it.
    Unknown,
}

/// What becomes of an import of this name, such as `hotshoe:plugin/flash@0.1.0`.
pub fn classify(name: &str) -> Import<'_> {
    let plain = name.split('@').next().unwrap_or(name);
    if let Some(interface) = plain.strip_prefix(CONTRACT) {
        Import::Contract(interface)
    } else if WASI.contains(&plain) {
        Import::Wasi
    } else if plain.starts_with("wasi:") {
        Import::Trap
    } else {
        Import::Unknown
    }
}

/// Whether an interface of the contract may be called; `None` for one that this host does not have.
pub fn granted(interface: &str, grants: &Grants) -> Option<bool> {
    Some(match interface {
        "download" => !grants.download.is_empty(),
        "flash" => grants.flash,
        "storage" => grants.storage > 0,
        "telemetry" => grants.telemetry,
        "types" | "job" | "report" | "desired" | "log" | "device" => true,
        _ => return None,
    })
}

/// Why an interface may not be called, for the vendor: the policy's denial among `denied`, or that nobody asked.
pub fn denial(plugin: &PluginName, interface: &str, functions: &[&str], denied: &[String]) -> String {
    let asked = format!("{plugin} asks for {interface}");
    let by_policy = denied.iter().find(|denial| denial.starts_with(&asked));
    by_policy.cloned().unwrap_or_else(|| {
        format!(
            "{plugin} imports {} of {interface}; its manifest does not ask for {interface}",
            functions.join(", ")
        )
    })
}

/// Whether a plugin asks for something and gets nothing at all: it is not mounted then, whatever it imports.
pub fn nothing_left(manifest: &Manifest, grants: &Grants) -> bool {
    manifest.grants != Asked::default() && *grants == Grants::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_place() {
        assert_eq!(classify("hotshoe:plugin/flash@0.1.0"), Import::Contract("flash"));
        assert_eq!(classify("wasi:cli/stderr@0.2.6"), Import::Wasi);
        assert_eq!(classify("wasi:io/streams@0.2.0"), Import::Wasi);
        assert_eq!(classify("wasi:filesystem/types@0.2.6"), Import::Trap);
        assert_eq!(classify("wasi:sockets/tcp@0.2.6"), Import::Trap);
        assert_eq!(classify("acme:plugin/flash@0.1.0"), Import::Unknown);
        assert_eq!(classify("env"), Import::Unknown);
    }

    #[test]
    fn an_interface_needs_its_grant() {
        let grants = Grants { flash: true, ..Grants::default() };
        assert_eq!(granted("flash", &grants), Some(true));
        assert_eq!(granted("download", &grants), Some(false));
        assert_eq!(granted("log", &grants), Some(true));
        assert_eq!(granted("sockets", &grants), None);
    }

    #[test]
    fn the_policys_words_come_before_our_own() {
        let name: PluginName = "acme.pump".parse().unwrap();
        let denied = ["acme.pump asks for flash; policy for acme.pump grants nothing".to_owned()];
        assert_eq!(denial(&name, "flash", &["slots"], &denied), denied[0]);
        assert_eq!(
            denial(&name, "download", &["fetch"], &denied),
            "acme.pump imports fetch of download; its manifest does not ask for download"
        );
    }
}
