//! zstd frames of an image: found and decompressed within bounds, piece by piece as at once.

use std::cell::RefCell;

use hotshoed::receive::zstd::{Decoder, FRAME, Scanner};

use crate::pieces::choice;

thread_local! {
    static DECODER: RefCell<(Decoder, Vec<u8>)> = RefCell::new((Decoder::default(), vec![0; FRAME]));
}

/// A frame, how its bytes are cut, and how many must come out.
pub(super) fn run(data: &[u8]) {
    let Some((cut, rest)) = choice(data) else { return };
    let Some((wanted, frame)) = rest.split_first_chunk::<2>() else { return };
    let at_once = Scanner::default().end(frame);
    let step = usize::from(cut % 61) + 1;
    let mut scanner = Scanner::default();
    let mut found = Ok(None);
    for end in (step..frame.len() + step).step_by(step) {
        found = scanner.end(&frame[..end.min(frame.len())]);
        if !matches!(found, Ok(None)) {
            break;
        }
    }
    if let (Ok(Some(at_once)), Ok(Some(found))) = (&at_once, &found) {
        assert_eq!(at_once, found, "where a frame ends does not depend on how it came");
        assert!(*found <= frame.len());
    }
    assert!(at_once.is_ok() || !matches!(found, Ok(None)), "what is refused at once is refused in pieces");
    let end = at_once.ok().flatten().unwrap_or(frame.len());
    DECODER.with_borrow_mut(|(decoder, room)| {
        let wanted = usize::from(u16::from_le_bytes(*wanted));
        let _ = decoder.decode(&frame[..end], &mut room[..wanted]);
    });
}
