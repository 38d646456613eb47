//! Before the first call: every device gets the tag that says to which wave it belongs.
//!
//! IoT Hub's queries see a change only after a while, and a job looks for its devices by such a query. So nothing is
//! called before the hub's own query shows every tag. Killed in the middle, it goes on with those that have none yet;
//! no device was called by then, so nothing can happen twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    act::write_tags,
    display::Display,
    members::{assign, conditions, sizes},
    name::{Name, Word},
    plan::Plan,
    progress::{State, Wave},
    record::{Record, patiently},
};
use crate::{
    context::Context,
    failure::{Exit, Failure},
};

/// How often tags are written that do not show.
const ROUNDS: usize = 3;
/// How long to wait for tags to show.
const PATIENCE: Duration = Duration::from_secs(300);

/// The devices for which the plan's condition holds now.
pub(super) async fn matching(context: &Context<'_>, plan: &Plan) -> Result<BTreeSet<String>, Failure> {
    let query = match plan.condition.as_str() {
        "*" => "SELECT deviceId FROM devices".to_owned(),
        condition => format!("SELECT deviceId FROM devices WHERE {condition}"),
    };
    let rows = patiently(context, async || context.hub.query(&query).await).await?;
    let devices: BTreeSet<String> =
        rows.iter().filter_map(|row| Some(row.get("deviceId")?.as_str()?.to_owned())).collect();
    if devices.is_empty() {
        let text = format!("no device matches {}", plan.condition);
        return Err(Failure::new(Exit::NoInput, text).hint(format!("try `hotshoe query \"{query}\"`")));
    }
    Ok(devices)
}

/// Gives every device its tag, and writes down how many each wave has.
pub(super) async fn tag(
    context: &Context<'_>,
    record: &mut Record,
    display: &Display<'_>,
    interval: Duration,
) -> Result<(), Failure> {
    let name = record.name.clone();
    let tagged = self::tagged(context, &name).await?;
    let members = assign(&name, &record.plan, matching(context, &record.plan).await?, &tagged);
    let mut missing = without(&members, &tagged);
    for _ in 0..ROUNDS {
        if missing.is_empty() {
            break;
        }
        display.tagging(missing.len())?;
        write(context, &name, &missing, interval).await?;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            missing = without(&members, &self::tagged(context, &name).await?);
            if missing.is_empty() || tokio::time::Instant::now() >= deadline {
                break;
            }
            tokio::time::sleep(interval).await;
        }
    }
    if !missing.is_empty() {
        let text = format!("{} devices do not show the tag {}", missing.len(), name.tag());
        return Err(Failure::new(Exit::TempFail, text)
            .hint("were they deleted, or are their tags full (8 KiB)? no device was called; run it again"));
    }
    let sizes = sizes(&members);
    record
        .update(context, |progress| {
            if progress.state != State::Tagging {
                return false;
            }
            progress.state = State::Running;
            progress.waves =
                sizes.iter().map(|devices| Wave { devices: *devices, ..Wave::default() }).collect();
            true
        })
        .await
}

/// Takes the tags of a rollout away, and waits until none shows: another of the same name would go by those that do.
pub(super) async fn clear(context: &Context<'_>, name: &Name, interval: Duration) -> Result<(), Failure> {
    if tagged(context, name).await?.is_empty() {
        return Ok(());
    }
    let tags = json!({ "hotshoe": { "rollout": { name.key(): null } } });
    let id = name.tag_job(&Word::draw()?);
    write_tags(context, &id, &format!("{} >= 1", name.tag()), &tags, interval).await?;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let left = tagged(context, name).await?.len();
        if left == 0 {
            return Ok(());
        }
        if tokio::time::Instant::now() >= deadline {
            let text = format!("{left} devices still show the tag {}", name.tag());
            return Err(Failure::new(Exit::TempFail, text).hint("the rollout is still there; run it again"));
        }
        tokio::time::sleep(interval).await;
    }
}

async fn write(
    context: &Context<'_>,
    name: &Name,
    missing: &BTreeMap<String, usize>,
    interval: Duration,
) -> Result<(), Failure> {
    let waves: BTreeSet<usize> = missing.values().copied().collect();
    for wave in waves {
        let devices = missing.iter().filter(|(_, of)| **of == wave).map(|(device, _)| device.as_str());
        for condition in conditions(devices) {
            let tags = json!({ "hotshoe": { "rollout": { name.key(): wave } } });
            // Writing them twice does nothing, so the id need not be the same the next time.
            let id = name.tag_job(&Word::draw()?);
            write_tags(context, &id, &condition, &tags, interval).await?;
        }
    }
    Ok(())
}

/// The wave of each device that has the tag.
async fn tagged(context: &Context<'_>, name: &Name) -> Result<BTreeMap<String, usize>, Failure> {
    let tag = name.tag();
    let query = format!("SELECT deviceId, {tag} AS wave FROM devices WHERE {tag} >= 1");
    let rows = patiently(context, async || context.hub.query(&query).await).await?;
    let wave = |row: &Value| Some((row.get("deviceId")?.as_str()?.to_owned(), row.get("wave")?.as_u64()?));
    Ok(rows
        .iter()
        .filter_map(wave)
        .filter_map(|(device, wave)| Some((device, usize::try_from(wave).ok()?)))
        .collect())
}

fn without(members: &BTreeMap<String, usize>, tagged: &BTreeMap<String, usize>) -> BTreeMap<String, usize> {
    let missing = members.iter().filter(|(device, wave)| tagged.get(*device) != Some(*wave));
    missing.map(|(device, wave)| (device.clone(), *wave)).collect()
}
