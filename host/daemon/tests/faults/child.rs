//! The device as a process of its own whose work is done on one thread: the same as `main.rs` does on several.

use std::path::Path;
use std::sync::Arc;

use cap_std::{ambient_authority, fs::Dir};
use hotshoed::admin;
use hotshoed::config::{Config, LogFormat, Surroundings};
use hotshoed::daemon::{self, Dirs, FlashDirs, Notify};
use hotshoed::job::RestartCommand;

/// Set for the process: this is a device, in the directory that it was started in.
pub(crate) const CHILD: &str = "HOTSHOE_TEST_FAULTS";
/// Set where it waits for a line before it begins.
pub(crate) const HOLD: &str = "HOTSHOE_TEST_FAULTS_HOLD";
/// Where it says which thread does all the work.
pub(crate) const THREAD: &str = "thread";

/// Not a test of its own: the process that is traced.
#[test]
fn child_that_is_a_device() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    daemon::start_log(LogFormat::Json, Some("hotshoed=debug,info"));
    // PID/task/TID
    let thread = std::fs::read_link("/proc/thread-self").unwrap();
    std::fs::write("thread.new", thread.file_name().unwrap().to_str().unwrap()).unwrap();
    std::fs::rename("thread.new", THREAD).unwrap();
    if std::env::var_os(HOLD).is_some() {
        // Traced already: whatever comes of it, it goes on.
        let _ = std::io::stdin().read_line(&mut String::new());
    }
    std::process::exit(run());
}

fn run() -> i32 {
    let program = Path::new(env!("CARGO_BIN_EXE_hotshoed"));
    let surroundings =
        Surroundings { connection_string: None, program_directory: program.parent().map(Path::to_owned) };
    let config = match Config::load(Path::new("device.toml"), &surroundings) {
        Ok(config) => config,
        Err(error) => return fail(78, &error),
    };
    let dirs = match dirs(&config) {
        Ok(dirs) => dirs,
        Err(error) => return fail(74, &error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(70, &error),
    };
    let result = runtime.block_on(daemon::run(config, dirs));
    runtime.shutdown_background();
    result.map_or_else(|error| fail(i32::from(error.exit_status()), &error), |_| 0)
}

fn dirs(config: &Config) -> std::io::Result<Dirs> {
    // They are there since its first start.
    let open = |name: &str| Dir::open_ambient_dir(name, ambient_authority());
    Ok(Dirs {
        state: open("state")?,
        flash: FlashDirs { directory: open("flash")?, files: [].into(), entries: None },
        admin: admin::listen(&open("state")?, &config.admin.socket),
        open: Arc::new(|path: &Path| Dir::open_ambient_dir(path, ambient_authority())),
        compiler: None,
        restart: Arc::new(RestartCommand::new(config.restart.clone(), &[])),
        notify: Notify::default(),
    })
}

fn fail(status: i32, error: &dyn std::fmt::Display) -> i32 {
    tracing::error!("{error}");
    status
}
