//! `hotshoe firmware update`: the service app of the firmware tutorial, in one command.
//!
//! It calls `firmwareUpdate`, prints the answer, and follows the reported properties every half second to the end.
//! What the twin means is decided in [`follow`]; how it is shown, in [`display`].

mod display;
mod follow;

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::{
    args::{FirmwareCommand, Image, Update},
    context::Context,
    failure::{Exit, Failure},
    hub::{Answer, Call, Of},
    method,
    output::harmless_json,
    rollout,
};
use display::Display;
use follow::{Ended, Follower, Step};

/// The method that begins an update.
pub(crate) const METHOD: &str = "firmwareUpdate";
const INTERVAL: Duration = Duration::from_millis(500);

/// Carries out a command.
pub(crate) async fn run(context: &Context<'_>, command: &FirmwareCommand) -> Result<(), Failure> {
    match command {
        FirmwareCommand::Update(update) => self::update(context, update).await,
        FirmwareCommand::Rollout(rollout) => rollout::firmware(context, rollout).await,
    }
}

async fn update(context: &Context<'_>, update: &Update) -> Result<(), Failure> {
    let device = update.device.as_str();
    // What the twin says before the call tells the former update from this one.
    let mut follower = Follower::new(&context.hub.twin(Of::device(device)).await?);
    let call = Call {
        of: Of::device(device),
        name: METHOD,
        payload: payload(&update.uri, &update.image),
        timeout: update.patience.response_timeout,
        connect_timeout: update.patience.connect_timeout,
    };
    let answer = context.hub.invoke(call).await?;
    if !context.output.json() {
        let payload = harmless_json(&answer.payload.to_string());
        context.output.line(&format!("{device} answered {}: {payload}", answer.status))?;
    }
    method::check(device, METHOD, &answer)?;
    let mut display = Display::new(context.output);
    let (ended, twin) = to_the_end(context, update, &mut follower, &mut display).await?;
    display.finish();
    conclude(context, device, &answer, ended, &twin)
}

/// The method's payload: what the tutorial sends, and what vouches for the image beside it.
pub(crate) fn payload(uri: &str, image: &Image) -> Value {
    let mut payload = Map::new();
    payload.insert("fwPackageUri".to_owned(), json!(uri));
    if let Some(digest) = &image.digest {
        payload.insert("digest".to_owned(), json!(digest.to_string()));
    }
    if let Some(size) = image.size {
        payload.insert("size".to_owned(), json!(size));
    }
    if let Some(version) = &image.version {
        payload.insert("version".to_owned(), json!(version));
    }
    Value::Object(payload)
}

async fn to_the_end(
    context: &Context<'_>,
    update: &Update,
    follower: &mut Follower,
    display: &mut Display<'_>,
) -> Result<(Ended, Value), Failure> {
    let deadline = Instant::now() + Duration::from_secs(update.timeout);
    loop {
        match context.hub.twin(Of::device(&update.device)).await {
            Ok(twin) => match follower.observe(&twin) {
                Step::Ended(ended) => return Ok((ended, twin)),
                Step::Waiting => {}
                Step::Moving(moving) => display.show(&moving)?,
            },
            Err(error) if error.passes() => display.away(&error.to_string()),
            Err(error) => {
                display.finish();
                return Err(error.into());
            }
        }
        if Instant::now() >= deadline {
            display.finish();
            let text =
                format!("{} has not ended its update within {} s; it goes on", update.device, update.timeout);
            let hint = format!("follow it with `hotshoe twin watch {}`", update.device);
            return Err(Failure::new(Exit::TempFail, text).hint(hint));
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn conclude(
    context: &Context<'_>,
    device: &str,
    answer: &Answer,
    ended: Ended,
    twin: &Value,
) -> Result<(), Failure> {
    let (word, failure) = match ended {
        Ended::Completed => ("completed", None),
        Ended::Failed { reason } => {
            let text = format!("the update of {device} failed{}", told(reason.as_deref()));
            ("failed", Some(Failure::new(Exit::Software, text).hint("it still runs what it ran before")))
        }
        Ended::Cancelled => {
            let text = format!("the update of {device} was cancelled by an operator");
            ("cancelled", Some(Failure::new(Exit::Software, text).hint("it runs what it ran before")))
        }
        Ended::RolledBack { reason } => {
            let text = format!("the update of {device} was rolled back{}", told(reason.as_deref()));
            (
                "rolledBack",
                Some(
                    Failure::new(Exit::OsError, text)
                        .hint("the new image did not prove itself in its trial boot"),
                ),
            )
        }
    };
    if context.output.json() {
        let reported = twin.pointer("/properties/reported").cloned().unwrap_or_default();
        context.output.document(&json!({
            "device": device,
            "outcome": word,
            "response": { "status": answer.status, "payload": answer.payload },
            "reported": reported,
        }))?;
    } else if failure.is_none() {
        context.output.line(&format!("{device} {}", context.output.strong(word)))?;
    }
    failure.map_or(Ok(()), Err)
}

fn told(reason: Option<&str>) -> String {
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_the_tutorials_with_what_vouches_beside_it() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let uri = "https://h/a.img";
        let mut image = Image { digest: None, size: None, version: None };
        assert_eq!(payload(uri, &image), json!({ "fwPackageUri": uri }));
        image = Image { digest: digest.parse().ok(), size: Some(7), version: Some("2.0".to_owned()) };
        assert_eq!(
            payload(uri, &image),
            json!({"fwPackageUri": uri, "digest": digest, "size": 7, "version": "2.0"})
        );
    }
}
