//! Integrations of a blueprint: finds mistakes in them, and decides what to check for an instance. No I/O.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tenantry_api::blueprint::{BlueprintSpec, CheckType, Integration, IntegrationCheck};
use tenantry_api::crm_instance::Environment;
use tenantry_core::address::Ranges;
use tenantry_core::hash::sha256_hex;
use tenantry_core::secret::Secret;
use tenantry_core::smtp::Security;
use tenantry_core::template;

use crate::blueprint::variables::{secret_setting, unknown};
use crate::config::render;
use crate::instance::Wanted;

/// Templates of a check by field, each with whether secrets are allowed in it.
#[must_use]
pub fn templates(check: &IntegrationCheck) -> Vec<(&'static str, &str, bool)> {
    let all = [
        ("host", &check.host, false),
        ("port", &check.port, false),
        ("security", &check.security, false),
        ("user", &check.user, true),
        ("password", &check.password, true),
        ("url", &check.url, false),
    ];
    all.into_iter().filter_map(|(field, text, secrets)| text.as_deref().map(|t| (field, t, secrets))).collect()
}

/// All mistakes in the integrations of a blueprint.
#[must_use]
pub fn problems(spec: &BlueprintSpec) -> Vec<String> {
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    for integration in &spec.integrations {
        let place = format!("integrations[{}]", integration.name);
        if !names.insert(&integration.name) {
            found.push(format!("integration {:?} is there twice", integration.name));
        }
        for missing in integration.settings.iter().filter(|s| !spec.settings.contains_key(*s)) {
            found.push(format!("{place}.settings: the blueprint has no setting {missing:?}"));
        }
        let Some(check) = &integration.check else { continue };
        let place = format!("{place}.check");
        for (field, source, secrets) in templates(check) {
            found.extend(template_problems(spec, &format!("{place}.{field}"), source, secrets));
        }
        found.extend(form(check).into_iter().map(|problem| format!("{place}: {problem}")));
    }
    found
}

fn template_problems(spec: &BlueprintSpec, place: &str, source: &str, secrets: bool) -> Vec<String> {
    let variables = match template::check(place, source) {
        Ok(variables) => variables,
        Err(e) => return vec![e.to_string()],
    };
    let judged = variables.iter().filter_map(|v| {
        let secret = || !secrets && (template::is_secret(v) || secret_setting(spec, v));
        unknown(spec, v)
            .or_else(|| secret().then(|| format!("{v} is a secret; secrets may stand in user and password only")))
    });
    judged.map(|problem| format!("{place}: {problem}")).collect()
}

/// Problems with fields: those that this type of check needs but lacks, and those that it does not have.
fn form(check: &IntegrationCheck) -> Vec<String> {
    let (word, needed, allowed): (_, &[&str], &[&str]) = match check.kind {
        CheckType::Smtp => ("smtp", &["host"], &["host", "port", "security", "user", "password"]),
        CheckType::Tcp => ("tcp", &["host", "port"], &["host", "port"]),
        CheckType::Http => ("http", &["url"], &["url"]),
    };
    let given: Vec<&str> = templates(check).iter().map(|(field, _, _)| *field).collect();
    let missing = needed.iter().filter(|f| !given.contains(f)).map(|f| format!("a check of type {word} needs {f}"));
    let strange = given.iter().filter(|f| !allowed.contains(f)).map(|f| format!("a check of type {word} has no {f}"));
    let mut found: Vec<String> = missing.chain(strange).collect();
    if check.user.is_some() != check.password.is_some() {
        found.push("user and password stand together".into());
    }
    found
}

/// The target of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A mail server.
    Smtp {
        /// Host.
        host: String,
        /// Port.
        port: u16,
        /// Protection of the connection.
        security: Security,
        /// User and password.
        login: Option<(String, Secret)>,
    },
    /// A URL.
    Http {
        /// Host.
        host: String,
        /// Port.
        port: u16,
        /// Whether it is https.
        tls: bool,
        /// Path and query.
        path: String,
    },
    /// A port.
    Tcp {
        /// Host.
        host: String,
        /// Port.
        port: u16,
    },
}

