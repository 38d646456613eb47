//! The table of the zoo: each hostile plugin, the attack that it is, and the function that makes it and says how it must
//! end. One without the other is a compile error.

use serde_json::Value;

use super::{abuses, engine, proposals, shapes};

/// How a member must end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// It is not let in, for a reason with this in it.
    Refused(&'static str),
    /// It is stopped when its time is up.
    TimedOut,
    /// Its call ends with a failure of the plugin, with this in the text.
    Trapped(&'static str),
    /// It answers, and the answer is right: it tells what the host said.
    Answers(fn(&Value) -> bool),
    /// Any of these: what counts is what is around it.
    Whatever,
}

/// A member on trial.
pub(crate) struct Trial {
    /// Its file.
    pub(crate) plugin: Vec<u8>,
    /// The method that is called once it is let in, and with what.
    pub(crate) method: &'static str,
    pub(crate) payload: Value,
    pub(crate) end: End,
    /// What the plugin's log must say of it, each.
    pub(crate) log: &'static [&'static str],
}

impl Trial {
    /// One that is let in and called.
    pub(crate) fn called(plugin: Vec<u8>, end: End) -> Trial {
        Trial { plugin, method: "go", payload: Value::Null, end, log: &[] }
    }

    /// One that is not.
    pub(crate) fn refused(plugin: Vec<u8>, words: &'static str) -> Trial {
        Trial::called(plugin, End::Refused(words))
    }
}

macro_rules! zoo {
    ($($attack:literal: $($name:ident = $make:expr, $words:literal;)*)*) => {
        /// A hostile plugin.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum Member {
            $($(#[doc = $words] $name,)*)*
        }

        impl Member {
            /// All there are.
            pub(crate) const ALL: &[Member] = &[$($(Member::$name,)*)*];

            /// The attack of the catalogue.
            pub(crate) fn attack(self) -> &'static str {
                match self { $($(Member::$name => $attack,)*)* }
            }

            /// What it does, in a line.
            pub(crate) fn words(self) -> &'static str {
                match self { $($(Member::$name => $words,)*)* }
            }

            /// The member itself, and how it must end.
            pub(crate) fn trial(self) -> Trial {
                match self { $($(Member::$name => $make,)*)* }
            }
        }
    };
}

