//! What the device needs of a `plugin.toml`. The host reads it strictly; here unknown keys are left alone.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(super) struct Manifest {
    #[serde(default)]
    methods: Vec<Method>,
    #[serde(default)]
    pub(super) reported: Vec<String>,
    pub(super) desired: Option<String>,
    #[serde(default)]
    pub(super) grants: Grants,
}

#[derive(Debug, Deserialize)]
struct Method {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Grants {
    pub(super) download: Vec<String>,
    pub(super) flash: bool,
    pub(super) restart: bool,
    storage: String,
    pub(super) telemetry: bool,
}

impl Manifest {
    pub(super) fn parse(text: &str) -> Result<Manifest, toml::de::Error> {
        toml::from_str(text)
    }

    pub(super) fn has_method(&self, name: &str) -> bool {
        self.methods.iter().any(|method| method.name == name)
    }
}

impl Grants {
    /// How many bytes the plugin may keep.
    pub(super) fn storage(&self) -> u64 {
        let digits: String = self.storage.chars().take_while(char::is_ascii_digit).collect();
        let number: u64 = digits.parse().unwrap_or_default();
        let unit = match self.storage.get(digits.len()..).unwrap_or_default().trim() {
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "KB" => 1000,
            "MB" => 1_000_000,
            _ => 1,
        };
        number.saturating_mul(unit)
    }

    /// Whether a pattern covers an `https` URL: `https://host[:port|:*]/path`, the host also `*` or
    /// `*.example.com`, the path a prefix.
    pub(super) fn allows_url(&self, url: &str) -> bool {
        let Some(url) = Parts::of(url) else { return false };
        self.download.iter().filter_map(|pattern| Parts::of(pattern)).any(|pattern| {
            let host = match pattern.host.strip_prefix('*') {
                Some(suffix) => url.host.ends_with(suffix),
                None => url.host == pattern.host,
            };
            let port = pattern.port == "*" || url.port == pattern.port;
            host && port && url.path.starts_with(pattern.path.trim_end_matches('*'))
        })
    }
}

struct Parts<'a> {
    host: &'a str,
    port: &'a str,
    path: &'a str,
}

impl Parts<'_> {
    fn of(url: &str) -> Option<Parts<'_>> {
        let rest = url.strip_prefix("https://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "443"));
        Some(Parts { host, port, path: if path.is_empty() { "/" } else { path } })
    }
}
