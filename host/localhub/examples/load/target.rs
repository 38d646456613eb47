//! Where the hub is and who may what: all that a client of it needs, in one line of text for another process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hotshoe_core::sas;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::device::Login;
use crate::figures::now;
use crate::tls;

/// A hub as its clients know it.
pub(crate) struct Target {
    pub(crate) mqtt: u16,
    pub(crate) https: u16,
    pub(crate) tls: Arc<rustls::ClientConfig>,
    authority: PathBuf,
    owner: String,
}

impl Target {
    pub(crate) fn new(mqtt: u16, https: u16, authority: &Path, owner: String) -> Self {
        Self { mqtt, https, tls: tls::client(authority), authority: authority.into(), owner }
    }

    /// What the hub says when it is ready.
    pub(crate) fn of_ready_line(line: &str) -> Self {
        let ready: Value = serde_json::from_str(line).expect("the hub's ready line");
        let owner = std::fs::read_to_string(ready["owner"].as_str().unwrap()).unwrap();
        let owner = owner.rsplit_once("SharedAccessKey=").unwrap().1.to_owned();
        Self::new(
            port(&ready["mqttPort"]),
            port(&ready["httpsPort"]),
            ready["ca"].as_str().unwrap().as_ref(),
            owner,
        )
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({"mqtt": self.mqtt, "https": self.https, "authority": self.authority, "owner": self.owner})
    }

    pub(crate) fn of_json(json: &Value) -> Self {
        let text = |name: &str| json[name].as_str().unwrap();
        Self::new(
            port(&json["mqtt"]),
            port(&json["https"]),
            text("authority").as_ref(),
            text("owner").to_owned(),
        )
    }

    /// The owner's token, over everything.
    pub(crate) fn token(&self) -> String {
        sas::token("localhost", &self.owner, Some("iothubowner"), now() + 86_400).unwrap()
    }

    /// What a device of that number connects with.
    pub(crate) fn login(&self, number: usize) -> Login {
        Login {
            client: format!("device-{number}"),
            user: format!("localhost/device-{number}/?api-version=2021-04-12"),
            password: self.token(),
            filter: "$iothub/methods/POST/#".into(),
        }
    }

    pub(crate) async fn caller(&self) -> Caller {
        Caller::connect(&self.tls, self.https, self.token()).await
    }
}

fn port(value: &Value) -> u16 {
    u16::try_from(value.as_u64().unwrap()).unwrap()
}
