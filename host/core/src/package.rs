//! One file, one plugin: the manifest inside the component.
//!
//! `plugin.toml` stands in a custom section of the *outermost* component. What stands in a nested component or module
//! does not count: a plugin may be made of parts with manifests of their own. Only the frame of a binary is read here
//! (section, size, bytes), with bounds checked at every step, so that any bytes at all are safe to give; whether the
//! component is valid is for the compiler to say.

use wasmparser::BinaryReader;

use crate::manifest::{self, Manifest, ManifestError};

/// The name of the custom section.
pub const SECTION: &str = "hotshoe:manifest";

/// The largest manifest in bytes.
pub const MANIFEST_LIMIT: usize = 64 * 1024;

/// `\0asm`, version 13, layer 1: a component. A core module has version 1, layer 0.
const COMPONENT: [u8; 8] = [0, b'a', b's', b'm', 0x0d, 0, 1, 0];
const CORE_MODULE: [u8; 8] = [0, b'a', b's', b'm', 1, 0, 0, 0];

/// Why a file is not a plugin.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PackageError {
    /// It is a core module.
    #[error("this is a core WebAssembly module, not a component: build it for the target `wasm32-wasip2`")]
    CoreModule,
    /// It is something else.
    #[error("this is not a WebAssembly component")]
    NotAComponent,
    /// It breaks off or lies about a size.
    #[error("the component is damaged at byte {offset}: {reason}")]
    Damaged {
        /// Where.
        offset: usize,
        /// How.
        reason: String,
    },
    /// It holds no manifest.
    #[error("the component holds no manifest: embed `plugin.toml` as the custom section `{SECTION}`")]
    NoManifest,
    /// It holds more than one, and they could say different things.
    #[error("the component holds more than one manifest")]
    TwoManifests,
    /// The manifest is too large or not a text.
    #[error("the manifest in the component {0}")]
    Unreadable(&'static str),
    /// The manifest was refused.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// Puts a manifest into a component, in place of an older one. Does not check either: [`read`] does.
///
/// Bytes that are not a component come back with a section behind them, which [`read`] refuses.
pub fn embed(component: &[u8], manifest_toml: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(component.len() + manifest_toml.len() + SECTION.len() + 16);
    let mut copied = 0;
    for section in Sections::of(component).map_while(Result::ok).filter(Section::is_manifest) {
        bytes.extend_from_slice(component.get(copied..section.start).unwrap_or_default());
        copied = section.end;
    }
    bytes.extend_from_slice(component.get(copied..).unwrap_or_default());
    let mut body = Vec::with_capacity(manifest_toml.len() + SECTION.len() + 1);
    push_size(&mut body, SECTION.len());
    body.extend_from_slice(SECTION.as_bytes());
    body.extend_from_slice(manifest_toml.as_bytes());
    bytes.push(0);
    push_size(&mut bytes, body.len());
    bytes.extend_from_slice(&body);
    bytes
}

/// Reads the manifest of a component: checked, and as the text it was written as.
pub fn read(component: &[u8]) -> Result<(Manifest, String), PackageError> {
    match component.get(..8) {
        Some(header) if header == COMPONENT => {}
        Some(header) if header == CORE_MODULE => return Err(PackageError::CoreModule),
        _ => return Err(PackageError::NotAComponent),
    }
    let mut found = None;
    for section in Sections::of(component) {
        let section = section?;
        if section.is_manifest() && found.replace(section.data).is_some() {
            return Err(PackageError::TwoManifests);
        }
    }
    let bytes = found.ok_or(PackageError::NoManifest)?;
    if bytes.len() > MANIFEST_LIMIT {
        return Err(PackageError::Unreadable("is larger than 64 KiB"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| PackageError::Unreadable("is not UTF-8"))?;
    Ok((manifest::parse(text)?, text.to_owned()))
}

/// One section of the outermost component.
struct Section<'a> {
    /// Where it begins, its id included.
    start: usize,
    /// Where the next one begins.
    end: usize,
    /// A custom section's name.
    name: Option<&'a str>,
    /// What stands behind the name.
    data: &'a [u8],
}

impl Section<'_> {
    fn is_manifest(&self) -> bool {
        self.name == Some(SECTION)
    }
}

/// Walks the sections; ends with the first error.
struct Sections<'a> {
    reader: BinaryReader<'a>,
    damaged: bool,
}

impl<'a> Sections<'a> {
    fn of(component: &'a [u8]) -> Self {
        let mut reader = BinaryReader::new(component, 0);
        let header = reader.read_bytes(COMPONENT.len());
        Sections { damaged: !matches!(header, Ok(header) if header == COMPONENT), reader }
    }

    fn section(&mut self) -> wasmparser::Result<Section<'a>> {
        let start = self.reader.original_position();
        let id = self.reader.read_u8()?;
        let size = self.reader.read_var_u32()?;
        let body_start = self.reader.original_position();
        let body = self.reader.read_bytes(usize::try_from(size).unwrap_or(usize::MAX))?;
        let end = self.reader.original_position();
        if id != 0 {
            return Ok(Section { start, end, name: None, data: body });
        }
        let mut inner = BinaryReader::new(body, body_start);
        let name = inner.read_string()?;
        let data = body.get(inner.current_position()..).unwrap_or_default();
        Ok(Section { start, end, name: Some(name), data })
    }
}

impl<'a> Iterator for Sections<'a> {
    type Item = Result<Section<'a>, PackageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.damaged || self.reader.eof() {
            return None;
        }
        let section = self.section().map_err(|error| {
            self.damaged = true;
            PackageError::Damaged { offset: error.offset(), reason: error.message().to_owned() }
        });
        Some(section)
    }
}

/// Unsigned LEB128, as the binary format has it.
fn push_size(bytes: &mut Vec<u8>, mut size: usize) {
    loop {
        let low = u8::try_from(size & 0x7f).unwrap_or_default();
        size >>= 7;
        if size == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}
