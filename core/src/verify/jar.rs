//! Cookies that are kept from one step to the next. No I/O and no clock.

use std::collections::BTreeMap;

/// Cookies by name. Path and domain are ignored, because all steps ask one application.
#[derive(Debug, Clone, Default)]
pub(super) struct Jar(BTreeMap<String, String>);

/// Maximum number of cookies, and maximum size of one cookie in bytes.
const COOKIES_MAX: usize = 50;
const COOKIE_MAX: usize = 4096;

impl Jar {
    /// Stores the cookies that an answer sets.
    pub fn take(&mut self, headers: &[(String, String)]) {
        for (name, value, gone) in set_cookies(headers) {
            if gone {
                self.0.remove(name);
            } else if self.0.len() < COOKIES_MAX || self.0.contains_key(name) {
                self.0.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// The value of the `cookie` header, if there are cookies to send.
    pub fn header(&self) -> Option<String> {
        let pairs: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

/// The value of a cookie that an answer sets.
pub(super) fn cookie<'h>(headers: &'h [(String, String)], wanted: &str) -> Option<&'h str> {
    set_cookies(headers).filter(|(name, _, gone)| *name == wanted && !gone).map(|(_, value, _)| value).last()
}

/// The cookies in an answer: name, value, and whether the cookie is being removed.
fn set_cookies(headers: &[(String, String)]) -> impl Iterator<Item = (&str, &str, bool)> {
    headers
        .iter()
        .filter(|(name, value)| name.eq_ignore_ascii_case("set-cookie") && value.len() <= COOKIE_MAX)
        .filter_map(|(_, header)| {
            let mut parts = header.split(';');
            let (name, value) = parts.next()?.split_once('=')?;
            let (name, value) = (name.trim(), value.trim());
            let gone = parts.any(|attribute| {
                let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
                match key.trim().to_ascii_lowercase().as_str() {
                    "max-age" => value.trim().parse::<i64>().is_ok_and(|seconds| seconds <= 0),
                    // Frameworks that do not use max-age remove a cookie with a date in 1970. There is no clock here to
                    // compare other dates with.
                    "expires" => value.contains("1970"),
                    _ => false,
                }
            });
            (!name.is_empty()).then_some((name, value, gone))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Vec<(String, String)> {
        vec![("Set-Cookie".into(), text.into())]
    }

    #[test]
    fn cookies_are_kept_replaced_and_removed() {
        let mut jar = Jar::default();
        jar.take(&set("PHPSESSID=abc=; Path=/; HttpOnly; Secure"));
        jar.take(&set("lang=vi"));
        assert_eq!(jar.header().as_deref(), Some("PHPSESSID=abc=; lang=vi"));
        jar.take(&set("PHPSESSID=new"));
        jar.take(&set("lang=x; Max-Age=0"));
        assert_eq!(jar.header().as_deref(), Some("PHPSESSID=new"));
        jar.take(&set("PHPSESSID=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT"));
        assert_eq!(jar.header(), None);
    }

    #[test]
    fn malformed_cookies_are_passed_over() {
        let mut jar = Jar::default();
        for bad in ["", "novalue", "=x", ";;;"] {
            jar.take(&set(bad));
        }
        assert_eq!(jar.header(), None);
    }
}
