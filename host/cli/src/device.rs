//! `hotshoe device …`: the identities that the hub knows.

use hotshoe_core::connection_string::{ConnectionString, Credential, Secret};
use serde_json::{Value, json};

use crate::{
    args::{Create, DeviceCommand, KeyChoice},
    context::Context,
    failure::{Exit, Failure},
    output::Table,
};

/// Carries out a command.
pub(crate) async fn run(context: &Context<'_>, command: &DeviceCommand) -> Result<(), Failure> {
    match command {
        DeviceCommand::Create(create) => self::create(context, create).await,
        DeviceCommand::List { top } => list(context, *top).await,
        DeviceCommand::Show { device } => show(context, device).await,
        DeviceCommand::Delete { device } => delete(context, device).await,
        DeviceCommand::ConnectionString { device, key } => connection_string(context, device, *key).await,
    }
}

async fn create(context: &Context<'_>, create: &Create) -> Result<(), Failure> {
    let authentication = if let Some(thumbprint) = &create.thumbprint {
        json!({ "type": "selfSigned", "x509Thumbprint": { "primaryThumbprint": thumbprint, "secondaryThumbprint": thumbprint } })
    } else if create.certificate_authority {
        json!({ "type": "certificateAuthority" })
    } else {
        json!({ "type": "sas", "symmetricKey": { "primaryKey": "", "secondaryKey": "" } })
    };
    let device = context.hub.create_device(&create.device, !create.disabled, authentication).await?;
    if context.output.json() {
        return context.output.document(&without_keys(device));
    }
    context.output.line(&format!("created {}", create.device))
}

async fn list(context: &Context<'_>, top: u16) -> Result<(), Failure> {
    let mut devices = context.hub.devices(top).await?;
    devices.sort_by(|one, other| text(one, "/deviceId").cmp(text(other, "/deviceId")));
    if context.output.json() {
        return context.output.document(&devices.into_iter().map(without_keys).collect());
    }
    let mut table = Table::new(["DEVICE", "STATUS", "CONNECTION", "AUTHENTICATION", "LAST ACTIVITY"]);
    for device in &devices {
        table.row([
            text(device, "/deviceId"),
            text(device, "/status"),
            text(device, "/connectionState"),
            text(device, "/authentication/type"),
            time(text(device, "/lastActivityTime")),
        ]);
    }
    context.output.table(&table)
}

async fn show(context: &Context<'_>, device: &str) -> Result<(), Failure> {
    let device = context.hub.device(device).await?;
    if context.output.json() {
        return context.output.document(&without_keys(device));
    }
    let mut table = Table::plain(0);
    for (name, pointer) in [
        ("device", "/deviceId"),
        ("status", "/status"),
        ("reason", "/statusReason"),
        ("connection", "/connectionState"),
        ("authentication", "/authentication/type"),
        ("thumbprint", "/authentication/x509Thumbprint/primaryThumbprint"),
        ("last activity", "/lastActivityTime"),
        ("generation", "/generationId"),
        ("etag", "/etag"),
    ] {
        let value = time(text(&device, pointer));
        if !value.is_empty() {
            table.row([name, value]);
        }
    }
    context.output.table(&table)
}

async fn delete(context: &Context<'_>, device: &str) -> Result<(), Failure> {
    context.hub.delete_device(device).await?;
    if context.output.json() {
        return context.output.document(&json!({ "deleted": device }));
    }
    context.output.line(&format!("deleted {device}"))
}

async fn connection_string(context: &Context<'_>, id: &str, key: KeyChoice) -> Result<(), Failure> {
    let device = context.hub.device(id).await?;
    let connection = device_connection(context.hub.host(), id, &device, key)?.to_secret_text();
    if context.output.json() {
        return context.output.document(&json!({ "connectionString": connection }));
    }
    context.output.line(&connection)
}

/// The connection string of a device. It has no port: that of MQTT is the device's own setting.
fn device_connection(
    host: &str,
    id: &str,
    device: &Value,
    key: KeyChoice,
) -> Result<ConnectionString, Failure> {
    let pointer = match key {
        KeyChoice::Primary => "/authentication/symmetricKey/primaryKey",
        KeyChoice::Secondary => "/authentication/symmetricKey/secondaryKey",
    };
    let credential = match (text(device, "/authentication/type"), text(device, pointer)) {
        ("selfSigned" | "certificateAuthority", _) => Credential::X509,
        (_, "") => {
            let hint = "reading keys needs a policy with RegistryRead, such as iothubowner";
            return Err(
                Failure::new(Exit::NoPermission, format!("the hub does not show the key of {id}")).hint(hint)
            );
        }
        (_, key) => Credential::Key { key: Secret::new(key), policy: None },
    };
    let device = Some(id.to_owned());
    Ok(ConnectionString {
        host: host.to_owned(),
        port: None,
        device,
        module: None,
        gateway: None,
        credential,
    })
}

/// A device without its keys: what may be shown and kept in a log.
fn without_keys(mut device: Value) -> Value {
    if let Some(authentication) = device.get_mut("authentication").and_then(Value::as_object_mut) {
        authentication.remove("symmetricKey");
    }
    device
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn time(text: &str) -> &str {
    if text.starts_with("0001-01-01") { "never" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_devices_connection_string_has_no_port_and_the_key_asked_for() {
        let device = json!({"authentication": {"type": "sas", "symmetricKey": {"primaryKey": "AAAA", "secondaryKey": "BBBB"}}});
        let shown = |key| device_connection("localhost", "d", &device, key).unwrap().to_secret_text();
        assert_eq!(shown(KeyChoice::Primary), "HostName=localhost;DeviceId=d;SharedAccessKey=AAAA");
        assert_eq!(shown(KeyChoice::Secondary), "HostName=localhost;DeviceId=d;SharedAccessKey=BBBB");
        let device = json!({"authentication": {"type": "selfSigned"}});
        let certificate = device_connection("h", "d", &device, KeyChoice::Primary).unwrap();
        assert_eq!(certificate.to_secret_text(), "HostName=h;DeviceId=d;x509=true");
        let hidden =
            device_connection("h", "d", &json!({"authentication": {"type": "sas"}}), KeyChoice::Primary);
        assert_eq!(hidden.unwrap_err().exit, Exit::NoPermission);
    }

    #[test]
    fn what_is_shown_holds_no_key() {
        let device = json!({"deviceId": "d", "authentication": {"type": "sas", "symmetricKey": {"primaryKey": "AAAA"}}});
        assert_eq!(without_keys(device), json!({"deviceId": "d", "authentication": {"type": "sas"}}));
    }
}
