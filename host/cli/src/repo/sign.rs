//! Signing a role: the canonical form and the schema are `tough`'s, the signature is made here.
//!
//! `tough`'s own editor signs targets, snapshot and timestamp in one go with all keys at hand; here a vendor, an operator
//! and a timer hold one key each (docs/decisions/0102). So that nothing is written which a device would refuse, what was
//! signed is checked against the threshold at once.

use std::num::NonZeroU64;

use serde::Serialize;
use tough::schema::{Role, RoleKeys, Signature, Signed};

use super::keys::{Signer, short};
use crate::failure::{Exit, Failure};

/// Signs with every key that one of the `holders` names; each holder must reach its threshold.
pub(super) fn sign<T: Role + Serialize>(
    role: T,
    what: &str,
    holders: &[&RoleKeys],
    signers: &[Signer],
) -> Result<Signed<T>, Failure> {
    holders.iter().try_for_each(|holder| suffice(what, holder, signers))?;
    let bytes = role
        .canonical_form()
        .map_err(|error| Failure::new(Exit::Software, format!("{what} cannot be written: {error}")))?;
    let mut signatures: Vec<Signature> = Vec::new();
    for signer in signers {
        let wanted = holders.iter().any(|holder| holder.keyids.contains(&signer.id));
        if wanted && !signatures.iter().any(|signature| signature.keyid == signer.id) {
            signatures.push(Signature { keyid: signer.id.clone(), sig: signer.sign(&bytes).into() });
        }
    }
    Ok(Signed { signed: role, signatures })
}

/// Refuses where fewer keys are at hand than the holder's threshold asks for.
pub(super) fn suffice(what: &str, holder: &RoleKeys, signers: &[Signer]) -> Result<(), Failure> {
    let found = holder.keyids.iter().filter(|id| signers.iter().any(|signer| signer.id == **id)).count();
    if (found as u64) >= holder.threshold.get() {
        return Ok(());
    }
    let ids: Vec<String> = holder.keyids.iter().map(short).collect();
    let text = format!(
        "signing {what} takes {} of the keys {}; {found} were found",
        holder.threshold,
        ids.join(", ")
    );
    Err(Failure::new(Exit::NoPermission, text)
        .hint("name the directory of keys with --keys DIR, or a key with --key FILE"))
}

/// What a file of metadata holds.
pub(super) fn file<T: Serialize>(signed: &Signed<T>, what: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = serde_json::to_vec_pretty(signed)
        .map_err(|error| Failure::new(Exit::Software, format!("{what} cannot be written: {error}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The next version.
pub(super) fn next(version: NonZeroU64) -> NonZeroU64 {
    version.saturating_add(1)
}
