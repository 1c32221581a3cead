//! Whether two copies of one product have a secret in common. No I/O; values are compared and never shown.

use std::collections::BTreeMap;

use super::points::Verdict;
use crate::blueprint::hints::{looks_secret, of_lines};

/// Shortest text that is searched for in the other copy's configuration: shorter texts appear there by chance.
const SEARCHED_MIN: usize = 8;

/// What the Secrets of one instance hold. Its Debug shows nothing.
#[derive(Clone, Default)]
pub struct Held {
    /// The administrator's password and the application's keys.
    pub keys: BTreeMap<String, String>,
    /// Address and log-in of the database.
    pub database: BTreeMap<String, String>,
    /// Rendered files and environment.
    pub config: BTreeMap<String, String>,
}

impl Held {
    /// The secret values, each with its place.
    fn secrets(&self) -> Vec<(String, &str)> {
        let keys = self.keys.iter().filter(|(k, _)| *k != "admin-login").map(|(k, v)| (k.clone(), v.as_str()));
        let database = self.database.iter().filter(|(k, _)| *k == "password");
        keys.chain(database.map(|(_, v)| ("the database's password".to_owned(), v.as_str()))).collect()
    }
}

/// Judges two copies. `given` are the settings that both copies were given, which are the same on purpose. `place`
/// gives a readable name for a key of the rendered configuration.
pub fn judge(first: &Held, second: &Held, given: &[String], place: impl Fn(&str) -> String) -> Verdict {
    if first.keys.is_empty() || second.keys.is_empty() {
        return Verdict::Failed("an instance has no Secret with its keys".into());
    }
    let mut shared = Vec::new();
    for (name, value) in first.secrets() {
        if second.secrets().iter().any(|(n, v)| *n == name && *v == value) {
            shared.push(name);
        }
    }
    for key in ["database", "username"] {
        if let (Some(a), Some(b)) = (first.database.get(key), second.database.get(key))
            && a == b
        {
            shared.push(format!("the database's {key}"));
        }
    }
    for (from, into) in [(first, second), (second, first)] {
        for (key, text) in &into.config {
            for (name, value) in from.secrets() {
                if value.len() >= SEARCHED_MIN && text.contains(value) {
                    shared.push(format!("{name} of the other copy stands in {}", place(key)));
                }
            }
        }
    }
    // A text that the author wrote down is the same in every copy.
    for (key, text) in &first.config {
        let other = second.config.get(key);
        match key.rsplit_once("env.").map(|(_, rest)| rest.rsplit('.').next().unwrap_or(rest)) {
            Some(name) => {
                if looks_secret(name, text) && other == Some(text) && !given.contains(text) {
                    shared.push(place(key));
                }
            }
            None => {
                let others = other.map(|t| of_lines(t)).unwrap_or_default();
                for pair in of_lines(text).into_iter().filter(|(_, value)| !given.contains(value)) {
                    if others.contains(&pair) {
                        shared.push(format!("{} in {}", pair.0, place(key)));
                    }
                }
            }
        }
    }
    shared.sort();
    shared.dedup();
    if shared.is_empty() {
        let count = first.secrets().len();
        return Verdict::Passed(format!(
            "{count} secrets of each, all different, and none in the other's configuration"
        ));
    }
    Verdict::Failed(format!("the same in two copies: {}; use secrets.NAME or personalise", shared.join(", ")))
}

/// Whether a staging copy has its own log-in and its own database. The application's keys may be the same, because with
/// other keys the copy could not read the copied data.
pub fn access(first: &Held, copy: &Held, took: String) -> Verdict {
    let mut shared = Vec::new();
    for (what, a, b) in [
        ("the administrator's password", first.keys.get("admin-password"), copy.keys.get("admin-password")),
        ("the database's password", first.database.get("password"), copy.database.get("password")),
        ("the database", first.database.get("database"), copy.database.get("database")),
    ] {
        if a.is_some() && a == b {
            shared.push(what);
        }
    }
    if shared.is_empty() {
        Verdict::Passed(format!("ready in {took}, with a database, a log-in and a password of its own"))
    } else {
        Verdict::Failed(format!("the copy and its original have the same: {}", shared.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(own: &str, config: &[(&str, &str)]) -> Held {
        let map = |all: &[(&str, &str)]| all.iter().map(|(k, v)| ((*k).to_owned(), v.replace("OWN", own))).collect();
        Held {
            keys: map(&[("admin-login", "admin"), ("admin-password", "pass-OWN"), ("secret.key", "key-OWN-key")]),
            database: map(&[
                ("password", "db-OWN-db"),
                ("database", "crm_OWN"),
                ("username", "crm_OWN"),
                ("host", "pg"),
            ]),
            config: map(config),
        }
    }

    fn verdict(a: &[(&str, &str)], b: &[(&str, &str)]) -> Verdict {
        judge(&held("aaaa", a), &held("bbbb", b), &["given-by-a-person".to_owned()], str::to_owned)
    }

    #[test]
    fn copies_with_secrets_of_their_own_pass() {
        let config = [
            ("file-0", "uri = postgresql://crm:db-OWN-db@pg/\nlength = 10\n"),
            ("env.SECRET_KEY", "key-OWN-key"),
            ("env.SMTP_PASSWORD", "given-by-a-person"),
        ];
        assert!(matches!(verdict(&config, &config), Verdict::Passed(_)));
    }

    #[test]
    fn a_secret_that_is_written_down_is_found_in_files_and_environment() {
        for (key, text) in [
            ("env.APP_SECRET", "correct-horse-battery"),
            ("env.web.JWT_TOKEN", "correct-horse-battery"),
            ("file-0", "[web]\nsecret_key = correct-horse-battery\n"),
            ("file-0", "'encryptionKey' => 'correct-horse-battery',"),
        ] {
            let found = verdict(&[(key, text)], &[(key, text)]);
            assert!(matches!(&found, Verdict::Failed(why) if !why.contains("horse")), "{key}: {found:?}");
        }
    }

    #[test]
    fn the_other_copys_secret_is_found_and_not_shown() {
        let found = verdict(&[("file-0", "x")], &[("file-0", "left over: db-aaaa-db")]);
        let Verdict::Failed(why) = found else { panic!("not found") };
        assert!(why.contains("the database's password of the other copy stands in file-0") && !why.contains("db-aaaa"));
    }

    #[test]
    fn a_staging_copy_may_keep_the_applications_key_but_no_password() {
        let first = held("aaaa", &[]);
        let mut copy = held("bbbb", &[]);
        copy.keys.insert("secret.key".into(), first.keys["secret.key"].clone());
        assert_eq!(access(&first, &copy, "3 s".into()).word(), "passed");
        copy.keys.insert("admin-password".into(), first.keys["admin-password"].clone());
        assert!(access(&first, &copy, "3 s".into()).reason().contains("the administrator's password"));
    }

    #[test]
    fn equal_keys_and_one_database_for_both_are_found() {
        let Verdict::Failed(why) = judge(&held("aaaa", &[]), &held("aaaa", &[]), &[], str::to_owned) else { panic!() };
        for word in ["admin-password", "secret.key", "the database's password", "the database's database"] {
            assert!(why.contains(word), "{why}");
        }
        assert!(!why.contains("admin-login") && !why.contains("host"));
    }
}
