//! The worlds that are simulated. A list.

use std::sync::Arc;

use super::{Character, Image, World};

fn world(name: &'static str, words: &'static str, orders: &[Image]) -> World {
    of(name, words, Image::new("1.0.0", 2900, Character::Good), orders)
}

fn of(name: &'static str, words: &'static str, first: Image, orders: &[Image]) -> World {
    let mut images = vec![first];
    images.extend_from_slice(orders);
    World { name, words, orders: (1..images.len()).collect(), images, ..World::default() }
}

fn good(version: &str) -> Image {
    Image::new(version, 3333, Character::Good)
}

fn never() -> Image {
    Image::new("2.0.0", 3100, Character::NeverBoots)
}

fn fails() -> Image {
    Image::new("2.0.0", 3100, Character::FailsItsTest)
}

/// Three chunks.
fn large(version: &str) -> Image {
    Image::new(version, 2 * 65_536 + 3_000, Character::Good)
}

/// All worlds.
pub fn all() -> Vec<Arc<World>> {
    let worlds = plain()
        .into_iter()
        .chain(after())
        .chain(dying())
        .chain(cancelled())
        .chain(streamed())
        .chain(grouped());
    let control = World { lying: true, ..world("lying", "the control: every sync lies", &[good("2.0.0")]) };
    worlds.chain([control]).map(Arc::new).collect()
}

/// One update, front to back.
fn plain() -> Vec<World> {
    vec![
        world("plain", "one update", &[good("2.0.0")]),
        World {
            abrupt: true,
            ..world("abrupt", "one update, and restarts that sync nothing", &[good("2.0.0")])
        },
        World { lossy: true, ..world("lossy", "acknowledgements of the hub get lost", &[good("2.0.0")]) },
        World {
            late: true,
            abrupt: true,
            ..world("late", "the hub is there only in the end", &[good("2.0.0")])
        },
        World { flaky: true, ..world("flaky", "the server breaks off", &[good("2.0.0")]) },
        world("never", "the new image never boots", &[never()]),
        World { abrupt: true, ..world("unfit", "the new image fails its self-test", &[fails()]) },
        world("corrupt", "the server gives out another image", &[good("2.0.0").corrupt()]),
        World { cached: true, ..world("cached", "what is read back comes from the cache", &[good("2.0.0")]) },
        World {
            meddled: true,
            ..world("meddled", "others ask for the slots that nobody may have", &[fails()])
        },
        World { hasty: true, ..world("hasty", "the slot is armed before it is sealed", &[good("2.0.0")]) },
    ]
}

/// Updates after others.
fn after() -> Vec<World> {
    vec![
        World {
            lossy: true,
            ..world("two", "two updates, one after the other", &[good("2.0.0"), good("3.0.0")])
        },
        world("after-never", "an update after one that never booted", &[never(), good("3.0.0")]),
        world("after-unfit", "an update after one that failed its self-test", &[fails(), good("3.0.0")]),
        World {
            abrupt: true,
            lossy: true,
            ..world(
                "after-both",
                "an update after one that never booted and one that failed its self-test",
                &[never(), Image::new("2.5.0", 3000, Character::FailsItsTest), good("3.0.0")],
            )
        },
        world(
            "two-never",
            "an update that never boots, into the slot that was good before the last one",
            &[good("2.0.0"), Image::new("3.0.0", 3100, Character::NeverBoots)],
        ),
        world(
            "after-corrupt",
            "an update after one that was corrupt",
            &[good("2.0.0").corrupt(), good("3.0.0")],
        ),
        World {
            lapsed: true,
            ..world("lapsed", "an update after a trial that lapsed", &[good("1.5.0"), good("2.0.0")])
        },
        World {
            soils: true,
            orders: vec![1, 2, 1],
            ..world(
                "soiled",
                "images that write to their own slots, and back to one that has",
                &[good("2.0.0"), good("3.0.0")],
            )
        },
        World {
            lapsed: true,
            orders: vec![2, 1],
            ..world(
                "back",
                "an update that breaks off for good, then back to what was in its slot",
                &[good("1.5.0"), good("2.0.0").ending(2500)],
            )
        },
    ]
}

