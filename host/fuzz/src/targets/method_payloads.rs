//! Payloads of direct methods: bounded, read once, and written as what was read.

use hotshoe_core::method::{MethodResponse, PAYLOAD_LIMIT, parse_payload};

use crate::pieces::has_fraction;

/// The payload of one call, which is then the answer's.
pub(super) fn run(data: &[u8]) {
    let payload = match parse_payload(data) {
        Ok(payload) => payload,
        Err(refusal) => {
            let (status, body) = refusal.response().encode();
            assert!((400..500).contains(&status), "{status}");
            assert!(body.len() < PAYLOAD_LIMIT && parse_payload(&body).is_ok());
            return;
        }
    };
    let (_, body) = MethodResponse { status: 200, payload: payload.clone() }.encode();
    assert!(body.len() <= PAYLOAD_LIMIT);
    // What is escaped grows, and then it is the refusal that says so.
    if data.len() * 6 < PAYLOAD_LIMIT && !has_fraction(&payload) {
        assert_eq!(parse_payload(&body).expect("what was written reads"), payload);
    }
}
