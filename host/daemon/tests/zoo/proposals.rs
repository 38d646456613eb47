//! Proposals that are off: what needs one is refused, so that none of the engine's code for it is in reach (A12 and
//! the engine's advisories). One that a later engine switches on by itself shows here.

use super::members::Trial;
use super::wat::Wat;

fn refused(component: &str) -> Trial {
    Trial::refused(Wat::with_component(component).plugin(), "does not compile")
}

macro_rules! proposals {
    ($($name:ident: $component:literal;)*) => {
        $(pub(crate) fn $name() -> Trial { refused($component) })*
    };
}

proposals! {
    shared_memory: "(core module (memory 1 1 shared))";
    atomics: "(core module (memory 1) (func (drop (i32.atomic.load (i32.const 0)))))";
    shared_everything: "(core module (global (shared mut i32) (i32.const 0)))";
    memory64: "(core module (memory i64 1))";
    multi_memory: "(core module (memory 1) (memory 1))";
    relaxed_simd: "(core module (func (param v128 v128 v128) (result v128)
        (f32x4.relaxed_madd (local.get 0) (local.get 1) (local.get 2))))";
    tail_calls: "(core module (func $f (return_call $f)))";
    garbage_collection: "(core module (type (struct (field i32))))";
    typed_references: "(core module (type $t (func)) (func (param (ref $t)) (call_ref $t (local.get 0))))";
    exceptions: "(core module (tag (param i32)))";
    stack_switching: "(core module (type $f (func)) (type (cont $f)))";
    wide_arithmetic: "(core module (func (param i64 i64 i64 i64) (result i64 i64)
        (i64.add128 (local.get 0) (local.get 1) (local.get 2) (local.get 3))))";
    custom_page_sizes: "(core module (memory 1 (pagesize 1)))";
    component_streams: "(type (stream u8))";
    component_futures: "(type (future u8))";
    component_async: "(type (func async (result u32)))";
    component_tasks: "(core func (canon task.return (result u32)))";
    component_threads: "(core func (canon thread.yield))";
    component_backpressure: "(core func (canon backpressure.inc))";
    error_contexts: "(core func (canon error-context.drop))";
    component_values: "(import \"v\" (value string))";
    component_maps: "(type (map string u32))";
    fixed_length_lists: "(type (list u8 4))";
}
