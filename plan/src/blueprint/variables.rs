//! Which variables a blueprint's templates may use. No I/O.

use tenantry_api::blueprint::BlueprintSpec;

use super::processes;

/// Variables that every context has. The names that the blueprint itself defines are not listed.
const KNOWN: &[&str] = &[
    "instance.id",
    "instance.name",
    "instance.host",
    "instance.url",
    "instance.environment",
    "instance.admin_email",
    "instance.time_zone",
    "tenant.id",
    "tenant.name",
    "tenant.display_name",
    "site.id",
    "site.kind",
    "database.engine",
    "database.host",
    "database.port",
    "database.name",
    "database.user",
    "database.password",
    "admin.login",
    "admin.password",
    "release.version",
    "release.image",
    "plan.name",
    "plan.seats",
    "plan.storage_bytes",
];

/// Whether a variable is a setting that is declared as secret, or contains such a setting.
pub(crate) fn secret_setting(spec: &BlueprintSpec, variable: &str) -> bool {
    let mut secret = spec.settings.iter().filter(|(_, s)| s.secret);
    match variable.strip_prefix("settings") {
        Some("") => secret.next().is_some(),
        Some(rest) => secret.any(|(name, _)| rest.strip_prefix('.') == Some(name.as_str())),
        None => false,
    }
}

/// The problem to report for a variable that no instance has.
pub(crate) fn unknown(spec: &BlueprintSpec, variable: &str) -> Option<String> {
    let (head, rest) = variable.split_once('.').unwrap_or((variable, ""));
    let known = match head {
        "captures" => true,
        "settings" => rest.is_empty() || spec.settings.contains_key(rest),
        "secrets" => rest.is_empty() || spec.secrets.iter().any(|s| s.name == rest),
        "release" if rest.starts_with("vars") => {
            let name = rest.strip_prefix("vars.").unwrap_or_default();
            name.is_empty() || spec.releases.iter().all(|r| r.vars.contains_key(name))
        }
        "database" if spec.database.is_none() => false,
        "processes" => rest.is_empty() || processes::knows(spec, rest),
        _ => KNOWN.iter().any(|k| *k == variable || k.starts_with(&format!("{variable}."))),
    };
    if known {
        return None;
    }
    let own = |names: Vec<&String>| names.into_iter().map(|n| format!("{head}.{n}")).collect::<Vec<_>>();
    let near = match head {
        "settings" => own(spec.settings.keys().collect()),
        "secrets" => own(spec.secrets.iter().map(|s| &s.name).collect()),
        _ => KNOWN.iter().filter(|k| k.split('.').next() == Some(head)).map(|k| (*k).to_owned()).collect(),
    };
    let hint = match head {
        "processes" => processes::HINT.to_owned(),
        "release" if rest.starts_with("vars") => "release.vars must be set in every release".to_owned(),
        "database" if spec.database.is_none() => "the product has no database".to_owned(),
        _ if near.is_empty() => {
            "known: instance, tenant, site, plan, database, admin, release, settings, secrets, processes".to_owned()
        }
        _ => format!("known: {}", near.join(", ")),
    };
    Some(format!("unknown variable {variable:?} ({hint})"))
}