/// A check that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aim {
    /// The target.
    pub target: Target,
    /// Maximum time for the whole check.
    pub timeout: Duration,
    /// The Site's rules about addresses.
    pub ranges: Ranges,
}

impl Aim {
    /// A key that changes with everything that the check depends on. This includes the password, which the key does not
    /// reveal.
    #[must_use]
    pub fn key(&self) -> String {
        let password = match &self.target {
            Target::Smtp { login: Some((_, password)), .. } => password.reveal(),
            _ => "",
        };
        sha256_hex(format!("{self:?} {password}").as_bytes())
    }
}

/// What to do about an integration of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Nothing, for the given reason.
    Not(String),
    /// Check it.
    Check(Aim),
}

/// What to do about each integration, by name. `values` holds the template values of the instance.
#[must_use]
pub fn work(wanted: &Wanted, ranges: &Ranges, values: &Value) -> Vec<(String, Work)> {
    wanted.release.spec.integrations.iter().map(|i| (i.name.clone(), of(i, wanted, ranges, values))).collect()
}

fn of(integration: &Integration, wanted: &Wanted, ranges: &Ranges, values: &Value) -> Work {
    if wanted.environment != Environment::Production {
        return Work::Not(format!("not used: {} writes to nobody", wanted.environment.word()));
    }
    if wanted.suspended.is_some() {
        return Work::Not("not checked while the instance is suspended".into());
    }
    let Some(check) = &integration.check else {
        return Work::Not("the blueprint does not say how to check it".into());
    };
    match target(&integration.name, check, wanted, values) {
        Ok(Some(target)) => {
            let timeout = Duration::from_secs(u64::from(check.timeout_seconds));
            Work::Check(Aim { target, timeout, ranges: ranges.clone() })
        }
        Ok(None) => Work::Not("not set".into()),
        Err(why) => Work::Not(why),
    }
}

fn target(name: &str, check: &IntegrationCheck, wanted: &Wanted, values: &Value) -> Result<Option<Target>, String> {
    let text = |field: &str, source: &Option<String>| {
        let Some(source) = source else { return Ok(String::new()) };
        let place = format!("integrations[{name}].check.{field}");
        render(&wanted.release.blueprint, &place, source, values)
            .map(|t| t.trim().to_owned())
            .map_err(|e| e.to_string())
    };
    if check.kind == CheckType::Http {
        let url = text("url", &check.url)?;
        return if url.is_empty() { Ok(None) } else { http(&url).map(Some) };
    }
    let host = text("host", &check.host)?;
    if host.is_empty() {
        return Ok(None);
    }
    let security = text("security", &check.security)?;
    let security =
        Security::parse(&security).ok_or_else(|| "the security is none of none, starttls, tls".to_owned())?;
    let port = text("port", &check.port)?;
    let port = match (port.as_str(), check.kind) {
        ("", CheckType::Smtp) => security.port(),
        (port, _) => port.parse().ok().filter(|p| *p > 0).ok_or_else(|| "the port is no port".to_owned())?,
    };
    if check.kind == CheckType::Tcp {
        return Ok(Some(Target::Tcp { host, port }));
    }
    let user = text("user", &check.user)?;
    let password = Secret::new(text("password", &check.password)?);
    let login = (!user.is_empty()).then_some((user, password));
    Ok(Some(Target::Smtp { host, port, security, login }))
}

