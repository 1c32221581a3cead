//! Which addresses a tenant may reach, itself or through the operator: none inside, unless the Site opens them. No I/O.
//!
//! The NetworkPolicy of a tenant closes the same ranges, so a check by the operator finds what the application will
//! find.

use std::net::{IpAddr, Ipv6Addr};

/// All of IPv4.
pub const WORLD: &str = "0.0.0.0/0";
/// The IPv6 addresses that are assigned to the world. Everything local, mapped or translated lies outside this range.
pub const WORLD6: &str = "2000::/3";

/// Private ranges that are closed to tenants unless the Site opens them, as CIDR. The cluster's own addresses lie in
/// them.
pub const PRIVATE: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"];

/// Ranges that do not lead outside: this host, carrier-grade NAT (one cloud hands out the nodes' credentials there),
/// protocol assignments, the wire server of another cloud, benchmarks, multicast, reserved ranges.
pub const NOWHERE: [&str; 8] = [
    "0.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "192.0.0.0/24",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

/// Ranges within [`WORLD6`] that do not lead outside: protocol assignments (tunnels to IPv4 among them), documentation,
/// 6to4.
pub const NOWHERE6: [&str; 3] = ["2001::/23", "2001:db8::/32", "2002::/16"];

/// Addresses that are forbidden even to a database server that names no addresses: this host, link-local addresses with
/// the credentials of the node, and ranges that belong to nobody.
pub const NEVER: [&str; 8] = [
    "0.0.0.0/8",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "192.0.0.0/24",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

/// Pattern of a range of addresses: IPv4, or IPv6 in lower case.
pub const CIDR_PATTERN: &str = concat!(
    r"^(((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])/(3[0-2]|[12]?[0-9])",
    r"|(([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|([0-9a-f]{1,4}:){1,7}:|([0-9a-f]{1,4}:){1,6}:[0-9a-f]{1,4}",
    r"|([0-9a-f]{1,4}:){1,5}(:[0-9a-f]{1,4}){1,2}|([0-9a-f]{1,4}:){1,4}(:[0-9a-f]{1,4}){1,3}",
    r"|([0-9a-f]{1,4}:){1,3}(:[0-9a-f]{1,4}){1,4}|([0-9a-f]{1,4}:){1,2}(:[0-9a-f]{1,4}){1,5}",
    r"|[0-9a-f]{1,4}:(:[0-9a-f]{1,4}){1,6}|:((:[0-9a-f]{1,4}){1,7}|:))/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))$"
);

/// A range of addresses, either IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    ipv6: bool,
    network: u128,
    length: u32,
}

impl Cidr {
    /// Reads `10.0.0.0/8` or `fd00::/8`. None means that the text is not a range of addresses.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let length: u32 = length.parse().ok()?;
        let address: IpAddr = address.parse().ok()?;
        let (ipv6, bits) = number(address);
        let all = if ipv6 { 128 } else { 32 };
        (length <= all).then(|| Self { ipv6, network: cut(bits, all - length), length })
    }

    /// Whether an address lies in this range.
    #[must_use]
    pub fn holds(self, address: IpAddr) -> bool {
        let (ipv6, bits) = number(address);
        ipv6 == self.ipv6 && cut(bits, self.all() - self.length) == self.network
    }

    /// Whether another range lies completely in this range.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.ipv6 == other.ipv6
            && self.length <= other.length
            && cut(other.network, self.all() - self.length) == self.network
    }

    fn all(self) -> u32 {
        if self.ipv6 { 128 } else { 32 }
    }
}

fn number(address: IpAddr) -> (bool, u128) {
    match address {
        IpAddr::V4(a) => (false, u128::from(u32::from(a))),
        IpAddr::V6(a) => (true, u128::from(a)),
    }
}

/// Sets the last bits to zero.
fn cut(bits: u128, last: u32) -> u128 {
    bits.checked_shr(last).and_then(|b| b.checked_shl(last)).unwrap_or(0)
}

/// Host and port as they are written in URLs; an IPv6 address is put in brackets.
#[must_use]
pub fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The parts to leave out of a range, so that it contains none of the closed ranges. None means that nothing of the
/// range is left.
///
/// Kubernetes accepts only exceptions that are smaller than the range and lie in it.
#[must_use]
pub fn except<'a>(range: &str, closed: impl IntoIterator<Item = &'a str>) -> Option<Vec<&'a str>> {
    let whole = Cidr::parse(range)?;
    let mut out = Vec::new();
    for text in closed {
        let Some(one) = Cidr::parse(text) else { continue };
        if one.covers(whole) {
            return None;
        }
        if whole.covers(one) && !out.contains(&text) {
            out.push(text);
        }
    }
    Some(out)
}

/// The Site's rules about addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges {
    /// Inside ranges that the Site opens.
    pub internal: Vec<String>,
    /// Ranges that stay closed, whatever else opens them.
    pub closed: Vec<String>,
    /// Whether the IPv6 addresses of the world are open.
    pub ipv6: bool,
}

