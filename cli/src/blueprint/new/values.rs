//! Values of a Compose file as templates: which belong to the database, are secret, or need a person's choice. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::blueprint::hints::secret_name;

/// A value as text.
pub fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Words of a command: a list as it is, a line split as a shell would split it.
pub fn words(value: &Value) -> Vec<String> {
    match value {
        Value::Array(all) => all.iter().map(literal).collect(),
        Value::String(line) => split(line),
        _ => Vec::new(),
    }
}

/// Splits a line at blanks outside quotes.
fn split(line: &str) -> Vec<String> {
    let (mut all, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, '\'' | '"') => (quote, begun) = (Some(c), true),
            (Some(q), c) if q == c => quote = None,
            (None | Some('"'), '\\') => {
                word.extend(chars.next());
                begun = true;
            }
            (None, c) if c.is_whitespace() => {
                if begun {
                    all.push(std::mem::take(&mut word));
                    begun = false;
                }
            }
            (_, c) => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        all.push(word);
    }
    all
}

/// Resolves Compose's own variables in a text: `${NAME:-default}` becomes the default, `$$` a dollar. A variable
/// without a default becomes nothing.
pub fn settled(text: &str) -> String {
    taken_apart(text).into_iter().map(|part| part.unwrap_or_default()).collect()
}

/// The parts of a text: Ok is plain text, Err is the name of a variable without a default.
fn taken_apart(text: &str) -> Vec<Result<String, String>> {
    let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
    while let Some(at) = rest.find('$') {
        plain.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + 1..).unwrap_or_default();
        if let Some(after) = rest.strip_prefix('$') {
            plain.push('$');
            rest = after;
        } else if let Some((inner, after)) = rest.strip_prefix('{').and_then(|r| r.split_once('}')) {
            let end = inner.find([':', '-', '?', '+']).unwrap_or(inner.len());
            let (name, how) = inner.split_at(end);
            match how.trim_start_matches(':').strip_prefix('-') {
                Some(default) => plain.push_str(default),
                None => {
                    parts.push(Ok(std::mem::take(&mut plain)));
                    parts.push(Err(name.to_owned()));
                }
            }
            rest = after;
        } else {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            if end == 0 {
                plain.push('$');
                continue;
            }
            parts.push(Ok(std::mem::take(&mut plain)));
            parts.push(Err(rest.get(..end).unwrap_or_default().to_owned()));
            rest = rest.get(end..).unwrap_or_default();
        }
    }
    plain.push_str(rest);
    parts.push(Ok(plain));
    parts
}

