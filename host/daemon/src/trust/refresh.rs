//! The update of one repository's metadata, and the same from what is kept alone.
//!
//! The order is the specification's (5.2 to 5.6): roots one by one, timestamp, snapshot, targets. Each is verified, then
//! kept durably, then used, so that a power cut between any two steps leaves a device that trusts no less and no more
//! than what it verified: it begins again from there.
//!
//! What was whole last (timestamp, snapshot and targets of one refresh that went well) is kept once more, in one file: a
//! refresh that got no further than a new timestamp must not take away what a device without a network goes by.
//!
//! The root that the device was given is where all of it begins. Roots that were followed are kept, and go before one that
//! led to them: an older image brings no keys back that were taken away. One that did not lead to them is another root of
//! trust, which the device was given since, and ends the old one whatever its number.
//!
//! The time: whatever the clock says, it is not before the floor. That is the time of the device's build, raised by the
//! last time at which the repository says that it signed (`ISSUED_MEMBER`). The floor never follows the clock: one that
//! ran ahead once would lock the device out for good. It is kept with the timestamp that it came from, and goes with it
//! when its keys are taken away.

use super::{
    TrustError,
    source::Source,
    store::{Kept, Store, Whole},
    trusted::Trusted,
};

/// Bytes that a file of metadata may have.
const ROOT_LIMIT: u64 = 512 * 1024;
const TIMESTAMP_LIMIT: u64 = 64 * 1024;
const SNAPSHOT_LIMIT: u64 = 2 * 1024 * 1024;
pub(super) const TARGETS_LIMIT: u64 = 5 * 1024 * 1024;

/// Roots that are followed in one refresh; the next one goes on from there.
const ROTATIONS: u64 = 256;

/// Where and when.
pub(super) struct Update<'a> {
    pub(super) repository: &'a str,
    /// The root that the device was given.
    pub(super) root: &'a [u8],
    pub(super) store: &'a Store,
    /// The clock or the build, whichever is later, in seconds since 1970.
    pub(super) now: u64,
}

/// What is trusted, and how late it is at least.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) trusted: Trusted,
    pub(super) now: u64,
}

