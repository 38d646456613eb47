//! `storage`: a small durable store of the plugin's own.
//!
//! Each plugin has a directory that carries its name; its versions share it, other plugins cannot name it. Each key
//! is a file of its own, written as all state is ([`StateDir`]): durable when the call returns. The grant says how
//! many bytes keys and values may take together, in 256 keys at most; what is there is counted at each write, so no counter can drift from
//! the disk. Values of a file that turned out damaged are gone, as `state` does it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Context;
use super::allowance::{TOO_OFTEN, cost};
use super::bindings::hotshoe::plugin::storage::{self, Error};
use super::entry::SOON;
use crate::state::{StateDir, StateError};

/// The longest key, in bytes.
const KEY_LIMIT: usize = 64;
/// The most keys. Each is a file, and takes a block of the disk however short it is.
const KEYS: usize = 256;
/// Files stand under this and the key in hexadecimal, so that no key is a special name.
const PREFIX: &str = "key-";

/// The store of one plugin.
#[derive(Clone)]
struct Store {
    root: StateDir,
    plugin: String,
    quota: u64,
}

impl Store {
    fn dir(&self) -> Result<StateDir, Error> {
        self.root.subdirectory(&self.plugin).map_err(io)
    }

    fn read(dir: &StateDir, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let text: Option<String> = dir.read(&file(key)).map_err(io)?;
        text.map(|text| STANDARD.decode(text).map_err(|error| Error::Io(error.to_string()))).transpose()
    }

    fn keys(dir: &StateDir) -> Result<Vec<String>, Error> {
        let names = dir.names().map_err(io)?;
        let mut keys: Vec<String> = names.iter().filter_map(|name| key(name)).collect();
        keys.sort();
        Ok(keys)
    }

    fn write(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        let size = |key: &str, value: &[u8]| (key.len() as u64).saturating_add(value.len() as u64);
        if size(key, value) > self.quota {
            return Err(Error::Full(self.quota));
        }
        let dir = self.dir()?;
        let mut taken = size(key, value);
        let keys = Self::keys(&dir)?;
        if keys.len() >= KEYS && !keys.iter().any(|other| other == key) {
            return Err(Error::Full(self.quota));
        }
        for other in keys.iter().filter(|other| *other != key) {
            let value = Self::read(&dir, other)?.unwrap_or_default();
            taken = taken.saturating_add(size(other, &value));
        }
        if taken > self.quota {
            return Err(Error::Full(self.quota));
        }
        dir.write(&file(key), &STANDARD.encode(value)).map_err(io)
    }
}

fn io(error: StateError) -> Error {
    Error::Io(error.to_string())
}

fn file(key: &str) -> String {
    key.bytes().fold(PREFIX.to_owned(), |name, byte| format!("{name}{byte:02x}"))
}

fn key(file: &str) -> Option<String> {
    let digits = file.strip_prefix(PREFIX)?.as_bytes();
    let bytes: Option<Vec<u8>> = digits
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect();
    String::from_utf8(bytes?).ok().filter(|key| validate(key).is_ok())
}

fn validate(key: &str) -> Result<(), Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if (1..=KEY_LIMIT).contains(&key.len()) && key.bytes().all(fits) {
        return Ok(());
    }
    let shown: String = key.chars().take(KEY_LIMIT).collect();
    Err(Error::InvalidKey(format!("{shown:?} is not 1 to {KEY_LIMIT} of a-z, A-Z, 0-9, `.`, `_` and `-`")))
}

impl Context {
    /// Does something with the plugin's store, one call of a plugin at a time.
    async fn store<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Store) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let tenant = Arc::clone(&self.tenant);
        if tenant.grants.storage == 0 {
            return Err(Error::Denied(format!("{} was not granted storage", tenant.name)));
        }
        let store = Store {
            root: self.services.state.clone(),
            // No plugin's name holds a `_`, and no name of a state file has a meaning then.
            plugin: tenant.name.as_str().replace('.', "_"),
            quota: tenant.grants.storage,
        };
        let allowance = Arc::clone(&tenant.device.allowance);
        let disk = self.disk();
        let working = disk.blocking(SOON, move || {
            let _alone = allowance.storage.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            work(&store)
        });
        working.await.unwrap_or_else(|text| Err(Error::Io(text)))
    }

    /// Changes the store, as often as a plugin may: each change wears the disk, and a long value more than a short one.
    async fn change(
        &mut self,
        size: usize,
        work: impl FnOnce(&Store) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let allowance = Arc::clone(&self.tenant.device.allowance);
        if !allowance.writes.take(cost(size)).await {
            return Err(Error::Io(TOO_OFTEN.to_owned()));
        }
        self.store(work).await
    }
}

