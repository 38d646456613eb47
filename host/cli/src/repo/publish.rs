//! `hotshoe repo publish`: what was added becomes visible, all of it in the one moment in which `timestamp.json` is
//! replaced.
//!
//! Everything that a device would look at is looked at before: signatures, thresholds, expiry, prefixes, and that every
//! delegated role has signed something (a device finds nothing of the others otherwise).

use std::{collections::HashMap, num::NonZeroU64};

use hotshoe_core::target::ISSUED_MEMBER;
use jiff::Timestamp as Moment;
use serde_json::json;
use tough::schema::{Metafile, Role, RoleKeys, RoleType, Root, Snapshot, Targets, Timestamp};

use super::{
    Desk,
    keys::{self, Signer},
    sign,
    store::{SPECIFICATION, Store, delegations, metafile},
};
use crate::{
    args::Publish,
    failure::{Exit, Failure},
};

pub(super) fn run(desk: &Desk<'_>, publish: &Publish) -> Result<(), Failure> {
    let store = Store::open(&publish.place)?;
    let signers = keys::load_all(&store.keys, &publish.signers.key)?;
    let expires = desk.in_days(publish.days)?;
    let published = self::publish(&store, desk, &signers, expires)?;
    published.tell(desk, "published")
}

/// What devices see now.
pub(super) struct Published {
    pub(super) snapshot: NonZeroU64,
    pub(super) timestamp: NonZeroU64,
    pub(super) expires: Moment,
    /// The lists by their files, `targets.json`.
    pub(super) lists: Vec<(String, NonZeroU64)>,
}

impl Published {
    pub(super) fn tell(&self, desk: &Desk<'_>, verb: &str) -> Result<(), Failure> {
        let Published { snapshot, timestamp, expires, lists } = self;
        let shown: Vec<String> = lists
            .iter()
            .map(|(name, version)| format!("{} {version}", name.trim_end_matches(".json")))
            .collect();
        let lines = [
            format!("{verb}: {}", shown.join(", ")),
            format!("snapshot {snapshot} and timestamp {timestamp} hold until {expires}"),
        ];
        let lists: serde_json::Map<String, serde_json::Value> = lists
            .iter()
            .map(|(name, version)| (name.trim_end_matches(".json").to_owned(), json!(version)))
            .collect();
        desk.told(
            &lines,
            json!({"snapshot": snapshot, "timestamp": timestamp, "expires": expires.to_string(), "lists": lists}),
        )
    }
}

/// Signs the newest of everything.
pub(super) fn publish(
    store: &Store,
    desk: &Desk<'_>,
    signers: &[Signer],
    expires: Moment,
) -> Result<Published, Failure> {
    let root = store.root()?.signed;
    fresh(desk, &root, "the root", "hotshoe repo rotate-root --renew")?;
    let targets = store.targets(&root)?.signed;
    fresh(desk, &targets, "the list of targets", "hotshoe repo refresh --role targets")?;
    let mut meta = HashMap::from([("targets.json".to_owned(), store.metafile("targets", targets.version)?)]);
    let all = delegations(&targets);
    for role in &all.roles {
        let name = &role.name;
        let list = store.delegated(&all, name)?.ok_or_else(|| nothing_signed(name))?.signed;
        fresh(
            desk,
            &list,
            &format!("the list of {name}"),
            &format!("hotshoe repo refresh --role {name} --key KEY"),
        )?;
        within(name, &list, &all)?;
        meta.insert(format!("{name}.json"), store.metafile(name, list.version)?);
    }
    seal(store, desk, &root, signers, meta, expires)
}

/// Signs a snapshot of these lists, and the timestamp that names it.
pub(super) fn seal(
    store: &Store,
    desk: &Desk<'_>,
    root: &Root,
    signers: &[Signer],
    meta: HashMap<String, Metafile>,
    expires: Moment,
) -> Result<Published, Failure> {
    let timestamp_version = match store.published()? {
        Some(before) => sign::next(before.timestamp.version),
        None => NonZeroU64::MIN,
    };
    let mut lists: Vec<(String, NonZeroU64)> =
        meta.iter().map(|(name, meta)| (name.clone(), meta.version)).collect();
    lists.sort();
    let version = store.next("snapshot");
    let mut snapshot = Snapshot::new(SPECIFICATION.to_owned(), version, expires);
    snapshot.meta = meta;
    let snapshot = sign::sign(snapshot, "the snapshot", &[holder(root, RoleType::Snapshot)?], signers)?;
    let mut timestamp = Timestamp::new(SPECIFICATION.to_owned(), timestamp_version, expires);
    let issued = Moment::from_second(desk.now.as_second()).unwrap_or(desk.now);
    timestamp._extra.insert(ISSUED_MEMBER.to_owned(), json!(issued.to_string()));
    // Both keys are asked for before either file is written.
    let timestamp_holder = holder(root, RoleType::Timestamp)?;
    let bytes = sign::file(&snapshot, "the snapshot")?;
    timestamp.meta.insert("snapshot.json".to_owned(), metafile(version, &bytes));
    let timestamp = sign::sign(timestamp, "the timestamp", &[timestamp_holder], signers)?;
    store.write(&format!("{version}.snapshot.json"), version, &snapshot)?;
    store.write("timestamp.json", timestamp_version, &timestamp)?;
    Ok(Published { snapshot: version, timestamp: timestamp_version, expires, lists })
}

/// Who may sign for a role.
pub(super) fn holder(root: &Root, role: RoleType) -> Result<&RoleKeys, Failure> {
    root.roles
        .get(&role)
        .ok_or_else(|| Failure::new(Exit::Data, format!("the root names nobody for the role {role}")))
}

fn fresh<T: Role>(desk: &Desk<'_>, role: &T, what: &str, cure: &str) -> Result<(), Failure> {
    if role.expires() > desk.now {
        return Ok(());
    }
    let text = format!("{what} expired at {}: devices would refuse the repository", role.expires());
    Err(Failure::new(Exit::Data, text).hint(cure))
}

fn within(role: &str, list: &Targets, all: &tough::schema::Delegations) -> Result<(), Failure> {
    let own = tough::schema::Delegations {
        keys: HashMap::new(),
        roles: all.roles.iter().filter(|it| it.name == role).cloned().collect(),
    };
    match list.targets.keys().find(|name| !own.target_is_delegated(name)) {
        None => Ok(()),
        Some(outside) => {
            let text =
                format!("{role} signed {}, which is outside of what is delegated to it", outside.raw());
            Err(Failure::new(Exit::NoPermission, text).hint(format!(
                "devices would refuse it; have {role} sign a list without it, or take the role back"
            )))
        }
    }
}

fn nothing_signed(role: &str) -> Failure {
    let text =
        format!("{role} has signed nothing yet, and devices find nothing in a repository with such a role");
    Failure::new(Exit::TempFail, text).hint(format!(
        "hotshoe repo add FILE --role {role} --key KEY; or an empty list: hotshoe repo refresh --role {role} --key KEY; \
         or take it back: hotshoe repo delegate {role} --remove"
    ))
}
