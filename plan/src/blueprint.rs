//! Static validation of a blueprint: everything that can be checked before it is used. No I/O.

mod processes;
pub(crate) mod refused;
pub(crate) mod variables;

use std::collections::BTreeSet;

use tenantry_api::blueprint::{BlueprintSpec, Neutralisation, StepList, Strategy};
use tenantry_core::template;

use self::variables::{secret_setting, unknown};

/// All problems of a blueprint, each with its place. An empty list means that the blueprint can be used.
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
        for (step, process) in verify.steps.iter().filter_map(|s| Some((s, s.process.as_ref()?))) {
            if !spec.processes.iter().any(|p| p.name == *process && p.port.is_some() && !p.after_verify) {
                found.push(format!(
                    "verify.steps[{}].process: no process {process:?} has a port and runs before the verification",
                    step.name
                ));
            }
        }
    }
    found
}

/// The names of all environment variables, by place.
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

/// SQL that is sent as written: template syntax in it would reach the database.
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
