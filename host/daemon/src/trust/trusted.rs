//! The client's workflow of the TUF specification (5.3 to 5.6) as steps over bytes: what may become trusted, and why not.
//!
//! Nothing here fetches, stores or asks a clock. *Recalled* metadata is what this device verified before and kept; it
//! is verified again under the root of today, so that metadata of keys that were taken away falls out by itself (which
//! is the recovery from a fast-forward attack, 5.3.11). *Offered* metadata comes from the repository, and must pass all.

use hotshoe_core::target::ISSUED_MEMBER;
use ring::digest::{SHA256, digest};
use tough::schema::{Metafile, Role as _, Root, Snapshot, Targets, Timestamp};

use super::{
    TrustError,
    error::Role,
    metadata::{self, Body, expiry, matches},
};

const SNAPSHOT: &str = "snapshot.json";
const TARGETS: &str = "targets.json";

/// What is trusted of one repository.
#[derive(Clone, Debug)]
pub(super) struct Trusted {
    repository: String,
    root: Root,
    timestamp: Option<Timestamp>,
    snapshot: Option<Snapshot>,
    targets: Option<Targets>,
}

impl Trusted {
    /// Begins with a root that the device has from elsewhere. It must at least be signed by its own keys.
    pub(super) fn begin(repository: &str, root: &[u8]) -> Result<Self, TrustError> {
        let role = Role { repository: repository.to_owned(), name: Root::NAME.to_owned() };
        let offered = metadata::read::<Root>(role, root)?;
        offered.check(offered.claim())?;
        let root = offered.claim().clone();
        let repository = repository.to_owned();
        Ok(Self { repository, root, timestamp: None, snapshot: None, targets: None })
    }

    pub(super) fn repository(&self) -> &str {
        &self.repository
    }

    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    /// What names the root: the SHA-256 of what is signed in it, whoever has signed it and however it is written.
    pub(super) fn root_name(&self) -> Result<String, TrustError> {
        let form = self.root.canonical_form().map_err(|error| TrustError::Malformed {
            role: self.role(Root::NAME),
            reason: error.to_string(),
        })?;
        Ok(digest(&SHA256, &form).as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    pub(super) fn targets(&self) -> Option<&Targets> {
        self.targets.as_ref()
    }

    pub(super) fn role(&self, name: &str) -> Role {
        Role { repository: self.repository.clone(), name: name.to_owned() }
    }

    fn read<T: Body>(&self, bytes: &[u8]) -> Result<metadata::Unverified<T>, TrustError> {
        metadata::read(self.role(T::NAME), bytes)
    }

    /// Takes the next root: version N+1, signed by the keys of N and by its own. Its expiry does not matter yet, there
    /// may be one after it.
    pub(super) fn next_root(&mut self, bytes: &[u8]) -> Result<(), TrustError> {
        let wanted = self.root.version.get().saturating_add(1);
        let refused = |reason: String| TrustError::RootRotation {
            repository: self.repository.clone(),
            version: wanted,
            reason,
        };
        let offered = self.read::<Root>(bytes).map_err(|error| refused(error.to_string()))?;
        offered
            .check(&self.root)
            .map_err(|error| refused(format!("by the keys of version {}: {error}", self.root.version)))?;
        offered
            .check(offered.claim())
            .map_err(|error| refused(format!("by the keys of version {wanted}: {error}")))?;
        let version = offered.claim().version.get();
        if version != wanted {
            return Err(refused(format!("the file holds version {version}")));
        }
        self.root = offered.claim().clone();
        (self.timestamp, self.snapshot, self.targets) = (None, None, None);
        Ok(())
    }

    /// Takes a timestamp that was kept, for what it says of versions. Its expiry is judged later.
    pub(super) fn recall_timestamp(&mut self, bytes: &[u8]) -> Result<(), TrustError> {
        self.timestamp = Some(self.read::<Timestamp>(bytes)?.verified_by(&self.root)?);
        Ok(())
    }

    /// Takes a timestamp that is offered; false if it is the version that is trusted already, which then stays.
    pub(super) fn offer_timestamp(&mut self, bytes: &[u8], now: u64) -> Result<bool, TrustError> {
        let offered = self.read::<Timestamp>(bytes)?.verified_by(&self.root)?;
        let named = self.snapshot_in(&offered)?;
        if let Some(trusted) = &self.timestamp {
            self.not_older(Timestamp::NAME, trusted.version.get(), offered.version.get())?;
            if trusted.version == offered.version {
                return Ok(false);
            }
            self.not_older(Snapshot::NAME, self.snapshot_in(trusted)?.version.get(), named.version.get())?;
        }
        self.current(Timestamp::NAME, expiry(&offered), now)?;
        self.timestamp = Some(offered);
        Ok(true)
    }

    /// When the trusted timestamp says that it was signed, in seconds since 1970.
    pub(super) fn issued(&self) -> Option<u64> {
        let timestamp = self.timestamp.as_ref()?;
        let issued: jiff::Timestamp = timestamp._extra.get(ISSUED_MEMBER)?.as_str()?.parse().ok()?;
        // Nobody signs what has expired: such a time is a mistake, and must not move this device's time.
        u64::try_from(issued.as_second()).ok().filter(|issued| *issued < expiry(timestamp))
    }

    /// What the trusted timestamp says of the snapshot.
    pub(super) fn wanted_snapshot(&self) -> Result<&Metafile, TrustError> {
        let timestamp = self.timestamp.as_ref().ok_or_else(|| self.missing(Timestamp::NAME))?;
        self.snapshot_in(timestamp)
    }

    fn snapshot_in<'a>(&self, timestamp: &'a Timestamp) -> Result<&'a Metafile, TrustError> {
        timestamp.meta.get(SNAPSHOT).ok_or_else(|| TrustError::Malformed {
            role: self.role(Timestamp::NAME),
            reason: format!("it names no {SNAPSHOT}"),
        })
    }

