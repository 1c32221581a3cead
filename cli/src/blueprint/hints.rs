//! Which names and values look like secrets: for scaffolds, and for the test of two copies. No I/O.

/// Endings of names whose values are secrets.
const SECRET: [&str; 16] = [
    "password",
    "passwd",
    "pass",
    "pwd",
    "secret",
    "token",
    "apikey",
    "secretkey",
    "privatekey",
    "encryptionkey",
    "appkey",
    "signingkey",
    "masterkey",
    "salt",
    "hmackey",
    "cookiekey",
];
/// Shortest value that counts as a secret.
const VALUE_MIN: usize = 8;

/// Whether a name says that its value is a secret: `APP_SECRET`, `encryptionKey`, `smtp.password`.
pub fn secret_name(name: &str) -> bool {
    let folded: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    SECRET.iter().any(|word| folded.ends_with(word))
        || folded.ends_with("accesskey")
        || folded.ends_with("secretkeybase")
}

/// Whether a name with this value looks like a secret that was written down: the value is no path, no address, no word
/// for yes or no, and not too short.
pub fn looks_secret(name: &str, value: &str) -> bool {
    let value = value.trim();
    secret_name(name)
        && value.len() >= VALUE_MIN
        && !value.starts_with('/')
        && !value.contains("://")
        && !value.contains(char::is_whitespace)
        && !["disabled", "required", "optional", "database"].contains(&value.to_ascii_lowercase().as_str())
}

/// Names and values of the lines of a configuration file that look like secrets: `name = value`, `name: value`,
/// `'name' => 'value'`, `"name": "value"`.
pub fn of_lines(text: &str) -> Vec<(String, String)> {
    text.lines().filter_map(of_line).filter(|(name, value)| looks_secret(name, value)).collect()
}

fn of_line(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let define = line.strip_prefix("define(").map(|rest| rest.replacen(',', "=", 1));
    let line = define.as_deref().unwrap_or(line);
    let at = line.find("=>").or_else(|| line.find(['=', ':']))?;
    let (name, value) = (line.get(..at)?, line.get(at..)?);
    let marks: &[char] = &['\'', '"', '`', ' ', '\t', ';', ',', ')', '(', '$', '=', '>', ':'];
    let name = name.trim_matches(marks).rsplit([' ', '.', '[']).next()?.trim_matches([']', '\'', '"']);
    let value = value.trim_matches(marks);
    (!name.is_empty() && !value.is_empty()).then(|| (name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_from_what_only_speaks_of_them() {
        for (name, value, is) in [
            ("DB_PASSWORD", "correct-horse", true),
            ("APP_KEY", "base64:abcdefgh", true),
            ("encryptionKey", "0123456789abcdef", true),
            ("SECRET_KEY_BASE", "0123456789abcdef", true),
            ("PASSWORD_FILE", "/run/secrets/db", false),
            ("POSTGRES_PASSWORD", "short", false),
            ("password_length", "1000000000", false),
            ("TOKEN", "https://id.example/token", false),
            ("KEYBOARD", "vietnamese-telex", false),
        ] {
            assert_eq!(looks_secret(name, value), is, "{name}={value}");
        }
    }

    #[test]
    fn secrets_in_files_are_found_in_the_usual_ways_to_write_them() {
        for line in [
            "secret_key = correct-horse-battery",
            "  secret: 'correct-horse-battery'",
            "'encryptionKey' => 'correct-horse-battery',",
            "\"apiKey\": \"correct-horse-battery\",",
            "$config['app_secret'] = 'correct-horse-battery';",
            "define('AUTH_SALT', 'correct-horse-battery');",
        ] {
            let found = of_lines(line);
            assert_eq!(found.first().map(|(_, v)| v.as_str()), Some("correct-horse-battery"), "{line}: {found:?}");
        }
        assert!(of_lines("# a password is a secret\nport = 8080\n").is_empty());
    }
}
