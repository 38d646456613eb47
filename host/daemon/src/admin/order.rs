//! What somebody wants on the device, from wherever it comes: the admin socket, a direct method, the desired properties.
//!
//! One way for all of them, so that a plugin is believed for the same reasons whoever asks: a name is resolved by the
//! signed repositories, offline from a directory if need be; a file is vouched for by a repository that knows its
//! digest, else by the digest that whoever asks has named, else by nobody. Whether that is enough is the policy's to
//! say (`swap`).

use bytes::Bytes;
use cap_std::fs::Dir;
use hotshoe_core::digest::{Algorithm, Digest};
use hotshoe_core::manifest::PluginName;
use hotshoe_core::swap::{Demand, Origin, Phase};
use semver::Version;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use crate::artifact::hash::Hasher;
use crate::swap::{Candidate, InstallError, Installed, Plugins};
use crate::trust::{Repositories, Target, TrustError};

/// A plugin by its name, out of a repository. As JSON in the payloads of socket and method.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Order {
    /// Its name.
    pub name: PluginName,
    /// The version; the newest where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The repository; the first that has it where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// A digest that must be signed for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// Why an order was not carried out. Everything is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// It cannot be had from a repository, or is not believed.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The file is not the one that was named.
    #[error(
        "the file has the digest {found}, and {wanted} was named; bring that file, or name the digest of this one"
    )]
    Digest {
        /// What was named.
        wanted: Digest,
        /// What it is.
        found: Digest,
    },
    /// It is not taken.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// The process ends.
    #[error("the device is shutting down; try again later")]
    Interrupted,
}

impl OrderError {
    /// The name for programs. Stays as it is over versions.
    pub fn code(&self) -> &'static str {
        match self {
            OrderError::Trust(error) => error.code(),
            OrderError::Digest { .. } => "digestMismatch",
            OrderError::Install(error) => error.code(),
            OrderError::Interrupted => "busy",
        }
    }

    /// A status in the manner of HTTP.
    pub fn status(&self) -> i32 {
        match self {
            OrderError::Trust(error) => trust_status(error),
            OrderError::Digest { .. } => 409,
            OrderError::Install(error) => error.status(),
            OrderError::Interrupted => 503,
        }
    }

    /// Whether the same may go well later without anybody doing anything about it.
    pub fn is_transient(&self) -> bool {
        match self {
            // Once it is signed anew, a repository that had expired is well by itself.
            OrderError::Trust(error) => error.is_transient() || matches!(error, TrustError::Freeze { .. }),
            OrderError::Digest { .. } => false,
            OrderError::Install(error) => error.is_transient(),
            OrderError::Interrupted => true,
        }
    }
}

/// Carries orders out. Cheap to clone.
#[derive(Clone)]
pub struct Orders {
    /// The plugins.
    pub plugins: Plugins,
    /// Where names are looked up, and who vouches.
    pub repositories: Repositories,
}

type Watch<'a> = &'a (dyn Fn(Phase) + Send + Sync);

impl Orders {
    /// Installs a plugin out of a repository; `directory` is a copy of it, on a stick for example.
    ///
    /// # Errors
    /// See [`OrderError`].
    pub async fn named(
        &self,
        order: &Order,
        directory: Option<&Dir>,
        demand: Demand,
        watch: Watch<'_>,
    ) -> Result<Installed, OrderError> {
        let repositories = match directory {
            Some(directory) => self.repositories.offline(directory)?,
            None => self.repositories.clone(),
        };
        let Order { name, version, repository, digest } = order;
        let target = repositories.plugin(repository.as_deref(), name, version.as_ref()).await?;
        target.agrees(digest.as_ref(), None, None)?;
        let candidate = Candidate {
            component: repositories.read(&target).await?.into(),
            origin: origin(target),
            expected: Some((name.clone(), version.clone())),
            demand,
        };
        Ok(self.plugins.install(candidate, watch).await?)
    }

    /// Installs a plugin from its bytes. `named` is the digest that whoever brings them has named.
    ///
    /// # Errors
    /// See [`OrderError`].
    pub async fn file(
        &self,
        component: Bytes,
        named: Option<&Digest>,
        watch: Watch<'_>,
    ) -> Result<Installed, OrderError> {
        let sha256 = hash(&component, Algorithm::Sha256).await?;
        if let Some(wanted) = named {
            let found = match wanted.algorithm {
                Algorithm::Sha256 => sha256.clone(),
                other => hash(&component, other).await?,
            };
            if found != *wanted {
                return Err(OrderError::Digest { wanted: wanted.clone(), found });
            }
        }
        let origin = match self.repositories.vouch(&sha256).await? {
            Some(target) => origin(target),
            None if named.is_some() => Origin::Digest,
            None => Origin::Unsigned,
        };
        Ok(self.plugins.install(Candidate::new(component, origin), watch).await?)
    }
}

fn origin(target: Target) -> Origin {
    Origin::Signed { repository: target.repository, target: target.name }
}

fn trust_status(error: &TrustError) -> i32 {
    match error {
        TrustError::UnknownRepository { .. } | TrustError::UnknownTarget { .. } => 404,
        TrustError::WrongHardware { .. } | TrustError::Disagreement { .. } => 409,
        TrustError::TooLarge { .. } => 413,
        TrustError::BadTarget { .. } => 422,
        TrustError::Unreachable { .. } => 503,
        TrustError::State(_) => 507,
        // The rest is an attack, or looks like one.
        _ => 403,
    }
}

async fn hash(bytes: &Bytes, algorithm: Algorithm) -> Result<Digest, OrderError> {
    let bytes = bytes.clone();
    let hashed = spawn_blocking(move || {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&bytes);
        hasher.finish()
    });
    hashed.await.map_err(|_| OrderError::Interrupted)
}