impl Update<'_> {
    /// Fetches what is new.
    pub(super) async fn refresh(&self, source: &Source) -> Result<Verified, TrustError> {
        let (mut trusted, lineage) = self.begin().await?;
        self.roots(&mut trusted, lineage, source).await?;
        let floor = self.recall_timestamp(&mut trusted).await?;
        trusted.root_is_current(self.now.max(floor))?;
        let (timestamp, floor) = self.timestamp(&mut trusted, source, floor).await?;
        let now = self.now.max(floor);
        let snapshot = self.snapshot(&mut trusted, source, now).await?;
        let targets = self.targets(&mut trusted, source, now).await?;
        trusted.is_current(now)?;
        self.store.write_whole(&Whole { timestamp, snapshot, targets }).await?;
        Ok(Verified { trusted, now })
    }

    /// Verifies what was last whole, without anybody's help.
    pub(super) async fn recall(&self) -> Result<Verified, TrustError> {
        let (mut trusted, _) = self.begin().await?;
        let floor = self.recall_timestamp(&mut trusted).await?;
        let mut now = self.now.max(floor);
        if let Some(whole) = self.store.read_whole().await? {
            trusted.recall_timestamp(whole.timestamp.as_bytes())?;
            now = now.max(trusted.issued().unwrap_or_default());
            trusted.recall_snapshot(whole.snapshot.as_bytes())?;
            trusted.offer_targets(whole.targets.as_bytes(), now)?;
        }
        trusted.is_current(now)?;
        Ok(Verified { trusted, now })
    }

    /// The root to begin with: the one that is kept, unless the device was given a later one or another one since. And its
    /// lineage; empty where that is not known.
    async fn begin(&self) -> Result<(Trusted, Vec<String>), TrustError> {
        let given = Trusted::begin(self.repository, self.root)?;
        let name = given.root_name()?;
        let alone = vec![name.clone()];
        let Some(Kept { text, mut lineage, .. }) = self.store.read("root").await? else {
            return Ok((given, alone));
        };
        let kept = match Trusted::begin(self.repository, text.as_bytes()) {
            Ok(kept) => kept,
            Err(error) => {
                tracing::error!(
                    repository = self.repository, %error,
                    "the root that was kept is no good; beginning with the one that the device came with"
                );
                return Ok((given, alone));
            }
        };
        let led_here = lineage.is_empty() || lineage.contains(&name);
        if kept.root().version > given.root().version {
            if led_here {
                return Ok((kept, lineage));
            }
            tracing::warn!(
                repository = self.repository,
                kept = kept.root().version.get(),
                given = given.root().version.get(),
                "the device was given another root of trust; what followed from the one before counts no more"
            );
            return Ok((given, alone));
        }
        if !led_here {
            lineage.push(name);
        }
        Ok((given, lineage))
    }

    async fn roots(
        &self,
        trusted: &mut Trusted,
        mut lineage: Vec<String>,
        source: &Source,
    ) -> Result<(), TrustError> {
        for _ in 0..ROTATIONS {
            let next = trusted.root().version.get().saturating_add(1);
            let file = format!("{next}.root.json");
            let Some(bytes) = source.metadata(self.repository, &file, ROOT_LIMIT).await? else {
                return Ok(());
            };
            trusted.next_root(&bytes)?;
            if !lineage.is_empty() {
                lineage.push(trusted.root_name()?);
            }
            self.store.write_root(&bytes, &lineage).await?;
            tracing::info!(repository = self.repository, version = next, "a new root is trusted");
        }
        Err(TrustError::RootRotation {
            repository: self.repository.to_owned(),
            version: trusted.root().version.get().saturating_add(1),
            reason: format!("more than {ROTATIONS} new roots at once; the next refresh goes on from here"),
        })
    }

    /// The kept timestamp, where the root's keys still vouch for it. Returns its floor.
    async fn recall_timestamp(&self, trusted: &mut Trusted) -> Result<u64, TrustError> {
        let Some(Kept { text, floor, .. }) = self.store.read("timestamp").await? else { return Ok(0) };
        match trusted.recall_timestamp(text.as_bytes()) {
            Ok(()) => Ok(floor),
            Err(error) => {
                tracing::info!(repository = self.repository, %error, "the kept timestamp is not trusted any more");
                Ok(0)
            }
        }
    }

    /// Returns the timestamp that is trusted now, and its floor.
    async fn timestamp(
        &self,
        trusted: &mut Trusted,
        source: &Source,
        floor: u64,
    ) -> Result<(String, u64), TrustError> {
        let bytes = self.fetch(source, "timestamp.json", TIMESTAMP_LIMIT).await?;
        if !trusted.offer_timestamp(&bytes, self.now.max(floor))?
            && let Some(kept) = self.store.read("timestamp").await?
        {
            return Ok((kept.text, floor));
        }
        let floor = floor.max(trusted.issued().unwrap_or_default());
        Ok((self.store.write("timestamp", &bytes, floor).await?, floor))
    }

    async fn snapshot(&self, trusted: &mut Trusted, source: &Source, now: u64) -> Result<String, TrustError> {
        if let Some(kept) = self.store.read("snapshot").await? {
            match trusted.recall_snapshot(kept.text.as_bytes()) {
                Ok(true) if trusted.snapshot_is_current(now).is_ok() => return Ok(kept.text),
                Ok(_) => {}
                Err(error) => {
                    tracing::info!(repository = self.repository, %error, "the kept snapshot is not trusted any more");
                }
            }
        }
        let wanted = trusted.wanted_snapshot()?;
        let limit = limit(wanted.length, SNAPSHOT_LIMIT);
        let bytes = self.fetch(source, &trusted.file("snapshot", wanted), limit).await?;
        trusted.offer_snapshot(&bytes, now)?;
        self.store.write("snapshot", &bytes, 0).await
    }

    async fn targets(&self, trusted: &mut Trusted, source: &Source, now: u64) -> Result<String, TrustError> {
        if let Some(kept) = self.store.read("targets").await?
            && trusted.offer_targets(kept.text.as_bytes(), now).is_ok()
        {
            return Ok(kept.text);
        }
        let wanted = trusted.wanted_targets()?;
        let limit = limit(wanted.length, TARGETS_LIMIT);
        let bytes = self.fetch(source, &trusted.file("targets", wanted), limit).await?;
        trusted.offer_targets(&bytes, now)?;
        self.store.write("targets", &bytes, 0).await
    }

    async fn fetch(&self, source: &Source, file: &str, limit: u64) -> Result<Vec<u8>, TrustError> {
        source.metadata(self.repository, file, limit).await?.ok_or_else(|| TrustError::Unreachable {
            repository: self.repository.to_owned(),
            reason: format!("it has no {file}"),
        })
    }
}

/// What a file may have: what is signed of its length, and never more than `most`.
pub(super) fn limit(signed: Option<u64>, most: u64) -> u64 {
    signed.map_or(most, |signed| signed.min(most))
}
