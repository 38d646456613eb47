//! `[admin]`: where the admin socket stands, and who may connect.

use std::path::{Path, PathBuf};

use super::file;
use crate::admin::Socket;

/// The name of the socket in the state directory, where none is configured.
const DEFAULT: &str = "admin.sock";
/// Where the system lists its groups.
const GROUPS: &str = "/etc/group";

/// The admin socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdminConfig {
    /// The directory that it stands in.
    pub directory: PathBuf,
    /// Its name there, and who may connect.
    pub socket: Socket,
}

/// Relative paths are taken from `base`. The error lists all that is wrong.
pub(super) fn admin(admin: &file::Admin, base: &Path, state: &Path) -> Result<AdminConfig, Vec<String>> {
    let mut problems = Vec::new();
    let path = admin.socket.as_ref().map_or_else(|| state.join(DEFAULT), |path| base.join(path));
    let place = path.parent().zip(path.file_name().and_then(|name| name.to_str()));
    if place.is_none() {
        problems.push(format!("[admin] socket: {} is no place for a socket", path.display()));
    }
    let mode = mode(admin.mode.as_deref()).map_err(|problem| problems.push(problem)).unwrap_or_default();
    let group = admin.group.as_deref().map(|group| group_id(group, Path::new(GROUPS))).transpose();
    let group = group.map_err(|problem| problems.push(problem)).unwrap_or_default();
    match place {
        Some((directory, name)) if problems.is_empty() => Ok(AdminConfig {
            directory: directory.to_owned(),
            socket: Socket { name: name.to_owned(), mode, group },
        }),
        _ => Err(problems),
    }
}

/// Octal, as `chmod` takes it. Who may connect may install plugins: that is never everybody.
fn mode(text: Option<&str>) -> Result<u32, String> {
    let Some(text) = text else { return Ok(0o600) };
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 && mode & 0o007 == 0 => Ok(mode),
        Ok(mode) if mode <= 0o777 => Err(format!(
            "[admin] mode: {text} lets everybody on this device administer it; take 0660 and a group"
        )),
        _ => Err(format!("[admin] mode: {text:?} is no mode such as \"0660\"")),
    }
}

/// A group's number, by its name or as it is written.
fn group_id(group: &str, groups: &Path) -> Result<u32, String> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    let text = std::fs::read_to_string(groups)
        .map_err(|error| format!("[admin] group: {} cannot be read: {error}", groups.display()))?;
    text.lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            if fields.next() != Some(group) {
                return None;
            }
            fields.nth(1)?.parse().ok()
        })
        .ok_or_else(|| {
            format!("[admin] group: there is no group {group:?} on this device; make it or give its number")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(text: &str) -> Result<AdminConfig, Vec<String>> {
        let parsed = hotshoe_core::strict::from_toml(text).unwrap();
        admin(&parsed, Path::new("/etc/hotshoe"), Path::new("/var/lib/hotshoe"))
    }

    #[test]
    fn without_a_word_it_is_the_hosts_own() {
        let default = configured("").unwrap();
        assert_eq!(default.directory, Path::new("/var/lib/hotshoe"));
        assert_eq!(default.socket, Socket { name: "admin.sock".into(), mode: 0o600, group: None });
        let set = configured("socket = \"run/a.sock\"\nmode = \"0660\"\ngroup = \"7\"").unwrap();
        assert_eq!(set.directory, Path::new("/etc/hotshoe/run"));
        assert_eq!(set.socket, Socket { name: "a.sock".into(), mode: 0o660, group: Some(7) });
    }

    #[test]
    fn all_that_is_wrong_is_told_together() {
        let problems =
            configured("socket = \"/\"\nmode = \"0666\"\ngroup = \"no such group\"").unwrap_err().join("\n");
        for word in ["no place", "everybody", "no such group"] {
            assert!(problems.contains(word), "{problems}");
        }
        for mode in ["rw", "8", "01777", ""] {
            assert!(configured(&format!("mode = {mode:?}")).is_err(), "{mode}");
        }
    }

    #[test]
    fn a_group_is_found_by_its_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "root:x:0:\nhotshoe:x:991:ann,bob\n").unwrap();
        assert_eq!(group_id("hotshoe", file.path()), Ok(991));
        assert!(group_id("hot", file.path()).is_err());
    }
}
