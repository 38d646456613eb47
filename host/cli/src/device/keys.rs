//! `hotshoe device keys` and `connection-string`: the only commands that print secrets of devices.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hotshoe_core::connection_string::{ConnectionString, Credential, Secret};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};

use super::{change::change, text};
use crate::{
    args::{KeyChoice, Of, Regenerate},
    context::Context,
    failure::{Exit, Failure},
    hub,
    output::Table,
};

const PRIMARY: &str = "/authentication/symmetricKey/primaryKey";
const SECONDARY: &str = "/authentication/symmetricKey/secondaryKey";

/// Prints both keys, after new ones were made where that is asked for.
pub(super) async fn run(
    context: &Context<'_>,
    of: &Of,
    regenerate: Option<Regenerate>,
) -> Result<(), Failure> {
    let of = of.of();
    let present = context.hub.identity(of).await?;
    let keys = (text(&present, PRIMARY), text(&present, SECONDARY));
    if keys.0.is_empty() {
        return Err(without(of, &present));
    }
    let identity = match regenerate {
        None => present,
        Some(regenerate) => {
            let (first, second) = renewed(keys, regenerate)?;
            let keys = json!({ "primaryKey": first, "secondaryKey": second });
            change(context, of, |identity| {
                identity.insert("authentication".to_owned(), json!({ "type": "sas", "symmetricKey": keys }));
            })
            .await?
        }
    };
    let (first, second) = (text(&identity, PRIMARY), text(&identity, SECONDARY));
    if context.output.json() {
        return context.output.document(&json!({ "primaryKey": first, "secondaryKey": second }));
    }
    let mut table = Table::plain(0);
    table.row(["primary", first]);
    table.row(["secondary", second]);
    context.output.table(&table)
}

/// Prints the connection string.
pub(super) async fn connection_string(context: &Context<'_>, of: &Of, key: KeyChoice) -> Result<(), Failure> {
    let identity = context.hub.identity(of.of()).await?;
    let connection = connection(context.hub.host(), of.of(), &identity, key)?.to_secret_text();
    if context.output.json() {
        return context.output.document(&json!({ "connectionString": connection }));
    }
    context.output.line(&connection)
}

/// The connection string of a device or a module. It has no port: that of MQTT is the device's own setting.
fn connection(
    host: &str,
    of: hub::Of<'_>,
    identity: &Value,
    key: KeyChoice,
) -> Result<ConnectionString, Failure> {
    let pointer = match key {
        KeyChoice::Primary => PRIMARY,
        KeyChoice::Secondary => SECONDARY,
    };
    let credential = match (text(identity, "/authentication/type"), text(identity, pointer)) {
        ("selfSigned" | "certificateAuthority", _) => Credential::X509,
        (_, "") => return Err(without(of, identity)),
        (_, key) => Credential::Key { key: Secret::new(key), policy: None },
    };
    Ok(ConnectionString {
        host: host.to_owned(),
        port: None,
        device: Some(of.device.to_owned()),
        module: of.module.map(str::to_owned),
        gateway: None,
        credential,
    })
}

/// Why there is no key to print.
fn without(of: hub::Of<'_>, identity: &Value) -> Failure {
    match text(identity, "/authentication/type") {
        "selfSigned" | "certificateAuthority" | "none" => {
            let hint = format!("`hotshoe device update {} --keys` gives it keys", of.device);
            Failure::new(Exit::Data, format!("{of} has no keys: it proves itself in another way")).hint(hint)
        }
        _ => Failure::new(Exit::NoPermission, format!("the hub does not show the key of {of}"))
            .hint("reading keys needs a policy with RegistryRead, such as iothubowner"),
    }
}

/// The two keys afterwards.
fn renewed((first, second): (&str, &str), regenerate: Regenerate) -> Result<(String, String), Failure> {
    let (first, second) = (first.to_owned(), second.to_owned());
    Ok(match regenerate {
        Regenerate::Primary => (new()?, second),
        Regenerate::Secondary => (first, new()?),
        Regenerate::Both => (new()?, new()?),
        Regenerate::Swap => (second, first),
    })
}

/// The member `authentication` with keys made here: in an update, a hub may take empty ones for those it has.
pub(super) fn made() -> Result<Value, Failure> {
    Ok(json!({ "type": "sas", "symmetricKey": { "primaryKey": new()?, "secondaryKey": new()? } }))
}

fn new() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Failure::new(Exit::OsError, "the system gives no random bytes for a key"))?;
    Ok(STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_devices_connection_string_has_no_port_and_the_key_asked_for() {
        let device = json!({"authentication": {"type": "sas", "symmetricKey": {"primaryKey": "AAAA", "secondaryKey": "BBBB"}}});
        let of = hub::Of::device("d");
        let shown = |of, key| connection("localhost", of, &device, key).unwrap().to_secret_text();
        assert_eq!(shown(of, KeyChoice::Primary), "HostName=localhost;DeviceId=d;SharedAccessKey=AAAA");
        assert_eq!(shown(of, KeyChoice::Secondary), "HostName=localhost;DeviceId=d;SharedAccessKey=BBBB");
        let module = hub::Of { module: Some("m"), ..of };
        assert_eq!(
            shown(module, KeyChoice::Primary),
            "HostName=localhost;DeviceId=d;ModuleId=m;SharedAccessKey=AAAA"
        );
        let device = json!({"authentication": {"type": "selfSigned"}});
        let certificate = connection("h", of, &device, KeyChoice::Primary).unwrap();
        assert_eq!(certificate.to_secret_text(), "HostName=h;DeviceId=d;x509=true");
        let hidden = connection("h", of, &json!({"authentication": {"type": "sas"}}), KeyChoice::Primary);
        assert_eq!(hidden.unwrap_err().exit, Exit::NoPermission);
    }

    #[test]
    fn keys_are_renewed_one_by_one() {
        let keys = ("AAAA", "BBBB");
        let (first, second) = renewed(keys, Regenerate::Primary).unwrap();
        assert_eq!((STANDARD.decode(&first).unwrap().len(), second.as_str()), (32, "BBBB"));
        let (first, second) = renewed(keys, Regenerate::Swap).unwrap();
        assert_eq!((first.as_str(), second.as_str()), ("BBBB", "AAAA"));
        let (first, second) = renewed(keys, Regenerate::Both).unwrap();
        assert!(first != second && second != "BBBB");
    }
}
