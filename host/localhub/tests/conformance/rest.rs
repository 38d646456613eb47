//! An operator's requests.

use std::collections::HashMap;

use reqwest::Method;
use tokio::task::JoinHandle;

use crate::Place;
use crate::pattern;

/// What came back.
pub(crate) struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: String,
}

/// Takes `[name: value]` groups off the front of a text.
fn headers(mut text: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    while let Some((inner, rest)) = text
        .strip_prefix('[')
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '!'))
        .and_then(|rest| rest.split_once(']'))
    {
        let (name, value) = inner.split_once(':').unwrap_or((inner, ""));
        found.push((name.trim().to_owned(), value.trim().to_owned()));
        text = rest.trim_start();
    }
    (found, text)
}

/// Sends what a line says: `VERB path [header: value]… body`, in the background.
pub(crate) fn send(
    place: &Place,
    owner: String,
    line: &str,
) -> Result<JoinHandle<Result<Answer, String>>, String> {
    let (verb, rest) = line.split_once(' ').ok_or("a verb and a path")?;
    let (path, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let (headers, body) = headers(rest.trim_start());
    let method: Method = verb.parse().map_err(|_| format!("{verb} is no verb"))?;
    let url = format!("https://localhost:{}{path}", place.hub.https_port);
    let mut request = place.https.request(method, url);
    if !headers.iter().any(|(name, _)| name == "authorization") {
        request = request.header("authorization", owner);
    }
    for (name, value) in headers.iter().filter(|(_, value)| value != "none") {
        request = request.header(name, value);
    }
    if !body.is_empty() {
        request = request.header("content-type", "application/json; charset=utf-8").body(body.to_owned());
    }
    Ok(tokio::spawn(async move {
        let response = request.send().await.map_err(|error| format!("{error:?}"))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body =
            if status == 101 { String::new() } else { response.text().await.map_err(|e| e.to_string())? };
        Ok(Answer { status, headers, body })
    }))
}

impl Answer {
    /// Compares with what a line says: `status [form=…] [header: pattern]… body`.
    pub(crate) fn check(&self, line: &str, kept: &mut HashMap<String, String>) -> Result<(), String> {
        let (status, rest) = line.split_once(' ').unwrap_or((line, ""));
        if status != self.status.to_string() {
            return Err(format!("expected {status}, got {} {}", self.status, self.body));
        }
        let header = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        if !self.body.is_empty() && !header("content-type").unwrap_or_default().starts_with("application/") {
            return Err(format!("the body is called {:?}: {}", header("content-type"), self.body));
        }
        let mut rest = rest.trim_start();
        if let Some(form) = rest.strip_prefix("form=") {
            let (form, after) = form.split_once(' ').unwrap_or((form, ""));
            pattern::form(form, header("iothub-errorcode"), &self.body)?;
            rest = after;
        }
        let (headers, body) = headers(rest);
        for (name, wanted) in headers {
            match (name.strip_prefix('!'), header(name.trim_start_matches('!'))) {
                (Some(name), Some(value)) => return Err(format!("the header {name} is there: {value}")),
                (Some(_), None) => {}
                (None, None) => return Err(format!("the header {name} is missing")),
                (None, Some(value)) => pattern::text(&wanted, value, kept)?,
            }
        }
        pattern::body(body, &self.body, kept)
    }
}