    /// Takes a snapshot that was kept, for what it says of versions; true if it is the one that the timestamp names.
    pub(super) fn recall_snapshot(&mut self, bytes: &[u8]) -> Result<bool, TrustError> {
        let recalled = self.read::<Snapshot>(bytes)?.verified_by(&self.root)?;
        let wanted = self.wanted_snapshot()?;
        let is_wanted = wanted.version == recalled.version && matches(wanted, bytes);
        self.snapshot = Some(recalled);
        Ok(is_wanted)
    }

    /// Takes a snapshot that is offered.
    pub(super) fn offer_snapshot(&mut self, bytes: &[u8], now: u64) -> Result<(), TrustError> {
        let wanted = self.wanted_snapshot()?;
        self.is_named(Snapshot::NAME, wanted, bytes)?;
        let offered = self.read::<Snapshot>(bytes)?.verified_by(&self.root)?;
        self.has_version(Snapshot::NAME, wanted.version.get(), offered.version.get())?;
        if let Some(trusted) = &self.snapshot {
            for (file, before) in &trusted.meta {
                let name = file.strip_suffix(".json").unwrap_or(file);
                let now = offered.meta.get(file).map_or(0, |meta| meta.version.get());
                self.not_older(name, before.version.get(), now)?;
            }
        }
        self.current(Snapshot::NAME, expiry(&offered), now)?;
        self.snapshot = Some(offered);
        Ok(())
    }

    /// What the trusted snapshot says of the targets, or of a delegated role; none if it does not know it.
    pub(super) fn wanted_role(&self, name: &str) -> Option<&Metafile> {
        self.snapshot.as_ref()?.meta.get(&format!("{name}.json"))
    }

    /// What the trusted snapshot says of the targets.
    pub(super) fn wanted_targets(&self) -> Result<&Metafile, TrustError> {
        self.wanted_role(Targets::NAME).ok_or_else(|| TrustError::Malformed {
            role: self.role(Snapshot::NAME),
            reason: format!("it names no {TARGETS}"),
        })
    }

    /// What the file of a role is called (specification 6.2).
    pub(super) fn file(&self, role: &str, wanted: &Metafile) -> String {
        match self.root.consistent_snapshot {
            true => format!("{}.{role}.json", wanted.version),
            false => format!("{role}.json"),
        }
    }

    /// Takes the targets, kept or offered alike: they must be just those that the snapshot names.
    pub(super) fn offer_targets(&mut self, bytes: &[u8], now: u64) -> Result<(), TrustError> {
        let wanted = self.wanted_targets()?;
        self.is_named(Targets::NAME, wanted, bytes)?;
        let offered = self.read::<Targets>(bytes)?.verified_by(&self.root)?;
        self.has_version(Targets::NAME, wanted.version.get(), offered.version.get())?;
        self.current(Targets::NAME, expiry(&offered), now)?;
        self.targets = Some(offered);
        Ok(())
    }

    /// Checks that the root has not expired: once there is no later one.
    pub(super) fn root_is_current(&self, now: u64) -> Result<(), TrustError> {
        self.current(Root::NAME, expiry(&self.root), now)
    }

    /// Checks that the trusted snapshot has not expired.
    pub(super) fn snapshot_is_current(&self, now: u64) -> Result<(), TrustError> {
        let snapshot = self.snapshot.as_ref().ok_or_else(|| self.missing(Snapshot::NAME))?;
        self.current(Snapshot::NAME, expiry(snapshot), now)
    }

    /// Checks that everything is there and nothing has expired: only then may targets be looked up.
    pub(super) fn is_current(&self, now: u64) -> Result<(), TrustError> {
        self.root_is_current(now)?;
        let timestamp = self.timestamp.as_ref().ok_or_else(|| self.missing(Timestamp::NAME))?;
        self.current(Timestamp::NAME, expiry(timestamp), now)?;
        self.snapshot_is_current(now)?;
        let targets = self.targets.as_ref().ok_or_else(|| self.missing(Targets::NAME))?;
        self.current(Targets::NAME, expiry(targets), now)
    }

    pub(super) fn current(&self, name: &str, expired: u64, now: u64) -> Result<(), TrustError> {
        if expired > now {
            return Ok(());
        }
        Err(TrustError::Freeze { role: self.role(name), expired, now })
    }

    /// Checks that bytes are those that another role names.
    pub(super) fn is_named(&self, name: &str, wanted: &Metafile, bytes: &[u8]) -> Result<(), TrustError> {
        if matches(wanted, bytes) {
            return Ok(());
        }
        let reason = "is not the file that was named: its length or its hash differs".to_owned();
        Err(TrustError::MixAndMatch { role: self.role(name), reason })
    }

    /// Checks that a file holds the version that another role names.
    pub(super) fn has_version(&self, name: &str, wanted: u64, found: u64) -> Result<(), TrustError> {
        if wanted == found {
            return Ok(());
        }
        let reason = format!("is version {found}, version {wanted} was named");
        Err(TrustError::MixAndMatch { role: self.role(name), reason })
    }

    fn not_older(&self, name: &str, trusted: u64, offered: u64) -> Result<(), TrustError> {
        if offered >= trusted {
            return Ok(());
        }
        Err(TrustError::Rollback { role: self.role(name), offered, trusted })
    }

    fn missing(&self, name: &str) -> TrustError {
        TrustError::Unreachable {
            repository: self.repository.clone(),
            reason: format!("its {name} was never fetched"),
        }
    }
}
