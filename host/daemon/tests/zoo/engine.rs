//! Attacks on the engine: time, memory, tables, the stack, handles, and the passing of values (A1 to A7, A11).

use super::members::{End, Trial};
use super::wat::Wat;

fn called(wat: Wat, end: End) -> Trial {
    Trial::called(wat.plugin(), end)
}

fn refused(wat: Wat, words: &'static str) -> Trial {
    Trial::refused(wat.plugin(), words)
}

const FOR_EVER: &str = "(loop $again (br $again)) (unreachable)";

pub(crate) fn answers_well() -> Trial {
    called(Wat::well(), End::Answers(serde_json::Value::is_null))
}

// A1: time.

pub(crate) fn spins_in_a_call() -> Trial {
    called(Wat::handling(FOR_EVER), End::TimedOut)
}

pub(crate) fn spins_while_it_is_given_arguments() -> Trial {
    called(Wat { realloc: FOR_EVER.into(), ..Wat::default() }, End::TimedOut)
}

pub(crate) fn spins_after_it_has_answered() -> Trial {
    let mut wat = Wat::well();
    wat.options = "(post-return (core func $main \"after\"))".into();
    wat.fields.push_str("(func (export \"after\") (param i32) (loop $again (br $again)))");
    called(wat, End::TimedOut)
}

pub(crate) fn calls_itself_without_a_loop() -> Trial {
    let mut wat = Wat::handling("(call $two (i32.const 40)) (unreachable)");
    wat.fields = "(func $two (param i32) (if (local.get 0) (then
        (call $two (i32.sub (local.get 0) (i32.const 1)))
        (call $two (i32.sub (local.get 0) (i32.const 1))))))"
        .into();
    called(wat, End::TimedOut)
}

pub(crate) fn fills_memory_for_ever() -> Trial {
    let mut wat = Wat::handling(
        "(loop $again (memory.fill (i32.const 0) (i32.const 7) (i32.const 16777216)) (br $again)) (unreachable)",
    );
    wat.memory = "(memory (export \"memory\") 256)".into();
    called(wat, End::TimedOut)
}

// A2: time before the first call.

pub(crate) fn spins_when_it_starts() -> Trial {
    let fields = "(func $start (loop $again (br $again))) (start $start)".into();
    refused(Wat { fields, ..Wat::default() }, "ran out of time")
}

pub(crate) fn traps_when_it_starts() -> Trial {
    refused(
        Wat { fields: "(func $start (unreachable)) (start $start)".into(), ..Wat::default() },
        "unreachable",
    )
}

pub(crate) fn spins_in_a_part_of_it() -> Trial {
    let part = "(core module $part (func $start (loop $again (br $again))) (start $start)) (core instance (instantiate $part))";
    refused(Wat::with_component(part), "ran out of time")
}

// A3: memory.

pub(crate) fn grows_for_ever() -> Trial {
    // Ends where the host says no, which is a number to it and no trap.
    let grow =
        "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)";
    called(Wat::handling(grow), End::Trapped("unreachable"))
}

pub(crate) fn begins_with_four_gigabytes() -> Trial {
    refused(Wat { memory: "(memory (export \"memory\") 65536)".into(), ..Wat::default() }, "memory")
}

pub(crate) fn begins_with_more_than_it_may() -> Trial {
    // 40 MiB, where the manifest says 32 MiB by default.
    refused(Wat { memory: "(memory (export \"memory\") 640)".into(), ..Wat::default() }, "memory")
}

pub(crate) fn two_memories_are_more_than_one_may_be() -> Trial {
    let mut wat = Wat::with_component("(core module $part (memory 300)) (core instance (instantiate $part))");
    wat.memory = "(memory (export \"memory\") 300)".into();
    refused(wat, "memory")
}

