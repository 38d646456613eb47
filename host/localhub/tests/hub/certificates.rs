//! Devices with certificates: known by thumbprint, or by an authority that signed for them.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use reqwest::Method;
use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use rumqttc::ConnectReturnCode;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;

use crate::client::Place;

/// An authority that signs for devices, or for other authorities.
pub(crate) struct Authority {
    pub(crate) pem: String,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    above: Vec<CertificateDer<'static>>,
}

/// A device's certificates and its key.
pub(crate) struct Leaf {
    pub(crate) pem: String,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
}

fn named(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters
}

fn authority(name: &str) -> CertificateParams {
    let mut parameters = named(name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    parameters
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let made = authority(name).self_signed(&key).unwrap();
        let (pem, certificate) = (made.pem(), made.der().clone());
        Self { pem, certificate, issuer: Issuer::new(authority(name), key), above: Vec::new() }
    }

    /// An authority below this one.
    fn below(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let made = authority(name).signed_by(&key, &self.issuer).unwrap();
        let (pem, certificate) = (made.pem(), made.der().clone());
        let above = vec![certificate.clone()];
        Self { pem, certificate, issuer: Issuer::new(authority(name), key), above }
    }

    pub(crate) fn issue(&self, name: &str) -> Leaf {
        self.issue_with(named(name))
    }

    fn issue_with(&self, parameters: CertificateParams) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let made = parameters.signed_by(&key, &self.issuer).unwrap();
        let chain = [vec![made.der().clone()], self.above.clone()].concat();
        Leaf { pem: made.pem(), chain, key: key.serialize_der() }
    }

    pub(crate) fn self_signed(name: &str) -> Leaf {
        self_signed_with(named(name))
    }
}

fn self_signed_with(parameters: CertificateParams) -> Leaf {
    let key = KeyPair::generate().unwrap();
    let made = parameters.self_signed(&key).unwrap();
    Leaf { pem: made.pem(), chain: vec![made.der().clone()], key: key.serialize_der() }
}

fn expired(name: &str) -> CertificateParams {
    let mut parameters = named(name);
    parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2021, 1, 1);
    parameters
}

impl Leaf {
    pub(crate) fn config(&self, place: &Place) -> rustls::ClientConfig {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(place.roots())
            .with_client_auth_cert(self.chain.clone(), key)
            .unwrap()
    }
}

fn hexadecimal(algorithm: &'static Algorithm, certificate: &CertificateDer<'_>) -> String {
    digest(algorithm, certificate).as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
}

/// SHA-256, as the registry writes it.
pub(crate) fn thumbprint(certificate: &CertificateDer<'_>) -> String {
    hexadecimal(&SHA256, certificate)
}

async fn code(place: &Place, id: &str, leaf: &Leaf) -> ConnectReturnCode {
    let mut device = place.dial_with(leaf.config(place)).await;
    device.log_in(id, "", true).await.unwrap().code
}

#[tokio::test]
async fn a_self_signed_certificate_is_known_by_either_thumbprint_until_it_expires() {
    let place = Place::new().await;
    let (good, bad) = (ConnectReturnCode::Success, ConnectReturnCode::NotAuthorized);
    let (first, second, old) =
        (Authority::self_signed("any"), Authority::self_signed("any"), self_signed_with(expired("any")));
    let register = async |id: &str, primary: String, secondary: String| {
        let thumbprints = json!({"primaryThumbprint": primary, "secondaryThumbprint": secondary});
        let body = json!({"authentication": {"type": "selfSigned", "x509Thumbprint": thumbprints}});
        assert_eq!(place.rest(Method::PUT, &format!("/devices/{id}"), Some(body)).await.0, 200);
    };
    let short = hexadecimal(&SHA1_FOR_LEGACY_USE_ONLY, &first.chain[0]).to_lowercase();
    register("d", short, thumbprint(&second.chain[0])).await;
    register("old", thumbprint(&old.chain[0]), String::new()).await;
    for (id, leaf, wanted) in [
        ("d", &first, good),
        ("d", &second, good),
        ("d", &old, bad),
        ("old", &old, bad),
        ("old", &first, bad),
    ] {
        assert_eq!(code(&place, id, leaf).await, wanted, "{id}");
    }
    place.key("keyed").await;
    assert_eq!(code(&place, "keyed", &first).await, bad, "it has keys and no certificate");
}

#[tokio::test]
async fn a_registered_authority_speaks_for_the_devices_it_names() {
    let place = Place::new().await;
    let root = Authority::new("Maker");
    let middle = root.below("Maker, plant 1");
    for id in ["d", "e"] {
        let body = Some(json!({"authentication": {"type": "certificateAuthority"}}));
        let (status, made) = place.rest(Method::PUT, &format!("/devices/{id}"), body).await;
        assert_eq!((status.as_u16(), &made["authentication"]["type"]), (200, &json!("certificateAuthority")));
    }
    let (good, bad) = (ConnectReturnCode::Success, ConnectReturnCode::NotAuthorized);
    let (signed, below) = (root.issue("d"), middle.issue("d"));
    assert_eq!(code(&place, "d", &signed).await, bad, "nobody is registered");

    let put = async |name: &str, pem: &str| {
        let request = place.https().put(place.url(&format!("/localhub/authorities/{name}")));
        let response = request.header("authorization", place.owner_token()).body(pem.to_owned()).send();
        response.await.unwrap().status().as_u16()
    };
    assert_eq!(put("leaf", &signed.pem).await, 400, "a leaf is no authority");
    assert_eq!(put("nonsense", "nonsense").await, 400);
    assert_eq!(put("maker", &root.pem).await, 200);
    let (_, listed) = place.rest(Method::GET, "/localhub/authorities", None).await;
    assert_eq!(
        (&listed[0]["name"], &listed[0]["thumbprint"]),
        (&json!("maker"), &json!(thumbprint(&root.certificate)))
    );

    let place = place.restart().await;
    let mut lonely = middle.issue("d");
    lonely.chain.truncate(1);
    for (what, id, leaf, wanted) in [
        ("signed by the root", "d", &signed, good),
        ("signed below the root", "d", &below, good),
        ("without what is between", "d", &lonely, bad),
        ("another device's", "e", &signed, bad),
        ("expired", "d", &root.issue_with(expired("d")), bad),
        ("of another authority of that name", "d", &Authority::new("Maker").issue("d"), bad),
        ("self-signed", "d", &Authority::self_signed("d"), bad),
    ] {
        assert_eq!(code(&place, id, leaf).await, wanted, "{what}");
    }
    assert_eq!(place.rest(Method::DELETE, "/localhub/authorities/maker", None).await.0, 204);
    assert_eq!(code(&place, "d", &signed).await, bad);
}

#[tokio::test]
async fn an_authority_of_the_command_line_counts_as_well() {
    let root = Authority::new("Maker");
    let place = Place::with_authority(&root.pem).await;
    let body = Some(json!({"authentication": {"type": "certificateAuthority"}}));
    place.rest(Method::PUT, "/devices/d", body).await;
    assert_eq!(code(&place, "d", &root.issue("d")).await, ConnectReturnCode::Success);
}
