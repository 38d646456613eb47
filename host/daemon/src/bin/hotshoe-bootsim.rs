//! A boot loader and an init in one small program, for the demo, the tests and development; never on a device.
//!
//! `run` boots from the slots (see [`hotshoed::flash::boot`]), writes a fresh boot id and keeps a command running;
//! if the command ends by itself it is started again after a growing pause, without a boot. `restart` asks a running
//! one for an orderly restart (SIGUSR1: SIGTERM to the command, SIGKILL after ten seconds, boot), `power-cut` for the
//! other kind (SIGUSR2: SIGKILL to everything at once, boot). SIGTERM or SIGINT end both.
//!
//! What it does not simulate: a machine. The command's files stay in the kernel's cache over a power cut.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use cap_std::{ambient_authority, fs::Dir};
use clap::{Args, Parser};
use hotshoed::{
    disk::Folder,
    flash::boot::{Booted, boot},
};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::{
    process::{Child, Command},
    signal::unix::{self, SignalKind, signal},
    time::{Instant, sleep, timeout},
};

/// How long the command has to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);
/// The pause before the command is started again, doubled each time it ends soon.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Boot loader and init, simulated.
#[derive(Parser)]
#[command(version)]
enum Simulation {
    /// Boot from the slots and keep a command running.
    Run(Run),
    /// Restart: stop the command in order, then boot.
    Restart(Running),
    /// Cut the power: kill the command at once, then boot.
    PowerCut(Running),
}

#[derive(Args)]
struct Run {
    /// The directory of the slots and the boot record.
    #[arg(long)]
    flash: PathBuf,
    /// Where to write the boot id.
    #[arg(long)]
    boot_id: PathBuf,
    /// Where to write this process's id.
    #[arg(long)]
    pid: PathBuf,
    /// What to run.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

#[derive(Args)]
struct Running {
    /// The file that holds the id of the running simulation.
    #[arg(long)]
    pid: PathBuf,
}

fn main() -> ExitCode {
    let done = match Simulation::parse() {
        Simulation::Run(run) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(anyhow::Error::from)
            .and_then(|runtime| runtime.block_on(run.run())),
        Simulation::Restart(running) => running.send(Signal::USR1),
        Simulation::PowerCut(running) => running.send(Signal::USR2),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hotshoe-bootsim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What ends a run of the command.
enum End {
    ItsOwn,
    Restart,
    PowerCut,
    Stop,
}

/// The signals that this program listens to.
struct Wishes {
    restart: unix::Signal,
    power_cut: unix::Signal,
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl Running {
    fn send(&self, wish: Signal) -> anyhow::Result<()> {
        let file = self.pid.display();
        let text =
            fs::read_to_string(&self.pid).with_context(|| format!("cannot read the process id in {file}"))?;
        let pid = text.trim().parse().ok().filter(|id: &i32| *id > 0).and_then(Pid::from_raw);
        let pid = pid.with_context(|| format!("{file} holds no process id"))?;
        kill_process(pid, wish)
            .with_context(|| format!("process {text} in {file} cannot be told", text = text.trim()))
    }
}

impl Run {
    async fn run(&self) -> anyhow::Result<()> {
        fs::create_dir_all(&self.flash).with_context(|| format!("cannot make {}", self.flash.display()))?;
        let flash = Dir::open_ambient_dir(&self.flash, ambient_authority())
            .with_context(|| format!("cannot open {}", self.flash.display()))?;
        let flash: Arc<dyn Folder> = Arc::new(flash);
        let mut wishes = Wishes::new()?;
        replace(&self.pid, &format!("{}\n", std::process::id()))?;
        loop {
            let Booted { slot, trial } = boot(Arc::clone(&flash)).context("cannot boot")?;
            replace(&self.boot_id, &boot_id())?;
            let slot = slot.unwrap_or_else(|| "(first)".to_owned());
            eprintln!("hotshoe-bootsim: booted slot {slot}{}", if trial { ", on trial" } else { "" });
            if self.keep_running(&mut wishes).await? {
                let _ = fs::remove_file(&self.pid);
                return Ok(());
            }
        }
    }

    /// Init: runs the command until a boot is due (`false`) or all is to end (`true`).
    async fn keep_running(&self, wishes: &mut Wishes) -> anyhow::Result<bool> {
        let mut pause = SHORTEST_PAUSE;
        loop {
            let started = Instant::now();
            let mut child = self.start()?;
            let end = tokio::select! {
                status = child.wait() => {
                    eprintln!("hotshoe-bootsim: the command ended by itself: {}", status?);
                    End::ItsOwn
                }
                wish = wishes.next() => wish,
            };
            match end {
                End::ItsOwn => {
                    if started.elapsed() > LONGEST_PAUSE {
                        pause = SHORTEST_PAUSE;
                    }
                    tokio::select! {
                        () = sleep(pause) => pause = pause.saturating_mul(2).min(LONGEST_PAUSE),
                        wish = wishes.next() => return Ok(matches!(wish, End::Stop)),
                    }
                }
                End::PowerCut => {
                    kill(&mut child).await?;
                    return Ok(false);
                }
                end => {
                    stop(&mut child).await?;
                    return Ok(matches!(end, End::Stop));
                }
            }
        }
    }

    fn start(&self) -> anyhow::Result<Child> {
        let Some((program, arguments)) = self.command.split_first() else { bail!("no command") };
        // A group of its own: a power cut takes its children with it.
        let child = Command::new(program).args(arguments).process_group(0).kill_on_drop(true).spawn();
        child.with_context(|| format!("cannot start {}", program.display()))
    }
}

impl Wishes {
    fn new() -> io::Result<Self> {
        Ok(Self {
            restart: signal(SignalKind::user_defined1())?,
            power_cut: signal(SignalKind::user_defined2())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> End {
        tokio::select! {
            _ = self.restart.recv() => End::Restart,
            _ = self.power_cut.recv() => End::PowerCut,
            _ = self.terminate.recv() => End::Stop,
            _ = self.interrupt.recv() => End::Stop,
        }
    }
}

fn pid(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
}

/// In order: SIGTERM to the command alone, and SIGKILL to all that is left when its time is up.
async fn stop(child: &mut Child) -> io::Result<()> {
    if let Some(pid) = pid(child) {
        let _ = kill_process(pid, Signal::TERM);
    }
    match timeout(GRACE, child.wait()).await {
        Ok(status) => status.map(drop),
        Err(_) => kill(child).await,
    }
}

async fn kill(child: &mut Child) -> io::Result<()> {
    if let Some(pid) = pid(child) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
    child.wait().await.map(drop)
}

/// As the kernel writes them: a random UUID.
fn boot_id() -> String {
    let id = rand::random::<u128>() & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{id:032x}");
    let part = |range| hex.get(range).unwrap_or_default();
    format!("{}-{}-{}-{}-{}\n", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
}

/// Writes a file whole: a reader sees the old one or the new one.
fn replace(path: &Path, content: &str) -> anyhow::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    fs::write(&temporary, content)
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| format!("cannot write {}", path.display()))
}
