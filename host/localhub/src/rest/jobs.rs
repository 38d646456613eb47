//! Jobs over REST (`iothub.md` §6.7).

use std::ops::ControlFlow;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;

use super::Service;
use super::address::{Path, Query};
use super::json::{Json, answer};
use super::query::{page, paged};
use crate::fault::Fault;
use crate::hub::Hub;
use crate::jobs::{Wanted, shown};
use crate::policies::Right;
use crate::query::{Collection, Condition, Found, See, Source, everything};

pub(super) async fn put(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(wanted): Json<Wanted>,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::ServiceConnect, "/jobs/v2")?;
    let (job, state) = service.hub.schedule(wanted.job(&id)?).await?;
    Ok(answer(shown(&job, &state).to_string()))
}

pub(super) async fn show(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::ServiceConnect, "/jobs/v2")?;
    let (job, state) = service.hub.job(&id).await?;
    Ok(answer(shown(&job, &state).to_string()))
}

pub(super) async fn cancel(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::ServiceConnect, "/jobs/v2")?;
    service.hub.cancel(&id).await?;
    let (job, state) = service.hub.job(&id).await?;
    Ok(answer(shown(&job, &state).to_string()))
}

/// Which jobs are listed; empty is all.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Filter {
    #[serde(default)]
    job_type: String,
    #[serde(default)]
    job_status: String,
}

pub(super) async fn list(
    State(service): State<Service>,
    Query(filter): Query<Filter>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::ServiceConnect, "/jobs/v2")?;
    let page = page(&headers)?;
    let query = everything(&format!("jobs {} {}", filter.job_type, filter.job_status));
    let found = service.hub.blocking(move |hub| query.run(&Listed { hub, filter }, &page)).await?;
    Ok(paged(Found { item_type: "JobResponse", ..found }))
}

/// The jobs that a filter lets through, by their ids.
struct Listed<'a> {
    hub: &'a Hub,
    filter: Filter,
}

impl Source for Listed<'_> {
    fn visit(
        &self,
        _: Collection,
        _: &Condition,
        after: Option<&str>,
        see: &mut See<'_>,
    ) -> Result<(), Fault> {
        let passes = |wanted: &str, name: &str| wanted.is_empty() || wanted.eq_ignore_ascii_case(name);
        self.hub.store.visit_job_states(after, |id, state| {
            let (kind, status) = (state.kind.name(), state.status.name());
            if !passes(&self.filter.job_type, kind) || !passes(&self.filter.job_status, status) {
                return Ok(ControlFlow::Continue(()));
            }
            match self.hub.store.job(id)? {
                Some((job, state)) => see(id, &shown(&job, &state)),
                None => Ok(ControlFlow::Continue(())),
            }
        })
    }
}
