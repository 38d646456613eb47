//! What a file is, by itself and by the command line: its name in the repository, `custom`, its digests.

use std::{fs::File, io::Read as _, path::Path};

use hotshoe_core::{
    digest::{Algorithm, Digest},
    package,
    target::{Custom, TargetName},
};
use sha2::{Digest as _, Sha256};
use tough::schema::{Hashes, Target};

use crate::{
    args::Add,
    check,
    failure::{Exit, Failure},
};

/// Both kinds of WebAssembly begin so.
const WASM: [u8; 4] = [0, b'a', b's', b'm'];

/// What a target is.
pub(super) struct Facts {
    pub(super) name: TargetName,
    pub(super) custom: Custom,
}

/// Tells a plugin from an image, and what it is called.
pub(super) fn facts(add: &Add) -> Result<Facts, Failure> {
    let shown = add.file.display();
    let mut start = Vec::new();
    let opened = File::open(&add.file).and_then(|file| file.take(4).read_to_end(&mut start));
    opened.map_err(|error| Failure::new(Exit::NoInput, format!("could not read {shown}: {error}")))?;
    if start == WASM { plugin(add) } else { image(add) }
}

fn plugin(add: &Add) -> Result<Facts, Failure> {
    let shown = add.file.display();
    let given = [("--name", &add.name), ("--version", &add.version), ("--path", &add.path)];
    if let Some((flag, _)) = given.iter().find(|(_, value)| value.is_some()) {
        let text = format!("{shown} is a plugin, and {flag} is for images: a plugin says itself what it is");
        return Err(Failure::new(Exit::Usage, text));
    }
    let bytes = check::read(&add.file)?;
    let (manifest, _) = package::read(&bytes).map_err(|error| {
        Failure::new(Exit::Data, format!("{shown} is not a plugin: {error}")).hint("hotshoe build makes one")
    })?;
    let name = TargetName::Plugin { name: manifest.name.clone(), version: manifest.version.clone() };
    let custom = Custom::plugin(&manifest.name, &manifest.version);
    Ok(Facts { name, custom: Custom { hardware: add.hardware.clone(), ..custom } })
}

fn image(add: &Add) -> Result<Facts, Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Usage, error.to_string()).hint("name it with --path images/NAME")
    };
    let path = match &add.path {
        Some(path) => path.clone(),
        None => {
            let name = add.file.file_name().and_then(|name| name.to_str());
            format!("images/{}", name.ok_or_else(|| wrong(&"the file's name is no text"))?)
        }
    };
    let name: TargetName = path.parse().map_err(|error| wrong(&error))?;
    let custom = Custom {
        name: add.name.clone(),
        version: add.version.clone(),
        hardware: add.hardware.clone(),
        ..Custom::firmware()
    };
    Ok(Facts { name, custom })
}

/// Length and SHA-256 as TUF has them, and the BLAKE3 digest, in one reading.
pub(super) fn digests(file: &Path) -> Result<(Target, Digest), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Exit::NoInput, format!("could not read {}: {error}", file.display()))
    };
    let mut opened = File::open(file).map_err(failed)?;
    let (mut sha256, mut blake3, mut length) = (Sha256::new(), blake3::Hasher::new(), 0_u64);
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = opened.read(&mut buffer).map_err(failed)?;
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else { break };
        sha256.update(read);
        blake3.update(read);
        length += count as u64;
    }
    let hashes = Hashes { sha256: sha256.finalize().to_vec().into(), _extra: Default::default() };
    let target = Target { length, hashes, custom: Default::default(), _extra: Default::default() };
    let blake3 = Digest { algorithm: Algorithm::Blake3, bytes: *blake3.finalize().as_bytes() };
    Ok((target, blake3))
}
