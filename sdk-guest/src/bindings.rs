//! What `wit-bindgen` makes of the contract, and nothing else.
//!
//! Generated from the same text that the host binds to. The rest of the crate wraps it; plugins do not see it
//! but through the macro [`export!`](crate::export).

#![allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, clippy::restriction)]

wit_bindgen::generate!({
    path: "../wit",
    world: "plugin",
    pub_export_macro: true,
    default_bindings_module: "hotshoe_guest::bindings",
    export_macro_name: "export_component",
    additional_derives: [PartialEq, Eq],
    additional_derives_ignore: ["artifact", "source", "staging", "job"],
});
