//! What a plugin's imports are connected with: what it was granted, and nothing else.
//!
//! The list of imports is the plugin's request for permission, told function by function: a function that is imported
//! and not granted is refused here, before any of the plugin's code has run. What is granted is linked; what is not,
//! does not exist for the plugin.
//!
//! Of WASI a standard library's needs are linked to an empty world (`capability::wasi`). Language runtimes import
//! more than they use: what is left of `wasi:` names is linked to functions that end the call and name the import.
//! Any other name is refused.

use hotshoe_core::grants::Grants;
use hotshoe_core::imports::{self, Import, granted};
use hotshoe_core::manifest::PluginName;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasData, HasSelf, Linker, ResourceTable, ResourceType, Val};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::cli::WasiCliView;
use wasmtime_wasi::clocks::WasiClocksView;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, bindings as wasi};

use super::LoadError;
use crate::artifact::Artifact;
use crate::capability::bindings::hotshoe::plugin as hotshoe;
use crate::capability::{Context, OpenSource};

const DOWNLOAD: &str = "hotshoe:plugin/download@0.1.1";

/// Makes the linker for a component with these grants; `denied` is what its manifest asks for in vain, in words.
///
/// # Errors
/// A function that is not granted ([`LoadError::Denied`]), or a name that this host does not know.
pub(super) fn link(
    component: &Component,
    plugin: &PluginName,
    grants: &Grants,
    denied: &[String],
) -> Result<Linker<Context>, LoadError> {
    let engine = component.engine();
    let mut linker = Linker::new(engine);
    base(&mut linker, grants).map_err(LoadError::Contract)?;
    let mut denials = Vec::new();
    for (name, import) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(instance) = import.ty else {
            return Err(LoadError::UnknownImport(name.to_owned()));
        };
        let functions = || {
            instance
                .exports(engine)
                .filter(|(_, export)| matches!(export.ty, ComponentItem::ComponentFunc(_)))
        };
        match imports::classify(name) {
            Import::Contract(interface) => match granted(interface, grants) {
                Some(true) => {}
                // Types alone give no rights: `flash` speaks of the artifacts and sources of `download`.
                Some(false) => {
                    let functions = functions().map(|(function, _)| function).collect::<Vec<_>>();
                    if !functions.is_empty() {
                        denials.push(imports::denial(plugin, interface, &functions, denied));
                    }
                }
                None => return Err(LoadError::UnknownImport(name.to_owned())),
            },
            Import::Wasi => {}
            Import::Trap => {
                let plain = name.split('@').next().unwrap_or(name);
                stub(
                    &mut linker,
                    name,
                    plain,
                    instance.exports(engine).map(|(name, export)| (name, export.ty)),
                )
                .map_err(LoadError::Contract)?;
            }
            Import::Unknown => return Err(LoadError::UnknownImport(name.to_owned())),
        }
    }
    if denials.is_empty() { Ok(linker) } else { Err(LoadError::Denied(denials)) }
}

fn base(linker: &mut Linker<Context>, grants: &Grants) -> wasmtime::Result<()> {
    type This = HasSelf<Context>;
    fn this(context: &mut Context) -> &mut Context {
        context
    }
    hotshoe::types::add_to_linker::<_, This>(linker, this)?;
    hotshoe::job::add_to_linker::<_, This>(linker, this)?;
    hotshoe::report::add_to_linker::<_, This>(linker, this)?;
    hotshoe::desired::add_to_linker::<_, This>(linker, this)?;
    hotshoe::log::add_to_linker::<_, This>(linker, this)?;
    hotshoe::device::add_to_linker::<_, This>(linker, this)?;
    if granted("download", grants) == Some(true) {
        hotshoe::download::add_to_linker::<_, This>(linker, this)?;
    } else {
        let nothing_to_drop = |_: wasmtime::StoreContextMut<'_, Context>, _| Ok(());
        let mut types = linker.instance(DOWNLOAD)?;
        types.resource("artifact", ResourceType::host::<Artifact>(), nothing_to_drop)?;
        types.resource("source", ResourceType::host::<OpenSource>(), nothing_to_drop)?;
    }
    if granted("flash", grants) == Some(true) {
        hotshoe::flash::add_to_linker::<_, This>(linker, this)?;
    }
    if granted("storage", grants) == Some(true) {
        hotshoe::storage::add_to_linker::<_, This>(linker, this)?;
    }
    if granted("telemetry", grants) == Some(true) {
        hotshoe::telemetry::add_to_linker::<_, This>(linker, this)?;
    }
    standard_library(linker)
}

