//! `hotshoe hub job …`: what the hub does for many devices.

use serde_json::Value;

use crate::{
    args::HubJobCommand,
    context::Context,
    failure::Failure,
    output::{Output, Table},
};

pub(super) async fn run(context: &Context<'_>, command: &HubJobCommand) -> Result<(), Failure> {
    match command {
        HubJobCommand::List { kind, status } => {
            let jobs = context.hub.jobs(kind.as_deref(), status.as_deref()).await?;
            list(context.output, jobs)
        }
        HubJobCommand::Show { job, devices } => show(context, job, *devices).await,
        HubJobCommand::Cancel { job } => {
            let cancelled = context.hub.cancel_job(job).await?;
            if context.output.json() {
                return context.output.document(&cancelled);
            }
            context.output.line(&format!("cancelled {job}"))
        }
    }
}

fn list(output: &Output, mut jobs: Vec<Value>) -> Result<(), Failure> {
    jobs.sort_by_key(|job| std::cmp::Reverse(text(job, "/createdTime")));
    if output.json() {
        return output.document(&Value::Array(jobs));
    }
    let mut table = Table::new(["JOB", "TYPE", "STATUS", "CREATED", "DEVICES", "SUCCEEDED", "FAILED"]);
    for job in &jobs {
        table.row([
            &text(job, "/jobId"),
            &text(job, "/type"),
            &text(job, "/status"),
            &text(job, "/createdTime"),
            &text(job, "/deviceJobStatistics/deviceCount"),
            &text(job, "/deviceJobStatistics/succeededCount"),
            &text(job, "/deviceJobStatistics/failedCount"),
        ]);
    }
    output.table(&table)
}

async fn show(context: &Context<'_>, id: &str, devices: bool) -> Result<(), Failure> {
    let mut job = context.hub.job(id).await?;
    let rows = if devices { context.hub.job_devices(id).await? } else { Vec::new() };
    if context.output.json() {
        if let (true, Some(members)) = (devices, job.as_object_mut()) {
            members.insert("devices".to_owned(), Value::Array(rows));
        }
        return context.output.document(&job);
    }
    let mut table = Table::plain(0);
    for (name, pointer) in [
        ("job", "/jobId"),
        ("type", "/type"),
        ("status", "/status"),
        ("condition", "/queryCondition"),
        ("method", "/cloudToDeviceMethod/methodName"),
        ("payload", "/cloudToDeviceMethod/payload"),
        ("tags", "/updateTwin/tags"),
        ("desired", "/updateTwin/properties/desired"),
        ("created", "/createdTime"),
        ("started", "/startTime"),
        ("ended", "/endTime"),
        ("failure", "/failureReason"),
        ("devices", "/deviceJobStatistics/deviceCount"),
        ("succeeded", "/deviceJobStatistics/succeededCount"),
        ("failed", "/deviceJobStatistics/failedCount"),
        ("running", "/deviceJobStatistics/runningCount"),
        ("pending", "/deviceJobStatistics/pendingCount"),
    ] {
        let value = text(&job, pointer);
        if !value.is_empty() {
            table.row([name, &value]);
        }
    }
    context.output.table(&table)?;
    if !devices {
        return Ok(());
    }
    context.output.line("")?;
    let mut table = Table::new(["DEVICE", "STATUS", "ENDED", "ANSWER"]);
    for row in &rows {
        let answer = row.pointer("/outcome/deviceMethodResponse").or_else(|| row.get("error"));
        let answer = answer.filter(|answer| !answer.is_null()).map(Value::to_string).unwrap_or_default();
        table.row([&text(row, "/deviceId"), &text(row, "/status"), &text(row, "/endTimeUtc"), &answer]);
    }
    context.output.table(&table)
}

fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
