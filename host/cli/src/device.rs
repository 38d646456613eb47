//! `hotshoe device …`: the identities that the hub knows, of devices and of their modules.
//!
//! What is shown holds no key; the commands whose result is a key say so.

mod bulk;
mod change;
mod export;
mod keys;
mod list;

use serde_json::{Value, json};

use crate::{
    args::{Create, DeviceCommand, Of, Proof},
    context::Context,
    failure::Failure,
    output::Table,
};

/// Carries out a command.
pub(crate) async fn run(context: &Context<'_>, command: &DeviceCommand) -> Result<(), Failure> {
    match command {
        DeviceCommand::Create(create) => self::create(context, create).await,
        DeviceCommand::List(list) => list::devices(context, list).await,
        DeviceCommand::Modules { device } => list::modules(context, device).await,
        DeviceCommand::Show(of) => show(context, of).await,
        DeviceCommand::Update(update) => change::update(context, update).await,
        DeviceCommand::Enable(status) => change::status(context, status, "enabled").await,
        DeviceCommand::Disable(status) => change::status(context, status, "disabled").await,
        DeviceCommand::Delete(of) => delete(context, of).await,
        DeviceCommand::Keys { of, regenerate } => keys::run(context, of, *regenerate).await,
        DeviceCommand::ConnectionString { of, key } => keys::connection_string(context, of, *key).await,
        DeviceCommand::Import(import) => bulk::import(context, import).await,
        DeviceCommand::Export(export) => export::run(context, export).await,
    }
}

async fn create(context: &Context<'_>, create: &Create) -> Result<(), Failure> {
    let authentication = proof(&create.proof).unwrap_or_else(new_keys);
    let of = create.of.of();
    let device = context.hub.create_identity(of, !create.disabled, authentication).await?;
    if context.output.json() {
        return context.output.document(&without_keys(device));
    }
    context.output.line(&format!("created {of}"))
}

async fn show(context: &Context<'_>, of: &Of) -> Result<(), Failure> {
    let device = context.hub.identity(of.of()).await?;
    if context.output.json() {
        return context.output.document(&without_keys(device));
    }
    let mut table = Table::plain(0);
    for (name, pointer) in [
        ("device", "/deviceId"),
        ("module", "/moduleId"),
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

async fn delete(context: &Context<'_>, of: &Of) -> Result<(), Failure> {
    context.hub.delete_identity(of.of()).await?;
    let of = of.of().to_string();
    if context.output.json() {
        return context.output.document(&json!({ "deleted": of }));
    }
    context.output.line(&format!("deleted {of}"))
}

/// The member `authentication` for certificates, where they are asked for.
fn proof(proof: &Proof) -> Option<Value> {
    if let Some(first) = &proof.thumbprint {
        let second = proof.secondary_thumbprint.as_ref().unwrap_or(first);
        let thumbprints = json!({ "primaryThumbprint": first, "secondaryThumbprint": second });
        return Some(json!({ "type": "selfSigned", "x509Thumbprint": thumbprints }));
    }
    proof.certificate_authority.then(|| json!({ "type": "certificateAuthority" }))
}

/// The member `authentication` by which the hub makes keys for what is new to it.
fn new_keys() -> Value {
    json!({ "type": "sas", "symmetricKey": { "primaryKey": "", "secondaryKey": "" } })
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
    fn what_is_shown_holds_no_key() {
        let device = json!({"deviceId": "d", "authentication": {"type": "sas", "symmetricKey": {"primaryKey": "AAAA"}}});
        assert_eq!(without_keys(device), json!({"deviceId": "d", "authentication": {"type": "sas"}}));
    }

    #[test]
    fn one_certificate_stands_for_both() {
        let asked = |second: Option<&str>| Proof {
            thumbprint: Some("AA".to_owned()),
            secondary_thumbprint: second.map(str::to_owned),
            certificate_authority: false,
        };
        let second = |asked| text(&proof(&asked).unwrap(), "/x509Thumbprint/secondaryThumbprint").to_owned();
        assert_eq!((second(asked(None)), second(asked(Some("BB")))), ("AA".to_owned(), "BB".to_owned()));
    }
}