/// Escapes a text, so that a template renders it unchanged.
pub fn escaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = ["{{", "{%", "{#"].iter().filter_map(|m| rest.find(m)).min() {
        let (before, mark) = (rest.get(..at).unwrap_or_default(), rest.get(at..at + 2).unwrap_or_default());
        out.push_str(before);
        out.push_str(&format!("{{{{ \"{mark}\" }}}}"));
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// A name in the form that secrets and settings have.
fn folded(name: &str) -> String {
    let folded: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    let folded = folded.trim_start_matches(|c: char| !c.is_ascii_lowercase()).trim_end_matches('_').to_owned();
    if folded.is_empty() { "value".into() } else { folded.chars().take(40).collect() }
}

/// What is known of the file while values are read.
#[derive(Default)]
pub struct Known {
    host: Option<String>,
    user: Vec<String>,
    password: Vec<String>,
    database: Vec<String>,
    companions: BTreeMap<String, String>,
    secrets: BTreeSet<String>,
    settings: BTreeMap<String, String>,
    remarks: BTreeSet<String>,
}

impl Known {
    /// Starts with the database's service, because that service's variables hold the log-in.
    pub fn new(database: Option<(&str, Vec<(String, String)>)>) -> Self {
        let mut known = Self::default();
        let Some((name, environment)) = database else { return known };
        known.host = Some(name.to_owned());
        for (key, value) in environment {
            let value = value.trim().to_owned();
            if value.is_empty() {
                continue;
            }
            if key.ends_with("_USER") {
                known.user.push(value);
            } else if key.ends_with("PASSWORD") {
                known.password.push(value);
            } else if key.ends_with("_DB") || key.ends_with("_DATABASE") {
                known.database.push(value);
            }
        }
        known
    }

    /// Registers a service that becomes a companion, with the name of its process.
    pub fn companion(&mut self, service: &str, process: &str) {
        self.companions.insert(service.to_owned(), process.to_owned());
    }

    /// Names of the secrets that are needed.
    pub fn secrets(&self) -> Vec<String> {
        self.secrets.iter().take(20).cloned().collect()
    }

    /// Settings that are needed.
    pub fn settings(&self) -> BTreeMap<String, String> {
        self.settings.clone()
    }

    /// What a person should look at.
    pub fn remarks(&self) -> Vec<String> {
        self.remarks.iter().cloned().collect()
    }

    /// The template for a variable's value; None when the variable is left out.
    pub fn value(&mut self, service: &str, name: &str, raw: &str) -> Option<String> {
        let raw = raw.trim();
        if let Some(found) = self.of_database(name, raw) {
            return Some(found);
        }
        if name.to_ascii_uppercase().ends_with("_FILE") && raw.starts_with("/run/secrets/") {
            self.remarks.insert(format!("{name} of service {service} names a file of Compose's secrets: use `files`"));
            return None;
        }
        if secret_name(name) {
            let value = settled(raw);
            // A word such as "none", or an empty value, is a choice and no secret. A value that holds a variable is a
            // secret.
            if raw.is_empty()
                || (!raw.contains('$') && ["true", "false", "yes", "no", "none"].contains(&value.as_str()))
            {
                return Some(escaped(&value));
            }
            return Some(self.secret(name));
        }
        if let Some((scheme, user, rest)) = credentials(raw) {
            let secret = self.secret(&format!("{name}_password"));
            self.remarks
                .insert(format!("{name} of service {service} had a password in its URL: a secret stands there now"));
            return Some(format!("{scheme}://{}:{secret}@{}", escaped(&settled(user)), self.hosts(&settled(rest))));
        }
        let mut out = String::new();
        for part in taken_apart(raw) {
            match part {
                Ok(text) => out.push_str(&self.hosts(&text)),
                Err(variable) => out.push_str(&self.setting(&variable)),
            }
        }
        Some(out)
    }

    fn secret(&mut self, name: &str) -> String {
        let name = folded(name);
        self.secrets.insert(name.clone());
        format!("{{{{ secrets.{name} }}}}")
    }

    fn setting(&mut self, variable: &str) -> String {
        if secret_name(variable) {
            return self.secret(variable);
        }
        let name = folded(variable);
        self.remarks.insert(format!("setting {name} was a variable without a default: say one, or take it away"));
        self.settings.entry(name.clone()).or_default();
        format!("{{{{ settings.{name} }}}}")
    }

    /// The template for a value that belongs to the database; None for every other value.
    fn of_database(&self, name: &str, raw: &str) -> Option<String> {
        let host = self.host.as_deref()?;
        let upper = name.to_ascii_uppercase();
        let value = settled(raw);
        let has = |all: &[String]| all.iter().any(|v| v == raw || (!value.is_empty() && settled(v) == value));
        if let Some((scheme, rest)) = raw.split_once("://") {
            let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
            let at = place.split(['/', '?']).next()?.split(':').next()?;
            let query = place.split_once('?').map(|(_, q)| format!("?{}", escaped(&settled(q)))).unwrap_or_default();
            return (settled(at) == host).then(|| {
                format!(
                    "{scheme}://{{{{ database.user|urlencode }}}}:{{{{ database.password|urlencode }}}}@{{{{ database.host }}}}:{{{{ database.port }}}}/{{{{ database.name }}}}{query}"
                )
            });
        }
        if value == host {
            return Some("{{ database.host }}".into());
        }
        if value.strip_prefix(host).and_then(|r| r.strip_prefix(':')).is_some_and(|p| p.parse::<u16>().is_ok()) {
            return Some("{{ database.host }}:{{ database.port }}".into());
        }
        let speaks = ["DB", "DATABASE", "POSTGRES", "PG", "MYSQL", "MARIADB", "SQL"].iter().any(|w| upper.contains(w));
        let ends = |words: &[&str]| words.iter().any(|w| upper.ends_with(w));
        if ends(&["PASSWORD", "PASS", "PASSWD", "PWD"]) && (has(&self.password) || speaks) {
            return Some("{{ database.password }}".into());
        }
        if ends(&["USER", "USERNAME", "LOGIN"]) && (has(&self.user) || speaks) {
            return Some("{{ database.user }}".into());
        }
        if ends(&["PORT"]) && (speaks || ["5432", "3306"].contains(&value.as_str())) {
            return Some("{{ database.port }}".into());
        }
        let named = ends(&["DB", "DBNAME", "DB_NAME", "DATABASE", "DATABASE_NAME"]) || (ends(&["NAME"]) && speaks);
        (named && (has(&self.database) || speaks)).then(|| "{{ database.name }}".into())
    }

    /// The text, with the hosts of companions replaced by the hosts of their processes.
    fn hosts(&self, text: &str) -> String {
        let whole = |process: &str, rest: &str| {
            let host = format!("{{{{ processes.{process}.host }}}}");
            let digits: String =
                rest.strip_prefix(':').unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
            if digits.is_empty() {
                (host, rest.to_owned())
            } else {
                let after = rest.get(digits.len() + 1..).unwrap_or_default().to_owned();
                (format!("{host}:{{{{ processes.{process}.port }}}}"), after)
            }
        };
        for (service, process) in &self.companions {
            if text == service {
                return whole(process, "").0;
            }
            // Only as the host of a URL, or before a port; a word that merely looks like the host stays.
            for (before, needs_port) in [("://", false), ("@", false), ("", true)] {
                let mark = format!("{before}{service}");
                let Some(at) = text.find(&mark).filter(|at| !before.is_empty() || *at == 0) else { continue };
                let rest = text.get(at + mark.len()..).unwrap_or_default();
                let is_end = rest.is_empty() || rest.starts_with([':', '/', '?']);
                if is_end && (!needs_port || rest.starts_with(':')) {
                    let (host, after) = whole(process, rest);
                    let head = text.get(..at).unwrap_or_default();
                    return format!("{}{before}{host}{}", escaped(head), escaped(&after));
                }
            }
        }
        escaped(text)
    }
}

/// Scheme, user and rest of a URL that holds a password.
fn credentials(text: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let (user, rest) = rest.rsplit_once('@')?;
    let (user, password) = user.split_once(':')?;
    (!password.is_empty()).then_some((scheme, user, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let environment = [("POSTGRES_USER", "crm"), ("POSTGRES_PASSWORD", "hunter2hunter2"), ("POSTGRES_DB", "crmdb")];
        let environment = environment.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
        let mut known = Known::new(Some(("db", environment)));
        known.companion("redis", "redis");
        known
    }

    #[test]
    fn what_is_the_databases_is_taken_from_the_instance() {
        for (name, raw, wanted) in [
            ("DB_HOST", "db", "{{ database.host }}"),
            ("DB_PORT", "5432", "{{ database.port }}"),
            ("DB_USER", "crm", "{{ database.user }}"),
            ("DB_PASSWORD", "hunter2hunter2", "{{ database.password }}"),
            ("DB_NAME", "crmdb", "{{ database.name }}"),
            ("SERVER", "db:5432", "{{ database.host }}:{{ database.port }}"),
            (
                "DATABASE_URL",
                "postgres://crm:hunter2hunter2@db:5432/crmdb?sslmode=disable",
                "postgres://{{ database.user|urlencode }}:{{ database.password|urlencode }}@{{ database.host }}:{{ database.port }}/{{ database.name }}?sslmode=disable",
            ),
        ] {
            assert_eq!(known().value("web", name, raw).as_deref(), Some(wanted), "{name}");
        }
    }

    #[test]
    fn no_password_survives_wherever_it_stands() {
        for (name, raw) in [
            ("APP_SECRET", "correct-horse"),
            ("APP_SECRET", "${APP_SECRET}"),
            ("APP_SECRET", "${APP_SECRET:-correct-horse}"),
            ("SMTP_URL", "smtp://me:correct-horse@mail.example:587"),
            ("REDIS_URL", "redis://:correct-horse@redis:6379/0"),
        ] {
            let mut known = known();
            let value = known.value("web", name, raw).unwrap();
            assert!(!value.contains("horse") && value.contains("{{ secrets."), "{name}: {value}");
            assert_eq!(known.secrets().len(), 1);
        }
    }

    #[test]
    fn companions_are_reached_at_their_process() {
        for (raw, wanted) in [
            ("redis", "{{ processes.redis.host }}"),
            ("redis:6379", "{{ processes.redis.host }}:{{ processes.redis.port }}"),
            ("redis://redis:6379/0", "redis://{{ processes.redis.host }}:{{ processes.redis.port }}/0"),
            ("a redis-like thing", "a redis-like thing"),
        ] {
            assert_eq!(known().value("web", "CACHE", raw).as_deref(), Some(wanted), "{raw}");
        }
    }

    #[test]
    fn variables_become_their_default_or_a_setting() {
        let mut known = known();
        assert_eq!(known.value("web", "LANG", "${LANG:-vi}").as_deref(), Some("vi"));
        assert_eq!(known.value("web", "TZ", "zone $TZ").as_deref(), Some("zone {{ settings.tz }}"));
        assert_eq!(known.value("web", "PRICE", "$$5").as_deref(), Some("$5"));
        assert_eq!(known.value("web", "T", "{{ x }}").as_deref(), Some("{{ \"{{\" }} x }}"));
        assert_eq!(known.settings().keys().collect::<Vec<_>>(), ["tz"]);
    }

    #[test]
    fn a_line_is_taken_apart_as_a_shell_would() {
        let line = r#"run --name "a b" 'c d' e\ f "#;
        assert_eq!(words(&Value::from(line)), ["run", "--name", "a b", "c d", "e f"]);
    }
}
