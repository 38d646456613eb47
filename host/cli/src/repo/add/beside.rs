//! What stands beside an image: its hash tree, and itself compressed.
//!
//! Neither is signed: devices check every piece of the image by the signed root, whichever way it came. A file here that
//! is wrong costs them a request and nothing else.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    thread,
};

use hotshoe_core::target::{OUTBOARD_SUFFIX, TargetName, ZSTD_FRAME, ZSTD_SUFFIX};
use tough::schema::Targets;

use crate::{
    failure::{Exit, Failure},
    files::{self, Draft},
    output::{Bar, Output},
};

/// Most frames that are compressed at a time.
const THREADS: usize = 16;

/// Writes the hash tree.
pub(super) fn outboard(image: &Path, bytes: &[u8]) -> Result<(), Failure> {
    files::replace(&suffixed(image, OUTBOARD_SUFFIX), bytes, files::READABLE)
}

/// Writes the compressed image; returns its size, or nothing where it would not be smaller. One that stands
/// there already is of these bytes: an image never changes under its name.
pub(super) fn zstd(output: &Output, image: &Path, level: i32) -> Result<Option<u64>, Failure> {
    let place = suffixed(image, ZSTD_SUFFIX);
    if let Ok(metadata) = place.metadata() {
        return Ok(Some(metadata.len()));
    }
    let failed = |error: io::Error| {
        Failure::new(Exit::OsError, format!("could not compress {}: {error}", image.display()))
    };
    let mut file = File::open(image).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let bar = Bar::new(output, "compressing", length);
    let mut draft = Draft::begin(&place, files::READABLE)?;
    let mut written = 0;
    let at_a_time = thread::available_parallelism().map_or(1, usize::from).min(THREADS);
    loop {
        let frames = frames(&mut file, at_a_time).map_err(failed)?;
        for (frame, compressed) in compress(&frames, level).into_iter().enumerate() {
            let compressed = compressed.map_err(failed)?;
            draft.write(&compressed)?;
            written += compressed.len() as u64;
            bar.done(frames.get(frame).map_or(0, Vec::len));
        }
        if frames.len() < at_a_time {
            break;
        }
    }
    if written >= length {
        return Ok(None);
    }
    draft.place()?;
    Ok(Some(written))
}

/// The next pieces of the image, fewer at its end.
fn frames(file: &mut File, most: usize) -> io::Result<Vec<Vec<u8>>> {
    let mut frames = Vec::new();
    while frames.len() < most {
        let mut frame = Vec::new();
        file.take(u64::from(ZSTD_FRAME)).read_to_end(&mut frame)?;
        if frame.is_empty() {
            break;
        }
        frames.push(frame);
    }
    Ok(frames)
}

fn compress(frames: &[Vec<u8>], level: i32) -> Vec<io::Result<Vec<u8>>> {
    thread::scope(|scope| {
        let threads: Vec<_> =
            frames.iter().map(|frame| scope.spawn(move || zstd::bulk::compress(frame, level))).collect();
        let gone = |_| Err(io::Error::other("a thread that compressed is gone"));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(gone)).collect()
    })
}

/// The name that stands in the way of what belongs beside an image, or beside which this one would stand.
pub(super) fn in_the_way(name: &TargetName, targets: &Targets) -> Option<String> {
    let name = name.to_string();
    let found = |other: &str| targets.targets.iter().find(|(known, _)| known.raw() == other);
    let promised = |member: &str, suffix: &str| {
        let image = name.strip_suffix(suffix)?;
        let (_, target) = found(image)?;
        (target.custom.get(member)? == true).then(|| image.to_owned())
    };
    [OUTBOARD_SUFFIX, ZSTD_SUFFIX]
        .into_iter()
        .map(|suffix| format!("{name}{suffix}"))
        .find(|beside| found(beside).is_some())
        .or_else(|| promised("outboard", OUTBOARD_SUFFIX))
        .or_else(|| promised("zstd", ZSTD_SUFFIX))
}

fn suffixed(image: &Path, suffix: &str) -> PathBuf {
    let mut name = image.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
