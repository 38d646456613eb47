//! The operator's door: IoT Hub's service REST, the images, MQTT over WebSocket, and the hub's own endpoints, all
//! on one HTTPS port (`iothub.md` §6).
//!
//! Any `api-version` is taken. Every answer with a body is JSON with that content type, failures included. A
//! request's body is read whole, within a size, a time and the hub's memory, before any handler runs.

mod absent;
mod address;
mod auth;
mod body;
mod bulk;
mod configurations;
mod devices;
mod enrollments;
mod events;
mod gate;
mod images;
mod jobs;
mod json;
mod listen;
mod local;
mod messages;
mod methods;
mod query;
mod served;
mod statistics;
mod twins;
mod wanted;
mod websocket;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{any, delete, get, post, put};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::devices::{check_module_room, create};
use self::enrollments::{groups, individual};
pub(crate) use self::events::MOST as MOST_STREAMS;
pub(crate) use self::json::{Json, answer};
pub(crate) use self::listen::{converse, listen};
pub(crate) use self::methods::{Call, seconds};
pub(crate) use self::served::Served;
pub(crate) use self::wanted::Wanted;
use crate::fault::Fault;
use crate::hub::Hub;
use crate::page::{self, Access};

/// What handlers share.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) hub: Arc<Hub>,
    pub(crate) images: Option<Arc<PathBuf>>,
    pub(crate) image_rate: Option<u64>,
    pub(crate) served: Served,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) mqtt_port: u16,
    /// Room for streams of events.
    pub(crate) streams: Arc<Semaphore>,
    /// The page's one-time links.
    pub(crate) access: Arc<Access>,
    pub(crate) https_port: u16,
}

/// All paths.
pub(crate) fn router(service: Service) -> Router {
    let api = Router::new()
        .route("/devices", get(devices::list).post(bulk::post))
        .route("/devices/", get(devices::list).post(bulk::post))
        .route("/devices/query", post(query::query))
        .route("/devices/{id}", get(devices::show).put(devices::put).delete(devices::delete))
        .route("/devices/{id}/modules", get(devices::list_modules))
        .route(
            "/devices/{id}/modules/{module}",
            get(devices::show_module).put(devices::put_module).delete(devices::delete_module),
        )
        .route("/twins/{id}", get(twins::show).patch(twins::patch).put(twins::put))
        .route(
            "/twins/{id}/modules/{module}",
            get(twins::show_module).patch(twins::patch_module).put(twins::put_module),
        )
        .route("/twins/{id}/methods", post(methods::invoke))
        .route("/twins/{id}/modules/{module}/methods", post(methods::invoke_module))
        .route("/jobs/v2/query", get(jobs::list))
        .route("/jobs/v2/{id}", get(jobs::show).put(jobs::put))
        .route("/jobs/v2/{id}/cancel", post(jobs::cancel))
        .route("/jobs", get(absent::no_jobs))
        .route("/jobs/create", post(absent::import_and_export))
        .route("/jobs/{id}", get(absent::import_and_export).delete(absent::import_and_export))
        .route("/configurations", get(configurations::list))
        .route("/configurations/", get(configurations::list))
        .route("/configurations/testQueries", post(configurations::test))
        .route(
            "/configurations/{id}",
            get(configurations::show).put(configurations::put).delete(configurations::delete),
        )
        .route("/devices/{id}/applyConfigurationContent", post(configurations::apply))
        .route("/digitaltwins/{id}", get(absent::digital_twins).patch(absent::digital_twins))
        .route("/digitaltwins/{id}/commands/{command}", post(absent::digital_twins))
        .route("/digitaltwins/{id}/components/{component}/commands/{command}", post(absent::digital_twins))
        .route("/statistics/devices", get(statistics::devices))
        .route("/statistics/service", get(statistics::service))
        .route("/localhub/devices/{id}/disconnect", post(local::disconnect))
        .route("/localhub/devices/{id}/refuse", post(local::refuse))
        .route("/localhub/devices/{id}/telemetry", get(local::telemetry))
        .route("/localhub/wire/{id}", get(wire::packets))
        .route("/localhub/events", get(events::events))
        .route("/localhub/telemetry", get(events::telemetry))
        .route("/localhub/devices/{id}/messages", post(messages::send))
        .route("/devices/{id}/commands", delete(messages::purge))
        .route("/messages/serviceBound/feedback", get(messages::feedback))
        .route("/messages/serviceBound/feedback/{lock}", delete(messages::complete))
        .route("/messages/serviceBound/feedback/{lock}/abandon", post(messages::abandon))
        .route("/localhub/hub", get(enrollments::hub))
        .route("/localhub/enrollments", get(individual::list))
        .route(
            "/localhub/enrollments/{id}",
            get(individual::get).put(individual::put).delete(individual::delete),
        )
        .route("/localhub/enrollmentGroups", get(groups::list))
        .route("/localhub/enrollmentGroups/{id}", get(groups::get).put(groups::put).delete(groups::delete))
        .route(
            "/localhub/registrations/{id}",
            get(enrollments::registration).delete(enrollments::forget_registration),
        )
        .route("/localhub/authorities", get(enrollments::authorities))
        .route(
            "/localhub/authorities/{name}",
            put(enrollments::put_authority).delete(enrollments::delete_authority),
        )
        .route("/localhub/images", get(served::list))
        .route("/localhub/faults", get(gate::list).post(gate::add).delete(gate::remove_all))
        .route("/localhub/faults/{id}", delete(gate::remove))
        .merge(page::routes())
        .method_not_allowed_fallback(wrong_verb)
        .layer(DefaultBodyLimit::disable()) // `body::whole` has the limit
        .layer(from_fn_with_state(service.clone(), body::whole))
        .layer(from_fn_with_state(service.clone(), gate::pass));
    Router::new()
        .merge(api)
        .route("/images/{*path}", get(images::serve))
        .route("/$iothub/websocket", any(websocket::upgrade))
        .fallback(nowhere)
        .with_state(service)
}

async fn nowhere(State(_): State<Service>, request: Request) -> Response {
    json::fault(&Fault::NotFound(format!("{} is not a path of this hub", request.uri().path())))
}

async fn wrong_verb(request: Request) -> Response {
    let text = format!("{} does not take {}", request.uri().path(), request.method());
    json::fault(&Fault::MethodNotAllowed(text))
}
