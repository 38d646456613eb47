//! A checked plugin on the terminal, and as JSON.

use hotshoe_core::{
    digest::{Algorithm, Digest},
    grants::{Grants, UrlPattern},
    imports::{self, Import},
    manifest::{Asked, Manifest},
    units::{format_duration, format_size},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Checked, Component, Verdict};
use crate::{
    failure::Failure,
    output::{Output, Table},
};

pub(super) fn print(output: &Output, checked: &Checked, bytes: &[u8]) -> Result<(), Failure> {
    let digest = Digest { algorithm: Algorithm::Sha256, bytes: Sha256::digest(bytes).into() };
    if output.json() {
        return output.document(&document(checked, &digest));
    }
    let Checked { manifest, component, verdict, .. } = checked;
    output.table(&facts(manifest, component, &digest))?;
    output.line("")?;
    output.line(&output.strong("asks for"))?;
    output.table(&rights(&asked(&manifest.grants), "nothing"))?;
    output.line("")?;
    output.line(&output.strong("imports"))?;
    output.table(&imports(component))?;
    if let Some(Verdict { granted, denied, .. }) = verdict {
        output.line("")?;
        output.line(&output.strong("the policy grants"))?;
        output.table(&rights(&words(granted), "nothing"))?;
        if !denied.is_empty() {
            output.line("")?;
            output.line(&output.strong("the policy denies"))?;
            for denial in denied {
                output.line(&format!("  {denial}"))?;
            }
        }
    }
    Ok(())
}

fn facts(manifest: &Manifest, component: &Component, digest: &Digest) -> Table {
    let mut table = Table::plain(0);
    table.row(["plugin", manifest.name.as_str()]);
    table.row(["version", &manifest.version.to_string()]);
    if !manifest.summary.is_empty() {
        table.row(["summary", &manifest.summary]);
    }
    table.row(["api", &manifest.api]);
    table.row(["digest", &digest.to_string()]);
    let methods: Vec<String> = manifest
        .methods
        .iter()
        .map(|method| format!("{} ({})", method.name, format_duration(method.timeout)))
        .collect();
    table.row(["methods", &listed(&methods)]);
    table.row(["reported", &listed(&manifest.reported)]);
    table.row(["desired", manifest.desired.as_deref().unwrap_or("none")]);
    let (memory, run) = (format_size(manifest.limits.memory), format_duration(manifest.limits.run));
    table.row(["limits", &format!("{memory} of memory, {run} a run of a job")]);
    let sizes = &component.sizes;
    let kib = |bytes: usize| format!("{} KiB", bytes.div_ceil(1024));
    table.row([
        "size",
        &format!(
            "{} (code {}, data {}, names {})",
            kib(sizes.file),
            kib(sizes.code),
            kib(sizes.data),
            kib(sizes.names)
        ),
    ]);
    table
}

fn listed(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

fn imports(component: &Component) -> Table {
    let mut table = Table::plain(2);
    for import in &component.imports {
        let functions = match imports::classify(&import.name) {
            _ if import.functions.is_empty() => "types alone".to_owned(),
            Import::Trap => format!("ends the call: {}", import.functions.join(", ")),
            _ => import.functions.join(", "),
        };
        table.row([import.name.as_str(), &functions]);
    }
    table
}

fn rights(rights: &[(&str, String)], none: &str) -> Table {
    let mut table = Table::plain(2);
    for (name, detail) in rights {
        table.row([name, detail]);
    }
    if rights.is_empty() {
        table.row([none]);
    }
    table
}

fn asked(asked: &Asked) -> Vec<(&'static str, String)> {
    let Asked { download, flash, restart, storage, telemetry } = asked;
    described(download, *flash, *restart, *storage, *telemetry)
}

fn words(granted: &Grants) -> Vec<(&'static str, String)> {
    let Grants { download, flash, restart, storage, telemetry } = granted;
    described(download, *flash, *restart, *storage, *telemetry)
}

fn described(
    download: &[UrlPattern],
    flash: bool,
    restart: bool,
    storage: u64,
    telemetry: bool,
) -> Vec<(&'static str, String)> {
    let mut rights = Vec::new();
    if !download.is_empty() {
        let patterns: Vec<String> = download.iter().map(ToString::to_string).collect();
        rights.push(("download", patterns.join(", ")));
    }
    for (has, name) in [(flash, "flash"), (restart, "restart"), (telemetry, "telemetry")] {
        if has {
            rights.push((name, String::new()));
        }
    }
    if storage > 0 {
        rights.push(("storage", format_size(storage)));
    }
    rights
}

fn document(checked: &Checked, digest: &Digest) -> Value {
    let Checked { manifest, component, unfit, verdict } = checked;
    let methods: Vec<Value> = manifest
        .methods
        .iter()
        .map(|method| json!({"name": method.name, "timeoutMs": millis(method.timeout)}))
        .collect();
    let Asked { download, flash, restart, storage, telemetry } = &manifest.grants;
    let mut document = json!({
        "name": manifest.name.as_str(), "version": manifest.version.to_string(), "summary": manifest.summary,
        "api": manifest.api, "digest": digest, "methods": methods, "reported": manifest.reported,
        "desired": manifest.desired, "imports": component.imports, "sizes": component.sizes,
        "limits": {"memory": manifest.limits.memory, "runMs": millis(manifest.limits.run)},
        "asked": rights_document(download, *flash, *restart, *storage, *telemetry), "unfit": unfit,
    });
    if let (Some(Verdict { granted, denied, refused }), Some(object)) = (verdict, document.as_object_mut()) {
        let Grants { download, flash, restart, storage, telemetry } = granted;
        let granted = rights_document(download, *flash, *restart, *storage, *telemetry);
        object.insert("policy".into(), json!({"granted": granted, "denied": denied, "refused": refused}));
    }
    document
}

fn rights_document(
    download: &[UrlPattern],
    flash: bool,
    restart: bool,
    storage: u64,
    telemetry: bool,
) -> Value {
    json!({"download": download, "flash": flash, "restart": restart, "storage": storage, "telemetry": telemetry})
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
