//! The hub and its operator: orders go out, answers and the twin come in.

use std::sync::Arc;

use hotshoe_core::{job::JobId, twin};
use serde_json::Value;

use super::State;

/// What came of an order so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing that was heard: it is ordered again.
    None,
    /// This job was promised.
    Accepted(JobId),
    /// A job that was promised before, unheard, is at it.
    Held,
}

/// What came of a cancel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// This job is promised to end as cancelled.
    Taken(JobId),
    /// It has ended, or is confirmed.
    TooLate,
}

/// Something that the operator wants.
#[derive(Clone, Debug)]
pub struct Order {
    /// The image.
    pub image: usize,
    /// What came of it.
    pub answer: Answer,
}

/// What the hub knows.
#[derive(Clone, Debug)]
pub struct Hub {
    /// What was ordered, one after the other.
    pub orders: Vec<Order>,
    twin: Arc<Value>,
    /// How many patches have arrived.
    pub patches: u32,
    /// What the operator was told who cancelled the first job.
    pub cancelled: Option<Cancelled>,
}

impl Hub {
    /// A hub whose operator wants these images.
    pub fn new(orders: &[usize]) -> Hub {
        let order = |image: &usize| Order { image: *image, answer: Answer::None };
        Hub {
            orders: orders.iter().map(order).collect(),
            twin: Arc::new(Value::Object(Default::default())),
            patches: 0,
            cancelled: None,
        }
    }

    /// The reported properties.
    pub fn twin(&self) -> &Value {
        &self.twin
    }

    /// The first order that was not answered.
    pub fn next(&self) -> Option<usize> {
        self.orders.iter().position(|order| order.answer == Answer::None)
    }

    fn merge(&mut self, patch: &Value) {
        twin::merge(Arc::make_mut(&mut self.twin), patch);
        self.patches += 1;
    }
}

impl State {
    /// A patch of the reported properties arrives; returns what is wrong with that.
    pub fn hear(&mut self, patch: &Value) -> Vec<String> {
        let mut wrong = self.false_reports(patch);
        wrong.extend(self.unsaid(patch));
        self.hub.merge(patch);
        wrong
    }

    /// The answer to an order arrives; returns what is wrong with that.
    pub fn answered(&mut self, number: usize, answer: Answer) -> Vec<String> {
        let wrong = match &answer {
            Answer::Accepted(id) => self.empty_promise(id),
            _ => None,
        };
        if let Some(order) = self.hub.orders.get_mut(number) {
            order.answer = answer;
        }
        if number > 0 {
            self.rot();
        }
        wrong.into_iter().collect()
    }
}

impl Hub {
    /// Whether this job was promised to the operator.
    pub fn promised(&self, id: &JobId) -> bool {
        self.orders.iter().any(|order| matches!(&order.answer, Answer::Accepted(known) if known == id))
    }
}

impl State {
    /// The job that the operator wants cancelled now.
    pub fn to_cancel(&self) -> Option<JobId> {
        let due =
            self.world.cancel.is_some_and(|after| self.hub.patches >= after) && self.hub.cancelled.is_none();
        self.hub.orders.iter().filter(|_| due).find_map(|order| match &order.answer {
            Answer::Accepted(id) => Some(id.clone()),
            _ => None,
        })
    }
}
