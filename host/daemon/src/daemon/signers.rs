//! The device's signed repositories as the source of orders.

use bytes::Bytes;
use cap_std::fs::Dir;
use futures_util::future::BoxFuture;
use hotshoe_core::digest::Digest;

use crate::admin::{Order, Signed, Source, SourceError};
use crate::trust::{Repositories, Target, TrustError};

/// Signed repositories.
pub(super) struct Signers(pub(super) Repositories);

impl Source for Signers {
    fn plugin<'a>(
        &'a self,
        order: &'a Order,
        directory: Option<&'a Dir>,
    ) -> BoxFuture<'a, Result<(Signed, Bytes), SourceError>> {
        Box::pin(async move { self.find(order, directory).await.map_err(source_error) })
    }

    fn vouch<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Option<Signed>> {
        Box::pin(async move { self.0.vouch(digest).await.map(signed) })
    }
}

impl Signers {
    async fn find(&self, order: &Order, directory: Option<&Dir>) -> Result<(Signed, Bytes), TrustError> {
        let repositories = match directory {
            Some(directory) => self.0.offline(directory)?,
            None => self.0.clone(),
        };
        let Order { name, version, repository, digest } = order;
        let target = repositories.plugin(repository.as_deref(), name, version.as_ref()).await?;
        target.agrees(digest.as_ref(), None, None)?;
        let component = repositories.read(&target).await?;
        Ok((signed(target), component.into()))
    }
}

fn signed(target: Target) -> Signed {
    Signed { repository: target.repository, target: target.name }
}

fn source_error(error: TrustError) -> SourceError {
    let status = match &error {
        TrustError::UnknownRepository { .. } | TrustError::UnknownTarget { .. } => 404,
        TrustError::WrongHardware { .. } | TrustError::Disagreement { .. } => 409,
        TrustError::TooLarge { .. } => 413,
        TrustError::BadTarget { .. } => 422,
        TrustError::Unreachable { .. } => 503,
        TrustError::State(_) => 507,
        // The rest is an attack, or looks like one.
        _ => 403,
    };
    // Once it is signed anew, a repository that had expired is well by itself.
    let transient = error.is_transient() || matches!(error, TrustError::Freeze { .. });
    SourceError { code: error.code(), status, transient, message: error.to_string() }
}
