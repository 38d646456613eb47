//! Which hub, as whom, trusting whom.

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
};

/// The environment variable that may hold the operator's connection string.
pub(crate) const VARIABLE: &str = "HOTSHOE_CONNECTION_STRING";

/// The operator's connection string: from the flag, the file or the environment, in this order.
pub(crate) fn owner(global: &Global, environment: Option<String>) -> Result<ConnectionString, Failure> {
    let (text, from) = if let Some(text) = &global.connection_string {
        (text.clone(), "--connection-string".to_owned())
    } else if let Some(file) = &global.connection_string_file {
        let text = fs::read_to_string(file).map_err(|error| {
            Failure::new(
                Exit::NoInput,
                format!("could not read the connection string from {}: {error}", file.display()),
            )
        })?;
        (text, file.display().to_string())
    } else if let Some(text) = environment.filter(|text| !text.trim().is_empty()) {
        (text, VARIABLE.to_owned())
    } else {
        let hint = format!("set {VARIABLE}, or give --connection-string-file FILE");
        return Err(
            Failure::new(Exit::Config, "no connection string is given, so there is no hub to ask").hint(hint)
        );
    };
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

/// The certificates to trust: the system's, and those of a file.
pub(crate) fn tls(ca: Option<&Path>) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = ca {
        add(&mut roots, file)?;
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::new(Exit::Software, format!("could not set up TLS: {error}")))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn add(roots: &mut RootCertStore, file: &Path) -> Result<(), Failure> {
    let shown = file.display();
    let pem = fs::read(file).map_err(|error| {
        Failure::new(Exit::NoInput, format!("could not read the certificates in {shown}: {error}"))
    })?;
    let wrong = |error: String| Failure::new(Exit::Config, format!("{shown}: {error}"));
    let mut found = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(format!("not a certificate in PEM: {error}")))?;
        roots.add(certificate).map_err(|error| wrong(format!("not a certificate to trust: {error}")))?;
        found += 1;
    }
    if found == 0 {
        return Err(wrong("it holds no certificate in PEM".to_owned()));
    }
    Ok(())
}
