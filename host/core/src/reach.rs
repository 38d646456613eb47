//! Which addresses a file may be fetched from.
//!
//! A grant names hosts, and a name leads to where its owner lets it lead today: to the device itself, into the plant's
//! network, to a cloud's metadata service. So whoever connects asks here about each address a name has, at the time of
//! the connection. Public addresses are well; others are denied unless the owner's policy (`[download] private`) lists
//! their range. An address that a URL names outright is the grant's business, see [`crate::grants::UrlPattern`].
//!
//! What is public is what IANA's registries of special-purpose addresses (RFC 6890) call globally reachable. An IPv4
//! address in an IPv6 one (mapped, RFC 4291; translated, RFC 6052) counts as what it is; other tunnels are denied.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;

/// Where names may lead.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Reach {
    /// Ranges that are not public and that names may lead to all the same.
    pub private: Vec<IpNet>,
    /// Names whose owner is the device's: where they lead is believed.
    pub own: BTreeSet<String>,
}

impl Reach {
    /// Whether a name may lead to these addresses; all of them or none, since one would be asked after the other.
    ///
    /// # Errors
    /// Why not, and what the operator could do.
    pub fn check(&self, name: &str, addresses: &[IpAddr]) -> Result<(), String> {
        let name = name.trim_end_matches('.');
        if self.own.contains(name) {
            return Ok(());
        }
        for address in addresses {
            let Some(kind) = special(*address) else { continue };
            let listed = self.private.iter().any(|range| range.contains(&plain(*address)));
            if listed || (is_local(name) && plain(*address).is_loopback()) {
                continue;
            }
            return Err(format!(
                "{name} leads to {address}, {kind}; names may lead to public addresses and to what the device's policy \
                 lists under [download] private"
            ));
        }
        Ok(())
    }
}

/// Whether a name means the device itself whoever is asked (RFC 6761, section 6.3).
pub fn is_local(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

/// What an address is that is not public; none for a public one.
pub fn special(address: IpAddr) -> Option<&'static str> {
    match plain(address) {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

/// An IPv4 address that is written as an IPv6 one, as what it is.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(long) = address else { return address };
    let embedded = match long.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some((high, low)),
        _ => None,
    };
    let Some((high, low)) = embedded else { return address };
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    Some(match address.octets() {
        [0, ..] => "an address of no host",
        [127, ..] => "the device itself",
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => "a private address",
        [100, 64..=127, ..] => "an address shared behind a carrier's translation",
        [169, 254, ..] => "a link-local address, where clouds have their metadata",
        [168, 63, 129, 16] => "the address of Azure's metadata",
        [192, 0, 0, _] | [192, 88, 99, _] | [198, 18..=19, ..] | [240..=255, ..] => "a reserved address",
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => "an address for documentation",
        [224..=239, ..] => "a multicast address",
        _ => return None,
    })
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    Some(match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => "the device itself",
        [0, 0, 0, 0, 0, 0, 0, 0] => "an address of no host",
        [0xfe80..=0xfebf, ..] => "a link-local address",
        [0xfc00..=0xfdff, ..] => "a private address",
        [0xff00..=0xffff, ..] => "a multicast address",
        [0x2002, ..] | [0x2001, 0..=0x1ff, ..] => "an address of a tunnel or a protocol",
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => "an address for documentation",
        [0x2000..=0x3fff, ..] => return None,
        _ => "a reserved address",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_public_and_what_is_not() {
        let public = ["8.8.8.8", "172.15.0.1", "172.32.0.1", "192.167.1.1", "100.128.0.1", "168.63.129.17"];
        let public_v6 = ["2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2001:4860:4860::8888"];
        for text in public.into_iter().chain(public_v6) {
            assert_eq!(special(text.parse().unwrap()), None, "{text}");
        }
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "168.63.129.16",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(special(text.parse().unwrap()).is_some(), "{text}");
        }
    }

    #[test]
    fn one_address_that_is_denied_denies_the_name() {
        let reach = Reach {
            private: vec!["10.1.0.0/16".parse().unwrap()],
            own: BTreeSet::from(["updates.plant".to_owned()]),
        };
        let check = |name: &str, addresses: &[&str]| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
            reach.check(name, &addresses)
        };
        for (name, addresses) in [
            ("images.example.com", &["8.8.8.8", "10.1.2.3", "::ffff:10.1.2.3"][..]),
            ("localhost", &["127.0.0.1", "::1"]),
            ("a.localhost.", &["127.0.0.1"]),
            ("updates.plant", &["192.168.7.7"]),
        ] {
            check(name, addresses).unwrap();
        }
        for (name, addresses) in [
            ("images.example.com", &["8.8.8.8", "127.0.0.1"][..]),
            ("images.example.com", &["10.2.0.1"]),
            ("localhost", &["192.168.0.1"]),
            ("localhost.example.com", &["127.0.0.1"]),
            ("metadata.google.internal", &["169.254.169.254"]),
        ] {
            check(name, addresses).unwrap_err();
        }
        assert_eq!(
            check("images.example.com", &["169.254.169.254"]).unwrap_err(),
            "images.example.com leads to 169.254.169.254, a link-local address, where clouds have their metadata; names may \
             lead to public addresses and to what the device's policy lists under [download] private"
        );
    }
}
