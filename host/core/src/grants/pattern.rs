//! A pattern of URLs: `https://host[:port|:*]/path`.
//!
//! The host is a name or an address, `*.example.com` for all names below one, or `*` for any. Without a port it is
//! 443; `:*` is any. The path is a prefix that ends on a boundary: `/images` covers `/images` and `/images/a`, not
//! `/images2`; `/images/` covers what is below; `/images*` covers all that begins so. Only `https`.
//!
//! Matching is on what the `url` crate has normalised, on both sides: upper case, IDNA, IPv4 written as one number or
//! in octal, `..` and `%2e%2e` mean what they mean to the one who connects. A user name, and an encoded slash that
//! some servers decode again, are refused rather than understood.
//!
//! As a pattern `*` is any host. As a grant it is any *public* one, see [`UrlPattern::grants`]: the device itself and
//! addresses that are not public are granted where the owner names them. It says nothing about where a name leads: the
//! address is checked by whoever connects, see [`crate::reach`].

use std::{fmt, str::FromStr};

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use url::{Host, Url};

use crate::reach;

/// A pattern of `https` URLs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UrlPattern {
    host: HostPattern,
    port: PortPattern,
    path: PathPattern,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum HostPattern {
    Any,
    /// All names that end in this, which begins with a dot.
    Below(String),
    One(Host<String>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum PortPattern {
    Any,
    One(u16),
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum PathPattern {
    /// All that begins with these characters.
    Begins(String),
    /// This path and all below it.
    Within(String),
}

/// Why a text is not a pattern.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{pattern}` is not a URL pattern: {reason}; write `https://host/path`, `https://*.example.com:*/images/`"
)]
pub struct PatternError {
    /// What was written, its first 200 characters.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl UrlPattern {
    /// The one port of its URLs; none where it is any.
    pub fn port(&self) -> Option<u16> {
        match self.port {
            PortPattern::Any => None,
            PortPattern::One(port) => Some(port),
        }
    }
}

impl FromStr for UrlPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        parse(text).map_err(|reason| PatternError { pattern: text.chars().take(200).collect(), reason })
    }
}

fn parse(text: &str) -> Result<UrlPattern, &'static str> {
    let rest = text.strip_prefix("https://").ok_or("it does not begin with `https://`")?;
    if text
        .contains(|character: char| character.is_whitespace() || character.is_control() || character == '\\')
    {
        return Err("it holds a blank, a control character or a backslash");
    }
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    if authority.contains('@') {
        return Err("it holds a user name");
    }
    if authority.contains(['?', '#']) || path.contains(['?', '#']) {
        return Err("it holds a query or a fragment");
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, parse_port(port)?),
        _ => (authority, PortPattern::One(443)),
    };
    Ok(UrlPattern { host: parse_host(host)?, port, path: parse_path(path)? })
}

fn parse_port(text: &str) -> Result<PortPattern, &'static str> {
    if text == "*" {
        return Ok(PortPattern::Any);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| digits && *port != 0);
    port.map(PortPattern::One).ok_or("the port is neither `*` nor a number from 1 to 65535")
}

fn parse_host(text: &str) -> Result<HostPattern, &'static str> {
    if text == "*" {
        return Ok(HostPattern::Any);
    }
    let (name, below) = match text.strip_prefix("*.") {
        Some(name) => (name, true),
        None => (text, false),
    };
    if name.contains('*') {
        return Err("a `*` in the host stands alone or before its first dot");
    }
    match (Host::parse(name).map_err(|_| "the host is not a name or an address")?, below) {
        (Host::Domain(name), true) => Ok(HostPattern::Below(format!(".{name}"))),
        (_, true) => Err("an address has nothing below it"),
        (host, false) => Ok(HostPattern::One(host)),
    }
}

fn parse_path(text: &str) -> Result<PathPattern, &'static str> {
    let (prefix, begins) = match text.strip_suffix('*') {
        Some(prefix) => (prefix, true),
        None => (text, text.ends_with('/')),
    };
    if prefix.contains('*') {
        return Err("a `*` in the path stands at its end");
    }
    if unclear(prefix) {
        return Err("the path holds an encoded slash or dot");
    }
    let mut url = Url::parse("https://host/").map_err(|_| "the path is not one")?;
    url.set_path(prefix);
    // What the normalisation changes beyond encoding are dots: `/a/../b` in a pattern is a mistake.
    if prefix.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err("the path holds `.` or `..`");
    }
    let prefix = url.path().to_owned();
    Ok(if begins { PathPattern::Begins(prefix) } else { PathPattern::Within(prefix) })
}

/// Whether a server may read the path otherwise than we do: an encoded slash, backslash or dot, once or many times.
fn unclear(path: &str) -> bool {
    let mut path = path.to_owned();
    for _ in 0..8 {
        let lower = path.to_ascii_lowercase();
        if path.contains('\\') || ["%2f", "%5c", "%2e", "%00"].iter().any(|code| lower.contains(code)) {
            return true;
        }
        let decoded = percent_decode_str(&path).decode_utf8_lossy().into_owned();
        if decoded == path {
            return false;
        }
        path = decoded;
    }
    true
}