zoo! {
    "none":
        AnswersWell = engine::answers_well(), "does nothing wrong: the others differ from it in one thing";
    "A1":
        AsksForEver = abuses::asks_for_ever(), "asks the host for the time for ever";
        SpinsInACall = engine::spins_in_a_call(), "loops for ever in a call";
        SpinsWhileGivenArguments = engine::spins_while_it_is_given_arguments(), "loops where the host places the arguments";
        SpinsAfterItsAnswer = engine::spins_after_it_has_answered(), "loops after its answer, where the host lets it clean up";
        CallsWithoutLoop = engine::calls_itself_without_a_loop(), "calls itself a trillion times without a loop";
        FillsMemory = engine::fills_memory_for_ever(), "fills its memory again and again, in single instructions";
    "A2":
        SpinsAtStart = engine::spins_when_it_starts(), "loops for ever when it is instantiated";
        TrapsAtStart = engine::traps_when_it_starts(), "traps when it is instantiated";
        SpinsInAPart = engine::spins_in_a_part_of_it(), "loops when a module within is instantiated";
    "A3":
        Hoards = abuses::hoards(), "takes memory for ever, by a language's own means";
        Grows = engine::grows_for_ever(), "grows its memory until it may not";
        FourGigabytes = engine::begins_with_four_gigabytes(), "begins with 4 GiB of memory";
        MoreThanItMay = engine::begins_with_more_than_it_may(), "begins with more memory than its manifest says";
        TwoMemories = engine::two_memories_are_more_than_one_may_be(), "begins with two memories, together over the limit";
        TwoGrowInTurn = engine::two_memories_grow_in_turn(), "grows two memories, together over the limit";
        ThreeMemories = engine::three_memories(), "has three memories";
        GrowsWhileGivenArguments = engine::grows_while_it_is_given_arguments(), "grows where the host places the arguments";
    "A4":
        TableOfABillion = engine::a_table_of_a_billion(), "begins with a table of a billion";
        TableGrows = engine::a_table_grows_for_ever(), "grows a table until it may not";
        TablesTogether = engine::tables_are_more_together_than_one_may_be(), "has two tables, together over the limit";
        FiveTables = engine::five_tables_in_a_module(), "has five tables in a module";
        SeventeenTables = engine::seventeen_tables(), "has more tables than a plugin may";
        FortyOneInstances = engine::forty_one_instances(), "has more core instances than a plugin may";
    "A5":
        Recurses = engine::recurses_for_ever(), "calls itself for ever";
        RecursesWithLargeFrames = engine::recurses_with_large_frames(), "calls itself with frames larger than a guard page";
        RecursesThroughATable = engine::recurses_through_a_table(), "calls itself through a table";
    "A6":
        HoldsStagings = abuses::holds_stagings(), "opens the same slot 300 times and keeps the handles";
        MakesHandles = engine::makes_handles_for_ever(), "makes handles of its own for ever";
    "A7":
        HandsOverMuch = abuses::hands_over_much(), "hands the host 2 MB at once";
        AnswersNoJson = abuses::answers_no_json(), "answers with a text that is no JSON";
        AnswersDeeply = abuses::answers_deeply(), "answers with 100,000 brackets";
        AnswersAtLength = abuses::answers_at_length(), "answers with more than an answer may have";
        AnnouncesNoKind = abuses::announces_no_kind(), "announces a job whose kind is a path";
        AnnouncesMuch = abuses::announces_much(), "announces a job with more input than a job may have";
        PanicsAtLength = abuses::panics_at_length(), "panics with 4 MB of text";
        Exits = abuses::exits(), "exits";
        AnswersFromOutside = engine::answers_from_outside_of_its_memory(), "answers with a text that lies outside of its memory";
        AnswersLongest = engine::answers_with_the_longest_text(), "answers with a text of 4 GiB";
        AnswersNoText = engine::answers_with_no_text(), "answers with bytes that are no UTF-8";
        AnswersTwentyMegabytes = engine::answers_with_twenty_megabytes(), "answers with 20 MiB";
        AnswersOddly = engine::answers_at_an_odd_address(), "answers at an address that is not aligned";
        AnswersNoCase = engine::answers_with_a_case_that_is_none(), "answers with a case that does not exist";
        ArgumentsOutside = engine::has_its_arguments_put_outside_of_its_memory(), "has its arguments placed outside of its memory";
    "A9":
        FunctionsWithoutEnd = shapes::functions_without_end(), "has a million statements to compile";
        NoRegisters = shapes::a_function_that_cannot_be_kept_in_registers(), "has a function that no compiler allocates registers for";
        BlocksInBlocks = shapes::blocks_in_blocks(), "nests 400,000 blocks";
        TypesInTypes = shapes::types_in_types(), "nests types that double at each level";
        ComponentsInComponents = shapes::components_in_components(), "nests 2,000 components";
        FileWithoutEnd = shapes::a_file_without_end(), "is a file of 25 MiB";
    "A10":
        Nothing = shapes::nothing(), "is an empty file";
        Module = shapes::a_module(), "is a module and no component";
        Half = shapes::half_of_a_file(), "breaks off in the middle";
        LyingSection = shapes::a_section_that_lies_about_its_size(), "has a section that says it has 4 GiB";
        TwoManifests = shapes::two_manifests(), "has two manifests";
        ManifestInAPart = shapes::a_manifest_in_a_part(), "has its manifest in a component within";
        ManifestWithoutEnd = shapes::a_manifest_without_end(), "has a manifest of 70 KiB";
        DeepManifest = shapes::a_manifest_of_tables_in_tables(), "has a manifest of 20,000 nested lists";
        OtherBytes0 = shapes::a_byte_that_is_another(11), "has a bit flipped in its types";
        OtherBytes1 = shapes::a_byte_that_is_another(22), "has a bit flipped elsewhere";
        OtherBytes2 = shapes::a_byte_that_is_another(35), "has another bit flipped";
        OtherBytes3 = shapes::a_byte_that_is_another(48), "has yet another bit flipped";
        ExportsNothing = shapes::exports_nothing(), "exports nothing";
        ImportsOfAnotherShape = shapes::imports_of_another_shape(), "imports a function of the host with other types";
    "A12":
        ReadsClocks = abuses::reads_clocks(), "looks for the finest step of each clock";
        SharedMemory = proposals::shared_memory(), "shares memory, to build a clock of it";
        Atomics = proposals::atomics(), "uses atomics";
        SharedEverything = proposals::shared_everything(), "shares globals between threads";
        ComponentThreads = proposals::component_threads(), "asks for threads of the component model";
    "proposals":
        Memory64 = proposals::memory64(), "has a memory of 64 bits";
        MultiMemory = proposals::multi_memory(), "has two memories in a module";
        RelaxedSimd = proposals::relaxed_simd(), "computes what differs between processors";
        TailCalls = proposals::tail_calls(), "calls without a frame";
        GarbageCollection = proposals::garbage_collection(), "asks for garbage collection";
        TypedReferences = proposals::typed_references(), "calls through typed references";
        Exceptions = proposals::exceptions(), "throws";
        StackSwitching = proposals::stack_switching(), "switches stacks";
        WideArithmetic = proposals::wide_arithmetic(), "computes with 128 bits";
        CustomPageSizes = proposals::custom_page_sizes(), "has pages of a byte";
        ComponentStreams = proposals::component_streams(), "asks for streams of the component model";
        ComponentFutures = proposals::component_futures(), "asks for futures of the component model";
        ComponentAsync = proposals::component_async(), "has an async function";
        ComponentTasks = proposals::component_tasks(), "returns from a task";
        ComponentBackpressure = proposals::component_backpressure(), "holds calls back by itself";
        ErrorContexts = proposals::error_contexts(), "handles contexts of errors";
        ComponentValues = proposals::component_values(), "imports a value";
        ComponentMaps = proposals::component_maps(), "has a map";
        FixedLengthLists = proposals::fixed_length_lists(), "has a list of fixed length";
    "B5":
        KeysThatArePaths = abuses::keys_that_are_paths(), "stores under paths";
        LooksOutside = abuses::looks_outside(), "looks for files, variables and arguments";
        SlotsThatArePaths = abuses::slots_that_are_paths(), "writes slots that are paths";
        NameThatIsAPath = shapes::a_name_that_is_a_path(), "is named after a path";
    "B9":
        ReportsForOthers = abuses::reports_for_others(), "reports in the name of others and of the host";
        SpeaksAsTheHost = abuses::speaks_as_the_host(), "sends with properties that are the host's";
        HostsProperties = shapes::a_manifest_that_claims_the_hosts_properties(), "claims the host's reported properties";
    "B11":
        ForgesAHandle = abuses::forges_a_handle(), "uses a job that it was never lent";
        ForeignJob = engine::drops_a_job_that_it_was_never_lent(), "drops a job that it was never lent";
    "B14":
        Executable = shapes::an_executable(), "is native code";
    "B16":
        NotGranted = shapes::imports_that_it_was_not_granted(), "imports what its manifest does not ask for";
        UnknownImport = shapes::imports_that_no_host_has(), "imports what no host has";
    "B17":
        HostsMethods = shapes::a_manifest_that_claims_the_hosts_methods(), "claims a method of the host";
    "B1":
        Sleeps = abuses::sleeps(), "sleeps for an hour";
        WaitsForTheHub = abuses::waits_for_the_hub(), "waits for the hub for an hour";
    "B3":
        FloodsTheLog = abuses::floods_the_log(), "writes lines as fast as it can";
        ForgesLines = abuses::forges_lines(), "writes what looks like a line of another, and clears the screen";
        LongLine = abuses::writes_a_long_line(), "writes a line of 900 kB";
        EmptyFields = abuses::writes_empty_fields(), "writes a line with 15,000 empty fields";
        Prints = abuses::prints(), "prints lines, and a megabyte without an end";
    "B4":
        FillsItsStore = abuses::fills_its_store(), "stores more than it was granted";
        HasManyKeys = abuses::has_many_keys(), "stores nothing under many keys, each a file";
        WritesForEver = abuses::writes_for_ever(), "writes the same value again and again, to wear the flash";
        SavesForEver = abuses::saves_for_ever(), "saves checkpoints, and one that is too large";
        ReportsForEver = abuses::reports_for_ever(), "reports the same again and again";
        FillsTheTwin = abuses::fills_the_twin(), "reports all that a twin takes";
        NoPatch = abuses::reports_what_is_no_patch(), "reports what is no patch, half a million brackets deep";
        FillsTheQueue = abuses::fills_the_queue(), "sends 300 messages at once";
        WearsFlashOut = abuses::wears_flash_out(), "writes a slot again and again, in a job that may";
        DownloadsForEver = abuses::downloads_for_ever(), "downloads one file after another from where it may";
        SendsTooMuch = abuses::sends_too_much(), "sends messages that are too large, and with too many properties";
    "B6":
        FetchesFromAnywhere = abuses::fetches_from_anywhere(), "fetches from inside of the network, in all spellings";
        Connects = abuses::connects(), "opens a connection by itself";
    "B10":
        NoJob = abuses::writes_slots_without_a_job(), "writes and arms slots without a job";
        RunningSlot = abuses::writes_the_running_slot(), "writes the slot that runs";
    "B13":
        Unvouched = abuses::boots_what_nobody_vouches_for(), "writes too much, seals what is something else, arms it";
}
