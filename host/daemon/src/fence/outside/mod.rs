//! Programs that are run outside of the fence: the restart command, and the compiler.
//!
//! Running programs is what no fence should allow: whoever may run one runs a shell. So for each of the two a small
//! process is started before the fence is raised, of this same program, and afterwards this process runs none. What the
//! process outside runs stands on its own command line; over the line to it, a pipe, go a question's bytes and an
//! answer's, one at a time. Code that has broken out of all else can restart the device, as a plugin with that grant
//! can, and have something compiled.
//!
//! A process outside ends when nobody holds the line any more, which is when the host has ended in whatever way.

mod compile;
mod restart;

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};

pub use compile::CompilerOutside;
pub use restart::RestartOutside;

/// One process outside.
#[derive(Debug)]
struct Line(Mutex<Ends>);

#[derive(Debug)]
struct Ends {
    say: ChildStdin,
    hear: ChildStdout,
    _process: Child,
}

/// A kind of answer, and what it says.
type Answer = (u8, Vec<u8>);

impl Line {
    /// Starts this program with these words. The environment variables in `secrets` are kept from it.
    fn start(words: &[OsString], secrets: &[&str]) -> io::Result<Line> {
        let mut process = Command::new(std::env::current_exe()?);
        process.args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        for secret in secrets {
            process.env_remove(secret);
        }
        let mut process = process.spawn()?;
        match (process.stdin.take(), process.stdout.take()) {
            (Some(say), Some(hear)) => Ok(Line(Mutex::new(Ends { say, hear, _process: process }))),
            _ => Err(io::Error::other("it has no pipes")),
        }
    }

    /// Asks, and waits for the answer, of which no more than `limit` bytes are taken. Blocks.
    fn ask(&self, question: &[u8], limit: u64) -> io::Result<Answer> {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        write(&mut ends.say, question)?;
        let mut kind = [0];
        ends.hear.read_exact(&mut kind)?;
        let text = read(&mut ends.hear, limit)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let [kind] = kind;
        Ok((kind, text))
    }
}

/// What a process outside does, where this is one; by the words of the command line.
pub fn run(mut words: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    match words.nth(1)?.to_str()? {
        restart::WORD => Some(restart::run(words)),
        compile::WORD => Some(compile::run(words)),
        _ => None,
    }
}

/// Answers questions of at most `limit` bytes until nobody is there to ask.
fn serve(limit: u64, mut answer: impl FnMut(Vec<u8>) -> Answer) -> ExitCode {
    let (mut asked, mut out) = (io::stdin().lock(), io::stdout().lock());
    while let Ok(Some(question)) = read(&mut asked, limit) {
        let (kind, text) = answer(question);
        if out.write_all(&[kind]).and_then(|()| write(&mut out, &text)).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn write(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(&(bytes.len() as u64).to_le_bytes())?;
    out.write_all(bytes)?;
    out.flush()
}

/// None at the end.
fn read(from: &mut impl Read, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 8];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = u64::from_le_bytes(length);
    if length > limit {
        return Err(io::Error::other(format!("{length} bytes are over the limit of {limit}")));
    }
    let mut bytes = Vec::new();
    from.take(length).read_to_end(&mut bytes)?;
    match bytes.len() as u64 == length {
        true => Ok(Some(bytes)),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_whole_or_not_at_all() {
        let mut bytes = Vec::new();
        write(&mut bytes, b"question").unwrap();
        assert_eq!(read(&mut bytes.as_slice(), 8).unwrap().unwrap(), b"question");
        assert_eq!(read(&mut io::empty(), 8).unwrap(), None);
        assert!(read(&mut bytes.as_slice(), 7).is_err(), "too long");
        assert!(read(&mut &bytes[..bytes.len() - 1], 8).is_err(), "cut off");
        assert!(read(&mut u64::MAX.to_le_bytes().as_slice(), 8).is_err());
    }

    #[test]
    fn an_ordinary_command_line_is_not_a_process_outside() {
        let words = |text: &'static str| text.split(' ').map(OsString::from);
        assert!(run(words("hotshoed")).is_none());
        assert!(run(words("hotshoed --config device.toml")).is_none());
    }
}
