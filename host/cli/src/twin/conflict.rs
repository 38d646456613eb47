//! Why a change under a condition was not made: which etag was asked for, and which the twin has.

use serde_json::Value;

use crate::{
    context::Context,
    failure::Failure,
    hub::{HubError, Of},
};

/// The etag without the quotes in which it may be copied.
pub(super) fn plain(etag: Option<&str>) -> Option<&str> {
    etag.map(|etag| etag.trim_matches('"'))
}

/// The failure of a change; where the etag was the reason, the twin is asked for its own.
pub(super) async fn explained(
    context: &Context<'_>,
    of: Of<'_>,
    wanted: Option<&str>,
    error: HubError,
) -> Failure {
    let (Some(412), Some(wanted)) = (error.status(), wanted) else { return error.into() };
    let failure = Failure::from(error);
    let Ok(twin) = context.hub.twin(of).await else { return failure };
    let text = |name: &str| twin.get(name).and_then(Value::as_str).unwrap_or("unknown").to_owned();
    let version = twin.get("version").and_then(Value::as_u64).unwrap_or_default();
    let hint = format!(
        "nothing was changed: the twin of {of} has the etag {} (version {version}), not {wanted}; see what \
         became different with `hotshoe twin show {}`, then repeat with that etag",
        text("etag"),
        of.device,
    );
    failure.hint(hint)
}
