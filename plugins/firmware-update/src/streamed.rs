//! The way of images that are known before they are fetched: straight from the network into their slots.
//!
//! Nothing is stored on the way, so a device without room for a second copy can be updated; what was received before
//! an interruption stays. The parts of a group are received and sealed one after the other, as the host wants it; the
//! last one is sealed in a step of its own, for that is when the update begins to apply.

use hotshoe_guest::download::{self, Source};
use hotshoe_guest::flash::{self, Content, Staging};
use hotshoe_guest::{Outcome, info};

use crate::dialect::News;
use crate::payload::Wanted;
use crate::place::{self, Known, Piece};
use crate::trouble::{Stage, Trouble};
use crate::update::{Course, End, Next, Step, Update};

/// How often images are received anew after what was read back was not what was promised.
pub(crate) const ANEW: u32 = 1;

impl Update<'_> {
    /// Where the images go, if all of them are known beforehand. None where the one image of the order is known only
    /// once it is here.
    pub(crate) fn plan(&self) -> Result<Option<Step>, Trouble> {
        let mut known = Vec::new();
        for wanted in self.order.images() {
            match resolve(&wanted, wanted.digest)? {
                Some(source) => known.push(Known {
                    digest: source.digest(),
                    size: source.size().or(wanted.size),
                    version: source.version(),
                }),
                None if wanted.part.is_none() => return Ok(None),
                None => return Err(unknown(&wanted)),
            }
        }
        let (slot, pieces) = place::assign(&self.order, &known)?;
        Ok(Some(Step::Receiving(Course { slot, pieces, ..Course::default() })))
    }

    /// Receives what is missing of each image, and seals all but the last one.
    pub(crate) fn receive(&self, course: Course) -> Result<Next, Trouble> {
        let images = self.order.images();
        for (index, piece) in course.pieces.iter().enumerate() {
            if self.job.should_suspend() {
                return Ok(Next::End(End::Well(Outcome::Suspended)));
            }
            let staging = Staging::open(&piece.slot, &piece.digest)?;
            if !is_sealed(piece)? {
                let wanted = images.get(piece.image).ok_or_else(|| lost(piece))?;
                let source = resolve(wanted, Some(&piece.digest))?.ok_or_else(|| unknown(wanted))?;
                staging.receive(&source)?;
                info!("the image is in the slot"; slot = piece.slot, digest = piece.digest);
            }
            if index + 1 < course.pieces.len()
                && let Some(next) = self.seal_one(&staging, piece, &course)?
            {
                return Ok(next);
            }
        }
        self.tell(News::Downloaded)?;
        self.tell(News::Applying { slot: &course.slot })?;
        Ok(Next::Step(Step::Sealing(course)))
    }

    /// Seals the last image, after which the group can be armed.
    pub(crate) fn seal(&self, course: Course) -> Result<Next, Trouble> {
        let version = course.pieces.first().map(|first| first.version.clone()).unwrap_or_default();
        if let Some(last) = course.pieces.last() {
            let staging = Staging::open(&last.slot, &last.digest)?;
            if let Some(next) = self.seal_one(&staging, last, &course)? {
                return Ok(next);
            }
        }
        info!("the update is in place"; slot = course.slot, version);
        self.tell(News::Restarting)?;
        Ok(Next::Step(Step::Booting(Course { version, ..course })))
    }

    /// Seals one image. What was read back and is not what was promised is received anew, not for ever: the step is
    /// then the one to go on with.
    fn seal_one(&self, staging: &Staging, piece: &Piece, course: &Course) -> Result<Option<Next>, Trouble> {
        match staging.seal(&piece.version) {
            Ok(()) => Ok(None),
            Err(error @ (flash::Error::DigestMismatch(_) | flash::Error::NotSealed(_))) => {
                if course.anew >= ANEW {
                    return Err(Trouble::new(Stage::Download, error.code(), error.to_string(), false));
                }
                info!("the image is received anew"; slot = piece.slot, reason = error);
                self.tell(News::Downloading)?;
                Ok(Some(Next::Step(Step::Receiving(Course { anew: course.anew + 1, ..course.clone() }))))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn resolve(wanted: &Wanted<'_>, digest: Option<&str>) -> Result<Option<Source>, Trouble> {
    Ok(download::firmware(wanted.uri).digest(digest.map(str::to_owned)).size(wanted.size).resolve()?)
}

/// Whether the slot holds the image already: a run before came so far.
fn is_sealed(piece: &Piece) -> Result<bool, Trouble> {
    let is = |slot: &flash::Slot| {
        slot.name == piece.slot
            && slot.content == Content::Sealed
            && slot.digest.as_ref() == Some(&piece.digest)
    };
    Ok(flash::slots()?.iter().any(is))
}

fn unknown(wanted: &Wanted<'_>) -> Trouble {
    let message = format!(
        "nobody says what {} is before it is here, and images of several parts must be known: sign it, or give its digest",
        wanted.uri
    );
    Trouble::new(Stage::Download, "unknownImage", message, false)
}

fn lost(piece: &Piece) -> Trouble {
    let message = format!("the order has no image for slot {} any more", piece.slot);
    Trouble::new(Stage::Apply, "checkpoint", message, false)
}
