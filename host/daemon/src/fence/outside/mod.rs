//! Programs that are run outside of the fence: the restart command, and the compiler.
//!
//! Running programs is what no fence should allow: whoever may run one runs a shell. So for each of the two a small
//! process is started before the fence is raised, of this same program, and afterwards this process runs none. What the
//! process outside runs stands on its own command line; over the line to it, a pipe, go a question's bytes and an
//! answer's, one at a time. Code that has broken out of all else can restart the device, as a plugin with that grant
//! can, and have something compiled.
//!
//! A process outside ends when nobody holds the line any more, which is when the host has ended in whatever way.
//!
//! A line that broke in the middle of a question or an answer is not used again: what comes next on it could be the rest
//! of the last answer, taken for code. Behind the fence no process can be started in its place, so what is asked from
//! then on is told that the host must be started anew.

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
struct Line(Mutex<State>);

#[derive(Debug)]
enum State {
    Open(Ends),
    /// In use, or left by a thread that panicked: what stands on the line is not known.
    Taken,
    /// Why.
    Broken(String),
}

/// A line to a process outside that is of no use any more.
#[derive(Debug, thiserror::Error)]
#[error("the line to the process outside of the fence broke ({0}); start hotshoed anew")]
struct Broken(String);

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
        process.args(words);
        for secret in secrets {
            process.env_remove(secret);
        }
        Line::to(process)
    }

    fn to(mut process: Command) -> io::Result<Line> {
        let mut process = process.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        match (process.stdin.take(), process.stdout.take()) {
            (Some(say), Some(hear)) => {
                Ok(Line(Mutex::new(State::Open(Ends { say, hear, _process: process }))))
            }
            _ => Err(io::Error::other("it has no pipes")),
        }
    }

    /// Asks, and waits for the answer, of which no more than `limit` bytes are taken. Blocks.
    ///
    /// # Errors
    /// The line broke, now or earlier. Its process ends by that.
    fn ask(&self, question: &[u8], limit: u64) -> Result<Answer, Broken> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ends = match std::mem::replace(&mut *state, State::Taken) {
            State::Open(ends) => ends,
            State::Taken => return Err(Broken("an earlier question was given up in the middle".to_owned())),
            State::Broken(why) => {
                *state = State::Broken(why.clone());
                return Err(Broken(why));
            }
        };
        match ends.ask(question, limit) {
            Ok(answer) => {
                *state = State::Open(ends);
                Ok(answer)
            }
            Err(error) => {
                let why = error.to_string();
                *state = State::Broken(why.clone());
                Err(Broken(why))
            }
        }
    }
}

impl Ends {
    fn ask(&mut self, question: &[u8], limit: u64) -> io::Result<Answer> {
        write(&mut self.say, question)?;
        let mut kind = [0];
        self.hear.read_exact(&mut kind)?;
        let text = read(&mut self.hear, limit)?.ok_or(io::ErrorKind::UnexpectedEof)?;
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

    /// A line to a shell that answers with these bytes, in the escapes of `printf`, whatever it is asked.
    fn line(shell: &str) -> Line {
        let mut process = Command::new("/bin/sh");
        process.args(["-c", shell]);
        Line::to(process).unwrap()
    }

    /// An answer `7` of three bytes: what may be left on a line, and what would pass for an answer.
    const ANSWER: &str = r"\007\003\0\0\0\0\0\0\0yes";

    #[test]
    fn a_line_that_holds_is_asked_again_and_again() {
        let line = line(&format!("printf '{ANSWER}{ANSWER}'; cat > /dev/null"));
        for _ in 0..2 {
            assert_eq!(line.ask(b"well?", 3).unwrap(), (7, b"yes".to_vec()));
        }
    }

    #[test]
    fn a_line_that_broke_says_so_from_then_on_and_gives_nothing_of_what_is_left_on_it() {
        let over = format!("printf '{ANSWER}{ANSWER}{ANSWER}'; cat > /dev/null");
        let half = r"head -c 1048584 > /dev/null; printf '\007\003\0\0\0\0\0\0\0ye'".to_owned();
        let deaf = "exec <&-; sleep 0".to_owned();
        for (shell, limit, why) in
            [(over, 2, "3 bytes are over the limit of 2"), (half, 3, "unexpected end of file"), (deaf, 3, "")]
        {
            let line = line(&shell);
            // More than a pipe holds: to one that does not read, some of it.
            let first = line.ask(&vec![0; 1 << 20], limit).unwrap_err().to_string();
            assert!(first.contains(why) && first.ends_with("start hotshoed anew"), "{shell}: {first}");
            let then = line.ask(b"well?", 3).unwrap_err().to_string();
            assert_eq!(then, first, "{shell}");
        }
    }

    #[test]
    fn a_line_that_was_left_in_the_middle_is_not_used_again() {
        let line = line(&format!("printf '{ANSWER}'; cat > /dev/null"));
        *line.0.lock().unwrap() = State::Taken;
        let told = line.ask(b"well?", 3).unwrap_err().to_string();
        assert!(told.contains("given up in the middle") && told.contains("start hotshoed anew"), "{told}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn who_compiles_and_who_restarts_tell_that_the_host_must_be_started_anew() {
        use crate::job::Restart;
        use crate::plugin::{Compile, CompileError};

        let compiler = CompilerOutside::on(line("exit"));
        for _ in 0..2 {
            let error = compiler.compile(vec![0; 1 << 20]).await.unwrap_err();
            assert!(matches!(error, CompileError::Unreachable(_)), "{error:?}");
            assert!(error.to_string().contains("start hotshoed anew"), "{error}");
        }
        let told = RestartOutside::on(line("exit")).ask().await.unwrap_err();
        assert!(told.contains("restart command") && told.contains("start hotshoed anew"), "{told}");
    }

    #[test]
    fn an_ordinary_command_line_is_not_a_process_outside() {
        let words = |text: &'static str| text.split(' ').map(OsString::from);
        assert!(run(words("hotshoed")).is_none());
        assert!(run(words("hotshoed --config device.toml")).is_none());
    }
}
