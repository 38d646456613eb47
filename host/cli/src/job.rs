//! `hotshoe job`: the jobs of the device on which this runs, over its admin socket.

use reqwest::Method;
use serde_json::Value;

use crate::admin::Admin;
use crate::args::JobCommand;
use crate::failure::Failure;
use crate::output::{Output, Table};

/// Carries out one command.
pub(crate) async fn run(output: &Output, command: &JobCommand) -> Result<(), Failure> {
    match command {
        JobCommand::List(socket) => list(output, &Admin::new(&socket.socket)?.get("/jobs").await?),
        JobCommand::Cancel(one) => {
            let admin = Admin::new(&one.socket.socket)?;
            let job = admin.act(Method::POST, &format!("/jobs/{}/cancel", one.id)).await?;
            if output.json() {
                return output.document(&job);
            }
            output.line(&format!("{} is being cancelled; `hotshoe job list` shows its end", one.id))
        }
    }
}

fn list(output: &Output, jobs: &Value) -> Result<(), Failure> {
    if output.json() {
        return output.document(jobs);
    }
    let mut table = Table::new(["ID", "PLUGIN", "KIND", "STATE", "PHASE", "WHY"]);
    for job in jobs.as_array().into_iter().flatten() {
        let text = |key: &str| job.get(key).and_then(Value::as_str).unwrap_or("-");
        table.row([text("id"), text("plugin"), text("kind"), text("state"), text("phase"), text("trouble")]);
    }
    output.table(&table)
}
