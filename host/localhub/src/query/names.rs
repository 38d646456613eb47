//! Names at the root of a row. IoT Hub's own documents write `DeviceId` and `LastActivityTime` as they please, so the
//! hub's names are known in any case; below them (tags, properties) case counts.

use super::syntax::Path;
use crate::show::TWIN;

/// What rows have beside the members of a twin; most of it belongs to jobs.
const OTHERS: [&str; 9] = [
    "deviceScope",
    "parentScopes",
    "jobId",
    "jobType",
    "startTimeUtc",
    "endTimeUtc",
    "createdDateTimeUtc",
    "lastUpdatedDateTimeUtc",
    "outcome",
];

/// The path without the collection's name before it (`devices.jobs.jobId`), its first segment as the hub writes it.
pub(super) fn path(words: &[String]) -> Path {
    let is = |word: Option<&String>, name: &str| word.is_some_and(|word| word.eq_ignore_ascii_case(name));
    let mut rest = words;
    if rest.len() > 1 && is(rest.first(), "devices") {
        rest = rest.get(1..).unwrap_or_default();
        if rest.len() > 1 && (is(rest.first(), "jobs") || is(rest.first(), "modules")) {
            rest = rest.get(1..).unwrap_or_default();
        }
    }
    let mut path = rest.to_vec();
    if let Some(first) = path.first_mut()
        && let Some(known) = TWIN.iter().chain(&OTHERS).find(|known| known.eq_ignore_ascii_case(first))
    {
        *first = (*known).to_owned();
    }
    Path(path)
}
