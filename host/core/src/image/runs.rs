//! A set of chunks as the runs that it is made of.
//!
//! A download has few holes, so few numbers say which chunks are there. As JSON it is a list of pairs, first chunk and
//! the one after the last: `[[0,512],[514,600]]`. What is read is put in order, whatever it was: a list that makes no
//! sense is a smaller set, never a panic.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::CHUNK;

/// A set of chunks: ordered runs that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct Runs(Vec<Range<u64>>);

impl Runs {
    /// No chunk.
    pub fn new() -> Self {
        Self::default()
    }

    /// The first `count` chunks.
    pub fn first(count: u64) -> Self {
        std::iter::once(0..count).collect()
    }

    /// Whether there is no chunk.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many chunks there are.
    pub fn count(&self) -> u64 {
        self.0.iter().map(length).sum()
    }

    /// The runs, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Range<u64>> + ExactSizeIterator {
        self.0.iter()
    }

    /// Whether this chunk is there.
    pub fn contains(&self, chunk: u64) -> bool {
        let after = self.0.partition_point(|run| run.end <= chunk);
        self.0.get(after).is_some_and(|run| run.start <= chunk)
    }

    /// How many chunks are there without a hole, from the first one on.
    pub fn prefix(&self) -> u64 {
        self.0.first().filter(|run| run.start == 0).map_or(0, |run| run.end)
    }

    /// Adds chunks.
    pub fn insert(&mut self, mut run: Range<u64>) {
        if run.start >= run.end {
            return;
        }
        let from = self.0.partition_point(|other| other.end < run.start);
        let to = self.0.partition_point(|other| other.start <= run.end);
        for other in self.0.drain(from..to.max(from)) {
            run = run.start.min(other.start)..run.end.max(other.end);
        }
        self.0.insert(from, run);
    }

    /// Takes chunks out.
    pub fn remove(&mut self, run: &Range<u64>) {
        if run.start >= run.end {
            return;
        }
        self.subtract(&Runs(vec![run.clone()]));
    }

    /// Adds all chunks of another set.
    pub fn union(&mut self, other: &Runs) {
        other.iter().for_each(|run| self.insert(run.clone()));
    }

    /// Takes all chunks of another set out, in one walk along both: a bad mirror leaves sets of many thousand runs.
    pub fn subtract(&mut self, other: &Runs) {
        let mut left = Vec::with_capacity(self.0.len());
        let mut others = other.0.iter().peekable();
        for run in &self.0 {
            let mut start = run.start;
            while others.next_if(|other| other.end <= start).is_some() {}
            while let Some(other) = others.peek().filter(|other| other.start < run.end) {
                left.push(start..other.start);
                start = other.end;
                // It may reach into the next run as well.
                if start >= run.end {
                    break;
                }
                others.next();
            }
            left.push(start..run.end);
        }
        left.retain(|run| run.start < run.end);
        self.0 = left;
    }

    /// Which of the first `total` chunks are not there.
    pub fn missing(&self, total: u64) -> Runs {
        let mut missing = Runs::first(total);
        missing.subtract(self);
        missing
    }

    /// The runs with gaps of at most `gap` bytes closed: what to ask for where a request costs as much as those bytes.
    pub fn merged(&self, gap: u64) -> Runs {
        let mut merged: Vec<Range<u64>> = Vec::with_capacity(self.0.len());
        for run in &self.0 {
            match merged.last_mut() {
                Some(last) if run.start.saturating_sub(last.end).saturating_mul(CHUNK) <= gap => {
                    last.end = run.end;
                }
                _ => merged.push(run.clone()),
            }
        }
        Runs(merged)
    }
}

fn length(run: &Range<u64>) -> u64 {
    run.end.saturating_sub(run.start)
}

impl FromIterator<Range<u64>> for Runs {
    fn from_iter<T: IntoIterator<Item = Range<u64>>>(runs: T) -> Self {
        let mut all = Runs::new();
        runs.into_iter().for_each(|run| all.insert(run));
        all
    }
}

impl From<Vec<(u64, u64)>> for Runs {
    fn from(runs: Vec<(u64, u64)>) -> Self {
        runs.into_iter().map(|(start, end)| start..end).collect()
    }
}

impl From<Runs> for Vec<(u64, u64)> {
    fn from(runs: Runs) -> Self {
        runs.0.into_iter().map(|run| (run.start, run.end)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The same set, chunk by chunk.
    fn plain(runs: &Runs) -> BTreeSet<u64> {
        runs.iter().flat_map(Clone::clone).collect()
    }

    #[test]
    fn does_what_a_set_of_numbers_does() {
        let mut state = 7_u64;
        let mut random = |limit: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % limit
        };
        let (mut runs, mut set) = (Runs::new(), BTreeSet::new());
        for _ in 0..3_000 {
            let start = random(64);
            let run = start..start + random(8);
            if random(2) == 0 {
                set.extend(run.clone());
                runs.insert(run);
            } else {
                set.retain(|chunk| !run.contains(chunk));
                runs.remove(&run);
            }
            assert_eq!(plain(&runs), set);
            assert_eq!(runs.count(), set.len() as u64);
            assert_eq!(runs.prefix(), (0..).find(|chunk| !set.contains(chunk)).unwrap());
            assert!((0..80).all(|chunk| runs.contains(chunk) == set.contains(&chunk)));
            assert!(runs.0.windows(2).all(|pair| pair[0].end < pair[1].start), "{runs:?}");
            assert_eq!(plain(&runs.missing(70)), (0..70).filter(|chunk| !set.contains(chunk)).collect());
            let other: Runs = (0..8).map(|_| random(64)).map(|start| start..start + 3).collect();
            let mut rest = runs.clone();
            rest.subtract(&other);
            assert_eq!(plain(&rest), &set - &plain(&other));
            let text = serde_json::to_string(&runs).unwrap();
            assert_eq!(serde_json::from_str::<Runs>(&text).unwrap(), runs);
        }
    }

    #[test]
    fn small_gaps_are_closed() {
        let runs: Runs = [0..1, 2..3, 5..6].into_iter().collect();
        assert_eq!(runs.merged(CHUNK - 1), runs);
        assert_eq!(runs.merged(CHUNK), [0..3, 5..6].into_iter().collect());
        assert_eq!(runs.merged(2 * CHUNK), Runs::first(6));
    }

    #[test]
    fn nonsense_is_a_set_too() {
        let text = "[[5,3],[9,12],[0,2],[10,18446744073709551615],[1,2]]";
        let runs: Runs = serde_json::from_str(text).unwrap();
        assert_eq!(runs, [0..2, 9..u64::MAX].into_iter().collect());
        assert_eq!(runs.missing(10), std::iter::once(2..9).collect());
    }
}
