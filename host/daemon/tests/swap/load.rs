//! Swaps while callers call. `examples/swap_load.rs` is the same for longer, with figures.

use std::sync::Arc;
use std::time::Duration;

use super::rig::{OPEN, Rig, Setting, version};
use super::swaps::{Load, under_load};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swaps_lose_no_call() {
    let policy = OPEN.replace("[plugins]\n", "[plugins]\ndowngrade = true\n");
    let rig = Arc::new(Rig::with(Setting { policy, ..Setting::default() }).await);
    let made = [version("1.1.0"), version("1.0.0")];
    rig.install(&made[1]).await.unwrap();
    let figures =
        under_load(&rig, &made, 40, Load { callers: 4, every: Duration::ZERO }, Duration::ZERO).await;
    eprintln!("{figures:?}");
    assert_eq!((figures.lost, figures.reason.clone()), (0, None));
    assert_eq!((figures.twice, figures.never_live), (0, 0));
    assert!(figures.calls > 200, "{figures:?}: the callers hardly called");
}