pub(crate) fn two_memories_grow_in_turn() -> Trial {
    let mut wat = Wat::handling(
        "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
        (if (i32.ne (call $other (i32.const 16)) (i32.const -1)) (then (return (i32.const 0))))
        (unreachable)",
    );
    wat.component = "(core module $part (memory 1)
        (func (export \"grow\") (param i32) (result i32) (memory.grow (local.get 0))))
        (core instance $part (instantiate $part))"
        .into();
    wat.imports = "(import \"part\" \"grow\" (func $other (param i32) (result i32)))".into();
    wat.with = "(with \"part\" (instance $part))".into();
    called(wat, End::Trapped("unreachable"))
}

pub(crate) fn three_memories() -> Trial {
    let part = "(core module $part (memory 1)) (core instance (instantiate $part)) (core instance (instantiate $part))";
    refused(Wat::with_component(part), "memor")
}

// A4: tables and instances.

pub(crate) fn a_table_of_a_billion() -> Trial {
    refused(Wat { fields: "(table 1000000000 funcref)".into(), ..Wat::default() }, "table")
}

pub(crate) fn a_table_grows_for_ever() -> Trial {
    let mut wat = Wat::handling(
        "(loop $again (br_if $again (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) (unreachable)",
    );
    wat.fields = "(table $t 1 funcref)".into();
    called(wat, End::Trapped("unreachable"))
}

pub(crate) fn tables_are_more_together_than_one_may_be() -> Trial {
    refused(Wat { fields: "(table 15000 funcref) (table 15000 funcref)".into(), ..Wat::default() }, "table")
}

pub(crate) fn five_tables_in_a_module() -> Trial {
    refused(Wat { fields: "(table 1 funcref)".repeat(5), ..Wat::default() }, "table")
}

pub(crate) fn seventeen_tables() -> Trial {
    let part = format!("(core module $part {}) ", "(table 1 funcref)".repeat(4));
    refused(Wat::with_component(&(part + &"(core instance (instantiate $part)) ".repeat(5))), "table")
}

pub(crate) fn forty_one_instances() -> Trial {
    let part = "(core module $part (global i32 (i32.const 1))) ".to_owned();
    refused(Wat::with_component(&(part + &"(core instance (instantiate $part)) ".repeat(41))), "instance")
}

// A5: the stack.

pub(crate) fn recurses_for_ever() -> Trial {
    let mut wat = Wat::handling("(call $deeper) (unreachable)");
    wat.fields = "(func $deeper (call $deeper) (call $deeper))".into();
    called(wat, End::Trapped("stack"))
}

pub(crate) fn recurses_with_large_frames() -> Trial {
    let mut wat = Wat::handling("(drop (call $deeper (i64.const 1))) (unreachable)");
    let locals = "(local i64)".repeat(2000);
    let sets: String =
        (1..2000).map(|n| format!("(local.set {n} (i64.add (local.get {}) (local.get 0)))", n - 1)).collect();
    let sum = (1..2000).fold("(local.get 0)".to_owned(), |sum, n| {
        if n % 20 == 0 { format!("(i64.add {sum} (local.get {n}))") } else { sum }
    });
    wat.fields = format!(
        "(func $deeper (param i64) (result i64) {locals} {sets} (i64.add (call $deeper (local.get 1999)) {sum}))"
    );
    called(wat, End::Trapped("stack"))
}

pub(crate) fn recurses_through_a_table() -> Trial {
    let mut wat = Wat::handling("(call $deeper) (unreachable)");
    wat.fields = "(table 1 funcref) (elem (i32.const 0) $deeper) (type $plain (func))
        (func $deeper (call_indirect (type $plain) (i32.const 0)) (call_indirect (type $plain) (i32.const 0)))"
        .into();
    called(wat, End::Trapped("stack"))
}

// A6, B11: handles.

pub(crate) fn makes_handles_for_ever() -> Trial {
    let mut wat = Wat::handling("(loop $again (drop (call $new (i32.const 1))) (br $again)) (unreachable)");
    wat.component = "(type $own (resource (rep i32))) (core func $new (canon resource.new $own))
        (core instance $handles (export \"new\" (func $new)))"
        .into();
    wat.imports = "(import \"handles\" \"new\" (func $new (param i32) (result i32)))".into();
    wat.with = "(with \"handles\" (instance $handles))".into();
    called(wat, End::Trapped("handle"))
}

pub(crate) fn drops_a_job_that_it_was_never_lent() -> Trial {
    let mut wat = Wat::handling("(call $drop (i32.const 1)) (unreachable)");
    wat.component = "(alias export $job-interface \"job\" (type $foreign))
        (core func $drop (canon resource.drop $foreign)) (core instance $handles (export \"drop\" (func $drop)))"
        .into();
    wat.imports = "(import \"handles\" \"drop\" (func $drop (param i32)))".into();
    wat.with = "(with \"handles\" (instance $handles))".into();
    called(wat, End::Trapped("handle"))
}

// A7: values.

pub(crate) fn answers_from_outside_of_its_memory() -> Trial {
    called(Wat::answering(200_000, 100_000), End::Trapped("out of bounds"))
}

pub(crate) fn answers_with_the_longest_text() -> Trial {
    called(Wat::answering(16, u32::MAX), End::Trapped(""))
}

pub(crate) fn answers_with_no_text() -> Trial {
    called(Wat::not_text(), End::Trapped("utf-8"))
}

pub(crate) fn answers_with_twenty_megabytes() -> Trial {
    let mut wat = Wat::answering(65536, 20 << 20);
    wat.memory = "(memory (export \"memory\") 400)".into();
    called(wat, End::Trapped("fuel"))
}

pub(crate) fn answers_at_an_odd_address() -> Trial {
    called(Wat::handling("(i32.const 1025)"), End::Trapped("aligned"))
}

pub(crate) fn answers_with_a_case_that_is_none() -> Trial {
    let mut wat = Wat::handling("(i32.const 1024)");
    wat.fields = "(data (i32.const 1024) \"\\07\")".into();
    called(wat, End::Trapped("discriminant"))
}

pub(crate) fn has_its_arguments_put_outside_of_its_memory() -> Trial {
    called(Wat { realloc: "(i32.const -16)".into(), ..Wat::default() }, End::Trapped("beyond end of memory"))
}

pub(crate) fn grows_while_it_is_given_arguments() -> Trial {
    let realloc = "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (i32.const 2147483647)";
    called(Wat { realloc: realloc.into(), ..Wat::default() }, End::Trapped("beyond end of memory"))
}
