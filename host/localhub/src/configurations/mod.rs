//! Automatic configurations: settings for every device, or module, of a condition, for as long as it holds
//! (`iothub.md` §6.9).
//!
//! Who is targeted follows from a twin and the configurations alone, so it is decided anew inside every transaction that
//! changes a twin ([`settle`]): nobody reads a state in between, a killed hub has nothing to make up for, and one
//! change costs one look at each condition whatever the size of the fleet. When a configuration itself changes, a walk
//! over all twins does the same to each ([`run`]); that it is owed is written in the transaction of the change, so
//! that a hub which was killed during it walks again.
//!
//! Configurations that target the same twin are merged by their places ([`content`]): the highest priority has a place
//! for itself, the newest one on a tie. What a configuration sets it also keeps: an operator's change of the same
//! place has no effect while the configuration holds, and when it holds no longer, what it set goes away. Content that
//! would make a twin too large is not set, and the twin says *Targeted* then. `modulesContent` is for the runtime of Edge
//! devices, which nothing here stands in for: it is kept and targets nothing, and can be put on one device by
//! [`Hub::apply_content`](crate::hub::Hub::apply_content).

mod apply;
mod content;
mod edit;
mod figures;
mod rules;
mod run;
mod settle;
mod show;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Notify;

pub(crate) use self::apply::Applied;
use self::figures::Counted;
use self::rules::Rules;
pub(crate) use self::run::run;
pub(crate) use self::show::shown;
pub(crate) use self::wanted::{Queries, Wanted};
use crate::store::{Store, StoreError};

/// How many configurations there may be, as in IoT Hub.
const MOST: usize = 100;

/// One configuration as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Configuration {
    pub(crate) id: String,
    pub(crate) schema_version: String,
    #[serde(default)]
    pub(crate) labels: Option<BTreeMap<String, String>>,
    /// What it sets. It never changes: IoT Hub's does not.
    pub(crate) content: Content,
    /// What stands after `WHERE`, `*` for all, empty for none.
    pub(crate) condition: String,
    /// The highest wins.
    pub(crate) priority: u64,
    /// Custom metrics: what a name counts the rows of.
    pub(crate) queries: BTreeMap<String, String>,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) etag: String,
}

/// What a configuration sets, and on whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Content {
    /// On devices: paths such as `properties.desired.firmware`, and what to place there.
    #[serde(rename = "deviceContent")]
    Device(Map<String, Value>),
    /// The same on modules.
    #[serde(rename = "moduleContent")]
    Module(Map<String, Value>),
    /// On the modules of an Edge device, by their names.
    #[serde(rename = "modulesContent")]
    Modules(Map<String, Value>),
}

/// How a twin stands to a configuration that targets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    /// All places of the configuration are others' with a higher priority, or its content does not fit.
    Targeted,
    /// At least one of its places is set.
    Applied,
}

/// What a record keeps of the configurations that target it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Configured {
    /// By their ids.
    pub(crate) statuses: BTreeMap<String, Status>,
    /// What they set together, as a tree below the desired properties; `null` if nothing.
    settings: Value,
}

impl Configured {
    pub(crate) fn is_empty(&self) -> bool {
        self.statuses.is_empty() && self.settings.is_null()
    }
}

/// What the hub keeps of configurations in memory.
pub(crate) struct Configurations {
    rules: RwLock<Arc<Rules>>,
    /// A walk is owed.
    wake: Notify,
    /// Those of which there is something to tell.
    touched: Mutex<BTreeSet<String>>,
    tell: Notify,
    counted: Mutex<Option<Counted>>,
}

impl Configurations {
    pub(crate) fn load(store: &Store) -> Result<Self, StoreError> {
        Ok(Self {
            rules: RwLock::new(Arc::new(Rules::of(&store.configurations()?))),
            wake: Notify::new(),
            touched: Mutex::default(),
            tell: Notify::new(),
            counted: Mutex::default(),
        })
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_in_force(&self, all: &[Configuration]) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Rules::of(all));
    }

    fn touched(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
