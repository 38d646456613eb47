//! Which chunks are asked for next, and of whom. Decides, and does nothing.
//!
//! Chunks that nobody got wrong come first, run by run, from the source that works. A chunk that a source got wrong is
//! asked for alone, of the one that got it wrong least often: so a corrupt byte costs a chunk, and a second mirror mends
//! it. One that all got wrong twice is hopeless.

use std::{collections::BTreeMap, ops::Range};

use hotshoe_core::image::Runs;

/// How often one source may get one chunk wrong.
const PATIENCE: usize = 2;

/// What to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    /// Of which source, by its place.
    pub(super) source: usize,
    pub(super) run: Range<u64>,
}

/// Why there is nothing to ask for although chunks are missing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hopeless {
    /// No source is left.
    Sources,
    /// No source has the right bytes of this chunk.
    Chunk(u64),
}

/// What is known of the sources.
#[derive(Debug)]
pub(super) struct Plan {
    /// Those that give nothing (more).
    lost: Vec<bool>,
    /// Who is asked first.
    at: usize,
    /// Who got which chunk wrong.
    blame: BTreeMap<u64, Vec<usize>>,
    /// The chunks that somebody got wrong.
    blamed: Runs,
    gap: u64,
}

impl Plan {
    pub(super) fn new(sources: usize, gap: u64) -> Self {
        Self { lost: vec![false; sources], at: 0, blame: BTreeMap::new(), blamed: Runs::new(), gap }
    }

    pub(super) fn next(&self, missing: &Runs) -> Result<Option<Ask>, Hopeless> {
        let Some(first) = missing.iter().next() else { return Ok(None) };
        let mut unblamed = missing.clone();
        unblamed.subtract(&self.blamed);
        if let Some(run) = unblamed.merged(self.gap).iter().next() {
            return Ok(Some(Ask {
                source: self.preferred().next().ok_or(Hopeless::Sources)?,
                run: run.clone(),
            }));
        }
        let source = self.for_chunk(first.start)?;
        let same = first.clone().take_while(|chunk| self.for_chunk(*chunk) == Ok(source)).count() as u64;
        Ok(Some(Ask { source, run: first.start..first.start.saturating_add(same) }))
    }

    /// The source that got this chunk wrong least often.
    fn for_chunk(&self, chunk: u64) -> Result<usize, Hopeless> {
        let wrong = |source: &usize| {
            self.blame.get(&chunk).map_or(0, |blamed| blamed.iter().filter(|other| *other == source).count())
        };
        let source = self.preferred().min_by_key(wrong).ok_or(Hopeless::Sources)?;
        if wrong(&source) < PATIENCE { Ok(source) } else { Err(Hopeless::Chunk(chunk)) }
    }

    /// The sources that are left, the one that is asked first in front.
    pub(super) fn preferred(&self) -> impl Iterator<Item = usize> {
        let count = self.lost.len();
        let order = (0..count).map(move |step| self.at.saturating_add(step) % count.max(1));
        order.filter(|source| self.lost.get(*source) == Some(&false))
    }

    /// How many sources are left.
    pub(super) fn left(&self) -> usize {
        self.lost.iter().filter(|lost| !**lost).count()
    }

    pub(super) fn blame(&mut self, source: usize, chunk: u64) {
        self.blame.entry(chunk).or_default().push(source);
        self.blamed.insert(chunk..chunk.saturating_add(1));
    }

    /// Nothing more is asked of this one.
    pub(super) fn lose(&mut self, source: usize) {
        if let Some(lost) = self.lost.get_mut(source) {
            *lost = true;
        }
    }

    /// The one after this is asked first from now on.
    pub(super) fn pass_on(&mut self, source: usize) {
        self.at = source.saturating_add(1) % self.lost.len().max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(runs: &[Range<u64>]) -> Runs {
        runs.iter().cloned().collect()
    }

    fn one(run: Range<u64>) -> Runs {
        std::iter::once(run).collect()
    }

    #[test]
    fn what_nobody_got_wrong_comes_first_and_the_rest_from_others() {
        let mut plan = Plan::new(2, 0);
        let missing = runs(&[2..9, 12..13]);
        let ask = |source, run| Ok(Some(Ask { source, run }));
        assert_eq!(plan.next(&missing), ask(0, 2..9));
        plan.blame(0, 4);
        plan.blame(0, 5);
        assert_eq!(plan.next(&missing), ask(0, 2..4));
        assert_eq!(plan.next(&runs(&[4..6, 12..13])), ask(0, 12..13));
        assert_eq!(plan.next(&one(4..6)), ask(1, 4..6));
        plan.blame(1, 4);
        assert_eq!(
            plan.next(&one(4..6)),
            ask(0, 4..5),
            "again the first one, with the one it got wrong once"
        );
        plan.blame(0, 4);
        assert_eq!(plan.next(&one(4..5)), ask(1, 4..5));
        plan.blame(1, 4);
        assert_eq!(plan.next(&one(4..5)), Err(Hopeless::Chunk(4)));
        assert_eq!(plan.next(&Runs::new()), Ok(None));
    }

    #[test]
    fn who_is_lost_is_not_asked_and_who_broke_off_comes_last() {
        let mut plan = Plan::new(3, 0);
        plan.pass_on(0);
        assert_eq!(plan.preferred().collect::<Vec<_>>(), [1, 2, 0]);
        plan.lose(2);
        plan.pass_on(1);
        assert_eq!((plan.preferred().collect::<Vec<_>>(), plan.left()), (vec![0, 1], 2));
        plan.lose(0);
        plan.lose(1);
        assert_eq!(plan.next(&Runs::first(1)), Err(Hopeless::Sources));
        assert_eq!(Plan::new(0, 0).next(&Runs::first(1)), Err(Hopeless::Sources));
    }

    /// Each request is planned in one walk along what is missing and what was wrong. One walk for each wrong chunk, and
    /// this takes longer than anybody waits.
    #[test]
    fn a_source_that_spoils_every_other_chunk_of_a_large_image_costs_requests_and_no_more() {
        const CHUNKS: u64 = 64 * 1024;
        let mut plan = Plan::new(2, 0);
        let mut missing = Runs::first(CHUNKS);
        (0..CHUNKS).step_by(2).for_each(|chunk| plan.blame(0, chunk));
        for right in (1..CHUNKS).step_by(64) {
            let ask = plan.next(&missing).unwrap().unwrap();
            assert_eq!((ask.source, ask.run), (0, 1..2), "what nobody got wrong comes first");
            missing.remove(&(right..right + 1));
            missing.insert(1..2);
        }
        let wrong: Runs = (0..CHUNKS).step_by(2).map(|chunk| chunk..chunk + 1).collect();
        assert_eq!(plan.next(&wrong), Ok(Some(Ask { source: 1, run: 0..1 })));
        assert_eq!(wrong.missing(CHUNKS).count(), CHUNKS / 2);
    }

    #[test]
    fn holes_cheaper_than_a_request_are_fetched_along() {
        let plan = Plan::new(1, 64 * 1024);
        assert_eq!(plan.next(&runs(&[0..1, 2..3, 5..6])).unwrap().unwrap().run, 0..3);
    }
}
