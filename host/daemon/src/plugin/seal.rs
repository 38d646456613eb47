//! The device's own seal on compiled code: BLAKE3 with a key that never leaves the device.

use ring::rand::{SecureRandom, SystemRandom};

/// How many bytes a seal has.
pub(super) const SEAL: usize = blake3::OUT_LEN;

/// The device's key.
pub struct Key([u8; blake3::KEY_LEN]);

impl Key {
    /// A new key.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn random() -> Result<Key, ring::error::Unspecified> {
        let mut bytes = [0; blake3::KEY_LEN];
        SystemRandom::new().fill(&mut bytes)?;
        Ok(Key(bytes))
    }

    /// The key that was stored; `None` where the bytes are none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Key> {
        bytes.try_into().ok().map(Key)
    }

    /// For storing it.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Seals code as that of a subject.
    pub fn seal(&self, subject: &str, code: &[u8]) -> [u8; SEAL] {
        *self.hash(subject, code).as_bytes()
    }

    /// The code behind a seal, if the seal is that of just this code as that of the subject.
    pub fn open<'a>(&self, subject: &str, sealed: &'a [u8]) -> Option<&'a [u8]> {
        let (seal, code) = sealed.split_at_checked(SEAL)?;
        self.verifies(seal, subject, code).then_some(code)
    }

    /// Whether this is the seal of that code as that of the subject. Takes the same time for any wrong one.
    fn verifies(&self, seal: &[u8], subject: &str, code: &[u8]) -> bool {
        seal.try_into().is_ok_and(|seal: [u8; SEAL]| self.hash(subject, code) == blake3::Hash::from(seal))
    }

    fn hash(&self, subject: &str, code: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        // The length keeps subject and code apart.
        hasher.update(&(subject.len() as u64).to_le_bytes());
        hasher.update(subject.as_bytes());
        hasher.update(code);
        hasher.finalize()
    }
}
