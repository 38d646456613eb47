//! The compiler, outside, and in a fence of its own.
//!
//! It reads what a stranger wrote. So the process that runs it gives up still more than the host: no connection, no
//! file but the program and its libraries. It may run that program, which inherits all of this.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{Answer, Line, serve};
use crate::config::FenceMode;
use crate::disk::blocking;
use crate::fence::{Plan, raise};
use crate::plugin::{CODE_LIMIT, Compile, CompileError, Compiler};

/// The first word of its command line; the mode of the fence and the program follow.
pub(super) const WORD: &str = "compiler-outside";
/// The most bytes of a component, and more: those that are too large have been refused before.
const COMPONENT: u64 = 256 << 20;
const CODE: u8 = 0;
const REFUSED: u8 = 1;
const FAILED: u8 = 2;
/// The machine refused: the same may go well a moment later.
const HINDERED: u8 = 3;

/// Has components compiled in a process outside of the fence, one at a time.
#[derive(Clone, Debug)]
pub struct CompilerOutside(Arc<Line>);

impl CompilerOutside {
    /// Starts the process for this program: before the fence is raised. The environment variables in `secrets` are kept
    /// from it.
    ///
    /// # Errors
    /// When this program cannot be run once more.
    pub fn start(program: &Path, mode: FenceMode, secrets: &[&str]) -> io::Result<CompilerOutside> {
        let mode = if mode == FenceMode::Enforced { "enforced" } else { "best-effort" };
        let words = [WORD.into(), mode.into(), program.into()];
        Ok(CompilerOutside::on(Line::start(&words, secrets)?))
    }

    pub(super) fn on(line: Line) -> CompilerOutside {
        CompilerOutside(Arc::new(line))
    }
}

impl Compile for CompilerOutside {
    fn compile(&self, component: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, CompileError>> {
        let line = Arc::clone(&self.0);
        Box::pin(async move {
            let asked = blocking(move || line.ask(&component, CODE_LIMIT)).await;
            let answer = asked.map_err(io::Error::other)?;
            heard(answer.map_err(|broken| CompileError::Unreachable(broken.to_string()))?)
        })
    }
}

/// What goes over the line.
fn said(result: Result<Vec<u8>, CompileError>) -> Answer {
    match result {
        Ok(code) => (CODE, code),
        Err(CompileError::Refused(why)) => (REFUSED, why.into_bytes()),
        Err(error) => {
            let kind = if error.may_pass() { HINDERED } else { FAILED };
            (kind, error.to_string().into_bytes())
        }
    }
}

/// What is made of it on this side.
fn heard((kind, bytes): Answer) -> Result<Vec<u8>, CompileError> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    match kind {
        CODE => Ok(bytes),
        REFUSED => Err(CompileError::Refused(text(bytes))),
        HINDERED => Err(CompileError::Hindered(text(bytes))),
        _ => Err(CompileError::Outside(text(bytes))),
    }
}

/// The process.
pub(super) fn run(mut words: impl Iterator<Item = OsString>) -> ExitCode {
    let enforced = words.next().is_some_and(|word| word == "enforced");
    let mode = if enforced { FenceMode::Enforced } else { FenceMode::BestEffort };
    let Some(program) = words.next().map(PathBuf::from) else { return ExitCode::FAILURE };
    // What is missing has been said by the host, whose kernel is the same.
    let Ok(_fence) = raise(mode, &Plan::of_compiler(&program)) else { return ExitCode::FAILURE };
    let compiler = Compiler::new(program);
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    serve(COMPONENT, |component| said(runtime.block_on(compiler.compile(component))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::LoadError;

    #[test]
    fn whether_it_may_pass_is_known_on_this_side_too() {
        let refused = io::Error::from(io::ErrorKind::WouldBlock);
        let hindered = CompileError::Start { program: "hotshoe-aot".into(), source: refused };
        let text = hindered.to_string();
        let error = LoadError::from(heard(said(Err(hindered))).unwrap_err());
        assert!(error.may_pass() && !error.is_of_the_compiler(), "{error:?}");
        assert_eq!(error.to_string(), text);
        for lasting in [CompileError::TimedOut(120), CompileError::Refused("no component".into())] {
            let text = lasting.to_string();
            let error = LoadError::from(heard(said(Err(lasting))).unwrap_err());
            assert!(!error.may_pass() && !error.is_of_the_compiler(), "{error:?}");
            assert_eq!(error.to_string(), text);
        }
        assert_eq!(heard(said(Ok(vec![1, 2]))).unwrap(), [1, 2]);
    }
}
