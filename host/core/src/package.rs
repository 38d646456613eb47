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

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "name = \"acme.pump\"\nversion = \"1.2.3\"\napi = \"hotshoe:plugin@0.1.0\"\n";

    fn section(id: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![id];
        push_size(&mut bytes, body.len());
        bytes.extend_from_slice(body);
        bytes
    }

    /// A component with a nested one (section 4) that has a manifest of its own, and a custom section.
    fn component() -> Vec<u8> {
        let nested = embed(&COMPONENT, "name = \"nested\"");
        let mut bytes = COMPONENT.to_vec();
        bytes.extend(section(4, &nested));
        bytes.extend(section(0, b"\x04nameabc"));
        bytes
    }

    #[test]
    fn a_manifest_goes_in_and_comes_out() {
        let packed = embed(&component(), MANIFEST);
        let (manifest, text) = read(&packed).unwrap();
        assert_eq!(manifest.name.as_str(), "acme.pump");
        assert_eq!(text, MANIFEST);
        assert!(packed.starts_with(&component()));
    }

    #[test]
    fn a_newer_manifest_takes_the_place_of_the_older() {
        let older = embed(&embed(&component(), "old"), "older");
        assert_eq!(embed(&older, MANIFEST), embed(&component(), MANIFEST));
        let mut followed = older.clone();
        followed.extend(section(0, b"\x01x"));
        let (_, text) = read(&embed(&followed, MANIFEST)).unwrap();
        assert_eq!(text, MANIFEST);
    }

    #[test]
    fn a_manifest_within_a_part_does_not_count() {
        assert_eq!(read(&component()), Err(PackageError::NoManifest));
    }

    #[test]
    fn what_is_no_plugin_is_told() {
        assert_eq!(read(b""), Err(PackageError::NotAComponent));
        assert_eq!(read(b"\x7fELF and so on"), Err(PackageError::NotAComponent));
        assert_eq!(read(&CORE_MODULE), Err(PackageError::CoreModule));
        let mut twice = embed(&component(), MANIFEST);
        let again = twice.split_off(component().len());
        twice.extend(again.clone());
        twice.extend(again);
        assert_eq!(read(&twice), Err(PackageError::TwoManifests));
        assert!(matches!(read(&embed(&COMPONENT, "name = 1")), Err(PackageError::Manifest(_))));
        let large = "#".repeat(MANIFEST_LIMIT + 1);
        assert_eq!(read(&embed(&COMPONENT, &large)), Err(PackageError::Unreadable("is larger than 64 KiB")));
        let mut body = b"\x10hotshoe:manifest".to_vec();
        body.push(0xff);
        let mut binary = COMPONENT.to_vec();
        binary.extend(section(0, &body));
        assert_eq!(read(&binary), Err(PackageError::Unreadable("is not UTF-8")));
    }

    #[test]
    fn a_truncated_component_is_damaged_wherever_it_ends() {
        let packed = embed(&component(), MANIFEST);
        for length in 0..packed.len() {
            let error = read(&packed[..length]).unwrap_err();
            let between = [COMPONENT.len(), component().len()].contains(&length)
                || matches!(error, PackageError::Damaged { .. } | PackageError::NotAComponent)
                || error == PackageError::NoManifest;
            assert!(between, "{length}: {error}");
        }
    }

    /// No bytes make it panic, and what was embedded into a whole component always comes out.
    #[test]
    fn arbitrary_bytes_are_safe() {
        let mut state: u64 = 0x2545_F491_4F6C_DD1D;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let whole = embed(&component(), MANIFEST);
        let mut still_read = 0;
        for _ in 0..50_000 {
            let mut bytes = whole.clone();
            for _ in 0..=next() % 3 {
                let place = (next() as usize) % bytes.len();
                bytes[place] = next() as u8;
            }
            bytes.truncate(bytes.len() - (next() as usize) % 4);
            let readable =
                !matches!(read(&bytes), Err(PackageError::Damaged { .. } | PackageError::NotAComponent));
            let again = embed(&bytes, MANIFEST);
            if readable && !matches!(read(&bytes), Err(PackageError::CoreModule)) {
                assert_eq!(read(&again).unwrap().1, MANIFEST);
                still_read += 1;
            }
            let noise: Vec<u8> = (0..next() % 64).map(|_| next() as u8).collect();
            let _ = read(&embed(&noise, MANIFEST));
        }
        assert!(still_read > 1_000, "{still_read}");
    }
}
