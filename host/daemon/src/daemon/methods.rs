//! The host's own methods about plugins: `hotshoe.plugins.install` and `hotshoe.plugins.rollback`.
//!
//! A method's caller waits some seconds and no longer, and an install may have to fetch and compile. So what is done
//! within [`PATIENCE`] is answered with what became of it, and the rest with 202; it goes on, and how it goes stands in the
//! twin, as `order` in the plugin's entry of `hotshoe.plugins`: 202 before the caller is answered, then its end. An order
//! that is answered with its end takes that of an earlier one away.

use std::time::Duration;

use hotshoe_core::manifest::PluginName;
use hotshoe_core::method::MethodResponse;
use hotshoe_core::swap::Demand;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::admin::{Order, OrderError, Orders, outcome};
use crate::hub::Outbox;

/// `{name, version?, repository?, digest?}`
pub(super) const INSTALL: &str = "hotshoe.plugins.install";
/// `{name}`
pub(super) const ROLLBACK: &str = "hotshoe.plugins.rollback";
/// How long a caller is kept waiting: less than the least time-out that a hub takes (5 s).
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: PluginName,
}

/// Installs a plugin out of a repository.
pub(super) async fn install(orders: &Orders, outbox: &Outbox, payload: &Value) -> MethodResponse {
    let order = match Order::deserialize(payload) {
        Ok(order) => order,
        Err(error) => return invalid(&error),
    };
    let (name, orders) = (order.name.clone(), orders.clone());
    let done = async move {
        let installed = orders.named(&order, None, Demand::Explicit, &|_| {}).await?;
        Ok(outcome(&installed))
    };
    answer(name, outbox, done).await
}

/// Takes the version before live again.
pub(super) async fn rollback(orders: &Orders, outbox: &Outbox, payload: &Value) -> MethodResponse {
    let Named { name } = match Named::deserialize(payload) {
        Ok(named) => named,
        Err(error) => return invalid(&error),
    };
    let (plugins, by_name) = (orders.plugins.clone(), name.clone());
    let done = async move { Ok(json!({ "outcome": "live", "plugin": plugins.rollback(&by_name).await? })) };
    answer(name, outbox, done).await
}

/// Does it to its end, and answers with the end where that comes soon.
async fn answer(
    name: PluginName,
    outbox: &Outbox,
    work: impl Future<Output = Result<Value, OrderError>> + Send + 'static,
) -> MethodResponse {
    let (sender, mut end) = oneshot::channel();
    let (by_name, by_outbox) = (name.clone(), outbox.clone());
    tokio::spawn(async move {
        let response = match work.await {
            Ok(payload) => MethodResponse { status: 200, payload },
            Err(error) => refused(&error),
        };
        if let Err(response) = sender.send(response) {
            // Nobody waits for it any more: it was answered with 202.
            tell(&by_name, &by_outbox, &response).await;
        }
    });
    if let Ok(ended) = tokio::time::timeout(PATIENCE, &mut end).await {
        forget(&name, outbox).await;
        return ended.unwrap_or_else(|_| refused(&OrderError::Interrupted));
    }
    let payload =
        json!({ "outcome": "underWay", "reported": format!("hotshoe.plugins.{}", name.twin_key()) });
    let under_way = MethodResponse { status: 202, payload };
    tell(&name, outbox, &under_way).await;
    // From now on its end is told in the twin; one that came meanwhile is told here.
    end.close();
    match end.try_recv() {
        Ok(response) => {
            forget(&name, outbox).await;
            response
        }
        Err(_) => under_way,
    }
}

async fn tell(name: &PluginName, outbox: &Outbox, response: &MethodResponse) {
    let text = response.payload.pointer("/error/message").and_then(Value::as_str);
    let text: Option<String> = text.map(|text| text.chars().take(256).collect());
    report(name, outbox, json!({ "status": response.status, "reason": text })).await;
}

/// Takes what the twin shows of an earlier order away.
async fn forget(name: &PluginName, outbox: &Outbox) {
    let reported = outbox.reported();
    let entry = reported.pointer("/hotshoe/plugins").and_then(|plugins| plugins.get(name.twin_key()));
    if entry.is_some_and(|entry| entry.get("order").is_some()) {
        report(name, outbox, Value::Null).await;
    }
}

async fn report(name: &PluginName, outbox: &Outbox, order: Value) {
    let mut plugins = serde_json::Map::new();
    plugins.insert(name.twin_key(), json!({ "order": order }));
    if let Err(error) = outbox.patch(json!({ "hotshoe": { "plugins": plugins } })).await {
        tracing::warn!(%error, plugin = %name, "how an order goes was not reported");
    }
}

fn refused(error: &OrderError) -> MethodResponse {
    let payload = json!({ "error": { "code": error.code(), "message": error.to_string() } });
    MethodResponse { status: error.status(), payload }
}

fn invalid(error: &serde_json::Error) -> MethodResponse {
    let message = format!("the payload is not an order: {error}");
    MethodResponse {
        status: 400,
        payload: json!({ "error": { "code": "invalidPayload", "message": message } }),
    }
}
