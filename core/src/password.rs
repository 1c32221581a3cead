//! Password hashes in the form that products store. Deterministic: the salt comes in as text. No I/O.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest, Sha256};

/// Memory of an argon2 hash in KiB, number of passes, number of lanes: the smallest set that OWASP recommends.
const ARGON2: (u32, u32, u32) = (19_456, 2, 1);
/// Cost of a bcrypt hash: the default of PHP's `password_hash`.
const BCRYPT_COST: u32 = 10;
/// Longest password that bcrypt reads. PHP would cut a longer one silently.
const BCRYPT_MAX: usize = 71;
/// Longest password that is hashed at all, in bytes.
const PASSWORD_MAX: usize = 1024;

/// Why a password was not hashed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// The password is empty.
    #[error("an empty password is not hashed")]
    Empty,
    /// The salt is empty.
    #[error("a password is not hashed with an empty salt")]
    NoSalt,
    /// The password is longer than the algorithm can read.
    #[error("the password has {length} bytes; {algorithm} reads at most {most}")]
    TooLong {
        /// The algorithm.
        algorithm: &'static str,
        /// Bytes of the password.
        length: usize,
        /// Maximum number of bytes that the algorithm reads.
        most: usize,
    },
    /// The password has a NUL, at which bcrypt would end it.
    #[error("a password with a NUL cannot be hashed with bcrypt")]
    Nul,
    /// The algorithm reported an error.
    #[error("{algorithm}: {message}")]
    Algorithm {
        /// The algorithm.
        algorithm: &'static str,
        /// The algorithm's message.
        message: String,
    },
}

/// An argon2id hash as a PHC string (`$argon2id$v=19$m=19456,t=2,p=1$...`).
///
/// The same password and salt text give the same hash. The salt is made only from the salt text, because a salt made
/// from the password would be a fast way to guess the password.
///
/// # Errors
/// [`PasswordError`] when the password or the salt text is empty or too long.
pub fn argon2(password: &str, salt: &str) -> Result<String, PasswordError> {
    checked("argon2", password, salt, PASSWORD_MAX)?;
    let failed = |e: argon2::Error| PasswordError::Algorithm { algorithm: "argon2", message: e.to_string() };
    let (m, t, p) = ARGON2;
    let params = Params::new(m, t, p, Some(32)).map_err(failed)?;
    let salt = salt_bytes("argon2", salt);
    let mut hash = [0_u8; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), &salt, &mut hash)
        .map_err(failed)?;
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    Ok(format!("$argon2id$v=19$m={m},t={t},p={p}${salt}${hash}"))
}

/// A bcrypt hash as PHP writes it (`$2y$10$...`).
///
/// # Errors
/// [`PasswordError`] when the password or the salt text is empty, or the password is longer than
/// bcrypt reads or has a NUL.
pub fn bcrypt(password: &str, salt: &str) -> Result<String, PasswordError> {
    checked("bcrypt", password, salt, BCRYPT_MAX)?;
    if password.contains('\0') {
        return Err(PasswordError::Nul);
    }
    bcrypt::non_truncating_hash_with_salt(password, BCRYPT_COST, salt_bytes("bcrypt", salt))
        .map(|parts| parts.format_for_version(bcrypt::Version::TwoY))
        .map_err(|e| PasswordError::Algorithm { algorithm: "bcrypt", message: e.to_string() })
}

fn checked(algorithm: &'static str, password: &str, salt: &str, most: usize) -> Result<(), PasswordError> {
    if password.is_empty() {
        return Err(PasswordError::Empty);
    }
    if salt.is_empty() {
        return Err(PasswordError::NoSalt);
    }
    if password.len() > most {
        return Err(PasswordError::TooLong { algorithm, length: password.len(), most });
    }
    Ok(())
}

/// Makes 16 bytes of salt from a text, different for each algorithm.
fn salt_bytes(algorithm: &str, text: &str) -> [u8; 16] {
    let mut digest = Sha256::new();
    digest.update(b"tenantry/salt/");
    digest.update(algorithm.as_bytes());
    digest.update([0]);
    digest.update(text.as_bytes());
    let mut salt = [0_u8; 16];
    for (to, from) in salt.iter_mut().zip(digest.finalize()) {
        *to = from;
    }
    salt
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a PHC string with another implementation: the crate's own verifier.
    fn argon2_verifies(password: &str, phc: &str) -> bool {
        use argon2::PasswordVerifier;
        let parsed = argon2::password_hash::phc::PasswordHash::new(phc).unwrap();
        Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok()
    }

    #[test]
    fn an_argon2_hash_is_verified_and_a_wrong_password_is_not() {
        let phc = argon2("Trộm vía 123", "instance-7").unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(argon2_verifies("Trộm vía 123", &phc));
        assert!(!argon2_verifies("Trộm vía 124", &phc));
    }

    #[test]
    fn hashes_of_the_same_inputs_are_the_same_and_of_other_salts_are_not() {
        assert_eq!(argon2("p", "s"), argon2("p", "s"));
        assert_ne!(argon2("p", "s"), argon2("p", "t"));
        assert_eq!(bcrypt("p", "s"), bcrypt("p", "s"));
        assert_ne!(bcrypt("p", "s"), bcrypt("p", "t"));
    }

    #[test]
    fn a_bcrypt_hash_is_verified_and_carries_the_prefix_of_php() {
        let hash = bcrypt("rasmuslerdorf", "instance-7").unwrap();
        assert!(hash.starts_with("$2y$10$"), "{hash}");
        assert!(bcrypt::verify("rasmuslerdorf", &hash).unwrap());
        assert!(!bcrypt::verify("rasmuslerdorg", &hash).unwrap());
        // The hash of the same password and salt by libxcrypt, which PHP uses on Debian.
        assert_eq!(hash, "$2y$10$mZ/1dVDaUzRIpkLDy5qWG.O87HhP0YoCjrbeE7ERsMojv4t.rXLyu");
    }

    #[test]
    fn a_password_longer_than_bcrypt_reads_is_refused_instead_of_cut() {
        assert!(bcrypt(&"x".repeat(71), "s").is_ok());
        assert!(matches!(bcrypt(&"x".repeat(72), "s"), Err(PasswordError::TooLong { most: 71, .. })));
        assert_eq!(bcrypt("a\0b", "s"), Err(PasswordError::Nul));
    }

    #[test]
    fn empty_passwords_and_salts_are_refused() {
        assert_eq!(argon2("", "s"), Err(PasswordError::Empty));
        assert_eq!(bcrypt("p", ""), Err(PasswordError::NoSalt));
    }
}
