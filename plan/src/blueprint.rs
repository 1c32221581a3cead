//! Static validation of a blueprint: everything that can be known before it is used. No I/O.

mod processes;
pub(crate) mod refused;

use std::collections::BTreeSet;

use tenantry_api::blueprint::{BlueprintSpec, Neutralisation, StepList, Strategy};
use tenantry_core::template;

/// Every problem of a blueprint, each naming its place. Empty: it can be used.
#[must_use]
pub fn problems(spec: &BlueprintSpec) -> Vec<String> {
    let mut found = Vec::new();
    let mut text = |place: String, source: &str, secrets: bool| match template::check(&place, source) {
        Err(e) => found.push(e.to_string()),
        Ok(variables) => {
            for v in variables {
                if let Some(problem) = unknown(spec, &v) {
                    found.push(format!("{place}: {problem}"));
                } else if !secrets && (template::is_secret(&v) || secret_setting(spec, &v)) {
                    found.push(format!(
                        "{place}: {v} is a secret and would stand in a command line; use env, stdin or a file"
                    ));
                }
            }
        }
    };
    for file in &spec.files {
        text(format!("files[{}]", file.path), &file.content, true);
    }
    for (name, source) in &spec.env {
        text(format!("env.{name}"), source, true);
    }
    for p in &spec.processes {
        for (i, word) in p.command.iter().enumerate() {
            text(format!("processes[{}].command[{i}]", p.name), word, false);
        }
        for (name, source) in &p.env {
            text(format!("processes[{}].env.{name}", p.name), source, true);
        }
        for probe in p.readiness.iter().chain(&p.liveness) {
            if let Some(http) = &probe.http {
                text(format!("processes[{}] probe", p.name), &http.path, false);
            }
            for word in probe.command.iter().flatten() {
                text(format!("processes[{}] probe", p.name), word, false);
            }
        }
    }
    for s in &spec.schedules {
        for (i, word) in s.command.iter().enumerate() {
            text(format!("schedules[{}].command[{i}]", s.name), word, false);
        }
        for (name, source) in &s.env {
            text(format!("schedules[{}].env.{name}", s.name), source, true);
        }
    }
    let neutralise = spec.neutralise.as_ref().map(Neutralisation::list);
    let lists = [
        ("install", spec.install.as_ref()),
        ("personalise", spec.personalise.as_ref()),
        ("neutralise", neutralise.as_ref()),
        ("migrate.steps", spec.migrate.as_ref().and_then(|m| m.steps.as_ref())),
    ];
    for (place, list) in lists.iter().filter_map(|(p, l)| l.map(|l| (*p, l))) {
        for step in &list.steps {
            let place = format!("{place}[{}]", step.name);
            for (i, word) in step.command.iter().enumerate() {
                text(format!("{place}.command[{i}]"), word, false);
            }
            for source in step.sql.iter().chain(&step.stdin) {
                text(place.clone(), source, true);
            }
            for (name, source) in &step.env {
                text(format!("{place}.env.{name}"), source, true);
            }
        }
    }
    for (place, list) in lists.iter().filter_map(|(p, l)| l.map(|l| (*p, l))) {
        found.extend(step_problems(place, list));
    }
    for s in &spec.schedules {
        let own = tenantry_core::cron::of_instance(&s.cron, "any");
        found.extend(own.err().map(|e| format!("schedules[{}].cron: {e}", s.name)));
    }
    for p in spec.processes.iter().filter(|p| p.replicas.max > 1 && p.strategy == Strategy::Recreate) {
        found.push(format!(
            "processes[{}].replicas: more than one pod (max {}) needs strategy: rolling, which says that two may run side by side",
            p.name, p.replicas.max
        ));
    }
    found.extend(duplicates(spec));
    if spec.database.is_none() && spec.neutralise.as_ref().is_some_and(|n| !n.verify_sql.is_empty()) {
        found.push("neutralise.verifySql: the product has no database to ask".into());
    }
    found.extend(plain_sql(spec));
    found.extend(processes::problems(spec));
    found.extend(refused::problems(spec, variables(spec, &lists).into_iter()));
    found.extend(crate::integrations::problems(spec));
    if let Some(verify) = &spec.verify {
        found.extend(tenantry_core::verify::check(verify).iter().map(|p| format!("verify: {p}")));
    }
    found
}

