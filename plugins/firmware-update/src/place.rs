//! Where the images of an update go: which group of slots, and which part of it for which image.
//!
//! All or none: a group is armed as a whole, so each of its parts must be in the order, and nothing else. What an order
//! gets wrong is told before a byte is fetched.

use hotshoe_guest::flash::{self, Group, Slot};
use serde::{Deserialize, Serialize};

use crate::payload::{Order, Wanted};
use crate::trouble::{Stage, Trouble};

/// One image on its way into its slot, as the checkpoint keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Which of the order's images it is.
    pub image: usize,
    /// The slot.
    pub slot: String,
    /// What the slot is staged for.
    pub digest: String,
    /// What the slot is sealed with.
    pub version: String,
}

/// What is known of an image before it is fetched.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) digest: String,
    pub(crate) size: Option<u64>,
    /// The version that is signed for it.
    pub(crate) version: Option<String>,
}

/// The slots for an order's images, in the order in which they are written, and the name of their group.
pub(crate) fn assign(order: &Order, known: &[Known]) -> Result<(String, Vec<Piece>), Trouble> {
    let group = flash::spare_group()?;
    let slots = flash::slots()?;
    let images = order.images();
    if images.len() > group.parts.len() {
        return Err(misfit(&group, format!("{} images were ordered", images.len())));
    }
    let mut pieces = Vec::new();
    for part in &group.parts {
        let for_part =
            images.iter().zip(known).enumerate().find(|(_, (wanted, _))| is_for(wanted, &group, part));
        let Some((image, (_, known))) = for_part else {
            return Err(misfit(&group, format!("the order has no image for {part:?}")));
        };
        fits(&slots, part, known)?;
        let version = version(order, known)?;
        pieces.push(Piece { image, slot: part.clone(), digest: known.digest.clone(), version });
    }
    if pieces.len() < images.len() {
        return Err(misfit(&group, "the order names a part twice, or another one".to_owned()));
    }
    Ok((group.name, pieces))
}

/// Whether an image is for a part, by the part's own name or with the group's before it. An order of one image needs no
/// name where there is one part.
fn is_for(wanted: &Wanted<'_>, group: &Group, part: &str) -> bool {
    match wanted.part {
        Some(name) => {
            part == name
                || part.strip_prefix(&group.name).and_then(|rest| rest.strip_prefix('/')) == Some(name)
        }
        None => group.parts.len() == 1,
    }
}

fn fits(slots: &[Slot], part: &str, known: &Known) -> Result<(), Trouble> {
    let available = slots.iter().find(|slot| slot.name == part).map(|slot| slot.size);
    match (known.size, available) {
        (Some(needed), Some(available)) if needed > available => {
            Err(flash::Error::InsufficientSpace { needed, available }.into())
        }
        _ => Ok(()),
    }
}

/// What a slot is sealed with: what was ordered, or is signed, or the start of the digest.
fn version(order: &Order, known: &Known) -> Result<String, Trouble> {
    match (&order.version, &known.version) {
        (Some(ordered), Some(signed)) if ordered != signed => Err(Trouble::new(
            Stage::Download,
            "untrusted",
            format!("version {ordered:?} was ordered, and {signed:?} is signed for the image"),
            false,
        )),
        (Some(version), _) | (None, Some(version)) => Ok(version.clone()),
        (None, None) => Ok(short(&known.digest)),
    }
}

/// A version for an image that has none: the first 12 digits of its digest.
pub(crate) fn short(digest: &str) -> String {
    let digits = digest.split_once(':').map_or(digest, |(_, digits)| digits);
    digits.chars().take(12).collect()
}

/// Whether the device runs from a slot, or from a part of a group.
pub(crate) fn runs(name: &str) -> Result<bool, Trouble> {
    any(name, |slot| slot.running)
}

/// Whether the device runs from a slot or group that boots for good.
pub(crate) fn is_confirmed(name: &str) -> Result<bool, Trouble> {
    any(name, |slot| slot.running && slot.good)
}

/// Whether one trial boot of a slot or group is armed or under way.
pub(crate) fn is_armed(name: &str) -> Result<bool, Trouble> {
    any(name, |slot| slot.trial)
}

/// Whether this is so of a slot, or of a part of a group.
fn any(name: &str, so: impl Fn(&Slot) -> bool) -> Result<bool, Trouble> {
    let slots = flash::slots()?;
    let is = |part: &str| slots.iter().any(|slot| slot.name == part && so(slot));
    if is(name) {
        return Ok(true);
    }
    let parts = flash::groups()?.into_iter().find(|group| group.name == name).map(|group| group.parts);
    Ok(parts.unwrap_or_default().iter().any(|part| is(part)))
}

fn misfit(group: &Group, what: String) -> Trouble {
    let parts = group.parts.join(", ");
    Trouble::new(
        Stage::Apply,
        "wrongParts",
        format!(
            "{what}, and the group {} has the parts {parts}: send one of images: [{{part, fwPackageUri}}] for each",
            group.name
        ),
        false,
    )
}
