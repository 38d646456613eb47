//! The macro that makes a component of a plugin.

/// Makes a component of a [`Plugin`](crate::Plugin). Call it once, at the root of a `cdylib` crate.
///
/// On other targets than WebAssembly it only checks that the type is a plugin, so that the same crate is
/// tested natively.
#[cfg(target_arch = "wasm32")]
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        #[allow(unsafe_code)]
        const _: () = {
            type Component = $crate::Adapter<$plugin>;
    $crate::bindings::export_component!(Component with_types_in $crate::bindings);
        };
    };
}

/// Makes a component of a [`Plugin`](crate::Plugin). Call it once, at the root of a `cdylib` crate.
///
/// On other targets than WebAssembly it only checks that the type is a plugin, so that the same crate is
/// tested natively.
#[cfg(not(target_arch = "wasm32"))]
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        const _: () = {
            const fn is_a_plugin<P: $crate::Plugin>() {}
            is_a_plugin::<$plugin>();
        };
    };
}
