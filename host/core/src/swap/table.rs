//! The machine as a table: what each event does in each standing.

use std::collections::BTreeSet;

use semver::Version;

use super::testing::*;
use super::*;

fn at_now(record: Record, event: Event) -> (Record, Vec<Effect>) {
    step(record, event, NOW, &Settings::default())
}

fn ready(release: Release) -> Event {
    Event::Ready { release, demand: Demand::Explicit, granted: false }
}

fn struck() -> Event {
    Event::Struck { digest: digest(2), why: "it trapped".into(), back: true }
}

fn major(release: Option<&Release>) -> String {
    release.map_or_else(|| "-".to_owned(), |release| release.version.major.to_string())
}

/// Live, previous and standing, then the effects: short enough to be read as a table.
fn told((record, effects): &(Record, Vec<Effect>)) -> String {
    let standing = match &record.standing {
        Standing::Absent => "absent".to_owned(),
        Standing::Probation { .. } => "probation".to_owned(),
        Standing::Settled => "settled".to_owned(),
        Standing::Quarantined { pause, .. } => format!("quarantined({pause})"),
        Standing::Recovering { .. } => "recovering".to_owned(),
    };
    let effects: Vec<String> = effects
        .iter()
        .map(|effect| match effect {
            Effect::Keep(digest) => format!("keep {}", digest.bytes[0]),
            Effect::Store => "store".to_owned(),
            Effect::Route(digest) => format!("route {}", digest.bytes[0]),
            Effect::Unroute => "unroute".to_owned(),
            Effect::Bar(_) => "bar".to_owned(),
            Effect::Unbar => "unbar".to_owned(),
            Effect::Wake { after } => format!("wake {after}"),
            Effect::Collect => "collect".to_owned(),
        })
        .collect();
    let (live, previous) = (major(record.live.as_ref()), major(record.previous.as_ref()));
    format!("{live}<{previous} {standing}: {}", effects.join(", "))
}

#[test]
fn each_event_in_each_standing() {
    let absent = Record::new("acme.pump".parse().unwrap());
    let states =
        [absent, record(probation()), record(Standing::Settled), record(quarantined()), record(recovering())];
    let events = [
        ready(release(3)),
        struck(),
        Event::Proven { digest: digest(2) },
        Event::TimerDue,
        Event::RollBack,
        Event::Remove { factory: None },
        Event::Remove { factory: Some(factory(1)) },
        Event::Booted { chosen: Some(release(2)), failures: vec![] },
    ];
    // Rows are standings, columns are events; "" says that nothing changes and nothing is done.
    let taken = "keep 3, store, route 3, wake 600000, collect";
    let table: [[String; 8]; 5] = [
        [
            format!("3<- probation: {taken}"),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            "2<- settled: keep 2, store, route 2, collect".into(),
        ],
        [
            // What had not proved itself is no way back.
            format!("3<1 probation: {taken}"),
            "1<- settled: store, route 1, collect".into(),
            "2<1 settled: store, collect".into(),
            "2<1 settled: store, collect".into(),
            "1<- settled: store, route 1, collect".into(),
            "-<- absent: store, unroute, collect".into(),
            "1<- settled: keep 1, store, route 1, collect".into(),
            "2<1 probation: keep 2, route 2, wake 600000, collect".into(),
        ],
        [
            format!("3<2 probation: {taken}"),
            "2<1 settled: ".into(),
            String::new(),
            String::new(),
            "1<- settled: store, route 1, collect".into(),
            "-<- absent: store, unroute, collect".into(),
            "1<- settled: keep 1, store, route 1, collect".into(),
            "2<1 settled: keep 2, route 2, collect".into(),
        ],
        [
            format!("3<1 probation: {taken}"),
            String::new(),
            String::new(),
            "2<1 recovering: store, unbar, wake 600000".into(),
            "1<- settled: store, route 1, collect".into(),
            "-<- absent: store, unroute, collect".into(),
            "1<- settled: keep 1, store, route 1, collect".into(),
            "2<1 quarantined(30000): keep 2, route 2, bar, wake 30000, collect".into(),
        ],
        [
            format!("3<2 probation: {taken}"),
            "2<1 quarantined(30000): store, bar, wake 30000".into(),
            "2<1 settled: store, collect".into(),
            "2<1 settled: store, collect".into(),
            "1<- settled: store, route 1, collect".into(),
            "-<- absent: store, unroute, collect".into(),
            "1<- settled: keep 1, store, route 1, collect".into(),
            "2<1 recovering: keep 2, route 2, wake 600000, collect".into(),
        ],
    ];
    for (state, row) in states.into_iter().zip(table) {
        for (event, wanted) in events.iter().zip(row) {
            let after = at_now(state.clone(), event.clone());
            if wanted.is_empty() {
                assert_eq!(after, (state.clone(), vec![]), "{event:?} in {:?}", state.standing);
            } else {
                assert_eq!(told(&after), wanted, "{event:?} in {:?}", state.standing);
            }
        }
    }
}

