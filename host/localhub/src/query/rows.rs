//! The hub as a source of rows: twins from the database, with what the hub alone knows of them.

use std::borrow::Cow;
use std::ops::ControlFlow;

use serde_json::Value;

use super::{Collection, Condition, Row, See, Source};
use crate::fault::Fault;
use crate::hub::Hub;
use crate::identity::Name;
use crate::jobs;
use crate::show;
use crate::store::Record;

impl Source for Hub {
    fn visit(
        &self,
        from: Collection,
        condition: &Condition,
        after: Option<&str>,
        see: &mut See<'_>,
    ) -> Result<(), Fault> {
        let modules = match from {
            Collection::Jobs => return visit_jobs(self, condition, after, see),
            Collection::Devices => false,
            Collection::Modules => true,
        };
        let Some(ids) = condition.only("deviceId").filter(|_| !modules) else {
            return self
                .store
                .visit(modules, after, |key, record| see(key, &TwinRow { hub: self, record: &record }));
        };
        for id in ids {
            if after.is_some_and(|after| id <= after) {
                continue;
            }
            let Ok(name) = Name::device(id) else { continue };
            let Some(record) = self.store.record(&name)? else { continue };
            if see(id, &TwinRow { hub: self, record: &record })? == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }
}

/// The rows of jobs; their keys are `job/device`, and neither name has a slash.
fn visit_jobs(hub: &Hub, condition: &Condition, after: Option<&str>, see: &mut See<'_>) -> Result<(), Fault> {
    let after = after.and_then(|after| after.split_once('/')).unwrap_or_default();
    let mut show = |id: &str, device: &str, row: jobs::Row| {
        see(&format!("{id}/{device}"), &jobs::shown_row(id, device, &row))
    };
    let Some(ids) = condition.only("jobId") else { return hub.store.visit_rows(None, after, show) };
    let mut broken = false;
    for id in ids.into_iter().filter(|id| *id >= after.0) {
        hub.store.visit_rows(Some(id), after, |id, device, row| {
            let flow = show(id, device, row)?;
            broken = flow.is_break();
            Ok(flow)
        })?;
        if broken {
            break;
        }
    }
    Ok(())
}

/// A twin as operators see it, without building more of it than is asked for.
pub(crate) struct TwinRow<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) record: &'a Record,
}

impl Row for TwinRow<'_> {
    fn at(&self, path: &[String]) -> Option<Cow<'_, Value>> {
        let (first, rest) = path.split_first()?;
        let twin = &self.record.twin;
        if first == "tags" {
            return below(&twin.tags, rest).map(Cow::Borrowed);
        }
        let section = match rest.first().map(String::as_str) {
            Some("desired") if first == "properties" => &twin.desired,
            Some("reported") if first == "properties" => &twin.reported,
            _ => {
                let member = show::twin_member(self.hub, self.record, first)?;
                return below(&member, rest).cloned().map(Cow::Owned);
            }
        };
        let rest = rest.get(1..).unwrap_or_default();
        match rest.split_first() {
            None => Some(Cow::Owned(section.shown(true))),
            Some((first, [])) if first == "$version" => Some(Cow::Owned(section.version.into())),
            Some((first, rest)) if first == "$metadata" => below(&section.metadata, rest).map(Cow::Borrowed),
            Some(_) => below(&section.properties, rest).map(Cow::Borrowed),
        }
    }

    fn shown(&self) -> Value {
        show::twin(self.hub, self.record)
    }
}

impl Row for Value {
    fn at(&self, path: &[String]) -> Option<Cow<'_, Value>> {
        below(self, path).map(Cow::Borrowed)
    }

    fn shown(&self) -> Value {
        self.clone()
    }
}

fn below<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, segment| value.as_object()?.get(segment))
}
