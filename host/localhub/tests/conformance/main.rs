//! The conformance suite: a table of cases for each section of iothub.md, run against a real hub over real TLS.
//!
//! A case is a few lines of a script in `cases/*.txt`; what the lines mean stands in `script.rs`. Packets are written
//! and read by another codec than the hub's own. The table of sections with their counts is printed at the end
//! (`--nocapture` shows it), and `HOTSHOE_CASE=words` runs only the cases whose section or title contains the words.

// The lint's own exception for tests covers test functions, not the helpers they share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod connection;
mod pattern;
mod rest;
mod run;
mod script;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use hotshoe_localhub::{LocalHub, Running, Settings};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Cases that run at the same time.
const AT_ONCE: usize = 8;

/// The hub under test and what every case needs to reach it.
pub(crate) struct Place {
    pub(crate) hub: Running,
    pub(crate) tls: Arc<rustls::ClientConfig>,
    pub(crate) https: reqwest::Client,
    _directory: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("images")).unwrap();
        std::fs::write(directory.path().join("images/a.img"), "0123456789").unwrap();
        let settings = Settings {
            images: Some(directory.path().join("images")),
            clock_slack: Duration::from_secs(300),
            ..Settings::new(directory.path().join("data"))
        };
        let hub = LocalHub::start(settings).await.unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(hub.ca_pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        drop(rustls::crypto::ring::default_provider().install_default());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let https = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(hub.ca_pem.as_bytes()).unwrap()])
            .http1_only()
            .build()
            .unwrap();
        Self { hub, tls: Arc::new(tls), https, _directory: directory }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_of_the_table_holds() {
    let place = Arc::new(Place::new().await);
    let only = std::env::var("HOTSHOE_CASE").unwrap_or_default();
    let cases =
        script::read_all(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/cases"));
    assert!(cases.len() >= 120, "the table has {} cases", cases.len());
    let chosen = cases.into_iter().filter(|case| format!("{} {}", case.section, case.title).contains(&only));
    let ran: Vec<(script::Case, Result<(), String>)> = futures_util::stream::iter(chosen.enumerate())
        .map(|(number, case)| {
            let place = Arc::clone(&place);
            async move {
                let result = run::run(&place, number, &case).await;
                (case, result)
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;

    let mut sections: BTreeMap<Vec<u32>, (String, usize, usize)> = BTreeMap::new();
    let mut failed = Vec::new();
    for (case, result) in &ran {
        let number = case.section.split_whitespace().next().unwrap_or_default();
        let order = number.split('.').map(|part| part.parse().unwrap_or(u32::MAX)).collect();
        let row = sections.entry(order).or_insert_with(|| (case.section.clone(), 0, 0));
        match result {
            Ok(()) => row.1 += 1,
            Err(error) => {
                row.2 += 1;
                failed.push(format!("{} | {}\n    {error}", case.section, case.title));
            }
        }
    }
    println!("{:<44} {:>6} {:>6}", "section of iothub.md", "passed", "failed");
    for (section, passed, failed) in sections.values() {
        println!("{section:<44} {passed:>6} {failed:>6}");
    }
    println!("{:<44} {:>6} {:>6}", "all", ran.len() - failed.len(), failed.len());
    assert!(failed.is_empty(), "{} case(s) failed:\n{}", failed.len(), failed.join("\n"));
}
