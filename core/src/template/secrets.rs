//! Which variables are secret, and how their values are kept out of messages. No I/O.

use serde_json::Value;

/// Objects that contain secrets. A template that uses one as a whole (in a loop, with `tojson`) reveals them.
const HOLDERS: [&str; 4] = ["admin", "database", "secrets", "smtp"];
/// A name that ends with one of these words is secret.
const WORDS: [&str; 7] = ["password", "passwd", "secret", "token", "apikey", "privatekey", "accesskey"];

/// Name of the list in a context that holds the settings declared as secret by the blueprint.
pub const SECRET_SETTINGS: &str = "secret_settings";

/// Whether a variable is secret in a context: because of its name, or as a setting that the context lists as secret.
#[must_use]
pub fn is_secret_in(context: &Value, path: &str) -> bool {
    let declared = || context.get(SECRET_SETTINGS).and_then(Value::as_array).into_iter().flatten();
    let listed = |name: &str| declared().any(|setting| setting.as_str() == Some(name));
    is_secret(path) || path.strip_prefix("settings.").is_some_and(listed)
}

/// Every secret text of a context, and the passwords inside secret URLs.
#[must_use]
pub fn secret_texts(context: &Value) -> Vec<String> {
    let mut all = Vec::new();
    collect(context, "", context, false, &mut all);
    let inside: Vec<String> = all.iter().filter_map(|text| password_of(text).map(str::to_owned)).collect();
    all.extend(inside);
    all.retain(|text| !text.is_empty());
    all
}

/// The password in a URL such as `smtp://user:password@host`. Programs may also write the password without the URL.
fn password_of(url: &str) -> Option<&str> {
    let (user, _) = url.split_once("://")?.1.rsplit_once('@')?;
    Some(user.split_once(':')?.1)
}

/// Whether a variable of a template is secret, such as `admin.password`, `database.url` or `secrets.csrf`. The
/// `captures` of a verification are not secret.
#[must_use]
pub fn is_secret(path: &str) -> bool {
    let mut parts = path.split('.');
    let root = parts.next().unwrap_or_default();
    match root {
        "captures" => return false,
        "secrets" => return true,
        _ if path == "database.url" || path.starts_with("database.url.") => return true,
        _ if HOLDERS.contains(&path) => return true,
        _ => {}
    }
    path.split('.').any(|part| {
        let word: String = part.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        WORDS.iter().any(|w| word.ends_with(w))
    })
}

/// Length of the shortest text that is replaced. Replacing shorter texts would make messages unreadable and hide
/// little.
const REDACT_MIN: usize = 4;

/// Replaces secret texts by `***`.
#[derive(Clone, Default)]
pub struct Redactor {
    secrets: Vec<String>,
}

impl Redactor {
    /// Replaces every secret text of a template's context.
    #[must_use]
    pub fn new(context: &Value) -> Self {
        Self::of(secret_texts(context))
    }

    /// Replaces these texts, also in the forms of JSON strings and URL components. Very short texts are not replaced.
    #[must_use]
    pub fn of(texts: impl IntoIterator<Item = String>) -> Self {
        let mut redactor = Self { secrets: texts.into_iter().flat_map(|text| forms(&text)).collect() };
        redactor.sort();
        redactor
    }

    /// Adds one more text to replace.
    pub fn add(&mut self, text: &str) {
        self.secrets.extend(forms(text));
        self.sort();
    }

    /// Sorts the longest secret first, so that a secret that contains another one is replaced as a whole.
    fn sort(&mut self) {
        self.secrets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        self.secrets.dedup();
    }

    /// Like [`redact`](Self::redact), for a text that was cut off. The beginning of a secret at the end of the text is
    /// replaced, too.
    #[must_use]
    pub fn redact_cut(&self, text: &str) -> String {
        // Half a character at the cut would prevent finding the beginning of a secret.
        let mut out = self.redact(text.trim_end_matches('\u{fffd}'));
        let begun = |secret: &String| {
            let ends = secret.char_indices().map(|(at, _)| at).filter(|at| *at > 0);
            ends.filter(|at| secret.get(..*at).is_some_and(|part| out.ends_with(part))).max().unwrap_or(0)
        };
        let longest = self.secrets.iter().map(begun).max().unwrap_or(0);
        if longest > 0 {
            out.truncate(out.len() - longest);
            out.push_str("***");
        }
        out
    }

