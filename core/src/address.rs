//! Which addresses a tenant may make the operator connect to: none inside, unless the Site opens them. No I/O.
//!
//! The same ranges are closed in the NetworkPolicy of a tenant, so that a check finds what the application finds.

use std::net::{IpAddr, Ipv4Addr};

/// Private ranges that are closed to tenants, as CIDR. The cluster's own addresses lie in them.
pub const PRIVATE: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"];

/// Further ranges that lead nowhere outside: this host, carrier-grade NAT, benchmarks, multicast, reserved ones.
const NOWHERE: [&str; 7] =
    ["0.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "192.0.0.0/24", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"];

/// A range of IPv4 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    network: u32,
    mask: u32,
}

impl Cidr {
    /// Reads `10.0.0.0/8`; none when it is no range of IPv4 addresses.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let length: u32 = length.parse().ok().filter(|n| *n <= 32)?;
        let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
        let address: Ipv4Addr = address.parse().ok()?;
        Some(Self { network: u32::from(address) & mask, mask })
    }

    /// Whether an address lies in it.
    #[must_use]
    pub fn holds(self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.mask == self.network
    }
}

/// Why an address is closed to tenants; none: it is open. `internal` are the ranges that the Site opens.
#[must_use]
pub fn closed(address: IpAddr, internal: &[String]) -> Option<&'static str> {
    let IpAddr::V4(address) = address else {
        return Some("is an IPv6 address, which the network rules of tenants do not open");
    };
    let within = |cidr: &str| Cidr::parse(cidr).is_some_and(|c| c.holds(address));
    if NOWHERE.iter().any(|c| within(c)) {
        // No Site can open these: this process itself answers on some of them.
        return Some("leads nowhere outside");
    }
    if internal.iter().any(|c| within(c)) || !PRIVATE.iter().any(|c| within(c)) {
        return None;
    }
    Some("is an inside address, which is closed to tenants unless the Site's internalCidrs opens it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(address: &str, internal: &[&str]) -> bool {
        let internal: Vec<String> = internal.iter().map(|c| (*c).to_owned()).collect();
        closed(address.parse().unwrap(), &internal).is_none()
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
    }

    #[test]
    fn this_host_and_ipv6_are_closed_whatever_the_site_opens() {
        for address in ["127.0.0.1", "127.8.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "100.64.0.1", "::1"] {
            assert!(!open(address, &["0.0.0.0/0"]), "{address}");
        }
        for address in ["fe80::1", "fd00::1", "::ffff:10.0.0.1", "2001:db8::1"] {
            assert!(!open(address, &["0.0.0.0/0", "::/0"]), "{address}");
        }
    }

    #[test]
    fn what_is_no_range_opens_nothing() {
        for text in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0/8", "x/8", "::/0", "10.0.0.0/-1"] {
            assert_eq!(Cidr::parse(text), None, "{text}");
        }
        let any = Cidr::parse("10.1.2.3/0").unwrap();
        assert!(any.holds(Ipv4Addr::new(200, 1, 1, 1)), "a range of no bits holds everything");
        assert!(!open("10.0.0.1", &["nonsense"]));
    }
}
