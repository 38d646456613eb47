//! Enrollments, registrations and device authorities over REST: the hub's own paths, the owner's alone. How they are
//! used is told in [`crate::dps`] and [`crate::authorities`].

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use serde_json::json;

use super::Service;
use super::address::Path;
use super::json::{Json, answer, answer_with_tag, if_match, nothing};
use crate::dps::{Enrollment, Kind, WantedEnrollment};
use crate::fault::Fault;
use crate::policies::Right;

/// How many enrollments one answer lists.
const MOST_LISTED: usize = 1000;

fn text(value: &impl Serialize) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| Fault::Internal(error.to_string()))
}

fn shown(enrollment: &Enrollment) -> Result<Response, Fault> {
    Ok(answer_with_tag(text(enrollment)?, &enrollment.etag))
}

fn unknown(what: &str, id: &str) -> Fault {
    Fault::NotFound(format!("there is no {what} {id:?}"))
}

async fn put(
    service: Service,
    kind: Kind,
    id: String,
    headers: HeaderMap,
    wanted: WantedEnrollment,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::Owner, "/localhub")?;
    shown(&service.hub.enroll(kind, id, wanted, if_match(&headers)).await?)
}

async fn get(service: Service, kind: Kind, id: String, headers: HeaderMap) -> Result<Response, Fault> {
    service.authorize(&headers, Right::Owner, "/localhub")?;
    let wanted = id.clone();
    let found = service.hub.blocking(move |hub| Ok(hub.store.enrollment(kind, &wanted)?)).await?;
    shown(&found.ok_or_else(|| unknown("enrollment", &id))?)
}

async fn list(service: Service, kind: Kind, headers: HeaderMap) -> Result<Response, Fault> {
    service.authorize(&headers, Right::Owner, "/localhub")?;
    let all = service.hub.blocking(move |hub| Ok(hub.store.enrollments(kind, MOST_LISTED)?)).await?;
    Ok(answer(text(&all)?))
}

async fn delete(service: Service, kind: Kind, id: String, headers: HeaderMap) -> Result<Response, Fault> {
    service.authorize(&headers, Right::Owner, "/localhub")?;
    let tag = if_match(&headers);
    let delete = service.hub.blocking(move |hub| {
        let present = hub.store.enrollment(kind, &id)?.ok_or_else(|| unknown("enrollment", &id))?;
        crate::hub::check_tag(tag.as_deref(), &present.etag)?;
        Ok(hub.store.keep_enrollment(kind, &id, None)?)
    });
    delete.await.map(|()| nothing())
}

/// The handlers of one kind of enrollment.
macro_rules! handlers {
    ($module:ident, $kind:expr) => {
        pub(super) mod $module {
            use super::*;

            pub(crate) async fn put(
                State(service): State<Service>,
                Path(id): Path<String>,
                headers: HeaderMap,
                Json(wanted): Json<WantedEnrollment>,
            ) -> Result<Response, Fault> {
                super::put(service, $kind, id, headers, wanted).await
            }

            pub(crate) async fn get(
                State(service): State<Service>,
                Path(id): Path<String>,
                headers: HeaderMap,
            ) -> Result<Response, Fault> {
                super::get(service, $kind, id, headers).await
            }

            pub(crate) async fn list(
                State(service): State<Service>,
                headers: HeaderMap,
            ) -> Result<Response, Fault> {
                super::list(service, $kind, headers).await
            }

            pub(crate) async fn delete(
                State(service): State<Service>,
                Path(id): Path<String>,
                headers: HeaderMap,
            ) -> Result<Response, Fault> {
                super::delete(service, $kind, id, headers).await
            }
        }
    };
}
handlers!(individual, Kind::Individual);
handlers!(groups, Kind::Group);

/// `GET /localhub/registrations/{id}`: how a device's registration went.
pub(super) async fn registration(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::Owner, "/localhub")?;
    let wanted = id.clone();
    let found = service.hub.blocking(move |hub| Ok(hub.store.registration(&wanted)?)).await?;
    let found = found.ok_or_else(|| unknown("registration", &id))?;
    Ok(answer_with_tag(text(&found)?, &found.etag))
}

/// `DELETE /localhub/registrations/{id}`: forgets it. The identity stays.
pub(super) async fn forget_registration(
    State(service): State<Service>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::Owner, "/localhub")?;
    service.hub.blocking(move |hub| Ok(hub.store.keep_registration(&id, None)?)).await?;
    Ok(nothing())
}

/// `GET /localhub/authorities`: the registered ones, without those of the command line.
pub(super) async fn authorities(
    State(service): State<Service>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::Owner, "/localhub")?;
    Ok(answer(text(&service.hub.blocking(|hub| Ok(hub.store.authorities()?)).await?)?))
}

/// `PUT /localhub/authorities/{name}`: the body is the certificate as PEM.
pub(super) async fn put_authority(
    State(service): State<Service>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::Owner, "/localhub")?;
    Ok(answer(text(&service.hub.register_authority(name, body).await?)?))
}

/// `DELETE /localhub/authorities/{name}`. Connections made with its certificates stay until they end.
pub(super) async fn delete_authority(
    State(service): State<Service>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::Owner, "/localhub")?;
    service.hub.blocking(move |hub| Ok(hub.store.keep_authority(&name, None)?)).await?;
    Ok(nothing())
}

/// `GET /localhub/hub`: what a tool needs to know of this hub.
pub(super) async fn hub(State(service): State<Service>, headers: HeaderMap) -> Result<Response, Fault> {
    service.authorize(&headers, Right::Owner, "/localhub")?;
    let told = json!({
        "host": service.hub.host,
        "idScope": service.hub.id_scope,
        "mqttPort": service.mqtt_port,
        "httpsPort": service.https_port,
        "version": env!("CARGO_PKG_VERSION"),
    });
    Ok(answer(told.to_string()))
}
