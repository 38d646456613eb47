//! The hashes of an image's chunks: kept from last time, or fetched and checked.

use hotshoe_core::image::{Tree, outboard_length};

use super::{
    Part, SourceError,
    session::{Session, Trouble},
};
use crate::fetch::{FetchError, transfer::Meter};

impl Session<'_> {
    /// Fetches the outboard and checks it against the root. None if no source has the right one: the image is verified as
    /// a whole then.
    pub(super) async fn outboard(
        &mut self,
        root: &[u8; 32],
        length: u64,
    ) -> Result<Option<(Tree, Vec<u8>)>, Trouble> {
        let mut without = vec![false; self.about.sources.len()];
        loop {
            let have = |source: &usize| without.get(*source) == Some(&false);
            let Some(source) = self.plan.preferred().find(have) else { return Ok(None) };
            let error = match self.small(source, outboard_length(length)).await {
                Ok(bytes) => match Tree::from_outboard(root, length, &bytes) {
                    Ok(tree) => return Ok(Some((tree, bytes))),
                    Err(error) => FetchError::Interrupted(error.to_string()),
                },
                Err(Trouble::Source(SourceError::Missing(error) | SourceError::Refused(error))) => error,
                Err(Trouble::Source(error)) => {
                    self.after(source, error).await?;
                    continue;
                }
                Err(trouble) => return Err(trouble),
            };
            tracing::warn!(source = self.name(source), %error, "no hashes of the image's chunks here");
            without.iter_mut().skip(source).take(1).for_each(|without| *without = true);
        }
    }

    /// All bytes of an outboard; at most one more than it may have.
    async fn small(&mut self, source: usize, limit: u64) -> Result<Vec<u8>, Trouble> {
        let Some(from) = self.about.sources.get(source) else { return Ok(Vec::new()) };
        let mut opened = self.unless_cancelled(from.open(Part::Outboard, 0, None)).await??;
        let (mut bytes, mut meter) = (Vec::new(), Meter::default());
        while bytes.len() as u64 <= limit
            && let Some(piece) = self.piece(source, &mut opened, &mut meter).await?
        {
            let room = usize::try_from(limit.saturating_add(1)).unwrap_or(usize::MAX);
            let room = room.saturating_sub(bytes.len());
            bytes.extend_from_slice(piece.get(..room).unwrap_or(&piece));
        }
        Ok(bytes)
    }
}
