//! `hotshoe firmware rollout`, `hotshoe plugin rollout` and `hotshoe rollout …`

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::{
    act,
    look::Looker,
    members,
    name::Name,
    plan::{Plan, What, waves},
    progress::State,
    record::Record,
    report,
    run::{self, Manner, follow},
    tag,
};
use crate::{
    args::{FirmwareRollout, Follow, Pace, PluginRollout, RolloutCommand},
    context::Context,
    failure::{Exit, Failure},
    output::Table,
};

/// How long to wait between two looks at a job that has no devices to wait for.
const INTERVAL: Duration = Duration::from_secs(2);

/// Carries out a command about rollouts that there are.
pub(crate) async fn run(context: &Context<'_>, command: &RolloutCommand) -> Result<(), Failure> {
    match command {
        RolloutCommand::List => list(context).await,
        RolloutCommand::Show { name } => show(context, name).await,
        RolloutCommand::Pause { name } => pause(context, name).await,
        RolloutCommand::Resume { name, follow } => resume(context, name, follow).await,
        RolloutCommand::Abort { name, reason } => {
            let mut record = Record::load(context, name).await?;
            run::abort(context, &mut record, reason).await?;
            told(context, &record)
        }
        RolloutCommand::Delete { name } => delete(context, name).await,
    }
}

/// Begins a rollout of an image, or goes on with it.
pub(crate) async fn firmware(context: &Context<'_>, rollout: &FirmwareRollout) -> Result<(), Failure> {
    let FirmwareRollout { uri, image, patience, pace } = rollout;
    let what = What::Firmware {
        payload: crate::firmware::payload(uri, image),
        response_timeout: patience.response_timeout,
        connect_timeout: patience.connect_timeout,
    };
    begin(context, what, pace).await
}

/// Begins a rollout of a plugin, or goes on with it.
pub(crate) async fn plugin(context: &Context<'_>, rollout: &PluginRollout) -> Result<(), Failure> {
    let (name, version) = &rollout.plugin;
    let mut entry = json!({ "version": version });
    if let Some(members) = entry.as_object_mut() {
        let repository = rollout.repository.as_ref().map(|repository| ("repository", json!(repository)));
        let digest = rollout.digest.as_ref().map(|digest| ("digest", json!(digest)));
        members.extend(repository.into_iter().chain(digest).map(|(name, value)| (name.to_owned(), value)));
    }
    begin(context, What::Plugin { key: name.to_string().replace('.', "/"), entry }, &rollout.pace).await
}

async fn begin(context: &Context<'_>, what: What, pace: &Pace) -> Result<(), Failure> {
    let waves = waves(&pace.waves)
        .map_err(|reason| Failure::new(Exit::Usage, format!("--waves {}: {reason}", pace.waves)))?;
    let plan = Plan {
        what,
        condition: pace.query.clone(),
        waves,
        abort_over: pace.abort_over,
        soak: pace.soak,
        timeout: pace.timeout,
        count_unreachable: pace.count_unreachable,
    };
    let name = match &pace.name {
        Some(name) => name.clone(),
        None => plan.name().parse().map_err(|reason: String| Failure::new(Exit::Software, reason))?,
    };
    if pace.dry_run {
        return dry_run(context, &name, &plan).await;
    }
    let record = match Record::find(context, &name).await? {
        Some(record) => record,
        None => {
            // Nothing is written down of a rollout for nobody.
            tag::matching(context, &plan).await?;
            Record::create(context, &name, plan.clone()).await?
        }
    };
    let differences = record.plan.differences(&plan);
    if !differences.is_empty() {
        let text = format!("there is a rollout {name} already, and it differs in {}", differences.join(", "));
        return Err(Failure::new(Exit::Usage, text)
            .hint(format!("`hotshoe rollout show {name}`; choose another --name for this one")));
    }
    follow(context, record, &manner(&pace.follow)).await
}

async fn dry_run(context: &Context<'_>, name: &Name, plan: &Plan) -> Result<(), Failure> {
    let devices = tag::matching(context, plan).await?;
    let (all, members) = (devices.len(), members::assign(name, plan, devices, &BTreeMap::new()));
    let sizes = members::sizes(&members);
    if context.output.json() {
        return context
            .output
            .document(&json!({ "rollout": name.to_string(), "matching": all, "waves": sizes }));
    }
    context.output.line(&format!(
        "{name}: {} for {} of {all} devices; nothing was done",
        plan.what,
        members.len()
    ))?;
    let mut table = Table::new(["WAVE", "DEVICES", "MAY FAIL"]);
    for (number, size) in sizes.iter().enumerate() {
        let most =
            (0..=*size).rev().find(|failed| !plan.abort_over.is_exceeded(*failed, *size)).unwrap_or_default();
        table.row([&(number + 1).to_string(), &size.to_string(), &most.to_string()]);
    }
    context.output.table(&table)
}

