//! Work that blocks on the disk, asked for by asynchronous code.

use futures_util::future::{Either, Ready, ready};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::{JoinError, JoinHandle, spawn_blocking},
};

/// What [`blocking`] returns: to be awaited, or dropped where nobody waits for the outcome.
pub type Blocking<T> = Either<Ready<Result<T, JoinError>>, JoinHandle<T>>;

/// Does work that blocks on the disk where it keeps nobody waiting: on a thread of its own.
///
/// It is begun when this returns, and finished even where nobody awaits it. On a runtime of a single thread (tools,
/// tests, the simulator) it is done in place, before this returns: then the same calls give the same order of
/// operations each time, which is what lets a simulated life be told again from its seed.
///
/// Must be called within a Tokio runtime. An error is a panic in the work, or a runtime that ends.
pub fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Blocking<T> {
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        Either::Left(ready(Ok(work())))
    } else {
        Either::Right(spawn_blocking(work))
    }
}
