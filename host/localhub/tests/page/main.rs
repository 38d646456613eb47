//! The page as a person sees it: a real Chromium, driven over WebDriver, a real hub, a device that speaks MQTT.
//!
//! Without Chromium the tests are skipped with one line that says what to install; with `HOTSHOE_BROWSER=required`
//! they fail instead. Screenshots are left in `target/screenshots/`.

// The lint's own exception for tests covers test functions, not the helpers they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod accessible;
mod browser;
// The device and the operator of the hub's own tests.
#[allow(dead_code, unreachable_pub)]
#[path = "../hub/client.rs"]
mod client;
mod fleet;
mod fleet_view;
mod operator;
mod pictures;
mod work;
