//! The texts of provisioning over MQTT: user name and topics.

/// What a provisioning client calls itself: `{idScope}/registrations/{registrationId}/api-version=…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserName {
    pub(crate) id_scope: String,
    pub(crate) registration_id: String,
}

impl UserName {
    /// `None` for a hub's client. Every id scope begins with `0ne`, which no host name in use here does; a device that
    /// is called `registrations` stays a device.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (id_scope, rest) = text.split_once('/')?;
        let rest = rest.strip_prefix("registrations/")?;
        let (registration_id, _properties) = rest.split_once('/').unwrap_or((rest, ""));
        let is_scope = id_scope.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("0ne"));
        (is_scope && !id_scope.contains('.'))
            .then(|| Self { id_scope: id_scope.into(), registration_id: registration_id.into() })
    }
}

/// The filter for answers.
pub(crate) const RESPONSES: &str = "$dps/registrations/res/#";

/// What a provisioning client asks for, by its topic.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    /// To be registered.
    Register { request_id: &'a str },
    /// How its registration goes.
    Status { request_id: &'a str, operation_id: &'a str },
}

impl<'a> Request<'a> {
    /// `None` for every other topic.
    pub(crate) fn parse(topic: &'a str) -> Option<Self> {
        let rest = topic.strip_prefix("$dps/registrations/")?;
        let (what, query) = rest.split_once("/?")?;
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(own, _)| *own == name).map(|(_, value)| value)
        };
        let request_id = value("$rid").filter(|id| !id.is_empty())?;
        match what {
            "PUT/iotdps-register" => Some(Self::Register { request_id }),
            "GET/iotdps-get-operationstatus" => {
                Some(Self::Status { request_id, operation_id: value("operationId")? })
            }
            _ => None,
        }
    }
}

/// The topic of an answer. `retry_after` is in seconds.
pub(crate) fn response(status: u16, request_id: &str, retry_after: Option<u64>) -> String {
    match retry_after {
        Some(seconds) => format!("$dps/registrations/res/{status}/?$rid={request_id}&retry-after={seconds}"),
        None => format!("$dps/registrations/res/{status}/?$rid={request_id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_provisioning_client_is_taken_for_one() {
        let parse = |text| UserName::parse(text).map(|name| (name.id_scope, name.registration_id));
        let own = |id: &str| Some(("0ne0A".to_owned(), id.to_owned()));
        assert_eq!(parse("0ne0A/registrations/d-1/api-version=2019-03-31&ClientVersion=a%2Fb"), own("d-1"));
        assert_eq!(parse("0ne0A/registrations/d/?api-version=2019-03-31"), own("d"));
        for other in [
            "localhost/registrations/m/api-version=2018-06-30",
            "0ne.example.net/registrations/m/?api-version=2021-04-12",
            "0ne0A/d/?api-version=2021-04-12",
            "0n",
            "",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn requests_are_told_by_their_topics() {
        assert_eq!(
            Request::parse("$dps/registrations/PUT/iotdps-register/?$rid=1"),
            Some(Request::Register { request_id: "1" })
        );
        assert_eq!(
            Request::parse("$dps/registrations/GET/iotdps-get-operationstatus/?$rid=a-2&operationId=4.x"),
            Some(Request::Status { request_id: "a-2", operation_id: "4.x" })
        );
        for other in [
            "$dps/registrations/PUT/iotdps-register/",
            "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=1",
            "$dps/registrations/res/200/?$rid=1",
            "devices/d/messages/events/",
        ] {
            assert_eq!(Request::parse(other), None, "{other}");
        }
    }
}