impl storage::Host for Context {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        self.entered("storage.get");
        let value = match validate(&key) {
            Ok(()) => self.store(move |store| Store::read(&store.dir()?, &key)).await,
            Err(error) => Err(error),
        };
        self.answer("storage.get", value)
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        self.entered("storage.set");
        let set = match validate(&key) {
            Ok(()) => self.change(value.len(), move |store| store.write(&key, &value)).await,
            Err(error) => Err(error),
        };
        self.answer("storage.set", set)
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), Error>> {
        self.entered("storage.delete");
        let deleted = match validate(&key) {
            Ok(()) => self.change(0, move |store| store.dir()?.remove(&file(&key)).map_err(io)).await,
            Err(error) => Err(error),
        };
        self.answer("storage.delete", deleted)
    }

    async fn keys(&mut self) -> wasmtime::Result<Result<Vec<String>, Error>> {
        self.entered("storage.keys");
        let keys = self.store(|store| Store::keys(&store.dir()?)).await;
        self.answer("storage.keys", keys)
    }
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;
    use cap_std::fs::Dir;

    use super::*;

    fn store(path: &std::path::Path, plugin: &str, quota: u64) -> Store {
        let root = StateDir::new(Dir::open_ambient_dir(path, ambient_authority()).unwrap());
        Store { root, plugin: plugin.into(), quota }
    }

    fn read(store: &Store, key: &str) -> Option<Vec<u8>> {
        Store::read(&store.dir().unwrap(), key).unwrap()
    }

    #[test]
    fn a_plugin_finds_what_it_stored_and_no_other_plugin_does() {
        let directory = tempfile::tempdir().unwrap();
        let one = store(directory.path(), "acme_one", 1000);
        one.write("state.v1", &[0, 255, 7]).unwrap();
        one.write("..", b"dots are a key like any other").unwrap();

        let again = store(directory.path(), "acme_one", 1000);
        assert_eq!(read(&again, "state.v1"), Some(vec![0, 255, 7]));
        assert_eq!(Store::keys(&again.dir().unwrap()).unwrap(), ["..", "state.v1"]);
        let other = store(directory.path(), "acme_two", 1000);
        assert_eq!(read(&other, "state.v1"), None);
    }

    #[test]
    fn keys_and_values_together_stay_within_the_grant() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path(), "acme_one", 20);
        store.write("a", &[1; 9]).unwrap();
        assert!(matches!(store.write("b", &[1; 10]), Err(Error::Full(20))));
        store.write("b", &[1; 9]).unwrap();
        // Replacing counts the new value alone.
        store.write("a", &[2; 9]).unwrap();
        assert!(matches!(store.write("c", &[]), Err(Error::Full(20))));
        assert_eq!(read(&store, "a"), Some(vec![2; 9]));
    }

    #[test]
    fn a_store_has_so_many_keys_however_short_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path(), "acme_one", 64 * 1024);
        for number in 0..KEYS {
            store.write(&number.to_string(), &[]).unwrap();
        }
        assert!(matches!(store.write("one-more", &[]), Err(Error::Full(_))));
        store.write("7", b"one of them").unwrap();
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        for key in ["", "a/b", "a b", "ü", "a\0", &"x".repeat(65)] {
            assert!(matches!(validate(key), Err(Error::InvalidKey(_))), "{key:?}");
        }
        validate(&"x".repeat(64)).unwrap();
        assert!(file(&"x".repeat(64)).len() <= crate::state::NAME_LIMIT);
    }
}
