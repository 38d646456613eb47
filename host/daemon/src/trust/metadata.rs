//! One file of metadata: read, and checked against the keys that may sign it.
//!
//! `tough` has the types and checks the signatures. They are checked over the canonical form of *what was signed*, the
//! JSON as it came, and not over a typed value written out again: members that `tough` has no place for would be lost,
//! and with them the signature. For the same reason both are made from one parse, so that a member that stands there
//! twice cannot mean one thing to the check and another to the reader.

use std::{collections::HashMap, num::NonZeroU64};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize, Serializer, de::DeserializeOwned};
use serde_json::Value;
use tough::schema::{
    self, DelegatedRole, Delegations, Hashes, Metafile, RoleKeys, RoleType, Root, Signature, Signed,
    Snapshot, Targets, Timestamp,
};

use super::{TrustError, error::Role};

/// A role's content.
pub(super) trait Body: schema::Role + DeserializeOwned {
    /// `_type` in the file.
    const NAME: &'static str;
}

impl Body for Root {
    const NAME: &'static str = "root";
}

impl Body for Timestamp {
    const NAME: &'static str = "timestamp";
}

impl Body for Snapshot {
    const NAME: &'static str = "snapshot";
}

impl Body for Targets {
    const NAME: &'static str = "targets";
}

/// A file that reads. Nothing says yet that it is signed by anybody who may.
pub(super) struct Unverified<T> {
    role: Role,
    body: T,
    value: Value,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct File {
    signed: Value,
    signatures: Vec<Signature>,
}

/// Reads a file of this role.
pub(super) fn read<T: Body>(role: Role, bytes: &[u8]) -> Result<Unverified<T>, TrustError> {
    let malformed = |reason: String| TrustError::Malformed { role: role.clone(), reason };
    let file: File = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
    let text = |member: &str| file.signed.get(member).and_then(Value::as_str).unwrap_or_default();
    if text("_type") != T::NAME {
        return Err(malformed(format!("its type is {:?}, wanted is {:?}", text("_type"), T::NAME)));
    }
    if !text("spec_version").starts_with("1.") {
        return Err(malformed(format!("its spec_version is {:?}, known is 1", text("spec_version"))));
    }
    let body = T::deserialize(&file.signed).map_err(|error| malformed(error.to_string()))?;
    Ok(Unverified { body, value: file.signed, signatures: file.signatures, role })
}

impl<T: Body> Unverified<T> {
    /// The content, once enough of the keys that this root names for the role have signed it.
    pub(super) fn verified_by(self, root: &Root) -> Result<T, TrustError> {
        self.check(root)?;
        Ok(self.body)
    }

    /// Only that.
    pub(super) fn check(&self, root: &Root) -> Result<(), TrustError> {
        let exact = Exact { value: &self.value, body: &self.body };
        let signed = Signed { signed: exact, signatures: self.signatures.clone() };
        root.verify_role(&signed).map_err(|error| self.refused(error))
    }

    /// The content before it is verified.
    pub(super) fn claim(&self) -> &T {
        &self.body
    }

    fn refused(&self, error: schema::Error) -> TrustError {
        let role = self.role.clone();
        match error {
            schema::Error::SignatureThreshold { threshold, valid: 0, .. } => {
                TrustError::Signature { role, wanted: threshold }
            }
            schema::Error::SignatureThreshold { threshold, valid, .. } => {
                TrustError::Threshold { role, valid, wanted: threshold }
            }
            schema::Error::DuplicateKeyId { keyid } => TrustError::DuplicateSignature { role, key: keyid },
            other => TrustError::Malformed { role, reason: other.to_string() },
        }
    }
}

impl Unverified<Targets> {
    /// The content, once enough of the keys that the delegating role names have signed it.
    pub(super) fn verified_by_delegation(
        self,
        delegations: &Delegations,
        role: &DelegatedRole,
    ) -> Result<Targets, TrustError> {
        self.verified_by(&as_root(delegations, role))
    }
}

/// What is signed, letter by letter, with the type that `tough` wants to see.
struct Exact<'a, T> {
    value: &'a Value,
    body: &'a T,
}

impl<T> Serialize for Exact<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<T: schema::Role> schema::Role for Exact<'_, T> {
    const TYPE: RoleType = T::TYPE;

    fn expires(&self) -> jiff::Timestamp {
        self.body.expires()
    }

    fn version(&self) -> NonZeroU64 {
        self.body.version()
    }

    fn filename(&self, consistent_snapshot: bool) -> String {
        self.body.filename(consistent_snapshot)
    }
}

/// A delegation as a root that knows only it: one check for both kinds of keys.
fn as_root(delegations: &Delegations, role: &DelegatedRole) -> Root {
    let keys =
        RoleKeys { keyids: role.keyids.clone(), threshold: role.threshold, _extra: HashMap::default() };
    Root {
        spec_version: "1.0.0".to_owned(),
        consistent_snapshot: true,
        version: NonZeroU64::MIN,
        expires: jiff::Timestamp::MAX,
        keys: delegations.keys.clone(),
        roles: HashMap::from([(RoleType::Targets, keys)]),
        _extra: HashMap::default(),
    }
}

/// When a role expires, in seconds since 1970.
pub(super) fn expiry(body: &impl schema::Role) -> u64 {
    u64::try_from(body.expires().as_second()).unwrap_or_default()
}

/// Whether bytes are those that another role's file names, as far as it says: length and SHA-256 are optional there.
pub(super) fn matches(named: &Metafile, bytes: &[u8]) -> bool {
    named.length.is_none_or(|length| length == bytes.len() as u64)
        && named.hashes.as_ref().is_none_or(|hashes| is(hashes, bytes))
}

fn is(hashes: &Hashes, bytes: &[u8]) -> bool {
    digest(&SHA256, bytes).as_ref() == &*hashes.sha256
}
