//! The user name of a CONNECT, as SDKs of all ages write it (`iothub.md` §1.2).
//!
//! `{host}/{device}[/{module}]/?api-version=…&DeviceClientType=…&model-id=…`; clients of 2018 leave the `?` out. The
//! properties come in any order, unknown ones are ignored, of two with one name the first counts, and values are
//! URL-encoded. `auth-chain`, which nested gateways send, is read past: this hub has no gateways above devices.

use percent_encoding::percent_decode_str;

/// The longest model id that is kept.
const LONGEST_MODEL: usize = 256;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct UserName<'a> {
    /// What the client calls the hub.
    pub(super) host: &'a str,
    pub(super) device: &'a str,
    pub(super) module: Option<&'a str>,
    /// Whether an API version was told, whichever.
    pub(super) has_api_version: bool,
    /// The model which the device says it implements.
    pub(super) model_id: Option<String>,
}

impl<'a> UserName<'a> {
    /// `None` if it is not of that form.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (host, rest) = text.split_once('/')?;
        let (device, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let (module, properties) = split_module(rest)?;
        if host.is_empty() || device.is_empty() || module.is_some_and(str::is_empty) {
            return None;
        }
        let model_id = property(properties, "model-id");
        Some(Self {
            host,
            device,
            module,
            has_api_version: property(properties, "api-version").is_some_and(|value| !value.is_empty()),
            model_id: model_id.filter(|id| !id.is_empty() && id.len() <= LONGEST_MODEL),
        })
    }
}

fn is_properties(text: &str) -> bool {
    text.is_empty() || text.starts_with('?') || text.contains('=')
}

/// What stands behind the device: `?properties`, `properties`, `module/?properties`, `module/properties`, `module`.
fn split_module(rest: &str) -> Option<(Option<&str>, &str)> {
    if rest.starts_with('?') {
        return Some((None, rest));
    }
    if let Some((module, properties)) = rest.split_once("/?")
        && !module.contains('/')
    {
        return Some((Some(module), properties));
    }
    let first = rest.split('/').next().unwrap_or_default();
    if is_properties(first) {
        return Some((None, rest));
    }
    let (module, properties) = rest.split_once('/').unwrap_or((rest, ""));
    is_properties(properties).then_some((Some(module), properties))
}

/// The decoded value of the first property of that name.
fn property(properties: &str, name: &str) -> Option<String> {
    let properties = properties.strip_prefix('?').unwrap_or(properties);
    let mut pairs = properties.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(own, _)| *own == name)?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_of_every_sdk_are_read() {
        let parse = |text| UserName::parse(text).map(|user| (user.device, user.module, user.has_api_version));
        for (text, wanted) in [
            ("h/d/?api-version=2019-10-01&DeviceClientType=py%2F2", Some(("d", None, true))),
            ("h/d/?DeviceClientType=py/2&api-version=2019-10-01", Some(("d", None, true))),
            ("h/d/DeviceClientType=node%2F1&api-version=2018-01-16", Some(("d", None, true))),
            ("h/d/api-version=2016-11-14/", Some(("d", None, true))),
            ("h/d/?model-id=dtmi:com:x;1&api-version=2021-04-12", Some(("d", None, true))),
            ("h/d/?auth-chain=a;b;c&whatever&api-version=2021-04-12", Some(("d", None, true))),
            ("h/d/m/?api-version=2020-09-30", Some(("d", Some("m"), true))),
            ("h/d/m=1/?api-version=2020-09-30", Some(("d", Some("m=1"), true))),
            ("h/d/m/api-version=2018-06-30", Some(("d", Some("m"), true))),
            ("h/d/m", Some(("d", Some("m"), false))),
            ("h/a=b/?api-version=1", Some(("a=b", None, true))),
            ("h/d", Some(("d", None, false))),
            ("h/d/", Some(("d", None, false))),
            ("h/d/?api-version=", Some(("d", None, false))),
            ("h", None),
            ("", None),
            ("/d/?api-version=1", None),
            ("h//?api-version=1", None),
            ("h/d//?api-version=1", None),
            ("h/d/m/n/o", None),
        ] {
            assert_eq!(parse(text), wanted, "{text}");
        }
    }

    #[test]
    fn the_first_of_two_counts_and_values_are_decoded() {
        let model = |text| UserName::parse(text).unwrap().model_id;
        assert_eq!(
            model("h/d/?model-id=dtmi%3Acom%3Ax%3B1&model-id=other&api-version=1").as_deref(),
            Some("dtmi:com:x;1")
        );
        assert_eq!(model("h/d/?api-version=1&model-id="), None);
        assert_eq!(model("h/d/?api-version=1"), None);
    }
}
