//! The figures of configurations: how many twins each targets and is applied to, and its custom metrics.
//!
//! All figures of all configurations are counted in one pass over the twins, when somebody wants to know. After a pass
//! they stand for ten times as long as it took, so counting never takes more than a tenth of a processor: on a small
//! hub figures are always fresh, on one with ten thousand devices seconds old (IoT Hub's are five minutes old).

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError};

use tokio::time::Instant;

use super::{Configurations, Status};
use crate::fault::Fault;
use crate::hub::Hub;
use crate::query::{Collection, TwinRow};

/// The figures of one configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(super) targeted: u64,
    pub(super) applied: u64,
    pub(super) metrics: BTreeMap<String, u64>,
}

impl Figures {
    /// Figures that were never counted are no figures.
    pub(super) fn differ(before: Option<&Self>, after: Option<&Self>) -> bool {
        before.cloned().unwrap_or_default() != after.cloned().unwrap_or_default()
    }
}

type All = Arc<BTreeMap<String, Figures>>;

/// What was counted when.
#[derive(Clone)]
pub(super) struct Counted {
    began: Instant,
    rests_until: Instant,
    all: All,
}

impl Configurations {
    pub(super) fn forget_figures(&self) {
        *self.counted.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Hub {
    /// The figures by the ids of their configurations. Blocks.
    pub(crate) fn figures(&self) -> Result<All, Fault> {
        Ok(self.counted()?.all)
    }

    /// Figures that were counted later than `since`.
    pub(super) async fn figures_since(self: &Arc<Self>, since: Instant) -> Result<All, Fault> {
        loop {
            let counted = self.blocking(Self::counted).await?;
            if counted.began >= since {
                return Ok(counted.all);
            }
            tokio::time::sleep_until(counted.rests_until).await;
        }
    }

    /// Whoever asks while they are counted waits for that.
    fn counted(&self) -> Result<Counted, Fault> {
        let mut kept = self.configurations.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let began = Instant::now();
        if let Some(counted) = kept.as_ref().filter(|counted| began < counted.rests_until) {
            return Ok(counted.clone());
        }
        let all = Arc::new(self.count_figures()?);
        let counted = Counted { began, rests_until: began + began.elapsed() * 11, all };
        *kept = Some(counted.clone());
        Ok(counted)
    }

    fn count_figures(&self) -> Result<BTreeMap<String, Figures>, Fault> {
        let rules = self.configurations.rules();
        let mut all: BTreeMap<String, Figures> =
            rules.0.iter().map(|rule| (rule.id.clone(), Figures::default())).collect();
        for rule in &rules.0 {
            if let Some(figures) = all.get_mut(&rule.id) {
                figures.metrics = rule.metrics.keys().map(|name| (name.clone(), 0)).collect();
            }
        }
        for from in [Collection::Devices, Collection::Modules] {
            let metrics: Vec<_> = rules
                .0
                .iter()
                .flat_map(|rule| rule.metrics.iter().map(move |(name, metric)| (&rule.id, name, metric)))
                .filter(|(_, _, metric)| metric.from == from)
                .collect();
            let is_targeted =
                rules.0.iter().any(|rule| rule.target.as_ref().is_some_and(|(target, _)| *target == from));
            if metrics.is_empty() && !is_targeted {
                continue;
            }
            self.store.visit(from == Collection::Modules, None, |_, record| {
                for (id, status) in &record.configured.statuses {
                    if let Some(figures) = all.get_mut(id) {
                        figures.targeted += 1;
                        figures.applied += u64::from(*status == Status::Applied);
                    }
                }
                let row = TwinRow { hub: self, record: &record };
                for (id, name, metric) in &metrics {
                    let count = all.get_mut(*id).and_then(|figures| figures.metrics.get_mut(*name));
                    if let Some(count) = count.filter(|count| **count < metric.top)
                        && metric.condition.holds(&row)
                    {
                        *count += 1;
                    }
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(all)
    }
}
