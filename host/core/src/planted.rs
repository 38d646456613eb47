//! Bugs, planted: mistakes that updaters have really made, each behind a switch, to find out what the simulator sees.
//!
//! A simulator that finds nothing has found nothing out until it is known what it would find. Each [`Bug`] stands where
//! a hurried hand would make it; `hotshoe-simulator planted` switches on one after the other and must catch each. The
//! bugs were written apart from what checks for them, by reading the product's promises and breaking one at a time.
//!
//! Without the feature `planted`, which nothing that ships has, [`on`] is the constant `false` and the compiler drops
//! the wrong branch.

#[cfg(feature = "planted")]
use std::sync::atomic::{AtomicUsize, Ordering};

macro_rules! bugs {
    ($($name:ident: $words:literal,)*) => {
        /// A mistake that can be switched on.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Bug {
            $(#[doc = $words] $name,)*
        }

        impl Bug {
            /// All there are.
            pub const ALL: &[Bug] = &[$(Bug::$name),*];

            /// Its name, as in the source.
            pub fn name(self) -> &'static str {
                match self { $(Bug::$name => stringify!($name)),* }
            }

            /// What is wrong with it, in a line.
            pub fn words(self) -> &'static str {
                match self { $(Bug::$name => $words),* }
            }
        }
    };
}

bugs! {
    // State files.
    StateWithoutSync: "a state file is renamed into place before its bytes are synced",
    StateWithoutFolderSync: "a state file's rename is acknowledged without a sync of its folder",
    StateInPlace: "a state file is written over in place",
    StateSyncTriedAgain: "a failed sync of a state file is tried again and believed",
    StateWithoutChecksum: "a state file is believed without its checksum",
    StateRenameFirst: "a state file is renamed first and synced afterwards",
    StateErrorSwallowed: "a state file that could not be written counts as written",
    StateRemovedUnsynced: "a state file's removal is acknowledged without a sync of its folder",
    StateTornIsFatal: "a state file that cannot be read keeps the host from starting",
    // The boot record.
    BootOneCopy: "the boot record is always written to the same copy",
    BootWithoutSync: "the boot record is acknowledged without a sync",
    BootWrittenOnce: "the boot record is written to one copy, and the other one says what was before",
    BootWithoutChecksum: "a boot record is believed without its checksum",
    BootFailureForgotten: "a boot record whose write failed is believed by the next reader",
    BootErrorSwallowed: "a boot record that could not be written counts as written",
    // Which slot boots.
    TriesAfterBoot: "a trial's try is not spent before the boot",
    TrialGoodAtOnce: "a trial is good as soon as it boots",
    ActivateIsConfirm: "arming a slot makes it good without a trial",
    LapsedTrialBootsAgain: "a trial that nobody confirmed boots again",
    ConfirmForgetsGood: "a confirmation clears the trial and leaves the old slot good",
    RevertConfirms: "giving a trial up makes it good",
    RunningWritable: "the running slot may be written",
    FallbackWritable: "the slot that is fallen back to may be written while a trial runs",
    // Slots.
    SealUnread: "a slot is sealed without being read back",
    SealMismatch: "a slot is sealed though its bytes have another digest",
    SealUnsynced: "a slot is sealed before its bytes are synced",
    SealBeforeRecord: "a slot counts as sealed in memory though its record was not written",
    SealBelieved: "what was sealed once is believed ever after",
    ActivateUnsealed: "a slot is armed that is not sealed",
    OldRecordKept: "a slot's old record stands while another image is written over it",
    JournalFirst: "bytes are journalled before they are synced",
    FlushFailureIgnored: "a failed sync of a slot is ignored",
    OtherImageResumed: "what is there of another image counts as part of this one",
    WriteErrorIsSize: "a piece that could not be written is taken for an image that is too large",
    LeaseIgnored: "a staging whose job has let go writes on",
    GroupMixed: "a group is armed though a part of it is of another update",
    // Receiving.
    ChunkUnchecked: "a chunk is written without being verified",
    CopyUnchecked: "a chunk of the running slot is taken without being verified",
    FoundUnchecked: "what stands in the slot after a cut counts without being verified",
    TreeUnchecked: "the hashes of chunks are believed without the signed root",
    AskedFromStart: "what is missing of an image is asked for from its beginning",
    // Jobs.
    ReplyBeforeStore: "a caller is told before the job is on the disk",
    JobStoreOnce: "a job whose record the disk refused goes on without it",
    RestartBeforeStore: "the device is restarted before the job's wish is on the disk",
    CheckpointLost: "a checkpoint is kept in memory alone",
    InterruptedForgotten: "a job that was running when the power went is not taken up",
    EndNotStored: "the end of a job is told and not stored",
    RestartedUnseen: "a restart that happened is taken for one that did not",
    FallBackUnseen: "a job is told that its trial runs though the boot loader fell back",
    ReadyLost: "a job that was accepted and never begun is not taken up",
    TrialLeft: "a job that fails leaves the device on its trial",
    CancelUnstored: "a cancel is taken and not stored",
    // The twin.
    OutboxUnstored: "a report is sent and not stored",
    OutboxForgets: "a report is forgotten when it is sent, not when it is acknowledged",
    OutboxOverwrites: "a report takes the place of the one that waits",
    OutboxLostAtStart: "what was on its way when the power went is not sent again",
}

/// Which bug is switched on: its place in [`Bug::ALL`] and one, or 0 for none.
#[cfg(feature = "planted")]
static PLANTED: AtomicUsize = AtomicUsize::new(0);

/// Whether this bug is switched on.
#[cfg(feature = "planted")]
pub fn on(bug: Bug) -> bool {
    PLANTED.load(Ordering::Relaxed) == bug as usize + 1
}

/// Whether this bug is switched on: never, without the feature `planted`.
#[cfg(not(feature = "planted"))]
pub const fn on(_: Bug) -> bool {
    false
}

/// Switches one bug on, for the whole process, and all others off.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(0, |bug| bug as usize + 1), Ordering::Relaxed);
}
