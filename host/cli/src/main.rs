//! `hotshoe`: the operator's tool. It speaks IoT Hub's REST over HTTPS, to Azure or to the local hub alike.
//!
//! This file is the summary: read the arguments, find the hub, carry out one command, and turn what went wrong into
//! one message on stderr and one exit code. The environment, the clock and the terminal are asked here and in
//! [`connection`] and [`output`] only.

mod args;
mod connection;
mod context;
mod device;
mod failure;
mod firmware;
mod hub;
mod input;
mod method;
mod output;
mod twin;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    args::{Arguments, Command},
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
    let owner = connection::owner(&arguments.global, std::env::var(connection::VARIABLE).ok())?;
    let tls = connection::tls(arguments.global.ca.as_deref())?;
    let hub = Hub::new(owner, tls, jiff::Timestamp::now)?;
    let context = Context { hub, output, clock: jiff::Timestamp::now };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::OsError, format!("could not start: {error}")))?;
    runtime.block_on(async {
        match &arguments.command {
            Command::Device(command) => device::run(&context, command).await,
            Command::Method(command) => method::run(&context, command).await,
            Command::Twin(command) => twin::run(&context, command).await,
            Command::Firmware(command) => firmware::run(&context, command).await,
        }
    })
}