fn http(url: &str) -> Result<Target, String> {
    let wrong = || "the URL is none such as https://host/path".to_owned();
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    let tls = match scheme {
        "https" => true,
        "http" => false,
        _ => return Err(wrong()),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (place, path) = rest.split_at(end);
    let path = path.split('#').next().unwrap_or_default();
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let (host, port) = match place.split_once(':') {
        Some((host, port)) => (host, port.parse().ok().filter(|p| *p > 0).ok_or_else(wrong)?),
        None => (place, if tls { 443 } else { 80 }),
    };
    // A user name in a URL would be sent along with it. Blanks and control characters would end the request early.
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
    if host.is_empty() || host.contains('@') || !plain(host) || !plain(&path) {
        return Err(wrong());
    }
    Ok(Target::Http { host: host.to_owned(), port, tls, path })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(check: Value) -> BlueprintSpec {
        serde_json::from_value(json!({
            "title": "Notes",
            "settings": { "smtp_host": { "default": "" }, "smtp_password": { "default": "", "secret": true } },
            "integrations": [{ "name": "mail", "kind": "smtp", "settings": ["smtp_host"], "check": check }],
            "releases": [{ "version": "1.0", "image": "notes:1.0" }],
            "processes": [{ "name": "web" }],
        }))
        .unwrap()
    }

    #[test]
    fn a_check_has_the_fields_of_its_kind_and_secrets_in_the_log_in_only() {
        let sound = json!({ "type": "smtp", "host": "{{ settings.smtp_host }}", "user": "crm", "password": "{{ settings.smtp_password }}" });
        assert_eq!(problems(&spec(sound)), Vec::<String>::new());
        for (check, words) in [
            (json!({ "type": "smtp" }), "needs host"),
            (json!({ "type": "tcp", "host": "a" }), "needs port"),
            (json!({ "type": "http", "url": "https://a", "host": "a" }), "has no host"),
            (json!({ "type": "smtp", "host": "a", "user": "crm" }), "stand together"),
            (json!({ "type": "smtp", "host": "{{ settings.smtp_password }}" }), "user and password only"),
            (json!({ "type": "smtp", "host": "{{ database.password }}" }), "unknown variable"),
            (json!({ "type": "smtp", "host": "{{ admin.password }}" }), "user and password only"),
            (json!({ "type": "smtp", "host": "{{ settings.smtp_hots }}" }), "smtp_hots"),
            (json!({ "type": "smtp", "host": "{{ settings" }), "check.host"),
        ] {
            let said = problems(&spec(check.clone())).join("\n");
            assert!(said.contains(words), "{check}: {said}");
        }
    }

    #[test]
    fn names_are_unique_and_settings_exist() {
        let mut twice = spec(json!({ "type": "smtp", "host": "a" }));
        let mut again = twice.integrations[0].clone();
        again.settings = vec!["smpt_port".into()];
        twice.integrations.push(again);
        let said = problems(&twice).join("\n");
        assert!(said.contains("\"mail\" is there twice") && said.contains("no setting \"smpt_port\""), "{said}");
    }

    #[test]
    fn a_url_is_taken_apart_or_refused() {
        let of = |host: &str, port, tls, path: &str| Target::Http { host: host.into(), port, tls, path: path.into() };
        for (url, target) in [
            ("https://m.example", of("m.example", 443, true, "/")),
            ("http://m.example:8080/s/login?a=b#c", of("m.example", 8080, false, "/s/login?a=b")),
            ("https://m.example?x", of("m.example", 443, true, "/?x")),
        ] {
            assert_eq!(http(url), Ok(target), "{url}");
        }
        for url in ["m.example", "ftp://m", "https://", "https://a:b@m", "https://m:0", "https://m/a b", "http://m:x/"]
        {
            assert!(http(url).is_err(), "{url}");
        }
    }

    #[test]
    fn another_password_is_another_check_and_is_not_shown() {
        let aim = |password: &str| Aim {
            target: Target::Smtp {
                host: "mx".into(),
                port: 25,
                security: Security::None,
                login: Some(("crm".into(), Secret::new(password))),
            },
            timeout: Duration::from_secs(1),
            ranges: Ranges::default(),
        };
        assert_ne!(aim("hunter22").key(), aim("hunter23").key());
        assert_eq!(aim("hunter22").key(), aim("hunter22").key());
        assert!(!format!("{:?}", aim("hunter22")).contains("hunter"));
    }
}
