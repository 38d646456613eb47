//! `hotshoe login`, `logout` and `profiles`: which hub is asked where the command line does not say.
//!
//! Before a connection string is stored the hub is asked once with it, so that a wrong key or authority is found now.
//! Nothing here prints a secret, nor does the terminal while one is typed.

use std::{
    fs,
    io::{self, IsTerminal as _, Read as _},
};

use console::Term;
use hotshoe_core::connection_string::{ConnectionString, Credential};
use serde_json::json;

use crate::{
    args::{Global, Login, Logout, ProfilesCommand},
    connection,
    failure::{Exit, Failure},
    hub::Hub,
    output::{Output, Table},
    profiles::{self, Profile, Profiles},
};

/// The longest connection string that is read, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Stores a hub under a name and makes it the default.
pub(crate) async fn login(output: &Output, global: &Global, login: &Login) -> Result<(), Failure> {
    let (text, from) = match connection::given(global)? {
        Some(given) => given,
        None => (typed()?, "standard input".to_owned()),
    };
    let text = text.trim();
    let connection = connection::owner_of(text, &from)?;
    let ca = global.ca.as_deref().map(|file| {
        fs::read_to_string(file).map_err(|error| {
            let text = format!("could not read the certificates in {}: {error}", file.display());
            Failure::new(Exit::NoInput, text)
        })
    });
    let ca = ca.transpose()?;
    let tls = connection::tls(ca.as_deref().map(|pem| (pem, "--ca")))?;
    let name = match &login.name {
        Some(name) => name.clone(),
        None => connection.host.split('.').next().unwrap_or("hub").to_ascii_lowercase(),
    };
    let (host, policy) = (connection.host.clone(), policy(&connection));
    if !login.no_check {
        let hub = Hub::new(connection, tls, jiff::Timestamp::now)?;
        check(&hub).await?;
    }
    let place = profiles::place()?;
    let mut profiles = Profiles::load(&place)?;
    profiles.profiles.insert(name.clone(), Profile { connection_string: text.to_owned(), ca });
    profiles.default = Some(name.clone());
    profiles.store(&place)?;
    if output.json() {
        return output.document(&json!({ "profile": name, "host": host, "policy": policy }));
    }
    output.line(&format!("{host} as {policy} is the profile {name}, and the default now"))
}

/// Forgets a profile, or all.
pub(crate) fn logout(output: &Output, logout: &Logout) -> Result<(), Failure> {
    let place = profiles::place()?;
    let mut profiles = Profiles::load(&place)?;
    let gone: Vec<String> = if logout.all {
        std::mem::take(&mut profiles.profiles).into_keys().collect()
    } else {
        let name = logout.name.clone().or_else(|| profiles.default.clone());
        let name = name.ok_or_else(|| {
            Failure::new(Exit::Usage, "there is no default profile").hint("name one: `hotshoe profiles list`")
        })?;
        profiles.named(&name)?;
        profiles.profiles.remove(&name);
        vec![name]
    };
    if profiles.default.as_ref().is_some_and(|name| gone.contains(name)) {
        profiles.default = None;
    }
    profiles.store(&place)?;
    if output.json() {
        return output.document(&json!({ "forgotten": gone, "default": profiles.default }));
    }
    gone.iter().try_for_each(|name| output.line(&format!("forgot {name}")))
}

/// Lists the profiles, or chooses the default.
pub(crate) fn profiles(output: &Output, command: &ProfilesCommand) -> Result<(), Failure> {
    let place = profiles::place()?;
    let mut profiles = Profiles::load(&place)?;
    if let ProfilesCommand::Default { name } = command {
        profiles.named(name)?;
        profiles.default = Some(name.clone());
        profiles.store(&place)?;
        return if output.json() {
            output.document(&json!({ "default": name }))
        } else {
            output.line(&format!("{name} is the default now"))
        };
    }
    let shown = profiles.profiles.iter().map(|(name, profile)| {
        let connection = profile.connection_string.parse::<ConnectionString>().ok();
        let host = connection.as_ref().map_or("unreadable".to_owned(), address);
        let policy = connection.as_ref().map(policy).unwrap_or_default();
        (name, profiles.default.as_ref() == Some(name), host, policy, profile.ca.is_some())
    });
    if output.json() {
        let list = shown.map(|(name, default, host, policy, ca)| {
            json!({ "profile": name, "default": default, "host": host, "policy": policy, "ownAuthority": ca })
        });
        return output.document(&list.collect());
    }
    let mut table = Table::new(["PROFILE", "DEFAULT", "HUB", "POLICY", "AUTHORITY"]);
    for (name, default, host, policy, ca) in shown {
        let (default, ca) = (if default { "yes" } else { "" }, if ca { "its own" } else { "system" });
        table.row([name, default, &host, &policy, ca]);
    }
    output.table(&table)
}

/// Asks for something that either of the two usual rights allows.
async fn check(hub: &Hub) -> Result<(), Failure> {
    let hint = "--no-check stores it all the same";
    match hub.service_statistics().await {
        Err(error) if matches!(error.status(), Some(401 | 403)) => {
            hub.devices(1).await.map(drop).map_err(|error| Failure::from(error).hint(hint))
        }
        Err(error) => {
            let failure = Failure::from(error);
            let hint = failure.hint.as_ref().map_or(hint.to_owned(), |own| format!("{own}; {hint}"));
            Err(failure.hint(hint))
        }
        Ok(_) => Ok(()),
    }
}

fn typed() -> Result<String, Failure> {
    let failed = |error: io::Error| {
        Failure::new(Exit::NoInput, format!("could not read the connection string: {error}"))
    };
    if io::stdin().is_terminal() {
        let terminal = Term::stderr();
        terminal.write_str("connection string (not shown): ").map_err(failed)?;
        return terminal.read_secure_line().map_err(failed);
    }
    let mut text = String::new();
    io::stdin().take(LONGEST).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn policy(connection: &ConnectionString) -> String {
    match &connection.credential {
        Credential::Key { policy: Some(policy), .. } => policy.clone(),
        _ => String::new(),
    }
}

fn address(connection: &ConnectionString) -> String {
    match connection.port {
        Some(port) => format!("{}:{port}", connection.host),
        None => connection.host.clone(),
    }
}
