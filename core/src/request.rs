//! A request that a person makes by an annotation: a time, which is echoed once the request is met. No I/O.

use std::fmt::{self, Display};

use jiff::Timestamp;

/// Longest text of a request. The limit exists because the text is written into statuses.
const LENGTH_MAX: usize = 40;

/// One request. Two requests are the same if their texts are the same: people's clocks differ, and no clock is trusted
/// to be ahead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request(String);

impl Request {
    /// The request of a person whose clock shows this time.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self(now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
    }

    /// Reads an annotation. None means that the text is not a time (RFC 3339) or is too long for one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let sound = text.len() <= LENGTH_MAX && text.is_ascii() && text.parse::<Timestamp>().is_ok();
        sound.then(|| Self(text.to_owned()))
    }

    /// The text of the request.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_by_the_clock_can_be_read_again() {
        let asked = Request::at("2026-11-21T12:00:00.0625Z".parse().unwrap());
        assert_eq!(asked.as_str(), "2026-11-21T12:00:00.062Z");
        assert_eq!(Request::parse(asked.as_str()), Some(asked));
        assert!(Request::parse("2026-11-21T19:00:00+07:00").is_some(), "as `date -Is` writes it");
    }

    #[test]
    fn what_is_no_time_or_too_long_asks_for_nothing() {
        let huge = format!("2026-11-21T12:00:00.{}Z", "0".repeat(200_000));
        for text in ["", "now", "1", "2026-13-41T12:00:00Z", "2026-11-21T12:00:00Z\n", "٢٠٢٦-11-21T12:00:00Z", &huge]
        {
            assert_eq!(Request::parse(text), None, "{}", text.chars().take(40).collect::<String>());
        }
    }
}