async fn resume(context: &Context<'_>, name: &Name, manner: &Follow) -> Result<(), Failure> {
    let mut record = Record::load(context, name).await?;
    if record.progress.state == State::Aborted {
        let text = format!("the rollout {name} was aborted, and an aborted one is over for good");
        return Err(Failure::new(Exit::Data, text).hint("begin another, with another --name"));
    }
    record
        .update(context, |progress| {
            let paused = progress.state == State::Paused;
            if paused {
                // Paused before its devices had their tags it goes on with them.
                progress.state = if progress.waves.is_empty() { State::Tagging } else { State::Running };
                progress.reason = None;
                progress
                    .waves
                    .iter_mut()
                    .filter(|wave| wave.ended.is_some())
                    .for_each(|wave| wave.accepted = true);
            }
            paused
        })
        .await?;
    follow(context, record, &self::manner(manner)).await
}

async fn pause(context: &Context<'_>, name: &Name) -> Result<(), Failure> {
    let mut record = Record::load(context, name).await?;
    record
        .update(context, |progress| {
            let open = progress.state == State::Running;
            if open {
                progress.state = State::Paused;
                progress.reason = Some("an operator wanted it so".to_owned());
            }
            open
        })
        .await?;
    if record.progress.state == State::Tagging {
        let text = format!("the rollout {name} has not begun: its devices get their tags");
        return Err(Failure::new(Exit::TempFail, text)
            .hint("no device is called yet; abort it, or pause it in a moment"));
    }
    told(context, &record)
}

async fn delete(context: &Context<'_>, name: &Name) -> Result<(), Failure> {
    let record = Record::load(context, name).await?;
    if !record.progress.state.is_over() {
        let text = format!("the rollout {name} is {}", record.progress.state.word());
        return Err(Failure::new(Exit::Data, text).hint(format!("`hotshoe rollout abort {name}` ends it")));
    }
    // What is forgotten calls nobody: an abort may have been cut short before it had called its job off.
    act::see_to_job(context, &record).await?;
    // The tags first: without the plan nobody would know of them.
    tag::clear(context, name, INTERVAL).await?;
    record.delete(context).await?;
    if context.output.json() {
        return context.output.document(&json!({ "deleted": name.to_string() }));
    }
    context.output.line(&format!("deleted {name}"))
}

async fn list(context: &Context<'_>) -> Result<(), Failure> {
    let records = Record::all(context).await?;
    if context.output.json() {
        let list = records.iter().map(|record| {
            json!({ "rollout": record.name.to_string(), "plan": record.plan, "progress": record.progress })
        });
        return context.output.document(&list.collect());
    }
    let mut table = Table::new(["ROLLOUT", "STATE", "WAVE", "DEVICES", "WHAT"]);
    for record in &records {
        let (progress, waves) = (&record.progress, record.progress.waves.len());
        let wave =
            progress.current().map(|current| format!("{} of {waves}", current + 1)).unwrap_or_default();
        let devices: usize = progress.waves.iter().map(|wave| wave.devices).sum();
        table.row([
            &record.name.to_string(),
            progress.state.word(),
            &wave,
            &devices.to_string(),
            &record.plan.what.to_string(),
        ]);
    }
    context.output.table(&table)
}

async fn show(context: &Context<'_>, name: &Name) -> Result<(), Failure> {
    let record = Record::load(context, name).await?;
    let look = Looker::once().look(context, &record).await?;
    let document = report::document(&record, &look, context.hub.now());
    if context.output.json() {
        return context.output.document(&document);
    }
    let plan = &record.plan;
    let mut table = Table::plain(0);
    table.row(["rollout", &name.to_string()]);
    table.row(["state", record.progress.state.word()]);
    if let Some(reason) = &record.progress.reason {
        table.row(["because", reason]);
    }
    table.row(["what", &plan.what.to_string()]);
    table.row(["for", &plan.condition]);
    table.row(["aborts over", &plan.abort_over.to_string()]);
    table.row(["soaks", &format!("{} s", plan.soak)]);
    context.output.table(&table)?;
    context.output.line("")?;
    let mut table =
        Table::new(["WAVE", "DEVICES", "BEGAN", "ENDED", "COMPLETED", "FAILED", "UNREACHABLE", "WAITING"]);
    for wave in document.get("waves").and_then(Value::as_array).into_iter().flatten() {
        let cell = |name: &str| match wave.get(name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.get(..19).unwrap_or(text).to_owned(),
            Some(other) => other.to_string(),
        };
        let names = ["wave", "devices", "started", "ended", "completed", "failed", "unreachable", "waiting"];
        let cells = names.map(cell);
        table.row(cells.each_ref().map(String::as_str));
    }
    context.output.table(&table)
}

fn told(context: &Context<'_>, record: &Record) -> Result<(), Failure> {
    if context.output.json() {
        let told = json!({ "rollout": record.name.to_string(), "progress": record.progress });
        return context.output.document(&told);
    }
    context.output.line(&format!("{} is {}", record.name, record.progress.state.word()))
}

fn manner(follow: &Follow) -> Manner {
    Manner { interval: Duration::from_secs(follow.interval), report: follow.report.clone() }
}