/// Hosts that die again and again, and end in safe mode.
fn dying() -> Vec<World> {
    let kills = Image::new("2.0.0", 3100, Character::KillsItsHost);
    vec![
        world(
            "kills",
            "under the new image the host dies; then an update that is good",
            &[kills, good("3.0.0")],
        ),
        World {
            deaths: 5,
            ..world("dies", "the host dies five times when the plugin runs", &[good("2.0.0")])
        },
        World {
            deaths: 4,
            lossy: true,
            abrupt: true,
            ..world("dies-late", "the same, over a bad link", &[good("2.0.0")])
        },
    ]
}

/// An operator who cancels.
fn cancelled() -> Vec<World> {
    let cancel = |after| Some(after);
    vec![
        World {
            cancel: cancel(2),
            ..world("cancel", "the operator cancels while the image is written", &[good("2.0.0")])
        },
        World {
            cancel: cancel(3),
            ..world("cancel-late", "the operator cancels when the trial is armed", &[good("2.0.0")])
        },
        World {
            cancel: cancel(2),
            lingering: true,
            ..world(
                "lingering",
                "what writes for a cancelled job goes on while the next one writes",
                &[good("2.0.0"), good("3.0.0")],
            )
        },
    ]
}

/// Images that come in verified chunks.
fn streamed() -> Vec<World> {
    let streamed = |name, words, orders: &[Image]| World { streamed: true, ..world(name, words, orders) };
    let delta = || [large("2.0.0"), large("2.0.0").changed("3.0.0", 70_000)];
    vec![
        streamed("streamed", "the image comes in verified chunks", &[large("2.0.0")]),
        World {
            flaky: true,
            abrupt: true,
            ..streamed("streamed-flaky", "chunks from a server that breaks off", &[large("2.0.0")])
        },
        World {
            unrooted: true,
            flaky: true,
            ..streamed("whole", "an image that is verified as a whole, in pieces", &[large("2.0.0")])
        },
        World {
            mirrored: true,
            ..streamed("mirrored", "a server with a wrong byte, and one without", &[large("2.0.0")])
        },
        World {
            forged: true,
            ..streamed(
                "forged",
                "a server whose hashes fit its wrong byte, and a good one",
                &[large("2.0.0")],
            )
        },
        streamed("delta", "an update that shares chunks with the one before", &delta()),
        World {
            rots: Some(1000),
            ..streamed("delta-rotten", "a chunk that is shared has rotted where it is taken from", &delta())
        },
        World {
            soils: true,
            orders: vec![1, 2, 1],
            ..streamed(
                "soiled-streamed",
                "images in chunks that write to their own slots, and back to one that has",
                &delta(),
            )
        },
        World {
            compressed: true,
            ..streamed(
                "compressed",
                "the image comes as zstd frames",
                &[Image::new("2.0.0", 1024 * 1024 + 70_000, Character::Good)],
            )
        },
    ]
}

/// Slots of several parts.
fn grouped() -> Vec<World> {
    let parts: &[&str] = &["kernel", "root", "data"];
    let grouped = |name, words, orders: &[Image]| World {
        parts,
        ..of(name, words, Image::parts("1.0.0", &[700, 1500, 600]), orders)
    };
    let group = |version| Image::parts(version, &[800, 1600, 500]);
    vec![
        World {
            unrooted: true,
            ..grouped("group", "kernel, root file system and data move together", &[group("2.0.0")])
        },
        World {
            abrupt: true,
            lossy: true,
            ..grouped(
                "group-two",
                "two updates of a group; the second one has another kernel and the same rest",
                &[group("2.0.0"), group("2.0.0").changed("3.0.0", 100)],
            )
        },
        World {
            lapsed: true,
            hasty: true,
            orders: vec![2],
            ..grouped(
                "group-lapsed",
                "a group in which an older update stands whole, armed before all is new",
                &[group("1.5.0"), group("2.0.0")],
            )
        },
        World {
            streamed: true,
            flaky: true,
            ..grouped(
                "group-streamed",
                "a group in verified chunks",
                &[Image::parts("2.0.0", &[65_536 + 900, 2 * 65_536 + 400, 500])],
            )
        },
    ]
}

/// The world of this name.
pub fn find(name: &str) -> Option<Arc<World>> {
    all().into_iter().find(|world| world.name == name)
}