    /// The text without secrets.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for secret in &self.secrets {
            if out.contains(secret.as_str()) {
                out = out.replace(secret.as_str(), "***");
            }
        }
        out
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} secrets)", self.secrets.len())
    }
}

/// The forms in which a secret text may be written.
fn forms(text: &str) -> Vec<String> {
    if text.len() < REDACT_MIN {
        return Vec::new();
    }
    let json = Value::String(text.to_owned()).to_string();
    let json = json.get(1..json.len() - 1).unwrap_or(text).to_owned();
    vec![text.to_owned(), json, super::quote::url(text)]
}

fn collect(context: &Value, path: &str, value: &Value, secret: bool, all: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                // A holder as a whole is secret, but its members are judged one by one.
                let whole = below == "secrets" || !HOLDERS.contains(&below.as_str());
                let secret = secret || (is_secret_in(context, &below) && whole);
                collect(context, &below, value, secret, all);
            }
        }
        Value::Array(list) => list.iter().for_each(|v| collect(context, path, v, secret, all)),
        Value::String(text) if secret => all.push(text.clone()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_told_from_other_variables() {
        for secret in [
            "admin.password",
            "database.password",
            "database.url",
            "secrets.csrf",
            "secrets",
            "database",
            "smtp.password",
        ] {
            assert!(is_secret(secret), "{secret}");
        }
        for open in ["admin.email", "database.host", "captures.token", "instance.host", "captures"] {
            assert!(!is_secret(open), "{open}");
        }
    }

    #[test]
    fn secrets_are_found_as_json_and_urls_write_them_and_at_a_cut() {
        let redactor = Redactor::of(["pa\"ss wörd".to_owned()]);
        assert_eq!(redactor.redact(r#"{"p":"pa\"ss wörd"} ?p=pa%22ss%20w%C3%B6rd"#), r#"{"p":"***"} ?p=***"#);
        assert_eq!(redactor.redact_cut("xx pa\"ss w\u{fffd}"), "xx ***");
        assert_eq!(redactor.redact_cut("xx"), "xx");
        assert_eq!(redactor.redact_cut("pa\"ss wörd"), "***");
    }

    #[test]
    fn a_setting_that_the_context_lists_is_a_secret_with_the_password_inside_of_it() {
        let context = json!({
            "settings": {"smtp_uri": "smtp+tls://mail:hunter22@mx.example:587", "smtp_from": "crm@acme.example"},
            SECRET_SETTINGS: ["smtp_uri"],
        });
        assert!(is_secret_in(&context, "settings.smtp_uri") && !is_secret("settings.smtp_uri"));
        assert!(!is_secret_in(&context, "settings.smtp_from") && !is_secret_in(&json!({}), "settings.smtp_uri"));
        assert_eq!(secret_texts(&context), ["smtp+tls://mail:hunter22@mx.example:587", "hunter22"]);
        let said = "535 refused hunter22 at smtp+tls://mail:hunter22@mx.example:587 for crm@acme.example";
        assert_eq!(Redactor::new(&context).redact(said), "535 refused *** at *** for crm@acme.example");
    }

    #[test]
    fn secret_values_are_replaced_the_longest_first() {
        let redactor = Redactor::new(&json!({
            "database": {"password": "hunter22", "host": "db.example", "url": "postgresql://u:hunter22@db.example/x"},
            "secrets": {"list": ["abcd1234"]},
        }));
        let text = "at postgresql://u:hunter22@db.example/x with hunter22 and abcd1234 on db.example";
        assert_eq!(redactor.redact(text), "at *** with *** and *** on db.example");
    }
}