impl UrlPattern {
    /// Whether a URL is within the pattern. Query and fragment do not matter.
    pub fn matches(&self, url: &Url) -> bool {
        url.scheme() == "https"
            && url.username().is_empty()
            && url.password().is_none()
            && url.host().is_some_and(|host| self.host.matches(&host))
            && url.port_or_known_default().is_some_and(|port| self.port.matches(port))
            && !unclear(url.path())
            && self.path.matches(url.path())
    }

    /// Whether a URL is within the pattern, and its host is public or named by it.
    pub fn grants(&self, url: &Url) -> bool {
        let named = self.host != HostPattern::Any;
        self.matches(url) && (named || url.host().is_some_and(|host| is_public(&host)))
    }

    /// What of a wish is within this pattern, which is the owner's: who wishes for a host that is not public by its
    /// name does not get it out of a `*`.
    pub fn narrowed_to(&self, wish: &UrlPattern) -> Option<UrlPattern> {
        let public = match &wish.host {
            HostPattern::Any => true,
            HostPattern::Below(suffix) => !reach::is_local(suffix),
            HostPattern::One(host) => is_public(&borrowed(host)),
        };
        self.intersection(wish).filter(|_| public || self.host != HostPattern::Any)
    }

    /// What is within both patterns; none when nothing is.
    pub fn intersection(&self, other: &UrlPattern) -> Option<UrlPattern> {
        Some(UrlPattern {
            host: self.host.intersection(&other.host)?,
            port: self.port.intersection(other.port)?,
            path: self.path.intersection(&other.path)?,
        })
    }
}

impl HostPattern {
    fn matches(&self, host: &Host<&str>) -> bool {
        match (self, host) {
            (HostPattern::Any, _) => true,
            (HostPattern::Below(suffix), Host::Domain(name)) => {
                name.len() > suffix.len() && name.ends_with(suffix)
            }
            (HostPattern::Below(_), _) => false,
            (HostPattern::One(own), host) => own == host,
        }
    }

    fn intersection(&self, other: &HostPattern) -> Option<HostPattern> {
        let narrower = match (self, other) {
            (HostPattern::Any, other) | (other, HostPattern::Any) => other,
            (HostPattern::Below(one), HostPattern::Below(two)) if one.ends_with(two) => self,
            (HostPattern::Below(one), HostPattern::Below(two)) if two.ends_with(one) => other,
            (HostPattern::One(host), below @ HostPattern::Below(_)) if below.matches(&borrowed(host)) => self,
            (below @ HostPattern::Below(_), HostPattern::One(host)) if below.matches(&borrowed(host)) => {
                other
            }
            (HostPattern::One(one), HostPattern::One(two)) if one == two => self,
            _ => return None,
        };
        Some(narrower.clone())
    }
}

/// Whether it is neither the device itself nor an address that is not public.
fn is_public(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => !reach::is_local(name),
        Host::Ipv4(address) => reach::special((*address).into()).is_none(),
        Host::Ipv6(address) => reach::special((*address).into()).is_none(),
    }
}

fn borrowed(host: &Host<String>) -> Host<&str> {
    match host {
        Host::Domain(name) => Host::Domain(name.as_str()),
        Host::Ipv4(address) => Host::Ipv4(*address),
        Host::Ipv6(address) => Host::Ipv6(*address),
    }
}

impl PortPattern {
    fn matches(self, port: u16) -> bool {
        match self {
            PortPattern::Any => true,
            PortPattern::One(own) => own == port,
        }
    }

    fn intersection(self, other: PortPattern) -> Option<PortPattern> {
        match (self, other) {
            (PortPattern::Any, port) | (port, PortPattern::Any) => Some(port),
            (one, two) => (one == two).then_some(one),
        }
    }
}

impl PathPattern {
    fn matches(&self, path: &str) -> bool {
        match self {
            PathPattern::Begins(prefix) => path.starts_with(prefix),
            PathPattern::Within(prefix) => path
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }

    /// Whether every path that `other` covers is covered too.
    fn covers(&self, other: &PathPattern) -> bool {
        match (self, other) {
            // `/a*` is more than `/a` and what is below it.
            (PathPattern::Within(own), PathPattern::Begins(prefix)) => {
                prefix.strip_prefix(own.as_str()).is_some_and(|rest| rest.starts_with('/'))
            }
            (_, PathPattern::Begins(prefix) | PathPattern::Within(prefix)) => self.matches(prefix),
        }
    }

    fn intersection(&self, other: &PathPattern) -> Option<PathPattern> {
        if self.covers(other) { Some(other.clone()) } else { other.covers(self).then(|| self.clone()) }
    }
}

impl fmt::Display for UrlPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("https://")?;
        match &self.host {
            HostPattern::Any => formatter.write_str("*")?,
            HostPattern::Below(suffix) => write!(formatter, "*{suffix}")?,
            HostPattern::One(host) => write!(formatter, "{host}")?,
        }
        match self.port {
            PortPattern::Any => formatter.write_str(":*")?,
            PortPattern::One(443) => {}
            PortPattern::One(port) => write!(formatter, ":{port}")?,
        }
        match &self.path {
            PathPattern::Begins(prefix) if prefix.ends_with('/') => formatter.write_str(prefix),
            PathPattern::Begins(prefix) => write!(formatter, "{prefix}*"),
            PathPattern::Within(prefix) => formatter.write_str(prefix),
        }
    }
}

impl Serialize for UrlPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UrlPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
