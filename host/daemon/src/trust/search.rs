//! From a target's name to the role that may speak for it (specification 5.6.7).
//!
//! Before depth, in the order of the delegations, and only into roles that were given the name, all the way down: what
//! a role says of a name outside of its paths is never even read. A role is verified against the delegation by which
//! it was reached, each time: that somebody else delegates to a role of the same name says nothing.

use std::{collections::HashSet, sync::Arc};

use tough::schema::{DelegatedRole, Delegations, Target, Targets};

use super::{
    TrustError,
    metadata::{self, expiry},
    pattern::{covers, may_cover_below},
    refresh::{TARGETS_LIMIT, limit},
    source::Source,
    store::Store,
    trusted::Trusted,
};

/// Delegated roles that are looked into for one target.
const ROLES: usize = 64;

/// What targets are looked up in.
pub(super) struct Search<'a> {
    pub(super) trusted: &'a Trusted,
    pub(super) store: &'a Store,
    /// Where roles come from that are not kept; none for what is kept alone.
    pub(super) source: Option<&'a Source>,
    pub(super) now: u64,
}

/// A role that is to be looked into, with the delegations that it stands in.
struct Step {
    delegations: Arc<Delegations>,
    index: usize,
}

/// How roles are walked through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Walk {
    /// For one name: a terminating delegation ends it, a role that cannot be believed is an error.
    Find,
    /// For the names of a folder: every role, and each must be believed.
    List,
    /// For whatever can be known: roles that cannot be believed are left out.
    Ask,
}

impl Search<'_> {
    /// The target of this name; none if no role that may says anything of it.
    pub(super) async fn find(&self, name: &str) -> Result<Option<Target>, TrustError> {
        let mut found = None;
        self.walk(
            Walk::Find,
            |role| covers(&role.paths, name),
            |_, targets| {
                found = target(targets, name);
                found.is_none()
            },
        )
        .await?;
        Ok(found)
    }

    /// The names below a folder (`plugins/acme.pump`) that some role speaks of; not each of them need be found.
    pub(super) async fn names_below(&self, folder: &str) -> Result<Vec<String>, TrustError> {
        let mut names = Vec::new();
        let below = format!("{folder}/");
        self.walk(
            Walk::List,
            |role| may_cover_below(&role.paths, folder),
            |_, targets| {
                let of_role = targets.targets.keys().map(|name| name.raw());
                names.extend(of_role.filter(|name| name.starts_with(&below)).map(str::to_owned));
                true
            },
        )
        .await?;
        Ok(names)
    }

    /// All names of targets that are like this, whoever speaks of them; not each of them need be found.
    pub(super) async fn names_of(&self, wanted: impl Fn(&Target) -> bool) -> Result<Vec<String>, TrustError> {
        let mut names = Vec::new();
        self.walk(
            Walk::Ask,
            |_| true,
            |_, targets| {
                let like = targets.targets.iter().filter(|(_, target)| wanted(target));
                names.extend(like.map(|(name, _)| name.raw().to_owned()));
                true
            },
        )
        .await?;
        Ok(names)
    }

    /// A role that speaks of a name without having been given it: why a search found nothing.
    pub(super) async fn outside(&self, name: &str) -> Result<Option<String>, TrustError> {
        let mut outside = None;
        self.walk(
            Walk::Ask,
            |_| true,
            |role, targets| {
                if target(targets, name).is_some() {
                    outside = role.map(|role| role.name.clone());
                }
                outside.is_none()
            },
        )
        .await?;
        Ok(outside)
    }

    /// Looks into the roles that `enter` admits until `look` says to stop.
    async fn walk(
        &self,
        walk: Walk,
        enter: impl Fn(&DelegatedRole) -> bool,
        mut look: impl FnMut(Option<&DelegatedRole>, &Targets) -> bool,
    ) -> Result<(), TrustError> {
        let Some(top) = self.trusted.targets() else { return Ok(()) };
        if !look(None, top) {
            return Ok(());
        }
        let mut visited = HashSet::new();
        let mut steps = Vec::new();
        push(&mut steps, top, &enter);
        while let Some(Step { delegations, index }) = steps.pop() {
            let Some(role) = delegations.roles.get(index) else { continue };
            if visited.contains(&role.name) {
                continue;
            }
            if visited.len() >= ROLES {
                let repository = self.trusted.repository().to_owned();
                return Err(TrustError::TooManyRoles { repository, limit: ROLES });
            }
            visited.insert(role.name.clone());
            let targets = match self.role(&delegations, role).await {
                Ok(Some(targets)) => targets,
                // A role that the snapshot does not know is not trusted, and says nothing.
                Ok(None) => continue,
                Err(error) if walk == Walk::Ask => {
                    tracing::warn!(repository = self.trusted.repository(), %error, "a delegated role is left out");
                    continue;
                }
                Err(error) => return Err(error),
            };
            if !look(Some(role), &targets) {
                return Ok(());
            }
            if role.terminating && walk == Walk::Find {
                steps.clear();
            }
            push(&mut steps, &targets, &enter);
        }
        Ok(())
    }

    /// The role's own metadata: kept, or else fetched, verified and kept.
    async fn role(
        &self,
        delegations: &Delegations,
        role: &DelegatedRole,
    ) -> Result<Option<Targets>, TrustError> {
        let Some(wanted) = self.trusted.wanted_role(&role.name) else { return Ok(None) };
        let verified = |bytes: &[u8]| -> Result<Targets, TrustError> {
            self.trusted.is_named(&role.name, wanted, bytes)?;
            let read = metadata::read::<Targets>(self.trusted.role(&role.name), bytes)?;
            let targets = read.verified_by_delegation(delegations, role)?;
            self.trusted.has_version(&role.name, wanted.version.get(), targets.version.get())?;
            self.trusted.current(&role.name, expiry(&targets), self.now)?;
            Ok(targets)
        };
        let kept = self.store.read(&role.name).await?;
        let of_kept = kept.as_ref().map(|kept| verified(kept.text.as_bytes()));
        let repository = self.trusted.repository();
        match (of_kept, self.source) {
            (Some(Ok(targets)), _) => Ok(Some(targets)),
            (Some(Err(error)), None) => Err(error),
            (None, None) => Err(TrustError::Unreachable {
                repository: repository.to_owned(),
                reason: format!("the role `{:.64}` was never fetched", role.name),
            }),
            (_, Some(source)) => {
                let limit = limit(wanted.length, TARGETS_LIMIT);
                let file = self.trusted.file(&role.name, wanted);
                let bytes = source.metadata(repository, &file, limit).await?;
                let bytes = bytes.ok_or_else(|| TrustError::Unreachable {
                    repository: repository.to_owned(),
                    reason: format!("it has no {file:.80}"),
                })?;
                let targets = verified(&bytes)?;
                self.store.write(&role.name, &bytes, 0).await?;
                Ok(Some(targets))
            }
        }
    }
}

/// Puts the delegations that are entered on the pile, the first on top.
fn push(steps: &mut Vec<Step>, targets: &Targets, enter: &impl Fn(&DelegatedRole) -> bool) {
    let Some(delegations) = targets.delegations.clone().map(Arc::new) else { return };
    for (index, role) in delegations.roles.iter().enumerate().rev() {
        if enter(role) {
            steps.push(Step { delegations: Arc::clone(&delegations), index });
        }
    }
}

fn target(targets: &Targets, name: &str) -> Option<Target> {
    let found = targets.targets.iter().find(|(other, _)| other.raw() == name);
    found.map(|(_, target)| target.clone())
}
