//! Bringing a twin in line with the configurations, inside the transaction that changes it.
//!
//! [`Hub::change_record`] is how everything in the hub changes a record. The lock of its name is held from before the
//! transaction until everybody is told, so that a device hears of its desired properties in their order.

use bytes::Bytes;
use hotshoe_core::topic;

use super::content::{difference, settled};
use super::wanted::desired;
use super::{Configured, Status};
use crate::clock;
use crate::events::{Kind, Section, What};
use crate::fault::Fault;
use crate::hub::Hub;
use crate::identity::Name;
use crate::query::{Collection, TwinRow};
use crate::store::Record;
use crate::twin::{Change, ChangedProperties, Notification};

impl Hub {
    /// Changes a record, or makes or removes it, durably and in line with the configurations. `tell` is called when that
    /// is on the disk, before the device and listeners are told what configurations changed. Blocks.
    pub(crate) fn change_record<T>(
        &self,
        name: &Name,
        change: impl FnOnce(&mut Option<Record>) -> Result<T, Fault>,
        tell: impl FnOnce(&T),
    ) -> Result<T, Fault> {
        let _order = self.order.of(name);
        let (given, before, after, notification) = self.store.change(name, |record| {
            let before = record.as_ref().map(|record| record.configured.clone()).unwrap_or_default();
            let given = change(record)?;
            let notification = record.as_mut().and_then(|record| self.settle(record));
            let after = record.as_ref().map(|record| record.configured.clone()).unwrap_or_default();
            Ok((given, before, after, notification))
        })?;
        tell(&given);
        if let Some(notification) = notification {
            self.tell_desired(name, &notification, false);
        }
        self.touch(&before, &after);
        Ok(given)
    }

    /// An operator's change of a twin together with what configurations make of it: one version, one notification.
    /// Nothing is changed by a refused one.
    pub(crate) fn change_configured(
        &self,
        record: &mut Record,
        change: &Change,
        replace: bool,
    ) -> Result<Option<Notification>, Fault> {
        let now = clock::now_text();
        let mut next = record.clone();
        let notification = next.twin.change(change, replace, &now)?;
        let Some(intended) = self.intended(&next) else {
            *record = next;
            return Ok(notification);
        };
        let chosen = next.twin.desired.properties.clone();
        let properties = settled(&chosen, &next.configured.settings, &intended.settings);
        if properties != chosen {
            let wanted = match replace {
                true => properties,
                false => difference(&record.twin.desired.properties, &properties),
            };
            let both = ChangedProperties { desired: Some(wanted) };
            let both = Change { tags: change.tags.clone(), properties: Some(both) };
            let mut together = record.clone();
            match together.twin.change(&both, replace, &now) {
                Ok(notification) => {
                    together.configured = intended;
                    *record = together;
                    return Ok(notification);
                }
                Err(fault) => {
                    next.configured = unfit(&next, intended, &fault);
                    *record = next;
                    return Ok(notification);
                }
            }
        }
        next.configured = intended;
        *record = next;
        Ok(notification)
    }

    /// Brings a record in line; gives what to tell its device.
    fn settle(&self, record: &mut Record) -> Option<Notification> {
        let intended = self.intended(record)?;
        let present = &record.twin.desired.properties;
        let properties = settled(present, &record.configured.settings, &intended.settings);
        if properties == *present {
            record.configured = intended;
            return None;
        }
        let patch = desired(difference(present, &properties));
        match record.twin.change(&patch, false, &clock::now_text()) {
            Ok(notification) => {
                record.configured = intended;
                notification
            }
            Err(fault) => {
                record.configured = unfit(record, intended, &fault);
                None
            }
        }
    }

    /// True if [`Hub::change_record`] would find nothing to do.
    pub(super) fn is_settled(&self, record: &Record) -> bool {
        let Some(intended) = self.intended(record) else { return true };
        let present = &record.twin.desired.properties;
        intended == record.configured && settled(present, &intended.settings, &intended.settings) == *present
    }

    /// `None` when there is nothing to think about.
    fn intended(&self, record: &Record) -> Option<Configured> {
        let rules = self.configurations.rules();
        if rules.is_empty() && record.configured.is_empty() {
            return None;
        }
        let is_module = record.identity.module_id.is_some();
        let collection = if is_module { Collection::Modules } else { Collection::Devices };
        Some(rules.intended(collection, &TwinRow { hub: self, record }))
    }

    /// Tells a device, and whoever listens, of its desired properties.
    pub(crate) fn tell_desired(&self, name: &Name, notification: &Notification, replaced: bool) {
        let (version, patch) = (notification.version, &notification.body);
        let payload = Bytes::from(patch.to_string());
        let delivery = self.links.publish(name, topic::desired_patch(version), payload);
        tracing::debug!(device = %name, version, ?delivery, "desired changed");
        self.events.tell(name, &What::Twin { section: Section::Desired, version, patch, replaced });
    }

    /// Notes which configurations have other figures now.
    pub(crate) fn touch(&self, before: &Configured, after: &Configured) {
        let configurations = &self.configurations;
        let differs = |id: &&String| before.statuses.get(*id) != after.statuses.get(*id);
        let ids: Vec<String> =
            before.statuses.keys().chain(after.statuses.keys()).filter(differs).cloned().collect();
        let is_watched = || self.events.is_wanted(Kind::Configuration) && !configurations.rules().is_empty();
        if ids.is_empty() && !is_watched() {
            return;
        }
        configurations.touched().extend(ids);
        configurations.tell.notify_one();
    }
}

/// What a record is configured with when the content does not fit into it: as before, but for the statuses.
fn unfit(record: &Record, intended: Configured, fault: &Fault) -> Configured {
    let device = &record.identity.device_id;
    tracing::warn!(device, %fault, "what configurations would set does not fit into the twin");
    let statuses = intended.statuses.into_keys().map(|id| (id, Status::Targeted)).collect();
    Configured { statuses, settings: record.configured.settings.clone() }
}