#[test]
fn a_strike_against_what_is_not_live_any_more_means_nothing() {
    let before = record(probation());
    let late = Event::Struck { digest: digest(9), why: "it trapped".into(), back: true };
    assert_eq!(at_now(before.clone(), late), (before, vec![]));
}

#[test]
fn a_version_before_that_cannot_be_called_now_is_kept_for_later() {
    let alone = Event::Struck { digest: digest(2), why: "it trapped".into(), back: false };
    let (resting, effects) = at_now(record(probation()), alone.clone());
    assert_eq!(told(&(resting.clone(), effects)), "2<1 quarantined(30000): store, bar, wake 30000");
    let (back, _) = at_now(resting.clone(), Event::TimerDue);
    assert_eq!(told(&at_now(back, alone)), "2<1 quarantined(60000): store, bar, wake 60000");
    assert_eq!(told(&at_now(resting, Event::RollBack)), "1<- settled: store, route 1, collect");
}

#[test]
fn what_asks_for_more_is_held_until_somebody_grants_it() {
    let (held, effects) = at_now(record(Standing::Settled), ready(greedy(3)));
    assert_eq!(effects, [Effect::Keep(digest(3)), Effect::Store, Effect::Collect]);
    assert_eq!(held.held.as_ref().map(|held| held.wants.clone()), Some(vec!["flash".to_owned()]));
    assert_eq!(held.live, record(Standing::Settled).live, "what was live is live");
    assert_eq!(held.summary(&BTreeSet::new()).state, "held");
    assert_eq!(at_now(held.clone(), ready(greedy(3))), (held.clone(), vec![]), "asked again it is no news");

    let granted = Event::Ready { release: greedy(3), demand: Demand::Explicit, granted: true };
    let (live, _) = at_now(held, granted);
    assert!(live.is_live(&digest(3)) && live.held.is_none());

    let (first, _) = at_now(Record::new("acme.pump".parse().unwrap()), ready(greedy(3)));
    assert!(first.is_live(&digest(3)), "the first version of a plugin gets what the policy allows");
}

#[test]
fn the_live_version_can_be_granted_more() {
    let mut before = record(quarantined());
    before.held = Some(Held { release: greedy(2), wants: vec!["flash".into()] });
    let granted = Event::Ready { release: greedy(2), demand: Demand::Explicit, granted: true };
    let (after, effects) = at_now(before, granted);
    assert_eq!(after.live.as_ref().map(|live| live.grants.flash), Some(true));
    assert!(after.held.is_none());
    assert_eq!(
        effects,
        [Effect::Store, Effect::Route(digest(2)), Effect::Bar("it trapped".into()), Effect::Collect]
    );
}

