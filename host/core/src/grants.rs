//! What a plugin may do: what its manifest asks for and the policy allows, computed here and nowhere else.
//!
//! A denial is worded for the vendor, who sees the log of a device and not its policy. Narrowing is not a denial: a
//! plugin that asks for all of `https` and is allowed one host may fetch from that host, and a fetch from another is
//! refused then, with the reason.

mod pattern;

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

pub use pattern::{PatternError, UrlPattern};

use crate::{
    manifest::{Manifest, PluginName},
    policy::{Allowed, Policy},
    units::format_size,
};

/// What a plugin may do.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Grants {
    /// From where files may be fetched.
    pub download: Vec<UrlPattern>,
    /// Whether slots may be written and armed.
    pub flash: bool,
    /// Whether a job may restart the device.
    pub restart: bool,
    /// How many bytes of its own a plugin may keep.
    pub storage: u64,
    /// Whether messages may be sent to the cloud.
    pub telemetry: bool,
}

/// Something a plugin asks for and does not get.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denial {
    /// The plugin.
    pub plugin: PluginName,
    /// What it asks for: `flash`, `download of https://…`.
    pub asked: String,
    /// What the policy does grant it: `download and restart only`, or `nothing`.
    pub granted: String,
}

impl fmt::Display for Denial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Denial { plugin, asked, granted } = self;
        write!(formatter, "{plugin} asks for {asked}; policy for {plugin} grants {granted}")
    }
}

/// What a plugin may do under a policy, and what it is denied.
pub fn grant(manifest: &Manifest, policy: &Policy) -> (Grants, Vec<Denial>) {
    let nothing = Allowed::default();
    let allowed = policy.allowed(&manifest.name).unwrap_or(&nothing);
    let asked = &manifest.grants;
    let mut denied = Vec::new();

    let mut download: Vec<UrlPattern> = Vec::new();
    for pattern in &asked.download {
        let common: Vec<UrlPattern> =
            allowed.download.iter().filter_map(|own| own.narrowed_to(pattern)).collect();
        if common.is_empty() {
            denied.push(format!("download of {pattern}"));
        }
        for pattern in common {
            if !download.contains(&pattern) {
                download.push(pattern);
            }
        }
    }
    let mut flag = |asked: bool, allowed: bool, name: &str| {
        if asked && !allowed {
            denied.push(name.to_owned());
        }
        asked && allowed
    };
    let flash = flag(asked.flash, allowed.flash, "flash");
    let restart = flag(asked.restart, allowed.restart, "restart");
    let telemetry = flag(asked.telemetry, allowed.telemetry, "telemetry");
    if asked.storage > allowed.storage {
        denied.push(format!("storage of {}", format_size(asked.storage)));
    }
    let storage = asked.storage.min(allowed.storage);

    let granted = describe(allowed);
    let denials = denied
        .into_iter()
        .map(|asked| Denial { plugin: manifest.name.clone(), asked, granted: granted.clone() })
        .collect();
    (Grants { download, flash, restart, storage, telemetry }, denials)
}

/// What a policy grants, in words.
fn describe(allowed: &Allowed) -> String {
    let mut parts = Vec::new();
    if !allowed.download.is_empty() {
        let patterns: Vec<String> = allowed.download.iter().map(UrlPattern::to_string).collect();
        parts.push(format!("download of {}", patterns.join(", ")));
    }
    for (granted, name) in
        [(allowed.flash, "flash"), (allowed.restart, "restart"), (allowed.telemetry, "telemetry")]
    {
        if granted {
            parts.push(name.to_owned());
        }
    }
    if allowed.storage > 0 {
        parts.push(format!("storage of {}", format_size(allowed.storage)));
    }
    match parts.as_slice() {
        [] => "nothing".to_owned(),
        [one] => format!("{one} only"),
        [rest @ .., last] => format!("{} and {last} only", rest.join(", ")),
    }
}

impl Grants {
    /// What is in both.
    pub fn within(&self, limit: &Grants) -> Grants {
        let mut download: Vec<UrlPattern> = Vec::new();
        for pattern in
            self.download.iter().flat_map(|own| limit.download.iter().map(|at| own.narrowed_to(at)))
        {
            if let Some(pattern) = pattern.filter(|pattern| !download.contains(pattern)) {
                download.push(pattern);
            }
        }
        Grants {
            download,
            flash: self.flash && limit.flash,
            restart: self.restart && limit.restart,
            storage: self.storage.min(limit.storage),
            telemetry: self.telemetry && limit.telemetry,
        }
    }

    /// What is in these grants and not in the others, a phrase each: `flash`, `download of https://…`. Empty where these
    /// are no wider.
    ///
    /// A pattern of URLs counts as wider unless one pattern of the others covers all of it.
    pub fn beyond(&self, other: &Grants) -> Vec<String> {
        let covered = |pattern: &UrlPattern| {
            other.download.iter().any(|at| at.intersection(pattern).as_ref() == Some(pattern))
        };
        let mut wider: Vec<String> = self
            .download
            .iter()
            .filter(|pattern| !covered(pattern))
            .map(|pattern| format!("download of {pattern}"))
            .collect();
        for (own, others, name) in [
            (self.flash, other.flash, "flash"),
            (self.restart, other.restart, "restart"),
            (self.telemetry, other.telemetry, "telemetry"),
        ] {
            if own && !others {
                wider.push(name.to_owned());
            }
        }
        if self.storage > other.storage {
            wider.push(format!("storage of {}", format_size(self.storage)));
        }
        wider
    }

    /// All of them, a phrase each.
    pub fn phrases(&self) -> Vec<String> {
        self.beyond(&Grants::default())
    }

    /// Whether a file may be fetched from a URL; the error says why not, for the vendor.
    ///
    /// Asked again for every redirect.
    pub fn allows_url(&self, url: &Url) -> Result<(), String> {
        let shown = shown(url);
        if self.download.is_empty() {
            return Err(format!("{shown} cannot be fetched: no download is granted"));
        }
        if url.scheme() != "https" {
            return Err(format!("{shown} cannot be fetched: only https is"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!("{shown} cannot be fetched: a URL with a user name never is"));
        }
        if self.download.iter().any(|pattern| pattern.grants(url)) {
            return Ok(());
        }
        let granted: Vec<String> = self.download.iter().map(UrlPattern::to_string).collect();
        if self.download.iter().any(|pattern| pattern.matches(url)) {
            return Err(format!(
                "{shown} cannot be fetched: `*` is any public host, and this one is granted only by its name; granted is {}",
                granted.join(", ")
            ));
        }
        Err(format!("{shown} is not within what download is granted for: {}", granted.join(", ")))
    }
}

/// A URL for a message: without user name, password, query and fragment, which may hold secrets.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

#[cfg(test)]
mod tests;
