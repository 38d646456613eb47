//! Jobs, handed to the hub so that each is carried out once, whoever hands it over and however often; and called off so
//! that nobody hands them over any more.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{
    plan::What,
    progress::State,
    record::{Record, patiently},
};
use crate::{
    context::Context,
    failure::{Exit, Failure},
    hub::{Call, HubError, Job, Of, Work},
};

/// The shortest time that a job is given, in seconds: what the hub gives one by itself.
const SHORTEST: u64 = 3600;
/// How long after a wave was begun its job may still be handed over. IoT Hub forgets ended jobs after 30 days; a job
/// that is not there later than this was carried out and forgotten, and is not made again.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(20 * 24);

/// Sees to the job of the wave that was begun and has not ended: it is at the hub, or, of an aborted rollout, is over and
/// can never be handed over again.
pub(super) async fn see_to_job(context: &Context<'_>, record: &Record) -> Result<(), Failure> {
    let Some(wave) = record.progress.under_way() else { return Ok(()) };
    match record.progress.state {
        State::Aborted => call_off(context, record, wave).await.map_err(|failure| {
            let how = if failure.status == Some(401) { ", under a policy with ServiceConnect" } else { "" };
            failure.hint(format!(
                "the rollout is aborted, but its job may still call devices: abort it again{how}"
            ))
        }),
        State::Completed => Ok(()),
        State::Tagging | State::Running | State::Paused => hand_over(context, record, wave).await,
    }
}

async fn hand_over(context: &Context<'_>, record: &Record, wave: usize) -> Result<(), Failure> {
    let id = record.job(wave);
    match patiently(context, async || context.hub.job(&id).await).await {
        Ok(_) => return Ok(()),
        Err(error) if error.status() != Some(404) => return Err(error.into()),
        Err(_) if is_forgotten(context, record, wave) => return Ok(()),
        Err(_) => {}
    }
    let condition = format!("{} = {}", record.name.tag(), wave + 1);
    let limit = record.plan.timeout.max(SHORTEST);
    create(context, &id, &condition, limit, || work(&record.plan.what)).await
}

/// Cancels the job of a wave. Where it is not at the hub yet, somebody who follows the rollout may be about to hand it
/// over, having looked before it was aborted: so its id is taken by a job for no device, and the hub takes each only once.
async fn call_off(context: &Context<'_>, record: &Record, wave: usize) -> Result<(), Failure> {
    let id = record.job(wave);
    match cancel(context, &id).await {
        Err(error) if error.status() == Some(404) && !is_forgotten(context, record, wave) => {}
        Err(error) if error.status() == Some(404) => return Ok(()),
        told => return Ok(told?),
    }
    // Waves are counted from 1.
    let nobody = format!("{} = 0", record.name.tag());
    create(context, &id, &nobody, SHORTEST, || work(&record.plan.what)).await?;
    // It is the other's where that came first, and has called its devices since.
    Ok(cancel(context, &id).await?)
}

/// Cancels a job. One that has ended cannot be cancelled, which is as well.
async fn cancel(context: &Context<'_>, id: &str) -> Result<(), HubError> {
    let Err(error) = patiently(context, async || context.hub.cancel_job(id).await).await else {
        return Ok(());
    };
    match patiently(context, async || context.hub.job(id).await).await {
        Ok(job) if is_ended(&job) => Ok(()),
        _ => Err(error),
    }
}

/// Whether the hub has forgotten the job of a wave, which was begun so long ago.
pub(super) fn is_forgotten(context: &Context<'_>, record: &Record, wave: usize) -> bool {
    let started = record.progress.waves.get(wave).and_then(|wave| wave.started);
    started.is_some_and(|started| context.hub.now().duration_since(started) > REMEMBERED)
}

/// Merges into the tags of devices and waits until the hub has done so.
pub(super) async fn write_tags(
    context: &Context<'_>,
    id: &str,
    condition: &str,
    tags: &Value,
    interval: Duration,
) -> Result<(), Failure> {
    create(context, id, condition, SHORTEST, || Work::Twin(json!({ "tags": tags }))).await?;
    loop {
        let job = patiently(context, async || context.hub.job(id).await).await?;
        match job.get("status").and_then(Value::as_str) {
            Some("completed") => return Ok(()),
            Some(ended @ ("failed" | "cancelled")) => {
                let text = format!("job {id}, which writes tags, is {ended}");
                return Err(Failure::new(Exit::TempFail, text).hint("run the same command again"));
            }
            _ => tokio::time::sleep(interval).await,
        }
    }
}

/// Whether a job has ended.
pub(super) fn is_ended(job: &Value) -> bool {
    matches!(job.get("status").and_then(Value::as_str), Some("completed" | "failed" | "cancelled"))
}

/// Makes a job. One that is there already was made by an earlier try, or by somebody else for the same rollout.
async fn create<'a>(
    context: &Context<'_>,
    id: &str,
    condition: &str,
    limit: u64,
    work: impl Fn() -> Work<'a>,
) -> Result<(), Failure> {
    let made = patiently(context, async || {
        let job = Job { id, condition, work: work(), limit };
        match context.hub.create_job(job).await {
            Err(HubError::Refused { status: 400 | 409 | 412, .. }) if context.hub.job(id).await.is_ok() => {
                Ok(())
            }
            other => other.map(drop),
        }
    });
    Ok(made.await?)
}

fn work(what: &What) -> Work<'_> {
    match what {
        What::Firmware { payload, response_timeout, connect_timeout } => Work::Method(Call {
            of: Of::device(""),
            name: crate::firmware::METHOD,
            payload: payload.clone(),
            timeout: *response_timeout,
            connect_timeout: *connect_timeout,
        }),
        What::Plugin { key, entry } => {
            // What a former entry said beside these is taken away: the entry is this one and nothing else.
            let mut whole = json!({ "version": null, "repository": null, "digest": null, "remove": null });
            if let (Some(whole), Some(entry)) = (whole.as_object_mut(), entry.as_object()) {
                whole.extend(entry.clone());
            }
            Work::Twin(
                json!({ "properties": { "desired": { "hotshoe": { "plugins": { key.as_str(): whole } } } } }),
            )
        }
    }
}
