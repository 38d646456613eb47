//! A virtual machine, by its serial console. Dropping it cuts the power.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

pub(super) struct Machine {
    process: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Machine {
    /// Starts with these drives: how each is attached, and its file.
    pub(super) fn start(drives: &[(&str, &Path)]) -> Result<Self> {
        // Emulated: what accelerates on one machine does not work on the next.
        let mut command = Command::new("qemu-system-x86_64");
        command.args(["-accel", "tcg", "-m", "512", "-display", "none", "-monitor", "none", "-net", "none"]);
        for (how, file) in drives {
            command.arg("-drive").arg(format!("file={},format=raw,{how}", file.display()));
        }
        let mut process = command
            .args(["-serial", "stdio"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("could not start qemu-system-x86_64")?;
        let out = process.stdout.take().context("QEMU has no output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut out = BufReader::new(out);
            let mut line = Vec::new();
            while out.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
                if sender.send(String::from_utf8_lossy(&line).trim().to_owned()).is_err() {
                    return;
                }
                line.clear();
            }
        });
        Ok(Self { process, lines, seen: Vec::new() })
    }

    /// Reads until a line contains this; gives the line back.
    pub(super) fn until(&mut self, wanted: &str, patience: Duration) -> Result<String> {
        self.until_one(&[wanted], patience)
    }

    /// Reads until a line contains one of these; gives the line back.
    pub(super) fn until_one(&mut self, wanted: &[&str], patience: Duration) -> Result<String> {
        let end = Instant::now() + patience;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if wanted.iter().any(|wanted| line.contains(wanted)) {
                        return Ok(line);
                    }
                }
                Err(why) => {
                    let tail = self.seen.iter().rev().take(30).rev();
                    tail.for_each(|line| println!("      | {line}"));
                    let why =
                        if why == RecvTimeoutError::Timeout { "it took too long" } else { "QEMU ended" };
                    bail!("waited in vain for {wanted:?}: {why}");
                }
            }
        }
    }

    /// Lets it run for this long.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.seen.push(line);
        }
    }

    /// The last line of the guest's own that was seen.
    pub(super) fn last(&self) -> String {
        let own = |line: &&String| line.contains("slotctl: ") || line.contains("init: ");
        let kernel = || self.seen.iter().rev().find(|line| line.starts_with('['));
        self.seen.iter().rev().find(own).or_else(kernel).cloned().unwrap_or_else(|| "nothing yet".to_owned())
    }

    /// All that was seen.
    pub(super) fn log(&self) -> String {
        self.seen.join("\n")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