/// Why an address is closed to tenants. None means that it is open.
#[must_use]
pub fn closed(address: IpAddr, site: &Ranges) -> Option<&'static str> {
    let within = |cidr: &str| Cidr::parse(cidr).is_some_and(|c| c.holds(address));
    if site.closed.iter().any(|c| within(c)) {
        return Some("is closed to tenants by the Site's closedCidrs");
    }
    let opened = site.internal.iter().any(|c| within(c));
    match address {
        // No Site can open these addresses, because this process itself answers on some of them.
        IpAddr::V4(_) if NOWHERE.iter().any(|c| within(c)) => Some("leads nowhere outside"),
        IpAddr::V6(a) if is_this_host(a) => Some("leads nowhere outside"),
        _ if opened => None,
        IpAddr::V4(_) if PRIVATE.iter().any(|c| within(c)) => {
            Some("is an inside address, which is closed to tenants unless the Site's internalCidrs opens it")
        }
        IpAddr::V4(_) => None,
        IpAddr::V6(_) if !site.ipv6 => {
            Some("is an IPv6 address, which is closed to tenants unless the Site's outsideIpv6 opens the world of IPv6")
        }
        IpAddr::V6(_) if !within(WORLD6) || NOWHERE6.iter().any(|c| within(c)) => {
            Some("is an inside address, which is closed to tenants unless the Site's internalCidrs opens it")
        }
        IpAddr::V6(_) => None,
    }
}

/// Loopback, unspecified, link-local and multicast addresses, and IPv4 addresses written as IPv6.
fn is_this_host(a: Ipv6Addr) -> bool {
    a.is_loopback()
        || a.is_unspecified()
        || a.is_unicast_link_local()
        || a.is_multicast()
        || a.to_ipv4_mapped().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(internal: &[&str], closed: &[&str], ipv6: bool) -> Ranges {
        let own = |texts: &[&str]| texts.iter().map(|c| (*c).to_owned()).collect();
        Ranges { internal: own(internal), closed: own(closed), ipv6 }
    }

    fn open(address: &str, internal: &[&str]) -> bool {
        closed(address.parse().unwrap(), &site(internal, &[], false)).is_none()
    }

    #[test]
    fn inside_addresses_are_closed_until_the_site_opens_them() {
        for address in ["10.96.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254"] {
            assert!(!open(address, &[]), "{address}");
        }
        for address in ["172.32.0.1", "11.0.0.1", "192.169.0.1", "8.8.8.8", "169.253.1.1"] {
            assert!(open(address, &[]), "{address}");
        }
        assert!(open("10.20.0.25", &["10.20.0.0/24"]) && !open("10.20.1.25", &["10.20.0.0/24"]));
        assert!(open("192.168.1.1", &["10.0.0.0/8", "192.168.1.1/32"]));
        assert!(open("fd00::25", &["fd00::/64"]) && !open("fd01::25", &["fd00::/64"]));
    }

    #[test]
    fn this_host_and_what_clouds_answer_on_are_closed_whatever_the_site_opens() {
        for address in [
            "127.0.0.1",
            "127.8.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:10.0.0.1",
        ] {
            let all = site(&["0.0.0.0/0", "::/0"], &[], true);
            assert!(closed(address.parse().unwrap(), &all).is_some(), "{address}");
        }
    }

    #[test]
    fn ipv6_is_closed_until_the_site_opens_its_world_and_then_inside_stays_closed() {
        let (shut, world) = (site(&[], &[], false), site(&[], &["2a00:1::/32"], true));
        let is_open = |text: &str, site: &Ranges| closed(text.parse().unwrap(), site).is_none();
        assert!(!is_open("2a01:4f8::1", &shut) && is_open("2a01:4f8::1", &world));
        for inside in
            ["fd00:ec2::254", "fec0::1", "64:ff9b::a9fe:a9fe", "2001::1", "2002:a00:1::1", "2001:db8::1", "2a00:1::1"]
        {
            assert!(!is_open(inside, &world), "{inside}");
        }
    }

    #[test]
    fn what_the_site_closes_nothing_opens() {
        let site = site(&["10.0.0.0/8"], &["10.9.0.0/16", "203.0.113.0/24"], false);
        for (address, is_open) in [("10.8.0.1", true), ("10.9.0.1", false), ("203.0.113.1", false), ("8.8.8.8", true)] {
            assert_eq!(closed(address.parse().unwrap(), &site).is_none(), is_open, "{address}");
        }
    }

    #[test]
    fn exceptions_lie_in_the_range_and_leave_something_of_it() {
        assert_eq!(except(WORLD, ["10.0.0.0/8", "fd00::/8", "10.0.0.0/8"]), Some(vec!["10.0.0.0/8"]));
        assert_eq!(except("10.0.0.0/8", ["10.9.0.0/16", "192.168.0.0/16"]), Some(vec!["10.9.0.0/16"]));
        assert_eq!(except("10.9.1.0/24", ["10.9.0.0/16"]), None);
        assert_eq!(except("10.9.0.0/16", ["10.9.0.0/16"]), None, "Kubernetes takes no exception that is the whole");
        assert_eq!(except(WORLD6, NOWHERE6).unwrap().len(), NOWHERE6.len());
        assert_eq!(except(WORLD, NOWHERE.into_iter().chain(PRIVATE)).unwrap().len(), 12);
    }

    #[test]
    fn an_ipv6_address_with_a_port_stands_in_brackets() {
        assert_eq!(authority("db.example", 5432), "db.example:5432");
        assert_eq!(authority("10.0.0.1", 25), "10.0.0.1:25");
        assert_eq!(authority("fd00::5", 5432), "[fd00::5]:5432");
    }

    #[test]
    fn what_is_no_range_opens_nothing() {
        for text in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0/8", "x/8", "::/129", "10.0.0.0/-1", "fd00::1"] {
            assert_eq!(Cidr::parse(text), None, "{text}");
        }
        let any = Cidr::parse("10.1.2.3/0").unwrap();
        assert!(any.holds("200.1.1.1".parse().unwrap()), "a range of no bits holds everything");
        assert!(!any.holds("::1".parse().unwrap()), "of its own family");
        assert!(!open("10.0.0.1", &["nonsense"]));
    }
}
