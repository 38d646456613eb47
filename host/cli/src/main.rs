//! `hotshoe`: one tool for operators and plugin authors. To a hub it speaks IoT Hub's REST over HTTPS, to Azure or to
//! the local hub alike; what authors do needs no hub.
//!
//! This file is the summary: read the arguments, find the hub where one is needed, carry out one command, and turn what
//! went wrong into one message on stderr and one exit code. The environment, the clock and the terminal are asked here
//! and in [`connection`], [`profiles`] and [`output`] only.

mod admin;
mod args;
mod build;
mod check;
mod configuration;
mod connection;
mod context;
mod dev;
mod device;
mod failure;
mod files;
mod firmware;
mod hub;
mod hub_command;
mod input;
mod job;
mod login;
mod method;
mod output;
mod plugin;
mod profiles;
mod query;
mod repo;
mod rollout;
mod shell;
mod twin;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    args::{Arguments, Command, PluginCommand},
    connection::Chosen,
    context::Context,
    failure::{Exit, Failure},
    hub::Hub,
    output::Output,
};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage.into() } else { ExitCode::SUCCESS };
            let _ = error.print();
            return exit;
        }
    };
    let output = Output::new(arguments.global.json);
    match run(&arguments, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            failure.exit.into()
        }
    }
}

fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    match &arguments.command {
        Command::Device(command) => {
            with_hub(arguments, output, async |context| device::run(&context, command).await)
        }
        Command::Method(command) => {
            with_hub(arguments, output, async |context| method::run(&context, command).await)
        }
        Command::Twin(command) => {
            with_hub(arguments, output, async |context| twin::run(&context, command).await)
        }
        Command::Firmware(command) => {
            with_hub(arguments, output, async |context| firmware::run(&context, command).await)
        }
        Command::Query(query) => {
            with_hub(arguments, output, async |context| query::run(&context, query).await)
        }
        Command::Hub(command) => {
            with_hub(arguments, output, async |context| hub_command::run(&context, command).await)
        }
        Command::Configuration(command) => {
            with_hub(arguments, output, async |context| configuration::run(&context, command).await)
        }
        Command::Login(command) => runtime()?.block_on(login::login(output, &arguments.global, command)),
        Command::Logout(command) => login::logout(output, command),
        Command::Profiles(command) => login::profiles(output, command),
        Command::Build(command) => build::run(output, command),
        Command::Check(command) => check::run(output, command),
        Command::Dev(command) => dev::run(output, command),
        Command::Repo(command) => repo::run(output, command, jiff::Timestamp::now()),
        Command::Rollout(command) => {
            with_hub(arguments, output, async |context| rollout::run(&context, command).await)
        }
        Command::Plugin(PluginCommand::Rollout(command)) => {
            with_hub(arguments, output, async |context| rollout::plugin(&context, command).await)
        }
        Command::Plugin(command) => runtime()?.block_on(plugin::run(output, command)),
        Command::Job(command) => runtime()?.block_on(job::run(output, command)),
        Command::Completions(command) => shell::completions(command),
        Command::Man(command) => shell::man(output, command),
        Command::Metrics(command) => runtime()?.block_on(plugin::metrics(output, command)),
    }
}

/// Finds the hub and works on it. Only commands that ask a hub need a connection string.
fn with_hub(
    arguments: &Arguments,
    output: &Output,
    work: impl AsyncFnOnce(Context<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let Chosen { connection, tls } = connection::choose(&arguments.global)?;
    let hub = Hub::new(connection, tls, jiff::Timestamp::now)?;
    runtime()?.block_on(work(Context { hub, output, clock: jiff::Timestamp::now }))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(Exit::OsError, format!("could not start: {error}")))
}
