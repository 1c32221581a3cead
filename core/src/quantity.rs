//! Sizes: converts Kubernetes quantities to bytes and bytes to decimal texts for people (1 GB = 10^9 bytes). No I/O.

/// A text that is not a size.
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
    // The API server keeps whole numbers in 64 bits with a sign and would return larger ones as floats.
    let bytes = i64::try_from((digits * factor).div_ceil(scale)).map_err(|_| invalid())?;
    u64::try_from(bytes).map_err(|_| invalid())
}

/// Billionths in one unit. A billionth is the smallest amount that Kubernetes counts.
const BILLION: u128 = 1_000_000_000;

/// A text that is not an amount of processor time or memory, with the amount that was perhaps meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a quantity: write {meant}")]
pub struct InvalidAmount {
    text: String,
    meant: String,
}

/// Reads any amount that Kubernetes reads, such as `50m`, `0.5`, `512Mi` or `1e3`, in billionths.
///
/// # Errors
/// [`InvalidAmount`] for anything else, negative numbers and overflow included.
pub fn amount(text: &str) -> Result<u128, InvalidAmount> {
    read(text).ok_or_else(|| {
        let meant = meant(text).unwrap_or_else(|| "a number with a unit, such as 50m, 0.5, 512Mi or 2Gi".into());
        InvalidAmount { text: text.chars().take(40).collect(), meant }
    })
}

/// Reads an amount of memory, in billionths of a byte. Less than a MiB is refused as a wrong unit, because nothing runs
/// in so little.
///
/// # Errors
/// [`InvalidAmount`] for anything that is not such an amount.
pub fn memory(text: &str) -> Result<u128, InvalidAmount> {
    let read = amount(text)?;
    if read > 0 && read < (1 << 20) * BILLION {
        let number: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        let text = text.chars().take(40).collect();
        return Err(InvalidAmount { text, meant: format!("{number}Mi (m is a thousandth, and no unit means bytes)") });
    }
    Ok(read)
}

fn read(text: &str) -> Option<u128> {
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > 20 {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let factor = factor(suffix)?;
    Some(digits.checked_mul(factor)?.div_ceil(scale))
}

/// Number of billionths that a suffix stands for.
fn factor(suffix: &str) -> Option<u128> {
    let thousands = |n: u32| BILLION.checked_mul(1_000_u128.checked_pow(n)?);
    let two = |bits: u32| Some(BILLION << bits);
    match suffix {
        "n" => Some(1),
        "u" => Some(1_000),
        "m" => Some(1_000_000),
        "" => Some(BILLION),
        "k" => thousands(1),
        "M" => thousands(2),
        "G" => thousands(3),
        "T" => thousands(4),
        "P" => thousands(5),
        "E" => thousands(6),
        "Ki" => two(10),
        "Mi" => two(20),
        "Gi" => two(30),
        "Ti" => two(40),
        "Pi" => two(50),
        "Ei" => two(60),
        other => {
            let exponent: i32 = other.strip_prefix(['e', 'E'])?.parse().ok()?;
            let exponent = exponent.checked_add(9).filter(|e| (0..=27).contains(e))?;
            10_u128.checked_pow(u32::try_from(exponent).ok()?)
        }
    }
}

/// The quantity that was probably meant by a text with a comma, a space, a B or different case.
fn meant(text: &str) -> Option<String> {
    let text: String = text.replace(',', ".").split_whitespace().collect();
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let suffix = match suffix.to_ascii_lowercase().as_str() {
        "k" | "kb" => "k",
        "mb" => "M",
        "g" | "gb" => "G",
        "t" | "tb" => "T",
        "ki" | "kib" => "Ki",
        "mi" | "mib" => "Mi",
        "gi" | "gib" => "Gi",
        "ti" | "tib" => "Ti",
        _ => suffix,
    };
    let meant = format!("{number}{suffix}");
    read(&meant).map(|_| meant)
}

/// A size for people: decimal as in contracts, with at most one digit after the point (`2.5 GB`).
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

    #[test]
    fn amounts_are_read_as_kubernetes_reads_them() {
        let nano = |text: &str| amount(text).unwrap();
        for (one, same) in [
            ("0.5", "500m"),
            ("1", "1000m"),
            ("1k", "1e3"),
            ("1Ki", "1024"),
            ("1G", "1000M"),
            ("1E", "1e18"),
            (".5", "500000u"),
        ] {
            assert_eq!(nano(one), nano(same), "{one} {same}");
        }
        assert!(nano("128Mi") < nano("1Gi") && nano("50m") < nano("0.1") && nano("1M") < nano("1Mi"));
        for (wrong, meant) in [
            ("64MB", "64M"),
            ("512MiB", "512Mi"),
            ("0,5", "0.5"),
            ("1 Gi", "1Gi"),
            ("2gb", "2G"),
            ("512mib", "512Mi"),
            ("lots", "a number with a unit, such as 50m, 0.5, 512Mi or 2Gi"),
            ("", "a number with a unit, such as 50m, 0.5, 512Mi or 2Gi"),
            ("-1", "a number with a unit, such as 50m, 0.5, 512Mi or 2Gi"),
        ] {
            assert_eq!(amount(wrong).unwrap_err().to_string(), format!("{wrong:?} is not a quantity: write {meant}"));
        }
        assert!(amount("99999999999999999999Ei").is_err() && amount("1e99").is_err() && amount("1.2.3").is_err());
    }

    #[test]
    fn memory_of_less_than_a_mebibyte_is_a_slip() {
        assert!(memory("512Mi").is_ok() && memory("0").is_ok() && memory("1048576").is_ok());
        let said = memory("512m").unwrap_err().to_string();
        assert!(said.contains("write 512Mi (m is a thousandth"), "{said}");
        assert!(memory("512").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused_without_a_panic(text in ".{0,40}") {
            let _ = (bytes(&text), memory(&text));
        }
    }
}
