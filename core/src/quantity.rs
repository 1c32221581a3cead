//! Sizes: Kubernetes quantities to bytes and bytes to decimal texts for people (1 GB = 10^9 bytes). No I/O.

/// Why a text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a size: write a number with an optional suffix k, M, G, T, Ki, Mi, Gi or Ti")]
pub struct InvalidQuantity(pub String);

/// Bytes of a Kubernetes quantity such as `2500M` or `1.5Gi`, rounded up to whole bytes.
///
/// # Errors
/// [`InvalidQuantity`] for anything else, negative numbers and overflow included.
pub fn bytes(text: &str) -> Result<u64, InvalidQuantity> {
    let invalid = || InvalidQuantity(text.chars().take(40).collect());
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let factor: u128 = match suffix {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return Err(invalid()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if number.is_empty() || fraction.len() > 9 || whole.len() > 18 || fraction.contains('.') {
        return Err(invalid());
    }
    let digits: u128 = format!("{whole}{fraction}").parse().map_err(|_| invalid())?;
    let scale = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| invalid())?);
    // The API server keeps whole numbers in 64 bits with a sign; larger ones would come back as floats.
    let bytes = i64::try_from((digits * factor).div_ceil(scale)).map_err(|_| invalid())?;
    u64::try_from(bytes).map_err(|_| invalid())
}

/// A size for people: decimal, as in contracts, at most one digit behind the point (`2.5 GB`).
#[must_use]
pub fn human(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    for (unit, size) in UNITS {
        if bytes >= size {
            let tenths = u128::from(bytes) * 10 / u128::from(size);
            return if tenths % 10 == 0 {
                format!("{} {unit}", tenths / 10)
            } else {
                format!("{}.{} {unit}", tenths / 10, tenths % 10)
            };
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn contracts_are_decimal() {
        assert_eq!(bytes("2500M"), Ok(2_500_000_000));
        assert_eq!(bytes("2.5G"), Ok(2_500_000_000));
        assert_eq!(bytes("1Gi"), Ok(1_073_741_824));
        assert_eq!(human(2_500_000_000), "2.5 GB");
        assert_eq!(human(29_000_000), "29 MB");
        assert_eq!(human(999), "999 B");
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", "G", "-1G", "1.2.3", "1X", "1e3", "99999999999999999999", "9223372036854775808", "9000000Ti"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused_without_a_panic(text in ".{0,40}") {
            let _ = bytes(&text);
        }
    }
}
