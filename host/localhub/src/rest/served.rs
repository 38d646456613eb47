//! What was sent of which image: how one sees that a device fetched no byte twice.
//!
//! `GET /localhub/images` (the owner's) gives the last answers, oldest first: `path`, `status`, `first` (the offset of
//! the first byte asked for), `length` (bytes promised), `sent` (bytes handed to the connection so far). A byte that
//! was handed over may still be lost on the way; it counts as sent.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use super::Service;
use super::json::answer;
use crate::fault::Fault;
use crate::policies::Right;

/// How many answers are remembered.
const REMEMBERED: usize = 1000;

/// The last answers. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Served(Arc<Mutex<VecDeque<Arc<Answer>>>>);

/// One answer with bytes of an image.
pub(super) struct Answer {
    path: String,
    status: u16,
    first: u64,
    length: u64,
    sent: AtomicU64,
}

impl Served {
    pub(super) fn begin(&self, path: &str, status: u16, first: u64, length: u64) -> Arc<Answer> {
        let answer = Answer { path: path.to_owned(), status, first, length, sent: AtomicU64::new(0) };
        let answer = Arc::new(answer);
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() == REMEMBERED {
            answers.pop_front();
        }
        answers.push_back(Arc::clone(&answer));
        answer
    }

    fn told(&self) -> Vec<Value> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = answers.iter().map(|answer| {
            json!({
                "path": answer.path,
                "status": answer.status,
                "first": answer.first,
                "length": answer.length,
                "sent": answer.sent.load(Ordering::Relaxed),
            })
        });
        told.collect()
    }
}

impl Answer {
    pub(super) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// `GET /localhub/images`: see the module.
pub(super) async fn list(State(service): State<Service>, headers: HeaderMap) -> Result<Response, Fault> {
    service.authorize(&headers, Right::Owner, "/localhub/images")?;
    Ok(answer(json!(service.served.told()).to_string()))
}
