//! Files that are given as plugins, as far as the device itself reads them; what compiles them is another process.

use hotshoe_core::{
    imports, manifest,
    package::{self, PackageError},
};

use crate::pieces::text;

const MANIFEST: &str = "name = \"a.b\"\nversion = \"1.0.0\"\napi = \"hotshoe:plugin@0.1.0\"\n";

/// One file.
pub(super) fn run(data: &[u8]) {
    if let Some(text) = text(data) {
        imports::classify(text);
    }
    let before = package::read(data);
    if let Ok((manifest, text)) = &before {
        assert_eq!(*manifest, manifest::parse(text).expect("it was read"));
    }
    // Another manifest takes the place of all that were there, and of nothing else.
    let packed = package::embed(data, MANIFEST);
    match package::read(&packed) {
        Ok((_, text)) => {
            assert_eq!(text, MANIFEST);
            assert_eq!(package::embed(&packed, MANIFEST), packed, "the same once more changes nothing");
        }
        Err(error) => {
            // What has two of them was not read to its end.
            let walked = matches!(
                before,
                Ok(_)
                    | Err(PackageError::NoManifest | PackageError::Unreadable(_) | PackageError::Manifest(_))
            );
            assert!(!walked, "a whole component takes a manifest: {error}");
        }
    }
}
