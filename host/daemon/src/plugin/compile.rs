//! Has a plugin compiled: by `hotshoe-aot`, in a child process with bounds.
//!
//! The compiler reads what a stranger wrote, and a small component can be made to cost minutes and gigabytes. So it
//! runs outside of the device process, and the bounds are set from outside too: memory and processor time by the
//! kernel before the child sees a byte, wall-clock time by killing it, the size of the result by not reading on. One
//! compiles at a time, and after everything else that the device has to do.
//! Its environment is empty. What it sends back is believed as much as the program file itself is.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rustix::process::{Pid, Resource, Rlimit, prlimit, setpriority_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use super::cache::CODE_LIMIT;

/// How far the compiler stands back, as `nice` counts.
const NICENESS: i32 = 10;
/// How much of the compiler's complaint is passed on, in bytes.
const COMPLAINT_LIMIT: u64 = 2048;

/// The memory that the compiler has where nobody says otherwise, in bytes.
const MEMORY: u64 = 768 * 1024 * 1024;
/// The time that it has then.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Who compiles.
pub trait Compile: Debug + Send + Sync + 'static {
    /// Compiles a component.
    ///
    /// # Errors
    /// See [`CompileError`].
    fn compile(&self, component: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, CompileError>>;
}

/// The compiler as a child of this process, and what it may use.
#[derive(Clone, Debug)]
pub struct Compiler {
    /// The program `hotshoe-aot`.
    pub program: PathBuf,
    /// The memory it may have, in bytes.
    pub memory: u64,
    /// The time it may take, on the clock and of the processors.
    pub timeout: Duration,
    /// Held while it runs: what it may take is taken once.
    pub(super) alone: Arc<Mutex<()>>,
}

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The program could not be run at all.
    #[error("the compiler {program} cannot be run: {source}; set `aot` in device.toml to hotshoe-aot")]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The compiler says no, and why.
    #[error("{0}")]
    Refused(String),
    /// It was stopped, by its limits or by somebody.
    #[error("the compiler ended without a result ({status}); the limits are {memory} bytes and {seconds} s")]
    Died {
        /// How it ended.
        status: std::process::ExitStatus,
        /// The memory it had, in bytes.
        memory: u64,
        /// The time it had.
        seconds: u64,
    },
    /// It took too long and was killed.
    #[error("the compiler took longer than {0} s and was stopped")]
    TimedOut(u64),
    /// It wrote more than any plugin needs.
    #[error("the compiled code is over the limit of {CODE_LIMIT} bytes")]
    TooLarge,
    /// The process that runs it says why not.
    #[error("{0}")]
    Outside(String),
    /// The same where the machine refused, so that it may go well a moment later.
    #[error("{0}")]
    Hindered(String),
    /// The line to the process that runs it broke, and no other can be started. Helped by starting the host anew alone.
    #[error("no plugin can be compiled any more: {0}")]
    Unreachable(String),
    /// The pipe to it broke.
    #[error("the compiler cannot be talked to: {0}")]
    Pipe(#[from] std::io::Error),
}

impl CompileError {
    /// Whether it was the machine that refused, for want of memory or of a process, so that the same may go well a moment
    /// later.
    pub fn may_pass(&self) -> bool {
        matches!(self, CompileError::Start { .. } | CompileError::Pipe(_) | CompileError::Hindered(_))
    }
}

impl Compile for Compiler {
    /// Dropping the future kills the child.
    fn compile(&self, component: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, CompileError>> {
        Box::pin(async move {
            let _alone = self.alone.lock().await;
            let mut child = self.start()?;
            match tokio::time::timeout(self.timeout, self.converse(&mut child, &component)).await {
                Ok(result) => result,
                Err(_) => {
                    let _ = child.kill().await;
                    Err(CompileError::TimedOut(self.timeout.as_secs()))
                }
            }
        })
    }
}

impl Compiler {
    /// This program, with this product's limits.
    pub fn new(program: PathBuf) -> Compiler {
        Compiler { program, memory: MEMORY, timeout: TIMEOUT, alone: Arc::default() }
    }

    fn start(&self) -> Result<Child, CompileError> {
        let program: &Path = &self.program;
        let failed = |source| CompileError::Start { program: program.to_owned(), source };
        let child = Command::new(program)
            .args(["compile", "-", "-"])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let seconds = self.timeout.as_secs().max(1);
        // Before the child has been given anything to work on.
        for (resource, limit) in [
            (Resource::Data, self.memory),
            (Resource::Cpu, seconds),
            (Resource::Core, 0),
            (Resource::Fsize, 0),
        ] {
            let both = Rlimit { current: Some(limit), maximum: Some(limit) };
            prlimit(pid, resource, both).map_err(|error| failed(error.into()))?;
        }
        // Where that is not allowed it competes.
        let _ = setpriority_process(pid, NICENESS);
        Ok(child)
    }

    async fn converse(&self, child: &mut Child, component: &[u8]) -> Result<Vec<u8>, CompileError> {
        let missing = || std::io::Error::other("it has no pipes");
        let mut input = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        let errors = child.stderr.take().ok_or_else(missing)?;
        let (mut code, mut complaint) = (Vec::new(), Vec::new());
        let send = async {
            // A compiler that has seen enough closes the pipe; how it ends tells why.
            let _ = input.write_all(component).await;
            drop(input);
        };
        let mut limited = output.take(CODE_LIMIT + 1);
        let receive = limited.read_to_end(&mut code);
        let mut limited = errors.take(COMPLAINT_LIMIT);
        let listen = limited.read_to_end(&mut complaint);
        let ((), received, _) = tokio::join!(send, receive, listen);
        received?;
        if code.len() as u64 > CODE_LIMIT {
            let _ = child.kill().await;
            return Err(CompileError::TooLarge);
        }
        let status = child.wait().await?;
        if status.success() && !code.is_empty() {
            return Ok(code);
        }
        if status.code().is_some() && !complaint.is_empty() {
            let text = String::from_utf8_lossy(&complaint);
            return Err(CompileError::Refused(text.trim().escape_debug().to_string()));
        }
        Err(CompileError::Died { status, memory: self.memory, seconds: self.timeout.as_secs() })
    }
}
