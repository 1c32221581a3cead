//! Which connections go through a proxy, by the usual meaning of `HTTPS_PROXY` and `NO_PROXY`. No I/O.

use std::net::IpAddr;

/// The proxy for a TLS connection to a host. None means a direct connection, as always to the machine itself.
///
/// `no_proxy` lists hosts, also with a port (`api.example.org:6443`), domains (`example.org` with everything below it,
/// `.example.org` only with what is below it), addresses, ranges (`10.0.0.0/8`) or `*`, separated by commas or spaces.
/// Entries that cannot be read are skipped, as other programs do.
#[must_use]
pub fn of<'a>(host: &str, port: u16, https_proxy: Option<&'a str>, no_proxy: Option<&str>) -> Option<&'a str> {
    let proxy = https_proxy.map(str::trim).filter(|p| !p.is_empty())?;
    let host = bare(host).trim_end_matches('.').to_ascii_lowercase();
    let address = host.parse::<IpAddr>().ok();
    if host == "localhost" || address.is_some_and(|a| a.is_loopback()) {
        return None;
    }
    let entries = no_proxy.unwrap_or_default().split([',', ' ', '\t', '\n']).filter(|e| !e.is_empty());
    let excepted = entries.map(str::to_ascii_lowercase).any(|entry| names(&entry, &host, address, port));
    (!excepted).then_some(proxy)
}

/// Whether an entry of `NO_PROXY` covers a host.
fn names(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some((net, bits)) = entry.split_once('/') {
        let (Ok(net), Ok(bits)) = (net.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
        return address.is_some_and(|a| contains(net, bits, a));
    }
    let (name, only) = apart(entry);
    if only.is_some_and(|only| only != port) {
        return false;
    }
    if let Ok(one) = bare(name).parse::<IpAddr>() {
        return address == Some(one);
    }
    if address.is_some() {
        return false;
    }
    let below = name.strip_prefix('*').unwrap_or(name);
    match below.strip_prefix('.') {
        Some(domain) => host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1),
        None => host == below || host.strip_suffix(below).is_some_and(|rest| !below.is_empty() && rest.ends_with('.')),
    }
}

/// Splits an entry into name and port, if there is a port. `::1` has none.
fn apart(entry: &str) -> (&str, Option<u16>) {
    if entry.parse::<IpAddr>().is_ok() {
        return (entry, None);
    }
    match entry.rsplit_once(':').map(|(name, port)| (name, port.parse::<u16>())) {
        Some((name, Ok(port))) => (name, Some(port)),
        _ => (entry, None),
    }
}

/// Removes the brackets of an IPv6 address.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
}

fn contains(net: IpAddr, bits: u32, address: IpAddr) -> bool {
    let (net, address, width) = match (net, address) {
        (IpAddr::V4(n), IpAddr::V4(a)) => (u128::from(n.to_bits()), u128::from(a.to_bits()), 32_u32),
        (IpAddr::V6(n), IpAddr::V6(a)) => (n.to_bits(), a.to_bits(), 128),
        _ => return false,
    };
    match width.checked_sub(bits) {
        None => false,
        // An IPv6 prefix of length 0: there are no bits to compare.
        Some(128) => true,
        Some(free) => net >> free == address >> free,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "http://proxy.corp:3128";

    fn direct(no_proxy: &str, host: &str, port: u16) -> bool {
        of(host, port, Some(PROXY), Some(no_proxy)).is_none()
    }

    #[test]
    fn without_an_exception_everything_but_the_machine_itself_goes_through_the_proxy() {
        assert_eq!(of("api.example.org", 6443, Some(PROXY), None), Some(PROXY));
        assert_eq!(of("10.0.0.1", 6443, Some(PROXY), Some("")), Some(PROXY));
        assert_eq!(of("api.example.org", 6443, None, None), None);
        assert_eq!(of("api.example.org", 6443, Some(" "), None), None);
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "[::1]"] {
            assert_eq!(of(host, 6443, Some(PROXY), None), None, "{host}");
        }
    }

    #[test]
    fn an_exception_is_compared_with_the_target_and_not_with_the_proxy() {
        assert!(!direct("proxy.corp", "api.example.org", 6443));
        assert!(!direct("proxy.corp:3128,127.0.0.1", "api.example.org", 6443));
    }

    #[test]
    fn exceptions_are_hosts_domains_addresses_ranges_ports_or_all() {
        for (no_proxy, host, port, fits) in [
            ("*", "api.example.org", 6443, true),
            ("api.example.org", "api.example.org", 6443, true),
            ("API.Example.org", "api.example.ORG.", 6443, true),
            ("example.org", "api.example.org", 6443, true),
            ("example.org", "example.org", 6443, true),
            ("example.org", "notexample.org", 6443, false),
            ("ample.org", "example.org", 6443, false),
            (".example.org", "api.example.org", 6443, true),
            (".example.org", "a.b.example.org", 6443, true),
            (".example.org", "example.org", 6443, false),
            ("*.example.org", "api.example.org", 6443, true),
            ("*.example.org", "example.org", 6443, false),
            ("api.example.org:6443", "api.example.org", 6443, true),
            ("api.example.org:443", "api.example.org", 6443, false),
            (".example.org:6443", "api.example.org", 6443, true),
            ("10.0.0.1", "10.0.0.1", 6443, true),
            ("10.0.0.1:6443", "10.0.0.1", 6443, true),
            ("10.0.0.1:443", "10.0.0.1", 6443, false),
            ("10.0.0.1", "10.0.0.10", 6443, false),
            ("0.0.1", "10.0.0.1", 6443, false),
            ("10.0.0.0/8", "10.255.0.1", 6443, true),
            ("10.0.0.0/8", "11.0.0.1", 6443, false),
            ("10.0.0.1/32", "10.0.0.1", 6443, true),
            ("0.0.0.0/0", "8.8.8.8", 6443, true),
            ("10.0.0.0/33", "10.0.0.1", 6443, false),
            ("10.0.0.0/8", "10.example.org", 6443, false),
            ("fd00::/8", "[fd12::1]", 6443, true),
            ("fd00::/8", "fe80::1", 6443, false),
            ("::/0", "fe80::1", 6443, true),
            ("::/0", "10.0.0.1", 6443, false),
            ("fd00::1", "[fd00::1]", 6443, true),
            ("[fd00::1]:6443", "[fd00::1]", 6443, true),
            ("[fd00::1]:443", "[fd00::1]", 6443, false),
            // Lists with several entries, with empty entries and with entries that cannot be read.
            ("localhost,,127.0.0.1, .svc ,10.0.0.0/x,api.example.org,", "api.example.org", 6443, true),
            ("localhost 10.0.0.0/8 example.org", "api.example.org", 6443, true),
            (",", "api.example.org", 6443, false),
            (".", "api.example.org", 6443, false),
        ] {
            assert_eq!(direct(no_proxy, host, port), fits, "NO_PROXY={no_proxy} {host}:{port}");
        }
    }
}
