//! What an answer means for the bytes that are there already. Pure: a table of headers in, a decision out.

use std::time::Duration;

use reqwest::{
    StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED, RETRY_AFTER},
};

use crate::artifact::{Origin, Validator};

/// What to do with an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// The body is the file from its first byte.
    Whole(Origin),
    /// The body goes on where the bytes end.
    Rest(Origin),
    /// The answer does not go with the bytes that are there: throw them away and ask again for the whole.
    StartOver(&'static str),
    /// The file that was asked about is unchanged.
    Unchanged,
    /// Give up now, or try again later.
    Refused {
        /// Whether a later try may help: 408, 429, 5xx.
        retry: bool,
        /// How long the server wants to be left alone.
        after: Option<Duration>,
    },
}

/// Decides on an answer to a request for `url` from byte `position` on, where `known` is what the bytes belong to.
pub fn decide(
    url: &str,
    position: u64,
    known: Option<&Origin>,
    status: StatusCode,
    headers: &HeaderMap,
) -> Decision {
    let length = number(headers, CONTENT_LENGTH);
    let origin = |total| Origin { url: url.to_owned(), validator: validator(headers), total };
    match status {
        StatusCode::OK => Decision::Whole(origin(length)),
        StatusCode::NOT_MODIFIED => Decision::Unchanged,
        StatusCode::PARTIAL_CONTENT if position == 0 => match content_range(headers) {
            // Nobody asked for a range, but if it is the whole it is the whole.
            Some((0, last, Some(total))) if last.saturating_add(1) == total => {
                Decision::Whole(origin(Some(total)))
            }
            _ => Decision::Refused { retry: true, after: None },
        },
        StatusCode::PARTIAL_CONTENT => match content_range(headers) {
            Some((first, last, total)) => rest(position, known, (first, last, total), origin(total), length),
            None => Decision::StartOver("the range in the answer is missing or unreadable"),
        },
        StatusCode::RANGE_NOT_SATISFIABLE if position > 0 => {
            Decision::StartOver("the server has no bytes where ours end")
        }
        other => {
            let retry = other.is_server_error()
                || matches!(other, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
            let after = number(headers, RETRY_AFTER).map(Duration::from_secs);
            Decision::Refused { retry, after }
        }
    }
}

fn rest(
    position: u64,
    known: Option<&Origin>,
    (first, last, total): (u64, u64, Option<u64>),
    origin: Origin,
    length: Option<u64>,
) -> Decision {
    let Some(known) = known else {
        return Decision::StartOver("nothing is known of the bytes that are there");
    };
    if first != position {
        return Decision::StartOver("the range in the answer begins elsewhere");
    }
    if length.is_some_and(|length| length != last.saturating_sub(first).saturating_add(1)) {
        return Decision::StartOver("the range in the answer and its length differ");
    }
    if total.is_some_and(|total| last.saturating_add(1) > total) {
        return Decision::StartOver("the range in the answer goes beyond the end");
    }
    if matches!((known.total, total), (Some(was), Some(is)) if was != is) {
        return Decision::StartOver("the file has another size than before");
    }
    if origin.validator.is_some() && origin.validator != known.validator {
        return Decision::StartOver("the file is another version than before");
    }
    let total = total.or(known.total);
    let validator = origin.validator.or_else(|| known.validator.clone());
    Decision::Rest(Origin { validator, total, ..origin })
}

/// A strong entity tag, else a date that is old enough to be one (RFC 9110, 8.8.2.2), else nothing.
pub fn validator(headers: &HeaderMap) -> Option<Validator> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(tag) = text(ETAG).filter(|tag| tag.starts_with('"') && tag.len() >= 2 && tag.ends_with('"')) {
        return Some(Validator::Etag(tag.to_owned()));
    }
    let modified = text(LAST_MODIFIED)?;
    // Changed in the very second it was served: it could change once more in that second.
    (text(DATE) != Some(modified)).then(|| Validator::LastModified(modified.to_owned()))
}

/// `bytes first-last/total`, total `*` being unknown.
pub fn content_range(headers: &HeaderMap) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) =
        headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    (first <= last).then_some((first, last, total))
}

