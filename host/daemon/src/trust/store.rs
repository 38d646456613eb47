//! What one repository made this device believe, durable: one state file a role, just the bytes as they came.
//!
//! Each file is written whole or not at all ([`StateDir`]), and before what it says is used. That they are of one state
//! of the repository is not promised: a power cut may leave a new timestamp beside an old snapshot. It need not be,
//! since whoever reads them verifies them again from the root upwards.

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::TrustError;
use crate::state::{StateDir, StateError};

/// A role's metadata, as it was signed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// The role.
    pub role: String,
    /// The file's text.
    pub text: String,
    /// With a timestamp: it is this late at least, in seconds since 1970.
    #[serde(default)]
    pub floor: u64,
    /// With a root: what names the roots that led to it, from the one that the device was given on. Empty where that was
    /// not noted yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lineage: Vec<String>,
}

/// The files of one refresh that went well.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Whole {
    pub(super) timestamp: String,
    pub(super) snapshot: String,
    pub(super) targets: String,
}

/// The state file that holds them.
const WHOLE: &str = "whole";

#[derive(Clone, Debug)]
pub(super) struct Store(StateDir);

impl Store {
    pub(super) fn new(state: StateDir) -> Self {
        Self(state)
    }

    /// What is kept of a role. None if there is nothing, or nothing that reads.
    pub(super) async fn read(&self, role: &str) -> Result<Option<Kept>, TrustError> {
        let (state, name, role) = (self.0.clone(), file_name(role), role.to_owned());
        let kept = blocking(move || state.read::<Kept>(&name)).await?;
        Ok(kept.filter(|kept| kept.role == role))
    }

    /// Keeps a role. Durable when it returns.
    pub(super) async fn write(&self, role: &str, bytes: &[u8], floor: u64) -> Result<String, TrustError> {
        self.write_kept(Kept { role: role.to_owned(), text: text(bytes), floor, lineage: Vec::new() }).await
    }

    /// Keeps a root, and which led to it. Durable when it returns.
    pub(super) async fn write_root(&self, bytes: &[u8], lineage: &[String]) -> Result<(), TrustError> {
        let lineage = lineage.to_vec();
        self.write_kept(Kept { role: "root".to_owned(), text: text(bytes), floor: 0, lineage }).await?;
        Ok(())
    }

    async fn write_kept(&self, kept: Kept) -> Result<String, TrustError> {
        let (state, name) = (self.0.clone(), file_name(&kept.role));
        blocking(move || state.write(&name, &kept).map(|()| kept.text)).await
    }

    /// What was whole last.
    pub(super) async fn read_whole(&self) -> Result<Option<Whole>, TrustError> {
        let state = self.0.clone();
        blocking(move || state.read(WHOLE)).await
    }

    /// Keeps what is whole, unless it is kept already.
    pub(super) async fn write_whole(&self, whole: &Whole) -> Result<(), TrustError> {
        let (state, whole) = (self.0.clone(), whole.clone());
        blocking(move || match state.read::<Whole>(WHOLE)? {
            Some(kept) if kept == whole => Ok(()),
            _ => state.write(WHOLE, &whole),
        })
        .await
    }

    /// All that is kept.
    pub(super) async fn all(&self) -> Result<Vec<Kept>, TrustError> {
        let state = self.0.clone();
        blocking(move || {
            let names = state.names()?;
            let roles = names.iter().filter(|name| *name != WHOLE);
            roles.filter_map(|name| state.read::<Kept>(name).transpose()).collect()
        })
        .await
    }
}

/// It was parsed as JSON before, which is UTF-8.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The names of delegated roles are the repository's: they become file names only as a hash.
fn file_name(role: &str) -> String {
    match role {
        "root" | "timestamp" | "snapshot" | "targets" => role.to_owned(),
        delegated => {
            let hash = digest(&SHA256, delegated.as_bytes());
            let hex: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
            format!("role-{hex}")
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StateError> + Send + 'static,
) -> Result<T, TrustError> {
    match crate::disk::blocking(work).await {
        Ok(result) => Ok(result?),
        // The runtime ends.
        Err(error) => Err(TrustError::State(StateError::Io {
            name: "trust".to_owned(),
            action: "reach",
            source: std::io::Error::other(error),
        })),
    }
}
