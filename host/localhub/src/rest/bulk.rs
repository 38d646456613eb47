//! Many identities at once: `POST /devices`, at most a hundred operations (`iothub.md` §6.2).
//!
//! Operations are independent of each other: those that can be done are, side by side, so that they share their flushes.
//! The answer names the ones that could not, and is 400 if there are any. One identity stands in a list once.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Service;
use super::devices::{check_module_room, create_with, delete_identity, update_identity};
use super::json::{Json, answer};
use super::wanted::Wanted;
use crate::fault::Fault;
use crate::hub::{Hub, TwinWork};
use crate::identity::Name;
use crate::policies::Right;
use crate::store::Store;
use crate::twin::Change;

/// IoT Hub's own.
const MOST: usize = 100;

/// One operation, an `ExportImportDevice`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Operation {
    #[serde(default)]
    id: String,
    #[serde(default)]
    import_mode: Option<String>,
    #[serde(default, rename = "eTag", alias = "etag")]
    tag: Option<String>,
    #[serde(default, rename = "twinETag", alias = "twinEtag")]
    twin_tag: Option<String>,
    #[serde(flatten)]
    twin: Change,
    #[serde(flatten)]
    identity: Wanted,
}

pub(super) async fn post(
    State(service): State<Service>,
    headers: HeaderMap,
    Json(operations): Json<Vec<Operation>>,
) -> Result<Response, Fault> {
    service.authorize(&headers, Right::RegistryReadWrite, "/devices")?;
    if !(1..=MOST).contains(&operations.len()) {
        let text = format!("there are {} operations; one call takes 1 to {MOST}", operations.len());
        return Err(Fault::ArgumentInvalid(text));
    }
    let mut seen = HashSet::new();
    let checked = operations.into_iter().map(|operation| {
        let key = (operation.id.clone(), operation.identity.module_id.clone());
        let is_first = seen.insert(key);
        (operation, is_first)
    });
    let checked: Vec<_> = checked.collect();
    let errors: Vec<Value> = stream::iter(checked)
        .map(|(operation, is_first)| carry_out(&service.hub, operation, is_first))
        .buffered(MOST)
        .filter_map(std::future::ready)
        .collect()
        .await;
    let is_successful = errors.is_empty();
    let body = json!({"isSuccessful": is_successful, "errors": errors, "warnings": []});
    let mut response = answer(body.to_string());
    if !is_successful {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    Ok(response)
}

/// Gives the entry of `errors` of an operation that failed.
async fn carry_out(hub: &Arc<Hub>, operation: Operation, is_first: bool) -> Option<Value> {
    let (id, module) = (operation.id.clone(), operation.identity.module_id.clone());
    let mode = operation.import_mode.clone();
    let done = match is_first {
        true => hub.blocking(move |hub| operation.carry_out(hub)).await,
        false => Err(Fault::DefinedTwice(id.clone())),
    };
    let fault = done.err()?;
    let mut error = json!({"deviceId": id, "errorCode": fault.name(), "errorStatus": fault.to_string()});
    for (member, text) in [("moduleId", module), ("operation", mode)] {
        if let (Some(text), Value::Object(members)) = (text, &mut error) {
            members.insert(member.into(), text.into());
        }
    }
    Some(error)
}

impl Operation {
    /// A mode that is not said makes what is not there and changes what is. Blocks.
    fn carry_out(&self, hub: &Hub) -> Result<(), Fault> {
        let name = match self.identity.module_id.as_deref().filter(|module| !module.is_empty()) {
            None => Name::device(&self.id)?,
            Some(module) => Name::module(&self.id, module)?,
        };
        let mode = self.import_mode.as_deref().unwrap_or("createOrUpdate");
        match mode.to_ascii_lowercase().as_str() {
            "create" => self.create(hub, &name),
            "update" => self.update(hub, &name, None),
            "updateifmatchetag" => self.update(hub, &name, Some(self.tag()?)),
            "createorupdate" => self.create_or_update(hub, &name, None),
            "createorupdateifmatchetag" => self.create_or_update(hub, &name, Some(self.tag()?)),
            "delete" => delete_identity(hub, &name, None),
            "deleteifmatchetag" => delete_identity(hub, &name, Some(self.tag()?)),
            "updatetwin" => self.change_twin(hub, &name, None),
            "updatetwinifmatchetag" => {
                let missing = || Fault::ArgumentInvalid("twinETag is missing".into());
                self.change_twin(hub, &name, Some(self.twin_tag.as_deref().ok_or_else(missing)?))
            }
            _ => Err(Fault::ArgumentInvalid(format!(
                "importMode is create, update, createOrUpdate, delete or updateTwin, or one of the last four with \
                 IfMatchETag, not {mode:?}"
            ))),
        }
    }

    fn tag(&self) -> Result<&str, Fault> {
        let tag = self.tag.as_deref().map(|tag| tag.trim_matches('"'));
        tag.ok_or_else(|| Fault::ArgumentInvalid("eTag is missing".into()))
    }

    fn create(&self, hub: &Hub, name: &Name) -> Result<(), Fault> {
        if name.module_id().is_some() {
            check_module_room(hub, name)?;
        }
        create_with(hub, name, &self.identity, &self.twin).map(drop)
    }

    fn update(&self, hub: &Hub, name: &Name, tag: Option<&str>) -> Result<(), Fault> {
        update_identity(hub, name, &self.identity, tag)?;
        let has_twin = self.twin.tags.is_some() || self.twin.properties.is_some();
        if has_twin { self.change_twin(hub, name, self.twin_tag.as_deref()) } else { Ok(()) }
    }

    fn create_or_update(&self, hub: &Hub, name: &Name, tag: Option<&str>) -> Result<(), Fault> {
        match self.create(hub, name) {
            Err(Fault::DeviceAlreadyExists(_)) => self.update(hub, name, tag),
            done => done,
        }
    }

    fn change_twin(&self, hub: &Hub, name: &Name, tag: Option<&str>) -> Result<(), Fault> {
        let tag = tag.map(|tag| tag.trim_matches('"')).filter(|tag| *tag != "*");
        let work = |store: &Store, work: TwinWork<'_>| store.change(name, work);
        hub.change_twin_with(name, &self.twin, false, tag, work).map(drop)
    }
}
