//! Hash trees of images: the true one vouches for the true bytes; no other tree is taken, and no other bytes are.

use std::sync::LazyLock;

use arbitrary::Unstructured;
use hotshoe_core::image::{Tree, chunks, outboard_length};

const LENGTH: u64 = 4 * 64 * 1024 + 100;

struct Image {
    bytes: Vec<u8>,
    root: [u8; 32],
    outboard: Vec<u8>,
}

static IMAGE: LazyLock<Image> = LazyLock::new(|| {
    let bytes: Vec<u8> = (0..LENGTH).map(|at| (at * 31 + at / 7) as u8).collect();
    let block = bao_tree::BlockSize::from_chunk_log(6);
    let made = bao_tree::io::outboard::PreOrderMemOutboard::create(&bytes, block);
    Image { root: *made.root.as_bytes(), outboard: made.data, bytes }
});

/// A tree and what was done to it.
struct Case<'a> {
    made_up: Option<[u8; 32]>,
    length: Option<u32>,
    chunk: u8,
    changes: Vec<(u16, u8)>,
    rest: &'a [u8],
}

impl<'a> Case<'a> {
    fn of(data: &'a [u8]) -> arbitrary::Result<Self> {
        let mut bytes = Unstructured::new(data);
        let (made_up, length, chunk) = (bytes.arbitrary()?, bytes.arbitrary()?, bytes.arbitrary()?);
        let count = bytes.int_in_range(0..=4)?;
        let changes = (0..count).map(|_| bytes.arbitrary()).collect::<arbitrary::Result<_>>()?;
        Ok(Case { made_up, length, chunk, changes, rest: bytes.take_rest() })
    }
}

/// One tree.
pub(super) fn run(data: &[u8]) {
    let Ok(case) = Case::of(data) else { return };
    if let Some(root) = &case.made_up {
        // Whatever it is, it is taken whole or not at all.
        let length = u64::from(case.length.unwrap_or_default());
        if let Ok(tree) = Tree::from_outboard(root, length, case.rest) {
            assert_eq!(outboard_length(length), case.rest.len() as u64);
            assert!(!tree.verifies(chunks(length), case.rest), "there is no such chunk");
        }
        return;
    }
    let image = &*IMAGE;
    let mut outboard = image.outboard.clone();
    for (at, by) in &case.changes {
        let at = usize::from(*at) % outboard.len();
        outboard[at] ^= by;
    }
    let length = case.length.map_or(LENGTH, u64::from);
    let tree = Tree::from_outboard(&image.root, length, &outboard);
    if outboard == image.outboard && length == LENGTH {
        let tree = tree.expect("the true tree is taken");
        let chunk = u64::from(case.chunk) % chunks(LENGTH);
        let from = (chunk * 64 * 1024) as usize;
        let true_bytes = &image.bytes[from..image.bytes.len().min(from + 64 * 1024)];
        if case.rest.is_empty() {
            assert!(tree.verifies(chunk, true_bytes));
        } else {
            assert!(!tree.verifies(chunk, case.rest) || case.rest == true_bytes);
        }
    } else if outboard != image.outboard {
        assert!(tree.is_err(), "a tree with a byte changed was taken");
    }
}
