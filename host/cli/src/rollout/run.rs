//! Follows a rollout to where nothing is left to do: look, decide, write down, act, tell.

use std::{path::PathBuf, time::Duration};

use jiff::Timestamp;

use super::{
    act,
    decide::{Step, next},
    display::Display,
    look::{Look, Looker},
    progress::{Progress, State},
    record::Record,
    report, tag,
};
use crate::{
    context::Context,
    failure::{Exit, Failure},
};

/// How to follow it.
pub(super) struct Manner {
    /// How long to wait between two looks.
    pub(super) interval: Duration,
    /// The directory of the report.
    pub(super) report: PathBuf,
}

/// Follows it until it is completed, paused or aborted, and writes the report. Interrupted it says how to go on.
pub(super) async fn follow(
    context: &Context<'_>,
    mut record: Record,
    manner: &Manner,
) -> Result<(), Failure> {
    let name = record.name.clone();
    tokio::select! {
        ended = to_the_end(context, &mut record, manner) => ended,
        _ = tokio::signal::ctrl_c() => {
            let text = format!("not watching the rollout {name} any more; the hub ends what it has begun, and no other wave begins");
            Err(Failure::new(Exit::TempFail, text).hint(format!("`hotshoe rollout resume {name}` goes on")))
        }
    }
}

async fn to_the_end(context: &Context<'_>, record: &mut Record, manner: &Manner) -> Result<(), Failure> {
    let mut display = Display::new(context, record);
    if record.progress.state == State::Tagging {
        tag::tag(context, record, &display, manner.interval).await?;
    }
    // Of what is over nothing is decided any more.
    let mut looker = if record.progress.state.is_over() { Looker::once() } else { Looker::default() };
    loop {
        record.refresh(context).await?;
        act::see_to_job(context, record).await?;
        let look = looker.look(context, record).await?;
        display.show(record, &look)?;
        // By the hub's time: who followed it before may have had another clock.
        let now = context.hub.now();
        match next(&record.plan, &record.progress, &look.counts, look.over, now) {
            Step::Begin(wave) => {
                record.update(context, |progress| begin(progress, wave, now)).await?;
                act::see_to_job(context, record).await?;
                // Not where somebody has paused or aborted it meanwhile.
                if record.progress.under_way() == Some(wave) && !record.progress.state.is_over() {
                    display.begun(record, wave)?;
                }
            }
            Step::End(wave) => {
                record.update(context, |progress| end(progress, wave, now)).await?;
                display.ended(record, wave)?;
            }
            Step::Wait(why) => {
                display.waiting(&why)?;
                tokio::time::sleep(manner.interval).await;
            }
            Step::Pause(why) => record.update(context, |progress| pause(progress, &why)).await?,
            Step::Abort(why) => abort(context, record, &why).await?,
            Step::Complete => record.update(context, complete).await?,
            Step::Stop => return conclude(context, record, &look, &display, manner),
        }
    }
}

/// Aborts it: no other wave begins, and of the one under way no device is called that was not yet. Of one that is aborted
/// already the latter is seen to once more.
pub(super) async fn abort(context: &Context<'_>, record: &mut Record, why: &str) -> Result<(), Failure> {
    record
        .update(context, |progress| {
            let open = !progress.state.is_over();
            if open {
                progress.state = State::Aborted;
                progress.reason = Some(why.to_owned());
            }
            open
        })
        .await?;
    act::see_to_job(context, record).await
}

/// Says how it ended, and writes the report.
fn conclude(
    context: &Context<'_>,
    record: &Record,
    look: &Look,
    display: &Display<'_>,
    manner: &Manner,
) -> Result<(), Failure> {
    let now = context.hub.now();
    let report = report::write(&manner.report, record, look, now)?;
    display.finish(record, look, now, &report)?;
    let (name, why) = (&record.name, record.progress.reason.as_deref().unwrap_or("an operator wanted it so"));
    let completed: usize = look.counts.iter().map(|counts| counts.completed).sum();
    match record.progress.state {
        State::Aborted => Err(Failure::new(Exit::Software, format!("the rollout {name} was aborted: {why}"))
            .hint(format!(
                "devices that were called go on by themselves; {} has them all",
                report.display()
            ))),
        State::Completed if completed == 0 => Err(Failure::new(
            Exit::Unavailable,
            format!("the rollout {name} has ended and no device completed"),
        )
        .hint(format!("{} says what became of each", report.display()))),
        State::Completed => Ok(()),
        _ => Err(Failure::new(Exit::TempFail, format!("the rollout {name} is paused: {why}"))
            .hint(format!("`hotshoe rollout resume {name}` goes on"))),
    }
}

fn begin(progress: &mut Progress, number: usize, now: Timestamp) -> bool {
    // Somebody else may have paused it, or begun the wave, meanwhile.
    let fits = progress.state == State::Running;
    match progress.waves.get_mut(number) {
        Some(wave) if fits && wave.started.is_none() => wave.started = Some(now),
        _ => return false,
    }
    true
}

fn end(progress: &mut Progress, number: usize, now: Timestamp) -> bool {
    match progress.waves.get_mut(number) {
        Some(wave) if wave.ended.is_none() => wave.ended = Some(now),
        _ => return false,
    }
    true
}

fn pause(progress: &mut Progress, why: &str) -> bool {
    let running = progress.state == State::Running;
    if running {
        progress.state = State::Paused;
        progress.reason = Some(why.to_owned());
    }
    running
}

fn complete(progress: &mut Progress) -> bool {
    let open = matches!(progress.state, State::Running | State::Paused);
    if open {
        progress.state = State::Completed;
        progress.reason = None;
    }
    open
}