#[test]
fn builds_of_one_version_are_not_below_each_other() {
    let build = |major, build: &str| {
        let mut release = release(major);
        release.version.build = build.parse().unwrap();
        release
    };
    let mut before = record(probation());
    before.live = Some(build(2, "b"));
    let (settled, _) = at_now(before, Event::Proven { digest: digest(2) });
    let try_it =
        |version: &Version| admit(&settled, version, &digest(7), Demand::Explicit, NOW, &Settings::default());
    assert_eq!(try_it(&build(2, "a").version), Ok(Admission::Go));
    assert_eq!(try_it(&build(2, "c").version), Ok(Admission::Go));
    assert!(try_it(&build(1, "z").version).is_err());
    // Nor is the build that the image brings a newer one.
    let mut of_image = factory(7);
    of_image.version = build(2, "z").version;
    let candidates = settled.candidates(Some(&of_image));
    assert_eq!(candidates.first().map(|release| &release.digest), Some(&digest(2)));
}

#[test]
fn nothing_below_the_floor_comes_in_unless_the_policy_says_so() {
    let (settled, _) = at_now(record(probation()), Event::Proven { digest: digest(2) });
    assert_eq!(settled.floor, Some(Version::new(2, 0, 0)), "raised by what has proved itself");
    let (fresh, _) = at_now(record(Standing::Settled), ready(release(3)));
    assert_eq!(fresh.floor, Some(Version::new(1, 0, 0)), "and by nothing else");

    let one = release(1);
    let try_it =
        |settings: &Settings| admit(&settled, &one.version, &digest(7), Demand::Explicit, NOW, settings);
    let refused = try_it(&Settings::default()).unwrap_err().to_string();
    assert!(refused.contains("version 1.0.0 is below 2.0.0"), "{refused}");
    assert_eq!(try_it(&Settings { downgrade: true, ..Settings::default() }), Ok(Admission::Go));
    let mut below = release(1);
    below.digest = digest(7);
    assert_eq!(at_now(settled.clone(), ready(below)), (settled, vec![]), "a refused one changes nothing");
}

#[test]
fn what_was_rolled_back_is_left_alone_for_a_growing_time() {
    let (back, _) = at_now(record(probation()), struck());
    let version = Version::new(2, 0, 0);
    let asked =
        |record: &Record, demand, now| admit(record, &version, &digest(2), demand, now, &Settings::default());
    let refused = asked(&back, Demand::Desired, NOW).unwrap_err().to_string();
    assert!(refused.contains("rolled back: it trapped") && refused.contains("in 600 s"), "{refused}");
    assert_eq!(asked(&back, Demand::Explicit, NOW), Ok(Admission::Go), "by hand it may be tried at once");
    assert_eq!(asked(&back, Demand::Desired, NOW + 600_000), Ok(Admission::Go));
    assert!(asked(&back, Demand::Desired, 0).is_err(), "a clock that was set back does not help it");
    let told = back.summary(&BTreeSet::new()).trouble.unwrap();
    assert_eq!(told, "version 2.0.0 was rolled back to 1.0.0: it trapped");

    let (again, _) = at_now(back, ready(release(2)));
    let (back, _) = at_now(again, struck());
    assert_eq!(back.bad[&digest(2)].times, 2);
    assert!(asked(&back, Demand::Desired, NOW + 600_000).is_err(), "twice as long");
    let (proven, _) = at_now(at_now(back, ready(release(2))).0, Event::Proven { digest: digest(2) });
    assert!(proven.bad.is_empty(), "until it has proved itself");
}

#[test]
fn strikes_of_a_settled_version_count_within_a_window_and_quarantines_grow() {
    let settings = Settings::default();
    let strike = |record: Record, now| step(record, struck(), now, &settings);
    let mut plugin = record(Standing::Settled);
    for number in 0..4 {
        plugin = strike(plugin, NOW + number).0;
        assert_eq!(plugin.standing, Standing::Settled);
    }
    let late = strike(plugin.clone(), NOW + 600_003).0;
    assert_eq!(late.strikes.len(), 1, "old strikes are forgotten");
    let (mut plugin, effects) = strike(plugin, NOW + 4);
    assert!(matches!(effects.as_slice(), [Effect::Store, Effect::Bar(_), Effect::Wake { after: 30_000 }]));
    for wanted in [60_000, 120_000, 240_000, 480_000, 960_000, 1_920_000, 3_600_000, 3_600_000] {
        plugin = step(plugin, Event::TimerDue, NOW, &settings).0;
        let (next, effects) = strike(plugin, NOW);
        assert!(effects.contains(&Effect::Wake { after: wanted }), "{wanted}: {effects:?}");
        plugin = next;
    }
    let (well, _) = step(step(plugin, Event::TimerDue, NOW, &settings).0, Event::TimerDue, NOW, &settings);
    assert_eq!((well.standing, well.rounds), (Standing::Settled, 0));
}

