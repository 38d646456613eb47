//! What a signed repository says of one file.

use hotshoe_core::{
    digest::{Algorithm, Digest},
    target::{self, Custom, TargetName},
};
use tough::schema;

use super::TrustError;
use crate::artifact::hash::Hasher;

/// A file that is signed, whatever it is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedFile {
    /// The repository, by its name in the configuration.
    pub repository: String,
    /// The target's name.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
    /// Its SHA-256.
    pub digest: Digest,
}

/// A plugin or a firmware image that is signed, fits this device, and is what its name says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// The repository, by its name in the configuration.
    pub repository: String,
    /// The target's name, such as `plugins/acme.pump/1.2.0.wasm` or `images/acme/fw-2.0.0.img`.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
    /// Its SHA-256.
    pub digest: Digest,
    /// What else is signed.
    pub custom: Custom,
}

impl Target {
    /// Checks a job's own claim against what is signed. What it does not claim is well.
    ///
    /// # Errors
    /// [`TrustError::Disagreement`].
    pub fn agrees(
        &self,
        digest: Option<&Digest>,
        size: Option<u64>,
        version: Option<&str>,
    ) -> Result<(), TrustError> {
        let differs = |what, claimed: String, signed: String| {
            Err(TrustError::Disagreement { target: self.name.clone(), what, claimed, signed })
        };
        if let Some(claimed) = digest {
            match self.digest_by(claimed.algorithm) {
                Some(signed) if signed == claimed => {}
                Some(signed) => return differs("digest", claimed.to_string(), signed.to_string()),
                None => return differs("digest", claimed.to_string(), self.digest.to_string()),
            }
        }
        if let Some(claimed) = size
            && claimed != self.length
        {
            return differs("size", claimed.to_string(), self.length.to_string());
        }
        match (version, &self.custom.version) {
            (Some(claimed), Some(signed)) if claimed != signed => {
                differs("version", claimed.to_owned(), signed.clone())
            }
            _ => Ok(()),
        }
    }

    /// Its digest by an algorithm, where that is signed.
    pub fn digest_by(&self, algorithm: Algorithm) -> Option<&Digest> {
        std::iter::once(&self.digest).chain(&self.custom.digests).find(|digest| digest.algorithm == algorithm)
    }

    /// As any file.
    pub fn file(&self) -> SignedFile {
        SignedFile {
            repository: self.repository.clone(),
            name: self.name.clone(),
            length: self.length,
            digest: self.digest.clone(),
        }
    }
}

/// The file that `tough`'s target describes.
pub(super) fn file(repository: &str, name: &str, target: &schema::Target) -> Result<SignedFile, TrustError> {
    let bytes = <[u8; 32]>::try_from(&*target.hashes.sha256).map_err(|_| TrustError::BadTarget {
        repository: repository.to_owned(),
        target: name.to_owned(),
        reason: target::TargetError::Unreadable("its SHA-256 has not 32 bytes".to_owned()),
    })?;
    Ok(SignedFile {
        repository: repository.to_owned(),
        name: name.to_owned(),
        length: target.length,
        digest: Digest { algorithm: Algorithm::Sha256, bytes },
    })
}

/// The same as one of ours: it fits this device, and its name and `custom` agree.
pub(super) fn ours(
    repository: &str,
    name: &TargetName,
    target: &schema::Target,
    hardware: &[String],
) -> Result<Target, TrustError> {
    let text = name.to_string();
    let bad =
        |reason| TrustError::BadTarget { repository: repository.to_owned(), target: text.clone(), reason };
    let members = target.custom.iter().map(|(member, value)| (member.clone(), value.clone()));
    let custom = Custom::from_members(members).map_err(bad)?;
    target::check(name, &custom).map_err(bad)?;
    if !custom.fits(hardware) {
        let list = |ids: &[String]| if ids.is_empty() { "of no id".to_owned() } else { ids.join(", ") };
        let (wanted, present) = (list(&custom.hardware), list(hardware));
        return Err(TrustError::WrongHardware { target: text, wanted, present });
    }
    let SignedFile { repository, name, length, digest } = file(repository, &text, target)?;
    Ok(Target { repository, name, length, digest, custom })
}

/// Checks bytes against what is signed of them.
pub(super) fn check(file: &SignedFile, further: &[Digest], bytes: &[u8]) -> Result<(), TrustError> {
    for expected in std::iter::once(&file.digest).chain(further) {
        let mut hasher = Hasher::new(expected.algorithm);
        hasher.update(bytes);
        let actual = hasher.finish();
        if actual != *expected {
            let (target, expected) = (file.name.clone(), expected.clone());
            return Err(TrustError::WrongBytes { target, expected, actual });
        }
    }
    Ok(())
}