pub(crate) fn number(headers: &HeaderMap, name: HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://images.example.com/a.img";

    fn ask(position: u64, known: Option<&Origin>, status: u16, headers: &[(&'static str, &str)]) -> Decision {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        decide(URL, position, known, StatusCode::from_u16(status).unwrap(), &headers)
    }

    fn origin(tag: &str, total: u64) -> Origin {
        Origin { url: URL.into(), validator: Some(Validator::Etag(tag.into())), total: Some(total) }
    }

    #[test]
    fn answers_to_the_first_request() {
        let tagged = [("etag", "\"v1\""), ("content-length", "100")];
        assert_eq!(ask(0, None, 200, &tagged), Decision::Whole(origin("\"v1\"", 100)));
        let bare = Origin { url: URL.into(), validator: None, total: None };
        assert_eq!(ask(0, None, 200, &[]), Decision::Whole(bare.clone()));
        assert_eq!(
            ask(0, None, 200, &[("etag", "W/\"v1\"")]),
            Decision::Whole(bare.clone()),
            "weak tags join nothing"
        );
        let date = "Sun, 22 Nov 2026 10:00:00 GMT";
        let dated = Origin { validator: Some(Validator::LastModified(date.into())), ..bare.clone() };
        assert_eq!(ask(0, None, 200, &[("last-modified", date)]), Decision::Whole(dated));
        assert_eq!(ask(0, None, 200, &[("last-modified", date), ("date", date)]), Decision::Whole(bare));
        assert_eq!(
            ask(0, None, 206, &[("content-range", "bytes 0-99/100"), ("etag", "\"v1\"")]),
            Decision::Whole(origin("\"v1\"", 100))
        );
        assert!(matches!(
            ask(0, None, 206, &[("content-range", "bytes 5-99/100")]),
            Decision::Refused { .. }
        ));
    }

    #[test]
    fn answers_to_a_range() {
        let known = origin("\"v1\"", 100);
        let with = |range: &str, more: &[(&'static str, &str)]| {
            let headers = [&[("content-range", range)], more].concat();
            ask(40, Some(&known), 206, &headers)
        };
        assert_eq!(with("bytes 40-99/100", &[("etag", "\"v1\"")]), Decision::Rest(known.clone()));
        assert_eq!(
            with("bytes 40-99/*", &[]),
            Decision::Rest(known.clone()),
            "what is not said stays as known"
        );
        assert_eq!(
            with("bytes 40-59/100", &[("content-length", "20")]),
            Decision::Rest(known.clone()),
            "fewer is well"
        );
        let bad: &[(&str, &[(&'static str, &str)])] = &[
            ("bytes 0-99/100", &[]),
            ("bytes 41-99/100", &[]),
            ("bytes 40-99/200", &[]),
            ("bytes 40-100/100", &[]),
            ("bytes 99-40/100", &[]),
            ("bytes 40-99/100", &[("content-length", "7")]),
            ("bytes 40-99/100", &[("etag", "\"v2\"")]),
            ("bytes 40-99/100", &[("last-modified", "Sun, 22 Nov 2026 10:00:00 GMT")]),
            ("pages 40-99/100", &[]),
            ("bytes 40-18446744073709551616/100", &[]),
            ("bytes */100", &[]),
            ("", &[]),
        ];
        for (range, more) in bad {
            assert!(matches!(with(range, more), Decision::StartOver(_)), "{range} {more:?}");
        }
        assert!(matches!(ask(40, Some(&known), 206, &[]), Decision::StartOver(_)), "no range at all");
        assert!(matches!(
            ask(40, None, 206, &[("content-range", "bytes 40-99/100")]),
            Decision::StartOver(_)
        ));
        assert!(matches!(ask(40, Some(&known), 416, &[]), Decision::StartOver(_)));
        assert!(matches!(ask(40, Some(&known), 200, &[]), Decision::Whole(_)), "200 to a range is the whole");
    }

    #[test]
    fn refusals_say_whether_a_retry_helps() {
        let helps = [408, 429, 500, 502, 503, 504];
        for status in [400, 401, 403, 404, 410, 416, 204, 301, 100].iter().chain(&helps) {
            let decision = ask(0, None, *status, &[("retry-after", "3")]);
            let Decision::Refused { retry, after } = decision else { panic!("{status}: {decision:?}") };
            assert_eq!(retry, helps.contains(status), "{status}");
            assert_eq!(after, Some(Duration::from_secs(3)));
        }
        assert_eq!(ask(0, None, 304, &[]), Decision::Unchanged);
    }
}
