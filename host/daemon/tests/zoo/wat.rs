//! Plugins by hand: a module's text in a component that fits the contract (`plugin.wat`).
//!
//! Made in microseconds, and free to do what no toolchain would: return texts that are none, grow for ever, loop while
//! they are handed their arguments.

use hotshoe_core::package;

const TEMPLATE: &str = include_str!("plugin.wat");

/// Where [`Wat::answering`] puts its answer, and the text of it.
const ANSWER: u32 = 1024;
const TEXT: u32 = 1100;

/// A plugin with one method, `go`, of which a member changes what it is about.
pub(crate) struct Wat {
    /// The module's imports.
    pub(crate) imports: String,
    /// Its memory, exported.
    pub(crate) memory: String,
    /// What `cabi_realloc` does, which places a call's arguments.
    pub(crate) realloc: String,
    /// What `handle` does.
    pub(crate) handle: String,
    /// Anything else of the module.
    pub(crate) fields: String,
    /// What the module is given for its imports.
    pub(crate) with: String,
    /// How `handle` is lifted.
    pub(crate) options: String,
    /// Anything else of the component.
    pub(crate) component: String,
}

impl Default for Wat {
    fn default() -> Wat {
        Wat {
            imports: String::new(),
            memory: "(memory (export \"memory\") 4)".into(),
            realloc: "(global.get $heap)
                (global.set $heap (i32.add (global.get $heap) (i32.and (i32.add (local.get 3) (i32.const 15)) (i32.const -16))))"
                .into(),
            handle: "(unreachable)".into(),
            fields: String::new(),
            with: String::new(),
            options: String::new(),
            component: String::new(),
        }
    }
}

impl Wat {
    /// Whose method does this.
    pub(crate) fn handling(handle: &str) -> Wat {
        Wat { handle: handle.into(), ..Wat::default() }
    }

    /// Whose component has this in it.
    pub(crate) fn with_component(component: &str) -> Wat {
        Wat { component: component.into(), ..Wat::default() }
    }

    /// Whose method answers 200 with a text of this length at this address. [`Wat::text`] is a good one.
    pub(crate) fn answering(address: u32, length: u32) -> Wat {
        let bytes = |number: u32| -> String {
            number.to_le_bytes().iter().map(|byte| format!("\\{byte:02x}")).collect()
        };
        // `ok`, `done`, the status, the text: each at its place.
        let answer = [bytes(0), bytes(0), bytes(200), bytes(address), bytes(length)].concat();
        Wat {
            handle: format!("(i32.const {ANSWER})"),
            fields: format!(
                "(data (i32.const {ANSWER}) \"{answer}\") (data (i32.const {TEXT}) \"null\\ff\\fe\")"
            ),
            ..Wat::default()
        }
    }

    /// Whose method answers `null`.
    pub(crate) fn well() -> Wat {
        Wat::answering(TEXT, 4)
    }

    /// Whose method answers with what is no UTF-8.
    pub(crate) fn not_text() -> Wat {
        Wat::answering(TEXT, 6)
    }

    /// The text of the component.
    fn text(&self) -> String {
        let Wat { imports, memory, realloc, handle, fields, with, options, component } = self;
        let core = format!(
            "{imports} {memory} (global $heap (mut i32) (i32.const 4096))
            (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) {realloc})
            (func (export \"handle\") (param i32 i32 i32 i32 i32 i32) (result i32) {handle})
            (func (export \"run\") (param i32) (result i32) (unreachable))
            (func (export \"adopt\") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (unreachable))
            (func (export \"apply\") (param i64 i32 i32) (result i32) (unreachable))
            {fields}"
        );
        let holes =
            [(";;core;;", &core), (";;with;;", with), (";;options;;", options), (";;component;;", component)];
        holes.into_iter().fold(TEMPLATE.to_owned(), |text, (hole, filling)| {
            assert!(text.contains(hole), "{hole}");
            text.replace(hole, filling)
        })
    }

    /// The component, without a manifest.
    pub(crate) fn bare(&self) -> Vec<u8> {
        let text = self.text();
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The plugin.
    pub(crate) fn plugin(&self) -> Vec<u8> {
        package::embed(&self.bare(), MANIFEST)
    }
}

/// What a plugin by hand says of itself.
pub(crate) const MANIFEST: &str = "name = \"zoo.hand-made\"\nversion = \"1.0.0\"\napi = \"hotshoe:plugin@0.1.1\"\n\
    [[methods]]\nname = \"go\"\ntimeout = \"2s\"\n";
