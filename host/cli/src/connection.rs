//! Which hub, as whom, trusting whom.
//!
//! What the command line says comes before the environment, and the environment before what was logged in to. Where
//! the command line names a profile, that is said by the command line.

use std::{fs, path::Path, sync::Arc};

use hotshoe_core::connection_string::{ConnectionString, Credential};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::{
    args::Global,
    failure::{Exit, Failure},
    profiles::{self, Profiles},
};

/// The environment variable that may hold the operator's connection string.
pub(crate) const VARIABLE: &str = "HOTSHOE_CONNECTION_STRING";
/// The environment variable that may name a profile.
pub(crate) const PROFILE: &str = "HOTSHOE_PROFILE";

/// A hub to ask, and how.
pub(crate) struct Chosen {
    /// The operator's connection string.
    pub(crate) connection: ConnectionString,
    /// The certificates to trust.
    pub(crate) tls: ClientConfig,
}

/// The hub that the command line, the environment or a profile names, in this order.
pub(crate) fn choose(global: &Global) -> Result<Chosen, Failure> {
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
    let mut ca = None;
    let (text, from) = if let Some(given) = given(global)? {
        given
    } else if let (None, Some(text)) = (&global.profile, variable(VARIABLE)) {
        (text, VARIABLE.to_owned())
    } else {
        let place = profiles::place()?;
        let profiles = Profiles::load(&place)?;
        let name = global.profile.clone().or_else(|| variable(PROFILE)).or_else(|| profiles.default.clone());
        let Some(name) = name else {
            let hint = format!("`hotshoe login`, or set {VARIABLE}, or give --connection-string-file FILE");
            let text = "no connection string is given, so there is no hub to ask";
            return Err(Failure::new(Exit::Config, text).hint(hint));
        };
        let profile = profiles.named(&name)?;
        ca.clone_from(&profile.ca);
        (profile.connection_string.clone(), format!("profile {name}"))
    };
    let connection = owner_of(&text, &from)?;
    let tls = match &global.ca {
        Some(file) => {
            let pem =
                fs::read_to_string(file).map_err(|error| unreadable(file, "the certificates in", &error))?;
            tls(Some((&pem, &file.display().to_string())))?
        }
        None => tls(ca.as_deref().map(|pem| (pem, from.as_str())))?,
    };
    Ok(Chosen { connection, tls })
}

/// What the command line itself says, and where it was said.
pub(crate) fn given(global: &Global) -> Result<Option<(String, String)>, Failure> {
    if let Some(text) = &global.connection_string {
        return Ok(Some((text.clone(), "--connection-string".to_owned())));
    }
    let Some(file) = &global.connection_string_file else { return Ok(None) };
    let text =
        fs::read_to_string(file).map_err(|error| unreadable(file, "the connection string from", &error))?;
    Ok(Some((text, file.display().to_string())))
}

/// Reads an operator's connection string; `from` says in errors where it was found.
pub(crate) fn owner_of(text: &str, from: &str) -> Result<ConnectionString, Failure> {
    let wrong = |error: String| Failure::new(Exit::Config, format!("{from}: {error}"));
    let connection: ConnectionString = text.parse().map_err(|error| wrong(format!("{error}")))?;
    if connection.device.is_some()
        || !matches!(connection.credential, Credential::Key { policy: Some(_), .. })
    {
        let text = "this is the connection string of a device, not of an operator".to_owned();
        return Err(
            wrong(text).hint("an operator's has a SharedAccessKeyName, such as iothubowner, and no DeviceId")
        );
    }
    Ok(connection)
}

/// The certificates to trust: the system's, and those of a text in PEM that came from somewhere.
pub(crate) fn tls(ca: Option<(&str, &str)>) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some((pem, from)) = ca {
        add(&mut roots, pem, from)?;
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::new(Exit::Software, format!("could not set up TLS: {error}")))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn add(roots: &mut RootCertStore, pem: &str, from: &str) -> Result<(), Failure> {
    let wrong = |error: String| Failure::new(Exit::Config, format!("{from}: {error}"));
    let mut found = 0;
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| wrong(format!("not a certificate in PEM: {error}")))?;
        roots.add(certificate).map_err(|error| wrong(format!("not a certificate to trust: {error}")))?;
        found += 1;
    }
    if found == 0 {
        return Err(wrong("it holds no certificate in PEM".to_owned()));
    }
    Ok(())
}

fn unreadable(file: &Path, what: &str, error: &std::io::Error) -> Failure {
    Failure::new(Exit::NoInput, format!("could not read {what} {}: {error}", file.display()))
}
