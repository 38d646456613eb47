//! A plugin's last log lines, and those that come.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Admin;
use super::answer::Refused;
use super::routes::plugin_name;
use crate::capability::History;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Lines with a number above this one.
    #[serde(default)]
    after: u64,
    /// Stay, and send lines as they are written.
    #[serde(default)]
    follow: bool,
}

pub(super) async fn lines(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refused> {
    let name = plugin_name(&name)?;
    let history = admin.logs.find(&name).ok_or_else(|| {
        Refused::new(404, "unknownPlugin", format!("there is no plugin {name} on this device"))
    })?;
    let body = if wanted.follow {
        let written = history.written();
        follow(Follower { history, written, after: wanted.after, ending: admin.ending.clone() })
    } else {
        Body::from(text(&history, wanted.after).0)
    };
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

struct Follower {
    history: Arc<History>,
    written: watch::Receiver<u64>,
    after: u64,
    ending: CancellationToken,
}

/// Sends what is there, then waits. A client that reads slowly is sent what is still there when it comes for more.
fn follow(follower: Follower) -> Body {
    let lines = stream::unfold(follower, |mut follower| async move {
        loop {
            follower.written.mark_unchanged();
            let (lines, last) = text(&follower.history, follower.after);
            if !lines.is_empty() {
                follower.after = last;
                return Some((Ok::<Bytes, Infallible>(lines.into()), follower));
            }
            let ending = follower.ending.clone();
            match ending.run_until_cancelled(follower.written.changed()).await {
                Some(Ok(())) => {}
                _ => return None,
            }
        }
    });
    Body::from_stream(lines)
}

/// The lines as JSON, one a line, and the number of the last one.
fn text(history: &History, after: u64) -> (String, u64) {
    let (lines, missed) = history.after(after);
    let mut text = String::new();
    // Who asks from the beginning wants what there is.
    if missed > 0 && after > 0 {
        text.push_str(&format!("{}\n", json!({ "missed": missed })));
    }
    let last = lines.last().map_or(after, |line| line.number);
    for line in &lines {
        if let Ok(line) = serde_json::to_string(line) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    (text, last)
}
