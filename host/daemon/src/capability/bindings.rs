//! What `wit/` says, as Rust: generated, and nothing else in this file.
//!
//! Every import may wait (the guest runs on a fibre, the executor's thread does not) and may end the call with a
//! trap. The resources are the host's own types, so that a handle of a guest is one of these or nothing.

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "plugin",
    imports: { default: async | trappable },
    exports: { default: async },
    with: {
        "hotshoe:plugin/job.job": crate::capability::job::RunningJob,
        "hotshoe:plugin/download.artifact": crate::artifact::Artifact,
        "hotshoe:plugin/download.source": crate::capability::source::OpenSource,
        "hotshoe:plugin/flash.staging": crate::capability::flash::OpenStaging,
    },
});
