//! Content put on one device at once: `POST /devices/{id}/applyConfigurationContent`.
//!
//! IoT Hub has this for Edge devices and their modules; here any device will do. Modules that are not there are made.
//! `properties.desired` alone replaces a module's desired properties, longer paths replace what stands at them. It is
//! done once and nothing keeps it; module by module, each in one step.

use std::sync::Arc;

use serde::Deserialize;

use super::content::{Settings, difference};
use super::wanted::{WantedContent, check_settings, desired, module_settings};
use crate::fault::Fault;
use crate::hub::{Hub, TwinWork, unknown};
use crate::identity::Name;
use crate::rest;
use crate::store::Store;

/// How often others may get in between.
const TRIES: usize = 10;

/// The body: content without a configuration.
#[derive(Deserialize)]
pub(crate) struct Applied {
    #[serde(flatten)]
    content: WantedContent,
}

impl Hub {
    /// Puts content on a device and its modules.
    pub(crate) async fn apply_content(self: &Arc<Self>, device: Name, applied: Applied) -> Result<(), Fault> {
        self.blocking(move |hub| {
            let WantedContent { device_content, module_content, modules_content } = applied.content;
            if module_content.is_some() || (device_content.is_none() && modules_content.is_none()) {
                let text = "the content has modulesContent, deviceContent or both";
                return Err(Fault::ConfigurationContent(text.into()));
            }
            let modules = modules_content.unwrap_or_default();
            let mut changes = Vec::new();
            if let Some(content) = &device_content {
                changes.push((device.clone(), check_settings(content)?));
            }
            for (module, content) in &modules {
                let settings = check_settings(module_settings(module, content)?)?;
                changes.push((Name::module(device.device_id(), module)?, settings));
            }
            hub.store.record(&device)?.ok_or_else(|| unknown(&device))?;
            changes.iter().try_for_each(|(name, settings)| hub.apply_to(name, settings))
        })
        .await
    }

    /// Between the look at the twin and its change nobody else may change it; who loses tries again.
    fn apply_to(&self, name: &Name, settings: &Settings) -> Result<(), Fault> {
        let is_there = self.store.record(name)?.is_some();
        if name.module_id().is_some() && !is_there {
            rest::check_module_room(self, name)?;
            rest::create(self, name, &rest::Wanted::default())?;
        }
        let mut tries = 0;
        loop {
            let twin = self.store.record(name)?.ok_or_else(|| unknown(name))?.twin;
            let present = &twin.desired.properties;
            let patch = desired(difference(present, &settings.placed(present)));
            let work = |store: &Store, work: TwinWork<'_>| store.change(name, work);
            match self.change_twin_with(name, &patch, false, Some(&twin.etag()), work) {
                Err(Fault::PreconditionFailed(_)) if tries < TRIES => tries += 1,
                done => return done.map(drop),
            }
        }
    }
}
