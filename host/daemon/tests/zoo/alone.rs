//! Descriptors are the whole process's, and tests run side by side in one: what counts them has a process of its own.

use std::time::Duration;

use tokio::process::Command;

/// Set in the process that was begun for one test.
const ALONE: &str = "HOTSHOE_ZOO_ALONE";
/// How long what a call had open may take to be closed once the call has ended.
const CLOSED_WITHIN: Duration = Duration::from_secs(20);

/// Whether `test` has a process to itself. If not, it is run in one here, and there is nothing left to do.
#[allow(clippy::print_stdout)] // What the other process says is what this test says.
pub(crate) async fn alone(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let program = std::env::current_exe().unwrap();
    let run =
        Command::new(program).args(["--exact", test, "--nocapture"]).env(ALONE, "1").output().await.unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    println!("{told}");
    assert!(
        run.status.success() && told.contains("1 passed"),
        "{test} failed in a process of its own: {}",
        run.status
    );
    false
}

/// How many descriptors this process has open.
pub(crate) fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// How many are open once no more than `before` are, or in the end.
pub(crate) async fn descriptors_after(before: usize) -> usize {
    let until = tokio::time::Instant::now() + CLOSED_WITHIN;
    while descriptors() > before && tokio::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    descriptors()
}
