//! The device process. The only place that opens directories by their path.

use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use clap::Parser;
use hotshoed::admin;
use hotshoed::config::{BootEntry, CONNECTION_STRING_VARIABLE, Config, FenceMode, Options, Surroundings};
use hotshoed::daemon::{self, Dirs, FlashDirs, Notify, Then};
use hotshoed::fence::{self, CompilerOutside, Plan, Raised, RestartOutside};
use hotshoed::job::{Restart, RestartCommand};
use hotshoed::plugin::Compile;

/// sysexits.h
const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;
const SOFTWARE: u8 = 70;
const IO: u8 = 74;
/// It is to be started anew.
const AGAIN: u8 = 75;
const CONFIG: u8 = 78;

/// Environment variables that no program is given.
const SECRETS: &[&str] = &[CONNECTION_STRING_VARIABLE];

fn main() -> ExitCode {
    if let Some(end) = fence::run_outside(std::env::args_os()) {
        return end;
    }
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    daemon::start_log(options.log_format, std::env::var("HOTSHOE_LOG").ok().as_deref());
    let config = match Config::load(&options.config, &Surroundings::of_process()) {
        Ok(config) => config,
        Err(error) => return fail(CONFIG, &error),
    };
    if options.check {
        tracing::info!(config = %options.config.display(), "the configuration can be used");
        return ExitCode::SUCCESS;
    }
    let dirs = match open(&config) {
        Ok(dirs) => dirs,
        Err(error) => return fail(IO, &error),
    };
    // While there is one thread, and before anybody has been listened to.
    let fence = match fence::raise(config.fence.mode, &Plan::of(&config)) {
        Ok(fence) => fence,
        Err(error) => return fail(UNAVAILABLE, &error),
    };
    tell(&fence, config.fence.mode);
    // A device has few cores, and what takes long is on threads of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(SOFTWARE, &error),
    };
    let result = runtime.block_on(daemon::run(config, dirs));
    // What still blocks on a disk is not waited for: everything durable is told only when it is.
    runtime.shutdown_background();
    match result {
        Ok(Then::End) => ExitCode::SUCCESS,
        Ok(Then::Again) if fence.is_up => {
            tracing::warn!(status = AGAIN, "ended to be started anew, outside of the fence");
            ExitCode::from(AGAIN)
        }
        Ok(Then::Again) => again(),
        Err(error) => fail(error.exit_status(), &error),
    }
}

fn open(config: &Config) -> Result<Dirs, String> {
    let directory = |path: &Path| {
        let open = || Dir::open_ambient_dir(path, ambient_authority());
        // Made only where it is missing: making one that is there and cannot be looked at tells of that one's existence.
        let opened = match open() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                std::fs::create_dir_all(path).and_then(|()| open())
            }
            opened => opened,
        };
        opened.map_err(|error| format!("directory {} cannot be opened: {error}", path.display()))
    };
    let flash =
        config.flash.as_ref().map_or_else(|| config.state.join("flash"), |flash| flash.directory.clone());
    let entries = config.flash.as_ref().and_then(|flash| match &flash.boot {
        BootEntry::SystemdBoot(path) => Some(
            Dir::open_ambient_dir(path, ambient_authority())
                .map_err(|error| format!("the boot entries {} cannot be opened: {error}", path.display())),
        ),
        _ => None,
    });
    let files = config.flash.iter().flat_map(|flash| flash.files());
    let files = files.map(|path| Ok((path.to_owned(), beside(path)?))).collect::<Result<_, String>>()?;
    let admin = directory(&config.admin.directory)?;
    let outside =
        |error: std::io::Error| format!("the processes outside of the fence cannot be run: {error}");
    Ok(Dirs {
        state: directory(&config.state)?,
        flash: FlashDirs { directory: directory(&flash)?, files, entries: entries.transpose()? },
        admin: admin::listen(&admin, &config.admin.socket),
        open: Arc::new(|path: &Path| Dir::open_ambient_dir(path, ambient_authority())),
        compiler: compiler(config).map_err(outside)?,
        restart: restart(config).map_err(outside)?,
        notify: Notify::of_process(),
    })
}

/// Who compiles plugins: a process outside of the fence, where there is to be one.
fn compiler(config: &Config) -> std::io::Result<Option<Arc<dyn Compile>>> {
    if config.fence.mode == FenceMode::Off {
        return Ok(None);
    }
    let compiler = CompilerOutside::start(&config.aot, config.fence.mode, SECRETS)?;
    Ok(Some(Arc::new(compiler)))
}

/// Who restarts the device: the same.
fn restart(config: &Config) -> std::io::Result<Arc<dyn Restart>> {
    if config.fence.mode == FenceMode::Off || config.restart.is_empty() {
        return Ok(Arc::new(RestartCommand::new(config.restart.clone(), SECRETS)));
    }
    Ok(Arc::new(RestartOutside::start(&config.restart, SECRETS)?))
}

/// Says what the kernel holds this process to, and what it does not.
fn tell(fence: &Raised, mode: FenceMode) {
    match (mode, fence.missing.as_slice()) {
        (FenceMode::Off, _) => {
            tracing::warn!("[fence] mode is \"off\": all that this user may do, the host may")
        }
        (_, []) => tracing::info!("the fence stands: files, ports, signals and system calls are held back"),
        (_, missing) => missing.iter().for_each(|text| tracing::warn!("the fence is not whole: {text}")),
    }
}

/// The directory of a file or device, where links to it are followed, and its name there.
fn beside(path: &Path) -> Result<(Dir, String), String> {
    let fail = |why: &dyn std::fmt::Display| format!("{} cannot be opened: {why}", path.display());
    // A boot loader's file may be missing; that is for whoever needs it to say.
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = real.file_name().and_then(|name| name.to_str()).ok_or_else(|| fail(&"it has no name"))?;
    let parent = real.parent().ok_or_else(|| fail(&"it is in no directory"))?;
    let parent = Dir::open_ambient_dir(parent, ambient_authority()).map_err(|error| fail(&error))?;
    Ok((parent, name.to_owned()))
}

/// Becomes another start of this program: the same process for whoever watches it.
fn again() -> ExitCode {
    let mut command = Command::new("/proc/self/exe");
    let error = command.args(std::env::args_os().skip(1)).exec();
    fail(SOFTWARE, &format!("the program cannot be started anew: {error}"))
}

fn fail(status: u8, error: &dyn std::fmt::Display) -> ExitCode {
    tracing::error!("{error}");
    ExitCode::from(status)
}
