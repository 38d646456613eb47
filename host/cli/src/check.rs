//! `hotshoe check`: what a plugin is and what a policy would make of it, told beforehand in the words of the device.
//!
//! The rules are those by which a device mounts, from the same place (`hotshoe_core::{grants, imports}`). Nothing of the
//! plugin is run and nothing is compiled, so start code that traps, or more memory than a device has, is not seen here.

mod component;
mod report;

use std::{fs, path::Path};

use hotshoe_core::{
    grants::{Grants, grant},
    imports::{self, Import},
    manifest::Manifest,
    package, policy,
};

pub(crate) use component::Component;

use crate::{
    args,
    failure::{Exit, Failure},
    output::Output,
};

/// The largest file that is looked at: far above what any device takes.
const LARGEST: u64 = 1 << 30;

/// A plugin, looked at.
struct Checked {
    manifest: Manifest,
    component: Component,
    /// Why no device would mount it, whatever its policy.
    unfit: Vec<String>,
    /// What the policy makes of it, where one was given.
    verdict: Option<Verdict>,
}

/// What a policy makes of a plugin.
struct Verdict {
    granted: Grants,
    /// What is asked for in vain.
    denied: Vec<String>,
    /// Why it would not be mounted; empty where it would.
    refused: Vec<String>,
}

/// Carries out the command.
pub(crate) fn run(output: &Output, command: &args::Check) -> Result<(), Failure> {
    let bytes = read(&command.file)?;
    let shown = command.file.display();
    let wrong = |error: String| Failure::new(Exit::Data, format!("{shown} is not a plugin: {error}"));
    let (manifest, _) = package::read(&bytes).map_err(|error| wrong(error.to_string()))?;
    let component = Component::read(&bytes).map_err(wrong)?;
    let unfit = unfit(&manifest, &component);
    let verdict = match &command.policy {
        Some(file) => Some(judge(&manifest, &component, &read_policy(file)?)),
        None => None,
    };
    let name = manifest.name.clone();
    let checked = Checked { manifest, component, unfit, verdict };
    report::print(output, &checked, &bytes)?;
    if !checked.unfit.is_empty() {
        let text = format!("no device would mount {name}: {}", checked.unfit.join("; "));
        return Err(Failure::new(Exit::Data, text));
    }
    match checked.verdict {
        Some(Verdict { refused, .. }) if !refused.is_empty() => {
            let text = format!("a device with this policy would not mount {name}: {}", refused.join("; "));
            let hint = format!("grant it in the table [plugins.\"{name}\"] of the policy, or ask for less");
            Err(Failure::new(Exit::NoPermission, text).hint(hint))
        }
        _ => Ok(()),
    }
}

/// Reads a file that is to be a plugin.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let missing = |error: std::io::Error| {
        Failure::new(Exit::NoInput, format!("could not read {}: {error}", file.display()))
    };
    let size = fs::metadata(file).map_err(missing)?.len();
    if size > LARGEST {
        let text = format!("{} has {size} bytes, more than any plugin", file.display());
        return Err(Failure::new(Exit::Data, text));
    }
    fs::read(file).map_err(missing)
}

fn read_policy(file: &Path) -> Result<policy::Policy, Failure> {
    let shown = file.display();
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::new(Exit::NoInput, format!("could not read {shown}: {error}")))?;
    policy::parse(&text).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.strip_prefix("policy.toml: ").unwrap_or(&reason);
        Failure::new(Exit::Config, format!("{shown}: {reason}"))
    })
}

/// What holds under any policy: imports that no device has, or that the manifest does not ask for; missing exports.
fn unfit(manifest: &Manifest, component: &Component) -> Vec<String> {
    let mut unfit: Vec<String> =
        component.missing_exports().into_iter().map(|name| format!("it does not export {name}")).collect();
    for import in &component.imports {
        let unknown = match imports::classify(&import.name) {
            Import::Unknown => true,
            Import::Contract(interface) => imports::granted(interface, &Grants::default()).is_none(),
            Import::Wasi | Import::Trap => false,
        };
        if unknown {
            unfit.push(format!("it imports {}, which no device has", import.name));
        }
    }
    let asked = &manifest.grants;
    let all = Grants {
        download: asked.download.clone(),
        flash: asked.flash,
        restart: asked.restart,
        storage: asked.storage,
        telemetry: asked.telemetry,
    };
    unfit.extend(without_grant(manifest, component, &all, &[]));
    unfit
}

fn judge(manifest: &Manifest, component: &Component, policy: &policy::Policy) -> Verdict {
    let (granted, denials) = grant(manifest, policy);
    let denied: Vec<String> = denials.iter().map(ToString::to_string).collect();
    let refused = if imports::nothing_left(manifest, &granted) {
        denied.clone()
    } else {
        without_grant(manifest, component, &granted, &denied)
    };
    Verdict { granted, denied, refused }
}

/// The interfaces that are called and not granted.
fn without_grant(
    manifest: &Manifest,
    component: &Component,
    grants: &Grants,
    denied: &[String],
) -> Vec<String> {
    let mut told = Vec::new();
    for import in &component.imports {
        let Import::Contract(interface) = imports::classify(&import.name) else { continue };
        if imports::granted(interface, grants) == Some(false) && !import.functions.is_empty() {
            let functions: Vec<&str> = import.functions.iter().map(String::as_str).collect();
            told.push(imports::denial(&manifest.name, interface, &functions, denied));
        }
    }
    told
}
