//! From the file to the configuration: every check, all findings collected.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hotshoe_core::policy::{self, Policy};
use hotshoe_core::strict::{self, StrictError};
use rustls::RootCertStore;
use serde_json::{Value, json};

use super::file::{self, File};
use super::{
    Config, ConfigError, DownloadConfig, FenceConfig, PluginConfig, SafeModeSettings, Surroundings, pem,
};
use super::{admin, flash};

pub(super) fn load(path: &Path, surroundings: &Surroundings) -> Result<Config, ConfigError> {
    let fail = |problems| ConfigError { file: path.to_owned(), problems };
    let text =
        std::fs::read_to_string(path).map_err(|error| fail(vec![format!("it cannot be read: {error}")]))?;
    let file = read(&text).map_err(|error| fail(vec![error.to_string()]))?;
    let base = std::path::absolute(path).ok().and_then(|path| path.parent().map(Path::to_owned));
    let mut check = Check { base: base.unwrap_or_default(), surroundings, problems: Vec::new() };
    match check.config(file) {
        Some(config) if check.problems.is_empty() => Ok(config),
        _ => Err(fail(check.problems)),
    }
}

/// Reads the text alone.
pub(super) fn read(text: &str) -> Result<File, StrictError> {
    strict::from_toml(text)
}

pub(super) struct Check<'a> {
    /// The directory of the configuration.
    base: PathBuf,
    pub(super) surroundings: &'a Surroundings,
    problems: Vec<String>,
}

impl Check<'_> {
    /// `None` only where a problem was noted.
    fn config(&mut self, file: File) -> Option<Config> {
        let policy = self.policy(file.policy.as_deref());
        let aot = self.aot(file.aot.as_deref());
        let boot_id = self.boot_id(&file.boot_id_file);
        let hub = self.hub(&file.hub);
        let flash = file.flash.as_ref().map(|flash| flash::flash(flash, &self.base));
        let flash = flash.transpose().map_err(|problems| self.problems.extend(problems)).unwrap_or_default();
        let plugins = self.plugins(&file.plugins);
        let repositories = self.repositories(&file.repositories);
        self.hardware(&file.hardware);
        if file.restart.command.first().is_some_and(String::is_empty) {
            self.problem("[restart] command: the program is empty");
        }
        if file.safe_mode.starts < 2 {
            self.problem("[safe_mode] starts: at least 2, or the first stumble ends in safe mode");
        }
        if file.download.limit == 0 {
            self.problem("[download] limit: 0 bytes leave no room for any file");
        }
        let download_roots = self.download_roots(file.download.ca_file.as_deref());
        let state = self.path(&file.state);
        let admin = admin::admin(&file.admin, &self.base, &state);
        let admin = admin.map_err(|problems| self.problems.extend(problems)).ok();
        let hub = hub?;
        Some(Config {
            state,
            policy: policy?,
            aot,
            boot_id: boot_id?,
            hub,
            download: DownloadConfig {
                limit: file.download.limit,
                roots: download_roots?,
                stall_timeout: file.download.stall_timeout,
                backoff: file.download.backoff,
                retries: file.download.retries,
                deadline: file.download.deadline,
            },
            flash,
            restart: file.restart.command,
            safe_mode: SafeModeSettings {
                starts: file.safe_mode.starts,
                stable_after: file.safe_mode.stable_after,
                retry_after: file.safe_mode.retry_after,
            },
            fence: FenceConfig {
                mode: file.fence.mode,
                read: file.fence.read.iter().map(|path| self.path(path)).collect(),
            },
            admin: admin?,
            plugins,
            hardware: file.hardware,
            repositories,
        })
    }

    fn policy(&mut self, path: Option<&Path>) -> Option<Policy> {
        let Some(path) = path else { return Some(Policy::default()) };
        let path = self.path(path);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()));
        let text = self.note("policy", text)?;
        let parsed = policy::parse(&text).map_err(|error| format!("{}: {error}", path.display()));
        self.note("policy", parsed)
    }

    /// Without the compiler the plugins that were compiled before still serve: no problem of the configuration.
    fn aot(&self, path: Option<&Path>) -> PathBuf {
        match (path, &self.surroundings.program_directory) {
            (Some(path), _) => self.path(path),
            (None, Some(directory)) => directory.join("hotshoe-aot"),
            (None, None) => PathBuf::from("/usr/libexec/hotshoe-aot"),
        }
    }

    fn boot_id(&mut self, path: &Path) -> Option<String> {
        let path = self.path(path);
        let read = std::fs::read_to_string(&path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))
            .and_then(|text| {
                let text = text.trim().to_owned();
                let fits =
                    (1..=128).contains(&text.len()) && text.chars().all(|letter| letter.is_ascii_graphic());
                if fits { Ok(text) } else { Err(format!("{} holds no boot id", path.display())) }
            });
        self.note("boot_id_file", read)
    }

    /// The system's roots and those of a file. A hub's own certificate authority vouches for no file server unless
    /// it is named there too.
    fn download_roots(&mut self, path: Option<&Path>) -> Option<Arc<RootCertStore>> {
        let mut roots = pem::system_roots();
        if let Some(path) = path {
            let loaded = pem::roots(&self.path(path));
            roots.extend(self.note("[download] ca_file", loaded)?.roots);
        }
        Some(Arc::new(roots))
    }

    fn plugins(&mut self, plugins: &[file::Plugin]) -> Vec<PluginConfig> {
        let mut seen = HashSet::new();
        let mut list = Vec::new();
        for plugin in plugins {
            let file = self.path(&plugin.file);
            if !seen.insert(file.clone()) {
                self.problem(&format!("[[plugins]]: {} stands there twice", file.display()));
            }
            let settings = match &plugin.settings {
                Some(table) => serde_json::to_value(table).map_err(|error| error.to_string()),
                None => Ok(json!({})),
            };
            let place = format!("[[plugins]] {}: settings", file.display());
            list.push(PluginConfig { settings: self.note(&place, settings).unwrap_or(Value::Null), file });
        }
        list
    }

    pub(super) fn path(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    pub(super) fn problem(&mut self, problem: &str) {
        self.problems.push(problem.to_owned());
    }

    pub(super) fn note<T>(&mut self, place: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|error| self.problem(&format!("{place}: {error}"))).ok()
    }
}
