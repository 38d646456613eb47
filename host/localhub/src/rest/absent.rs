//! What IoT Hub has and this hub has not, said so in IoT Hub's form: `FeatureNotSupported`, and what to use instead.
//!
//! Tokens are checked all the same, so that a wrong policy shows as it would there.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;

use super::Service;
use crate::fault::Fault;
use crate::policies::Right;

/// `/digitaltwins/…`.
pub(super) async fn digital_twins(
    State(service): State<Service>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::ServiceConnect, "/digitaltwins")?;
    Err(Fault::NotSupported(
        "this hub has no digital twins; the same properties and commands are at /twins/ID and /twins/ID/methods".into(),
    ))
}

/// `GET /jobs`: the jobs of import and export, of which there are none. `az iot hub job list` asks for them beside those
/// over devices.
pub(super) async fn no_jobs(
    State(service): State<Service>,
    headers: HeaderMap,
) -> Result<Json<[Value; 0]>, Fault> {
    service.authorize(&headers, Right::RegistryReadWrite, "/jobs")?;
    Ok(Json([]))
}

/// `/jobs/create` and `/jobs/ID`: import and export by way of a storage account.
pub(super) async fn import_and_export(
    State(service): State<Service>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::RegistryReadWrite, "/jobs")?;
    Err(Fault::NotSupported(
        "this hub has no storage to import from or export to; POST /devices takes 100 identities at a time, \
         /jobs/v2 has the jobs over devices"
            .into(),
    ))
}
