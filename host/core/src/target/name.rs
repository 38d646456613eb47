//! The name of a target: its path in the repository.

use std::{fmt, str::FromStr};

use crate::{manifest::PluginName, target::Kind};

/// Longest name of a target in bytes.
pub const NAME_LIMIT: usize = 255;

/// A target's name. Its text is the path under the repository's targets base, and part of a URL without escapes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum TargetName {
    /// `plugins/<name>/<version>.wasm`.
    Plugin {
        /// The plugin.
        name: PluginName,
        /// In this version.
        version: semver::Version,
    },
    /// `images/<anything>`: at least one more part, each of letters, digits and `._+-`, none beginning with a dot.
    Image(String),
}

/// Why a text is not the name of a target.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{text}` is not the name of a target: {reason}")]
pub struct NameError {
    text: String,
    reason: &'static str,
}

impl TargetName {
    /// What it names.
    pub fn kind(&self) -> Kind {
        match self {
            TargetName::Plugin { .. } => Kind::Plugin,
            TargetName::Image(_) => Kind::Firmware,
        }
    }
}

impl FromStr for TargetName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refused = |reason| NameError { text: text.chars().take(80).collect(), reason };
        if text.len() > NAME_LIMIT {
            return Err(refused("it is longer than 255 bytes"));
        }
        if !text.split('/').all(plain) {
            return Err(refused(
                "its parts are letters, digits and `._+-`, none empty or with a dot in front",
            ));
        }
        match text.split_once('/') {
            Some(("images", _)) => Ok(TargetName::Image(text.to_owned())),
            Some(("plugins", rest)) => {
                plugin(rest).ok_or_else(|| refused("a plugin's is `plugins/<name>/<version>.wasm`"))
            }
            _ => Err(refused("it begins with `plugins/` or `images/`")),
        }
    }
}

fn plain(part: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'+' | b'-');
    !part.is_empty() && !part.starts_with('.') && part.bytes().all(fits)
}

fn plugin(rest: &str) -> Option<TargetName> {
    let (name, file) = rest.split_once('/')?;
    let version = file.strip_suffix(".wasm")?;
    let version: semver::Version = version.parse().ok()?;
    Some(TargetName::Plugin { name: name.parse().ok()?, version })
}

impl fmt::Display for TargetName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetName::Plugin { name, version } => write!(formatter, "plugins/{name}/{version}.wasm"),
            TargetName::Image(path) => formatter.write_str(path),
        }
    }
}

/// What a vendor's role is limited to, as an operator writes it: the beginning of names, with `*` at the end.
///
/// In TUF's own patterns (the specification's `PATHPATTERN`) a `*` does not reach over a `/`. That is why a prefix
/// becomes one or more of them: see [`DelegatedPath::patterns`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct DelegatedPath(String);

/// How many parts an image's name may have beyond a delegated prefix.
const DEPTH: usize = 4;

impl DelegatedPath {
    /// TUF's path patterns that cover just the names with this beginning: `plugins/acme.*/*` for `plugins/acme.*`;
    /// `images/acme/*`, `images/acme/*/*`, … for `images/acme/*` (four parts deep).
    pub fn patterns(&self) -> Vec<String> {
        let prefix = &self.0;
        if let Some(rest) = prefix.strip_prefix("plugins/") {
            return vec![if rest.contains('/') { prefix.clone() } else { format!("{prefix}/*") }];
        }
        (0..DEPTH).map(|depth| format!("{prefix}{}", "/*".repeat(depth))).collect()
    }
}

impl FromStr for DelegatedPath {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refused = |reason| NameError { text: text.chars().take(80).collect(), reason };
        let Some(start) = text.strip_suffix('*') else {
            return Err(refused("a prefix ends with `*`, such as `plugins/acme.*` or `images/acme/*`"));
        };
        let mut parts: Vec<&str> = start.split('/').collect();
        let last = parts.pop().unwrap_or_default();
        let whole = parts.iter().all(|part| plain(part)) && (last.is_empty() || plain(last));
        match parts.first() {
            _ if !whole || text.len() > NAME_LIMIT => {
                Err(refused("before its `*` are letters, digits and `._+-` in parts"))
            }
            Some(&"plugins") if parts.len() <= 2 => Ok(DelegatedPath(text.to_owned())),
            Some(&"plugins") => Err(refused("a plugin's name has two parts after `plugins/`")),
            Some(&"images") => Ok(DelegatedPath(text.to_owned())),
            _ => Err(refused("a prefix begins with `plugins/` or `images/`")),
        }
    }
}

impl fmt::Display for DelegatedPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_their_text() {
        for text in [
            "plugins/acme.pump/1.2.0.wasm",
            "plugins/a/0.0.1-rc.1+build.5.wasm",
            "images/fw.img",
            "images/acme/gateway/fw-2.0.0.img",
        ] {
            assert_eq!(text.parse::<TargetName>().unwrap().to_string(), text);
        }
        let TargetName::Plugin { name, version } = "plugins/acme.pump/1.2.0.wasm".parse().unwrap() else {
            panic!("a plugin")
        };
        assert_eq!((name.as_str(), version), ("acme.pump", semver::Version::new(1, 2, 0)));
    }

    #[test]
    fn what_is_no_name() {
        for text in [
            "",
            "/",
            "plugins",
            "plugins/",
            "plugins/a",
            "plugins/a/1.0.wasm",
            "plugins/a/1.0.0.cwasm",
            "plugins/a/1.0.0",
            "plugins/A/1.0.0.wasm",
            "plugins/a/b/1.0.0.wasm",
            "plugins/../images/x",
            "images",
            "images/",
            "images//x",
            "images/.x",
            "images/../x",
            "images/a b",
            "images/é",
            "images/a%2fb",
            "images/a?b",
            "/images/a",
            "keys/a",
            &format!("images/{}", "x".repeat(250)),
        ] {
            assert!(text.parse::<TargetName>().is_err(), "{text}");
        }
    }

    #[test]
    fn prefixes_become_patterns() {
        let patterns = |text: &str| text.parse::<DelegatedPath>().unwrap().patterns();
        assert_eq!(patterns("plugins/acme.*"), ["plugins/acme.*/*"]);
        assert_eq!(patterns("plugins/*"), ["plugins/*/*"]);
        assert_eq!(patterns("plugins/acme.pump/*"), ["plugins/acme.pump/*"]);
        assert_eq!(patterns("plugins/acme.pump/1.*"), ["plugins/acme.pump/1.*"]);
        assert_eq!(patterns("images/acme/*")[..2], ["images/acme/*", "images/acme/*/*"]);
        for text in
            ["", "*", "plugins", "plugins/a", "plugins/a/b/*", "images/../*", "images//*", "images/a*b*"]
        {
            assert!(text.parse::<DelegatedPath>().is_err(), "{text}");
        }
    }
}
