//! Making, changing and deleting configurations.

use std::sync::Arc;

use super::{Configuration, MOST, Wanted};
use crate::events::What;
use crate::fault::Fault;
use crate::hub::{Hub, check_tag};

impl Hub {
    /// Makes a configuration, or changes one if `update` says so; `tag` is an entity tag that it must have then.
    pub(crate) async fn put_configuration(
        self: &Arc<Self>,
        id: String,
        wanted: Wanted,
        update: bool,
        tag: Option<String>,
    ) -> Result<Configuration, Fault> {
        self.blocking(move |hub| {
            hub.edit_configuration(&id, |present, count| {
                match present {
                    Some(_) if !update => return Err(Fault::ConfigurationAlreadyExists(id.clone())),
                    None if update => return Err(Fault::ConfigurationNotFound(id.clone())),
                    None if count >= MOST => return Err(Fault::TooManyConfigurations(MOST)),
                    Some(present) => check_tag(tag.as_deref(), &present.etag)?,
                    None => {}
                }
                let made = wanted.complete(&id, present.as_ref())?;
                Ok(present.insert(made).clone())
            })
        })
        .await
    }

    /// Deletes a configuration; what it set goes away.
    pub(crate) async fn delete_configuration(
        self: &Arc<Self>,
        id: String,
        tag: Option<String>,
    ) -> Result<(), Fault> {
        self.blocking(move |hub| {
            hub.edit_configuration(&id, |present, _| {
                let gone = present.take().ok_or_else(|| Fault::ConfigurationNotFound(id.clone()))?;
                check_tag(tag.as_deref(), &gone.etag)
            })
        })
        .await
    }

    /// The configurations are in force before the transaction ends: whatever is changed after it is changed in line with
    /// them, and the walk that follows sees to all that was changed before.
    fn edit_configuration<T>(
        &self,
        id: &str,
        change: impl FnOnce(&mut Option<Configuration>, usize) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let configurations = &self.configurations;
        let edited = self.store.change_configuration(id, change, |all| configurations.put_in_force(all));
        if matches!(edited, Err(Fault::Internal(_))) {
            configurations.put_in_force(&self.store.configurations()?); // the commit may have failed
        }
        let given = edited?;
        configurations.forget_figures();
        configurations.wake.notify_one();
        self.events.tell(None, &What::Configuration { id });
        Ok(given)
    }
}
