//! A local hub around the fuzzers' inputs, one for each thread.
//!
//! What inputs make in it (devices, jobs, configurations) stays, so it is made anew now and then: an input must not take
//! longer because of a hundred thousand before it.

use std::{cell::RefCell, rc::Rc, time::Duration};

use hotshoe_core::{
    connection_string::{ConnectionString, Credential},
    sas,
};
use hotshoe_localhub::{Limits, LocalHub, Running, Settings};
use tempfile::TempDir;

use crate::pieces::hurried;

/// After how many inputs a hub is replaced.
const INPUTS: u32 = 5_000;
/// A time after all tests, in seconds since 1970.
const LATER: u64 = 4_000_000_000;

/// A hub.
pub(crate) struct Hub {
    /// The hub itself.
    pub(crate) running: Running,
    /// An operator's token, for a header.
    pub(crate) operator: String,
    /// The user name and password of the device `device`.
    pub(crate) device: (String, String),
    _directory: TempDir,
}

/// This thread's hub.
pub(crate) fn hub() -> Rc<Hub> {
    thread_local! {
        static HUB: RefCell<Option<(Rc<Hub>, u32)>> = const { RefCell::new(None) };
    }
    HUB.with_borrow_mut(|held| {
        if let Some((hub, left @ 1..)) = held {
            *left -= 1;
            return Rc::clone(hub);
        }
        *held = None;
        let hub = Rc::new(hurried(Hub::new()));
        *held = Some((Rc::clone(&hub), INPUTS));
        hub
    })
}

impl Hub {
    async fn new() -> Hub {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut settings = Settings::new(directory.path());
        // None of these is what is looked for, and time is short.
        settings.limits = Limits {
            failed_logins: 0,
            offences: 0,
            packets: 0,
            rate: 0,
            connect_within: Duration::from_secs(2),
            head_within: Duration::from_secs(2),
            ..Limits::default()
        };
        let running = LocalHub::start(settings).await.expect("a hub starts");
        let device = running.create_device("device").await.expect("a device is made");
        let token = |text: &str, resource: &str| {
            let connection: ConnectionString = text.parse().expect("a connection string");
            let Credential::Key { key, policy } = connection.credential else { panic!("a key") };
            sas::token(resource, key.expose(), policy.as_deref(), LATER).expect("a token")
        };
        let operator = token(&running.owner, &running.host);
        let password = token(&device, &format!("{}/devices/device", running.host));
        let user = format!("{}/device/?api-version=2021-04-12", running.host);
        Hub { running, operator, device: (user, password), _directory: directory }
    }
}
