//! Hosts under which a CRM answers: which texts are no hosts, and what to write instead. No I/O.

use std::net::IpAddr;

/// Maximum length of a host.
pub const MAX: usize = 200;
/// Maximum length of a part of a host between points.
const LABEL_MAX: usize = 63;

const ADDRESS: &str = "an IP address cannot be a host: choose a name such as crm.acme.example, and let it lead to the address in DNS or in the hosts file of each computer";

/// What the definition refuses, each rule with a message that says what to write.
pub const RULES: &[(&str, &str)] = &[
    ("!self.contains('/')", "write the host alone, without https:// and without a path, such as crm.acme.example"),
    (
        "self.contains('/') || !self.contains(':')",
        "write the host without a port: the Site says it (spec.ingress.port)",
    ),
    ("!self.endsWith('.')", "write the host without the point at its end"),
    ("!self.matches('^([0-9.]*[.])?[0-9]+[.]?$')", ADDRESS),
    ("self.matches('^[ -~]*$')", "write an international name in its ASCII form, whose parts begin with xn--"),
    ("!self.matches('[^.:/]{64}')", "a part of a host between two points has at most 63 characters"),
    (
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)+$') || self.matches('[:/]|[.]$|[^ -~]|^[0-9]+$')",
        "a host is made of small letters, digits and hyphens, in two parts or more with a point between, such as crm.acme.example",
    ),
    ("!self.matches('[.][0-9]+$') || self.matches('^[0-9.]+$')", "the last part of a host is no number"),
];

/// Checks that a text is a host that people can reach: a name, in the form that browsers and certificates use.
///
/// # Errors
/// A text that says what to write instead.
pub fn check(text: &str) -> Result<(), String> {
    let alone = text.split_once("://").map_or(text, |(_, rest)| rest);
    let alone = alone.split('/').next().unwrap_or_default();
    if address(alone) {
        return Err(ADDRESS.to_owned());
    }
    let (name, port) = match alone.split_once(':') {
        Some((name, _)) => (name, true),
        None => (alone, false),
    };
    let name = name.trim();
    let wanted = ascii(name.trim_end_matches('.'));
    let write = || wanted.clone().filter(|w| shape(w).is_ok()).map_or_else(String::new, |w| format!(": {w}"));
    if alone != text {
        return Err(format!("write the host alone, without https:// and without a path{}", write()));
    }
    if port {
        return Err(format!("write the host without a port, which the Site says (spec.ingress.port){}", write()));
    }
    if name.ends_with('.') {
        return Err(format!("write the host without the point at its end{}", write()));
    }
    if !name.is_ascii() {
        return Err(format!("write an international name in its ASCII form, whose parts begin with xn--{}", write()));
    }
    if name != text || name.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(format!("write the host in small letters and without spaces{}", write()));
    }
    shape(name)
}

/// Whether a text is an IP address: four numbers, as browsers read them, or IPv6; with or without a port.
fn address(text: &str) -> bool {
    let bare = text.strip_prefix('[').and_then(|rest| rest.split(']').next()).unwrap_or(text);
    let numbers = bare.split(':').next().unwrap_or_default().trim_end_matches('.');
    bare.parse::<IpAddr>().is_ok() || (!numbers.is_empty() && numbers.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
}

/// The ASCII form of a name, in lower case.
fn ascii(name: &str) -> Option<String> {
    idna::domain_to_ascii(name).ok().filter(|ascii| !ascii.is_empty())
}

/// Checks that an ASCII name has the form of a host.
fn shape(name: &str) -> Result<(), String> {
    let labels: Vec<&str> = name.split('.').collect();
    if let Some(long) = labels.iter().find(|label| label.len() > LABEL_MAX) {
        let length = long.len();
        return Err(format!(
            "a part of a host between two points has at most {LABEL_MAX} characters, this one {length}"
        ));
    }
    if name.len() > MAX {
        return Err(format!("a host has at most {MAX} characters, this one {}", name.len()));
    }
    let fine = |label: &&str| {
        let inner = label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        inner && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    if labels.len() < 2 || !labels.iter().all(fine) {
        return Err("a host is made of small letters, digits and hyphens, in two parts or more with a point between, such as crm.acme.example".into());
    }
    // Browsers read a name that ends with a number as an invalid address.
    match labels.last() {
        Some(last) if last.bytes().all(|b| b.is_ascii_digit()) => Err("the last part of a host is no number".into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hosts() {
        let long = format!("{}.example", "a".repeat(63));
        for host in ["crm.acme.example", "a.b", "xn--vit-5kz.vn", "3.acme.vn", "1-2.acme.vn", "10.0.0.5.nip.io", &long]
        {
            assert_eq!(check(host), Ok(()), "{host}");
        }
    }

    #[test]
    fn what_is_no_host_is_told_with_what_to_write() {
        for (wrong, words) in [
            ("10.0.0.5", "hosts file"),
            ("10.0.0.5:8080", "hosts file"),
            ("https://10.0.0.5/", "hosts file"),
            ("300.1", "hosts file"),
            ("::1", "hosts file"),
            ("[fd00::1]:443", "hosts file"),
            ("https://crm.acme.vn/login", "without https:// and without a path: crm.acme.vn"),
            ("crm.acme.vn/", "without a path: crm.acme.vn"),
            ("crm.acme.vn:8443", "without a port, which the Site says (spec.ingress.port): crm.acme.vn"),
            ("crm.acme.vn.", "without the point at its end: crm.acme.vn"),
            ("việt.vn", "xn--: xn--vit-5kz.vn"),
            ("CRM.Acme.vn", "in small letters and without spaces: crm.acme.vn"),
            (" crm.acme.vn", "without spaces: crm.acme.vn"),
            ("crm", "in two parts or more"),
            ("crm_1.acme.vn", "small letters, digits and hyphens"),
            ("*.acme.vn", "small letters, digits and hyphens"),
            ("crm..vn", "small letters, digits and hyphens"),
            ("-crm.vn", "small letters, digits and hyphens"),
            ("", "in two parts or more"),
            ("crm.acme.1", "no number"),
        ] {
            let said = check(wrong).unwrap_err();
            assert!(said.contains(words), "{wrong}: {said}");
        }
        let said = check(&format!("{}.example", "a".repeat(64))).unwrap_err();
        assert!(said.contains("at most 63 characters, this one 64"), "{said}");
        let said = check(&["a".repeat(60), "b".repeat(60), "c".repeat(60), "d".repeat(60)].join(".")).unwrap_err();
        assert!(said.contains("at most 200 characters"), "{said}");
    }
}
