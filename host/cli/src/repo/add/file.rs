//! What a file is, by itself and by the command line: its name in the repository, and the most of `custom`.

use std::{fs::File, io::Read as _};

use hotshoe_core::{
    package,
    target::{Custom, TargetName},
};

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
    let given = [
        ("--name", add.name.is_some()),
        ("--version", add.version.is_some()),
        ("--path", add.path.is_some()),
        ("--sequence", add.sequence.is_some()),
        ("--zstd", add.zstd.is_some()),
        ("--no-outboard", add.no_outboard),
    ];
    if let Some((flag, _)) = given.iter().find(|(_, given)| *given) {
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
        sequence: add.sequence,
        ..Custom::firmware()
    };
    Ok(Facts { name, custom })
}
