//! The admin socket: raw bytes to the real server. Whatever comes, what is answered is HTTP, and no failure of the host's own.

use std::time::Duration;

use crate::{
    conversation::{assert_served, converse, request},
    device,
    pieces::runtime,
};

/// What one client says.
pub(super) fn run(data: &[u8]) {
    let said = request(data, "");
    let first = Duration::from_millis(5);
    let answer =
        device::with(|device| runtime(converse(&said, first, |stream| device.admin().converse(stream))));
    assert_served(&answer);
}
