//! Keys: Ed25519, private ones as PKCS#8 in PEM with mode 0600, public ones as SubjectPublicKeyInfo in PEM beside them.
//!
//! Both are what other tools write and read (`openssl genpkey -algorithm ed25519`). Nothing here prints a private key, and
//! no file of a key is ever overwritten.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer, pem::PemObject};
use tough::schema::{
    decoded::{Decoded, Hex},
    key::{Ed25519Key, Ed25519Scheme, Key},
};

use crate::{
    failure::{Exit, Failure},
    files,
};

/// The name of a key in metadata: the SHA-256 of its canonical form.
pub(super) type KeyId = Decoded<Hex>;

/// What an Ed25519 public key of 32 bytes stands behind in a SubjectPublicKeyInfo (RFC 8410).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A key to sign with.
pub(super) struct Signer {
    pub(super) id: KeyId,
    pub(super) public: Key,
    pair: Ed25519KeyPair,
}

impl Signer {
    /// Makes a key and writes it, and its public half beside it with `.pub` behind.
    pub(super) fn generate(file: &Path) -> Result<Self, Failure> {
        let taken = [file.to_owned(), public_file(file)].into_iter().find(|file| file.exists());
        if let Some(taken) = taken {
            let text = format!("{} is there already, and a key is never overwritten", taken.display());
            return Err(Failure::new(Exit::CantCreate, text));
        }
        let failed = |_| Failure::new(Exit::OsError, "the system gives no random numbers for a key");
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(failed)?;
        let signer = Signer::from_pkcs8(document.as_ref(), file)?;
        files::replace(file, pem("PRIVATE KEY", document.as_ref()).as_bytes(), files::SECRET)?;
        let public: Vec<u8> = SPKI.iter().chain(signer.pair.public_key().as_ref()).copied().collect();
        files::replace(&public_file(file), pem("PUBLIC KEY", &public).as_bytes(), files::READABLE)?;
        Ok(signer)
    }

    /// Reads a private key.
    pub(super) fn load(file: &Path) -> Result<Self, Failure> {
        let shown = file.display();
        let text = fs::read(file).map_err(|error| {
            Failure::new(Exit::NoInput, format!("could not read the key {shown}: {error}"))
        })?;
        let document = PrivatePkcs8KeyDer::from_pem_slice(&text).map_err(|error| {
            Failure::new(Exit::Data, format!("{shown} is not a private key in PKCS#8 and PEM: {error}"))
        })?;
        Signer::from_pkcs8(document.secret_pkcs8_der(), file)
    }

    fn from_pkcs8(document: &[u8], file: &Path) -> Result<Self, Failure> {
        // Other tools leave out the public half, which is computed then.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(document).map_err(|error| {
            Failure::new(Exit::Data, format!("{} is not an Ed25519 key: {error}", file.display()))
        })?;
        let public = ed25519(pair.public_key().as_ref());
        Ok(Signer { id: id(&public)?, public, pair })
    }

    /// The signature of some bytes.
    pub(super) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.pair.sign(bytes).as_ref().to_vec()
    }
}

/// All private keys of a directory, and of files beside; an absent directory holds none.
pub(super) fn load_all(directory: &Path, files: &[PathBuf]) -> Result<Vec<Signer>, Failure> {
    let mut signers = Vec::new();
    let mut paths: Vec<PathBuf> =
        fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "pem"));
    paths.sort();
    for path in paths.iter().chain(files) {
        let signer = Signer::load(path)?;
        if !signers.iter().any(|other: &Signer| other.id == signer.id) {
            signers.push(signer);
        }
    }
    Ok(signers)
}

/// Makes the directory of keys, which its owner alone may enter.
pub(super) fn make_directory(directory: &Path) -> Result<(), Failure> {
    let failed = |error| {
        Failure::new(
            Exit::CantCreate,
            format!("could not make {} for the keys: {error}", directory.display()),
        )
    };
    fs::create_dir_all(directory).map_err(failed)?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).map_err(failed)
}

/// Reads a public key.
pub(super) fn load_public(file: &Path) -> Result<(KeyId, Key), Failure> {
    let shown = file.display();
    let text = fs::read(file)
        .map_err(|error| Failure::new(Exit::NoInput, format!("could not read the key {shown}: {error}")))?;
    let wrong = |reason: String| {
        Failure::new(Exit::Data, format!("{shown} is not a public key of Ed25519 in PEM: {reason}")).hint(
            "of a private key: openssl pkey -in KEY.pem -pubout; `hotshoe repo key` writes it as KEY.pem.pub",
        )
    };
    let document =
        SubjectPublicKeyInfoDer::from_pem_slice(&text).map_err(|error| wrong(error.to_string()))?;
    let bytes = document.as_ref().strip_prefix(&SPKI).filter(|bytes| bytes.len() == 32);
    let public = ed25519(bytes.ok_or_else(|| wrong("it is of another kind".to_owned()))?);
    Ok((id(&public)?, public))
}

/// Where the public half of a key lies.
pub(super) fn public_file(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}

/// The first digits of a key's name, for people.
pub(super) fn short(id: &KeyId) -> String {
    id.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

fn ed25519(bytes: &[u8]) -> Key {
    let keyval = Ed25519Key { public: bytes.to_vec().into(), _extra: Default::default() };
    Key::Ed25519 { keyval, scheme: Ed25519Scheme::Ed25519, _extra: Default::default() }
}

fn id(key: &Key) -> Result<KeyId, Failure> {
    key.key_id().map_err(|error| Failure::new(Exit::Software, format!("a key has no id: {error}")))
}

fn pem(label: &str, document: &[u8]) -> String {
    let text = STANDARD.encode(document);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap_or_default()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
