//! Which device belongs to which wave: pure.
//!
//! Devices are ordered by a hash of the rollout's name and their id, so that a wave is a mix of the fleet and not the
//! first of the alphabet, and so that whoever works it out again comes to the same. A device that has its tag keeps it,
//! whatever else has changed.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::{name::Name, plan::Plan};

/// How many characters a condition may have. IoT Hub takes 8192 in a whole query.
const LONGEST: usize = 6000;

/// The wave of each device, counted from 1. Those beyond the last wave's part have none.
///
/// `tagged` are devices that have a wave already, whether the condition still holds for them or not.
pub(super) fn assign(
    name: &Name,
    plan: &Plan,
    matching: BTreeSet<String>,
    tagged: &BTreeMap<String, usize>,
) -> BTreeMap<String, usize> {
    let mut all = matching;
    all.extend(tagged.keys().cloned());
    let mut ranked: Vec<([u8; 32], String)> =
        all.into_iter().map(|device| (rank(name, &device), device)).collect();
    ranked.sort();
    let sizes = plan.sizes(ranked.len());
    let waves = sizes.iter().enumerate().flat_map(|(wave, size)| std::iter::repeat_n(wave + 1, *size));
    let mut waves = waves.map(Some).chain(std::iter::repeat(None));
    ranked
        .into_iter()
        .filter_map(|(_, device)| {
            let wave = waves.next().flatten();
            let wave = tagged.get(&device).copied().or(wave)?;
            Some((device, wave))
        })
        .collect()
}

/// How many devices each wave has.
pub(super) fn sizes(members: &BTreeMap<String, usize>) -> Vec<usize> {
    let last = members.values().copied().max().unwrap_or_default();
    (1..=last).map(|wave| members.values().filter(|member| **member == wave).count()).collect()
}

/// Conditions that name all of these devices, each short enough for the hub.
pub(super) fn conditions<'a>(devices: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut conditions = Vec::new();
    let mut list = String::new();
    for device in devices {
        let quoted = format!("'{}'", device.replace('\'', "\\'"));
        if !list.is_empty() && list.len() + quoted.len() > LONGEST {
            conditions.push(format!("deviceId IN [{list}]"));
            list.clear();
        }
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.push_str(&quoted);
    }
    if !list.is_empty() {
        conditions.push(format!("deviceId IN [{list}]"));
    }
    conditions
}

fn rank(name: &Name, device: &str) -> [u8; 32] {
    Sha256::new().chain_update(name.to_string()).chain_update([0]).chain_update(device).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::plan::{What, waves};

    fn plan() -> Plan {
        Plan {
            what: What::Plugin { key: "a/b".into(), entry: serde_json::json!({}) },
            condition: "*".into(),
            waves: waves("10%,50%").unwrap(),
            abort_over: "5%".parse().unwrap(),
            soak: 0,
            timeout: 1,
            count_unreachable: false,
        }
    }

    fn fleet(devices: usize) -> BTreeSet<String> {
        (0..devices).map(|number| format!("device-{number:04}")).collect()
    }

    #[test]
    fn waves_are_a_mix_and_always_the_same() {
        let name: Name = "spring".parse().unwrap();
        let members = assign(&name, &plan(), fleet(1000), &BTreeMap::new());
        assert_eq!(sizes(&members), [100, 400], "half of the fleet is in no wave");
        assert_eq!(members, assign(&name, &plan(), fleet(1000), &BTreeMap::new()));
        let first = |members: &BTreeMap<String, usize>| -> Vec<String> {
            members.iter().filter(|(_, wave)| **wave == 1).map(|(device, _)| device.clone()).collect()
        };
        let early = first(&members).iter().filter(|device| device.as_str() < "device-0500").count();
        assert!((20..80).contains(&early), "{early} of 100 are of the first half of the alphabet");
        let other: Name = "summer".parse().unwrap();
        assert_ne!(first(&members), first(&assign(&other, &plan(), fleet(1000), &BTreeMap::new())));
    }

    #[test]
    fn who_has_a_wave_keeps_it() {
        let name: Name = "spring".parse().unwrap();
        let half: BTreeMap<String, usize> = assign(&name, &plan(), fleet(1000), &BTreeMap::new())
            .into_iter()
            .filter(|(device, _)| device.as_str() < "device-0500")
            .collect();
        // Others have come meanwhile, and the condition does not hold any more for one that has its tag.
        let mut now = fleet(1100);
        let gone = half.keys().next().unwrap().clone();
        now.remove(&gone);
        let members = assign(&name, &plan(), now, &half);
        assert!(half.iter().all(|(device, wave)| members.get(device) == Some(wave)));
        assert!(members.contains_key(&gone));
    }

    #[test]
    fn conditions_are_short_enough_and_name_everybody_once() {
        let fleet = fleet(2000);
        let conditions = conditions(fleet.iter().map(String::as_str));
        assert!(conditions.len() > 1 && conditions.iter().all(|condition| condition.len() < LONGEST + 200));
        for device in &fleet {
            let quoted = format!("'{device}'");
            assert_eq!(conditions.iter().filter(|condition| condition.contains(&quoted)).count(), 1);
        }
        assert_eq!(super::conditions(["it's"].into_iter()), [r"deviceId IN ['it\'s']"]);
    }
}
