//! Hashes that pin content: releases, rendered files, applied objects. No I/O.

use serde::Serialize;
use sha2::{Digest, Sha256};

/// SHA-256 in lower-case hexadecimal.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let mut text = String::with_capacity(64);
    for byte in digest {
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
    }
    text
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The first ten characters of the SHA-256, for names of objects that keep the full text.
#[must_use]
pub fn short_hash(bytes: &[u8]) -> String {
    let mut text = sha256_hex(bytes);
    text.truncate(10);
    text
}

/// SHA-256 of a value's JSON. The keys are sorted, so that the order of fields does not matter.
///
/// # Errors
/// When the value cannot be written as JSON (a map whose keys are not texts).
pub fn content_hash<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    // serde_json's own map is sorted, so converting to a Value first also sorts the fields of structs.
    let sorted = serde_json::to_value(value)?;
    Ok(sha256_hex(sorted.to_string().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_keys_does_not_matter() {
        let a: serde_json::Value = serde_json::from_str(r#"{"a":1,"b":[1,2]}"#).unwrap();
        let b: serde_json::Value = serde_json::from_str(r#"{"b":[1,2],"a":1}"#).unwrap();
        assert_eq!(content_hash(&a).unwrap(), content_hash(&b).unwrap());
        assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