#[test]
fn the_first_version_of_all_is_quarantined_since_there_is_no_way_back() {
    let mut alone = record(probation());
    alone.previous = None;
    assert_eq!(told(&at_now(alone, struck())), "2<- quarantined(30000): store, bar, wake 30000");
}

#[test]
fn versions_that_jobs_need_stay_and_no_others() {
    let (swapped, _) = at_now(at_now(record(Standing::Settled), ready(release(3))).0, ready(release(4)));
    let versions: Vec<u64> = swapped.older.iter().map(|release| release.version.major).collect();
    assert_eq!(versions, [1, 3], "2 is the one to go back to");
    let pinned = BTreeSet::from([Version::new(3, 0, 0)]);
    let (trimmed, effects) = at_now(swapped, Event::Trim { pinned });
    assert_eq!(effects, [Effect::Store]);
    assert_eq!(trimmed.needed(), BTreeSet::from([&digest(2), &digest(3), &digest(4)]));
}

#[test]
fn what_is_tried_at_the_start_and_in_which_order() {
    let order = |record: &Record, image: Option<Release>| -> Vec<u64> {
        record.candidates(image.as_ref()).iter().map(|release| release.version.major).collect()
    };
    let installed = record(Standing::Settled);
    assert_eq!(order(&installed, None), [2, 1]);
    assert_eq!(order(&installed, Some(factory(1))), [2, 1], "the same component stands there once");
    let mut old = factory(1);
    old.digest = digest(7);
    assert_eq!(order(&installed, Some(old)), [2, 1, 1]);
    assert_eq!(order(&installed, Some(factory(3))), [3, 2, 1], "a newer one of the image is tried first");
    let (back, _) = at_now(at_now(installed.clone(), ready(release(3))).0, {
        Event::Struck { digest: digest(3), why: "it trapped".into(), back: true }
    });
    assert_eq!(order(&back, Some(factory(3))), [2, 3], "unless it was rolled back");
    let mut of_image = installed.clone();
    of_image.live = Some(factory(2));
    assert_eq!(order(&of_image, Some(factory(1))), [1, 2], "what is the image's follows the image");
    assert_eq!(order(&Record::new("acme.pump".parse().unwrap()), Some(factory(1))), [1]);
}

#[test]
fn what_does_not_load_gives_way_with_the_reason() {
    let failures = vec!["version 2.0.0 does not load: it is damaged".to_owned()];
    let event = Event::Booted { chosen: Some(release(1)), failures };
    let (after, effects) = at_now(record(probation()), event);
    assert_eq!(told(&(after.clone(), effects)), "1<- settled: keep 1, store, route 1, collect");
    let trouble = after.summary(&BTreeSet::new()).trouble;
    assert_eq!(trouble.as_deref(), Some("version 2.0.0 does not load: it is damaged"));

    let event = Event::Booted { chosen: Some(factory(3)), failures: vec![] };
    let after = at_now(record(Standing::Settled), event);
    let wanted = "3<2 probation: keep 3, store, route 3, wake 600000, collect";
    assert_eq!(told(&after), wanted, "a newer one of the image proves itself like any other");
}

#[test]
fn a_record_survives_its_file() {
    let (mut whole, _) = at_now(record(probation()), struck());
    whole.held = Some(Held { release: greedy(3), wants: vec!["flash".into()] });
    whole.older = vec![factory(1)];
    whole.standing = quarantined();
    let text = serde_json::to_string(&whole).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), whole);
    let bare: Record = serde_json::from_str(r#"{"name": "acme.pump"}"#).unwrap();
    assert_eq!(bare, Record::new("acme.pump".parse().unwrap()), "members of later versions have defaults");
}