fn standard_library(linker: &mut Linker<Context>) -> wasmtime::Result<()> {
    use wasmtime_wasi::cli::WasiCli;
    use wasmtime_wasi::clocks::WasiClocks;
    use wasmtime_wasi::random::WasiRandom;

    wasi::cli::environment::add_to_linker::<_, WasiCli>(linker, Context::cli)?;
    wasi::cli::exit::add_to_linker::<_, WasiCli>(linker, Context::cli)?;
    wasi::cli::stdin::add_to_linker::<_, WasiCli>(linker, Context::cli)?;
    wasi::cli::stdout::add_to_linker::<_, WasiCli>(linker, Context::cli)?;
    wasi::cli::stderr::add_to_linker::<_, WasiCli>(linker, Context::cli)?;
    wasi::cli::terminal_input::add_to_linker::<_, WasiCli>(linker, Context::cli)?;
    wasi::cli::terminal_output::add_to_linker::<_, WasiCli>(linker, Context::cli)?;
    wasi::cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, Context::cli)?;
    wasi::cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, Context::cli)?;
    wasi::cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, Context::cli)?;
    wasi::clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(linker, Context::clocks)?;
    wasi::clocks::wall_clock::add_to_linker::<_, WasiClocks>(linker, Context::clocks)?;
    wasi::random::random::add_to_linker::<_, WasiRandom>(linker, |context| context.ctx().ctx.random())?;
    wasi::random::insecure::add_to_linker::<_, WasiRandom>(linker, |context| context.ctx().ctx.random())?;
    wasi::random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, |context| {
        context.ctx().ctx.random()
    })?;
    wasi::io::error::add_to_linker::<_, Table>(linker, |context| context.ctx().table)?;
    wasi::io::poll::add_to_linker::<_, Table>(linker, |context| context.ctx().table)?;
    wasi::io::streams::add_to_linker::<_, Table>(linker, |context| context.ctx().table)
}

/// The handles of a call, which is all that `wasi:io` stands on.
struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

/// Links an interface that nothing stands behind. A call of it ends the guest's call with a text that names it.
fn stub<'a>(
    linker: &mut Linker<Context>,
    name: &str,
    plain: &str,
    exports: impl Iterator<Item = (&'a str, ComponentItem)>,
) -> wasmtime::Result<()> {
    let mut instance = linker.instance(name)?;
    for (export, item) in exports {
        match item {
            ComponentItem::ComponentFunc(_)
                if (plain, export) == ("wasi:filesystem/preopens", "get-directories") =>
            {
                instance.func_new(export, |_, _, _, results| {
                    if let Some(directories) = results.first_mut() {
                        *directories = Val::List(Vec::new());
                    }
                    Ok(())
                })?;
            }
            ComponentItem::ComponentFunc(_) => {
                let called = format!("{name}#{export}");
                instance.func_new(export, move |_, _, _, _| {
                    wasmtime::bail!("the plugin called {called}, which no plugin may on this device")
                })?;
            }
            ComponentItem::Resource(_) => {
                // What is used from `wasi:io` is the same thing there and here; nobody drops it by this name.
                let kind = match export {
                    "input-stream" => ResourceType::host::<DynInputStream>(),
                    "output-stream" => ResourceType::host::<DynOutputStream>(),
                    "pollable" => ResourceType::host::<DynPollable>(),
                    "error" | "io-error" => ResourceType::host::<wasmtime::Error>(),
                    _ => ResourceType::host::<Nothing>(),
                };
                instance.resource(export, kind, |_, _| Ok(()))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Stands for resources of WASI that no guest ever gets.
struct Nothing;
