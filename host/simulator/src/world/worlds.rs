//! The worlds that are simulated. A list.

use std::sync::Arc;

use super::{Character, Image, World};

fn world(name: &'static str, words: &'static str, orders: &[Image]) -> World {
    let mut images = vec![Image::new("1.0.0", 2900, Character::Good)];
    images.extend_from_slice(orders);
    World {
        name,
        words,
        orders: (1..images.len()).collect(),
        images,
        lossy: false,
        late: false,
        flaky: false,
        streamed: false,
        mirrored: false,
        abrupt: false,
        cancel: None,
        lying: false,
    }
}

fn good(version: &str) -> Image {
    Image::new(version, 3333, Character::Good)
}

/// All worlds.
pub fn all() -> Vec<Arc<World>> {
    let never = || Image::new("2.0.0", 3100, Character::NeverBoots);
    let fails = || Image::new("2.0.0", 3100, Character::FailsItsTest);
    let large = |version: &str| Image::new(version, 2 * 65_536 + 3_000, Character::Good);
    let streamed = |name, words, orders: &[Image]| World { streamed: true, ..world(name, words, orders) };
    let worlds = vec![
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
        World {
            lossy: true,
            ..world("two", "two updates, one after the other", &[good("2.0.0"), good("3.0.0")])
        },
        world("after-never", "an update after one that never booted", &[never(), good("3.0.0")]),
        world(
            "after-corrupt",
            "an update after one that was corrupt",
            &[good("2.0.0").corrupt(), good("3.0.0")],
        ),
        World {
            cancel: Some(2),
            ..world("cancel", "the operator cancels while the image is written", &[good("2.0.0")])
        },
        World {
            cancel: Some(3),
            ..world("cancel-late", "the operator cancels when the trial is armed", &[good("2.0.0")])
        },
        streamed("streamed", "the image comes in verified chunks", &[large("2.0.0")]),
        World {
            flaky: true,
            abrupt: true,
            ..streamed("streamed-flaky", "chunks from a server that breaks off", &[large("2.0.0")])
        },
        World {
            mirrored: true,
            ..streamed("mirrored", "a server with a wrong byte, and one without", &[large("2.0.0")])
        },
        streamed(
            "delta",
            "an update that shares chunks with the one before",
            &[large("2.0.0"), large("2.0.0").changed("3.0.0", 70_000)],
        ),
        World { lying: true, ..world("lying", "the control: every sync lies", &[good("2.0.0")]) },
    ];
    worlds.into_iter().map(Arc::new).collect()
}

/// The world of this name.
pub fn find(name: &str) -> Option<Arc<World>> {
    all().into_iter().find(|world| world.name == name)
}
