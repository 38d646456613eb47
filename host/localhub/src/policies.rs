//! Shared access policies: named keys that grant rights over the whole hub (`iothub.md` §1.3, §6.1).
//!
//! A fresh hub makes the five that IoT Hub has, with random keys, and keeps them. A token that names a policy
//! (`skn`) is signed with one of its keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::identity::generate_key;
use crate::store::{Store, StoreError};

/// What a policy allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    /// Read identities.
    RegistryRead,
    /// Create, change and delete identities; includes reading.
    RegistryReadWrite,
    /// Twins, direct methods, queries.
    ServiceConnect,
    /// Connect as any device.
    DeviceConnect,
    /// The hub's own endpoints under `/localhub/`: the owner's alone.
    Owner,
}

#[derive(Serialize, Deserialize)]
struct Keys {
    primary: String,
    secondary: String,
}

/// The policies with their keys.
pub(crate) struct Policies(BTreeMap<String, Keys>);

const NAMES: [&str; 5] = ["iothubowner", "service", "device", "registryRead", "registryReadWrite"];

impl Policies {
    pub(crate) fn load_or_make(store: &Store) -> Result<Self, StoreError> {
        if let Some(policies) = store.setting("policies")? {
            return Ok(Self(policies));
        }
        let make =
            |name: &str| (name.to_owned(), Keys { primary: generate_key(), secondary: generate_key() });
        let policies = NAMES.into_iter().map(make).collect();
        store.keep_setting("policies", &policies)?;
        Ok(Self(policies))
    }

    /// The keys of a policy that has the right; none if it has not, or does not exist.
    pub(crate) fn keys(&self, policy: &str, right: Right) -> impl Iterator<Item = &str> {
        let granted = grants(policy, right).then(|| self.0.get(policy)).flatten();
        granted.into_iter().flat_map(|keys| [keys.primary.as_str(), keys.secondary.as_str()])
    }

    /// The primary key of a policy, if there is one of that name.
    pub(crate) fn primary_key(&self, policy: &str) -> Option<&str> {
        self.0.get(policy).map(|keys| keys.primary.as_str())
    }

    /// The primary key of `iothubowner`.
    pub(crate) fn owner_key(&self) -> &str {
        self.0.get("iothubowner").map_or("", |keys| keys.primary.as_str())
    }
}

fn grants(policy: &str, right: Right) -> bool {
    match policy {
        "iothubowner" => true,
        "service" => right == Right::ServiceConnect,
        "device" => right == Right::DeviceConnect,
        "registryRead" => right == Right::RegistryRead,
        "registryReadWrite" => matches!(right, Right::RegistryRead | Right::RegistryReadWrite),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_opens_no_more_than_its_right() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("hub.redb")).unwrap();
        let policies = Policies::load_or_make(&store).unwrap();
        assert_eq!(policies.keys("registryRead", Right::RegistryReadWrite).count(), 0);
        assert_eq!(policies.keys("registryReadWrite", Right::RegistryRead).count(), 2);
        assert_eq!(policies.keys("service", Right::Owner).count(), 0);
        assert_eq!(policies.keys("nobody", Right::RegistryRead).count(), 0);
        let again = Policies::load_or_make(&store).unwrap();
        assert_eq!(policies.owner_key(), again.owner_key());
    }
}
