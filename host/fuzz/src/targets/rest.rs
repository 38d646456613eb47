//! The local hub's REST: raw bytes to the real server, with and without an operator's token. What is answered is HTTP, and no
//! failure of the hub's own.

use std::time::Duration;

use crate::{
    conversation::{assert_served, converse, request},
    hub::hub,
    pieces::{choice, hurried},
};

/// Whether the token is put in, and a request.
pub(super) fn run(data: &[u8]) {
    let Some((kind, bytes)) = choice(data) else { return };
    let hub = hub();
    let said = match kind & 1 {
        0 => request(bytes, ""),
        _ => request(bytes, &format!("authorization: {}\r\n", hub.operator)),
    };
    let first = Duration::from_millis(20);
    assert_served(&hurried(converse(&said, first, |stream| hub.running.serve_http(stream))));
}
