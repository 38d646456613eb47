//! The little of WASI that a language's standard library needs to start: nothing of it reaches the device.
//!
//! Standard output and error become log lines, standard input is at its end, there are no arguments, no environment
//! and no directories; `exit` ends the call; the clocks are coarse, so that no plugin measures what others do; random
//! bytes are real. Which interfaces are linked at all is `plugin::link`'s to say:
//!
//! | Left of WASI | Because `std` |
//! |---|---|
//! | `cli/{environment, exit}` | asks for arguments and variables at the start; ends a panic by it |
//! | `cli/{stdin, stdout, stderr, terminal-*}`, `io/{error, poll, streams}` | prints, and asks whether to colour; a pause is a poll |
//! | `clocks/{monotonic-clock, wall-clock}` | `Instant`, `SystemTime`, `thread::sleep` |
//! | `random/{random, insecure, insecure-seed}` | seeds its hash maps |
//!
//! Everything else of WASI, files, sockets, HTTP, ends the call of a plugin that calls it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tracing::Level;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};

use super::context::{Context, Tenant};
use super::device::WallClock;

/// What the clocks are rounded to.
const COARSE: Duration = Duration::from_millis(1);
/// The most a guest takes of random bytes in one call.
const RANDOM_LIMIT: u64 = 64 * 1024;
/// The most of an unfinished line that is kept, in bytes.
const LINE_LIMIT: usize = 4096;

impl WasiView for Context {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (tenant, clock) = (&self.tenant, &self.services.facts.clock);
        let ctx = self.wasi.get_or_insert_with(|| {
            WasiCtx::builder()
                .stdout(Lines { tenant: Arc::clone(tenant), level: Level::INFO })
                .stderr(Lines { tenant: Arc::clone(tenant), level: Level::WARN })
                .wall_clock(CoarseWallClock(Arc::clone(clock)))
                .monotonic_clock(CoarseMonotonicClock(Instant::now()))
                .max_random_size(RANDOM_LIMIT)
                .allow_tcp(false)
                .allow_udp(false)
                .build()
        });
        WasiCtxView { ctx, table: &mut self.table }
    }
}

struct CoarseWallClock(WallClock);

impl HostWallClock for CoarseWallClock {
    fn resolution(&self) -> Duration {
        COARSE
    }

    fn now(&self) -> Duration {
        coarse((self.0)())
    }
}

struct CoarseMonotonicClock(Instant);

impl HostMonotonicClock for CoarseMonotonicClock {
    fn resolution(&self) -> u64 {
        nanoseconds(COARSE)
    }

    fn now(&self) -> u64 {
        nanoseconds(coarse(self.0.elapsed()))
    }
}

pub(super) fn coarse(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Standard output or error of one plugin.
struct Lines {
    tenant: Arc<Tenant>,
    level: Level,
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Of the newer WASI, which is not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(LineStream { tenant: Arc::clone(&self.tenant), level: self.level, pending: Vec::new() })
    }
}

/// Collects bytes to lines. What is left at the end of the call is a line too.
struct LineStream {
    tenant: Arc<Tenant>,
    level: Level,
    pending: Vec<u8>,
}

impl LineStream {
    fn line(&mut self) {
        let line = String::from_utf8_lossy(&self.pending);
        let line = line.trim_end();
        if !line.is_empty() {
            self.tenant.log.write(self.level, line, &[]);
        }
        self.pending.clear();
    }
}

impl OutputStream for LineStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_LIMIT.saturating_sub(self.pending.len());
            self.pending.extend(part.iter().take(room));
            if part.ends_with(b"\n") {
                self.line();
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(LINE_LIMIT)
    }
}

impl Pollable for LineStream {
    fn ready<'a, 'b>(&'a mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(std::future::ready(()))
    }
}

impl Drop for LineStream {
    fn drop(&mut self) {
        self.line();
    }
}