/// The names of all variables of the environment, by place.
fn variables<'a>(spec: &'a BlueprintSpec, lists: &[(&str, Option<&'a StepList>)]) -> Vec<(String, &'a String)> {
    let mut all: Vec<(String, &String)> = spec.env.keys().map(|name| ("env".to_owned(), name)).collect();
    for p in &spec.processes {
        all.extend(p.env.keys().map(|name| (format!("processes[{}].env", p.name), name)));
    }
    for s in &spec.schedules {
        all.extend(s.env.keys().map(|name| (format!("schedules[{}].env", s.name), name)));
    }
    for (place, list) in lists.iter().filter_map(|(p, l)| l.map(|l| (*p, l))) {
        for step in &list.steps {
            all.extend(step.env.keys().map(|name| (format!("{place}[{}].env", step.name), name)));
        }
    }
    all
}

/// Whether a variable is a setting that is declared as secret, or holds one.
pub(crate) fn secret_setting(spec: &BlueprintSpec, variable: &str) -> bool {
    let mut secret = spec.settings.iter().filter(|(_, s)| s.secret);
    match variable.strip_prefix("settings") {
        Some("") => secret.next().is_some(),
        Some(rest) => secret.any(|(name, _)| rest.strip_prefix('.') == Some(name.as_str())),
        None => false,
    }
}

/// SQL that is asked as it stands: what looks like a template there would reach the database.
fn plain_sql(spec: &BlueprintSpec) -> Vec<String> {
    let mut all: Vec<(String, &str)> = Vec::new();
    if let Some(seats) = &spec.seats {
        all.push(("seats.countSql".into(), &seats.count_sql));
        for table in &seats.tables {
            all.push((format!("seats.tables[{}].activeWhen", table.table), &table.active_when));
            all.extend(table.user.iter().map(|user| (format!("seats.tables[{}].user", table.table), user.as_str())));
        }
    }
    let verify = spec.neutralise.iter().flat_map(|n| &n.verify_sql).enumerate();
    all.extend(verify.map(|(i, sql)| (format!("neutralise.verifySql[{i}]"), sql.as_str())));
    let template = |(place, sql): (String, &str)| {
        let sign = ["{{", "{%", "{#"].into_iter().find(|sign| sql.contains(sign))?;
        Some(format!("{place}: {sign} is no template here: this SQL is asked as it stands, so write the value out"))
    };
    all.into_iter().filter_map(template).collect()
}

fn step_problems(place: &str, list: &StepList) -> Vec<String> {
    let mut found = Vec::new();
    for s in &list.steps {
        if s.sql.is_some() != s.command.is_empty() {
            found.push(format!("{place}[{}]: a step has exactly one of command and sql", s.name));
        }
        if let Some(pattern) = &s.fail_on_output
            && let Err(e) = tenantry_core::pattern::matches_whole(pattern, "")
        {
            found.push(format!("{place}[{}].failOnOutput: {e}", s.name));
        }
    }
    let (sql, commands) = crate::job::split(list);
    if let Some(late) = commands.iter().find(|s| s.sql.is_some()) {
        found.push(format!("{place}[{}]: SQL steps stand before the first command", late.name));
    } else if place == "install" && !sql.is_empty() && !commands.is_empty() {
        found.push(format!("{place}: its steps are all commands or all SQL"));
    }
    found
}

fn duplicates(spec: &BlueprintSpec) -> Vec<String> {
    let mut found = Vec::new();
    let mut unique = |what: &str, names: Vec<&str>| {
        let mut seen = BTreeSet::new();
        for name in names {
            if !seen.insert(name) {
                found.push(format!("{what} {name:?} is there twice"));
            }
        }
    };
    unique("release", spec.releases.iter().map(|r| r.version.as_str()).collect());
    unique("process", spec.processes.iter().map(|p| p.name.as_str()).collect());
    unique("schedule", spec.schedules.iter().map(|s| s.name.as_str()).collect());
    unique("volume", spec.volumes.iter().map(|v| v.name.as_str()).collect());
    unique("file", spec.files.iter().map(|f| f.path.as_str()).collect());
    unique("secret", spec.secrets.iter().map(|s| s.name.as_str()).collect());
    found
}

/// Variables of the context, apart from the blueprint's own names.
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

/// The problem of a variable that no instance has.
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
