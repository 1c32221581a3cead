//! Judges what was seen: gives a verdict for each point. No I/O.

use std::time::Duration;

use kube::ResourceExt;
use tenantry_api::archive::{Archive, ArchivePhase, ArchivedKind};
use tenantry_api::blueprint::BlueprintSpec;
use tenantry_api::condition::{find, holds};
use tenantry_api::crm_instance::CrmInstance;

use super::points::{Point, Verdict};
use crate::archive::keep::{label, phase};
use crate::output::text::{count, duration};
use crate::progress::steps::said;

/// An instance that became Ready.
#[derive(Debug, Clone)]
pub struct Made {
    pub instance: CrmInstance,
    /// Time from its creation to Ready.
    pub took: Duration,
    /// Whether the operator reported meanwhile that it builds a template.
    pub built: bool,
}

/// Why an instance did not become Ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// The point that failed.
    pub at: Point,
    /// What the operator reported.
    pub why: String,
}

/// Whether the operator reports now that it builds a template.
pub fn builds_template(instance: &CrmInstance) -> bool {
    let conditions = instance.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    find(conditions, "Installed").is_some_and(|c| c.status == "False" && c.reason == "BuildingTemplate")
}

/// What the verification reports while it does not pass. The operator tries again for ever; a test does not.
pub fn not_verified(instance: &CrmInstance) -> Option<String> {
    let status = instance.status.as_ref()?;
    let verified = find(&status.conditions, "Verified").filter(|c| c.status == "False")?;
    ["VerificationFailed", "NotReachable"].contains(&verified.reason.as_str()).then(|| said(verified))
}

/// The point that an instance has reached: Verified once its processes have started, Installs before that.
pub fn standing(instance: Option<&CrmInstance>) -> Point {
    let conditions = instance.and_then(|i| i.status.as_ref()).map(|s| s.conditions.as_slice()).unwrap_or_default();
    if holds(conditions, "ProcessesReady") { Point::Verified } else { Point::Installs }
}

/// What the first instance proves.
pub fn installed(spec: &BlueprintSpec, made: &Made) -> Verdict {
    let database = made.instance.status.as_ref().and_then(|s| s.database.clone());
    let place = database.map_or_else(|| "no database".to_owned(), |d| format!("{} on {}", d.name, d.server));
    let names: Vec<&str> = spec.processes.iter().map(|p| p.name.as_str()).collect();
    Verdict::Passed(format!("{place}, running {}", names.join(", ")))
}

/// What the readiness of the first instance proves.
pub fn verified(spec: &BlueprintSpec) -> Verdict {
    match &spec.verify {
        Some(verify) => Verdict::Passed(format!("{} of `verify` passed", count(verify.steps.len(), "step"))),
        None => Verdict::NotStated("the blueprint has no `verify`: only an open port was seen".into()),
    }
}

/// Whether the second instance is a copy of the template. `jobs` are the names of the template's install jobs before
/// and after the second instance was created.
pub fn copied(spec: &BlueprintSpec, first: &Made, second: &Made, jobs: (&[String], &[String])) -> Verdict {
    if spec.install.is_none() {
        return Verdict::NotStated("the blueprint has no `install`: every database begins empty".into());
    }
    let server =
        |made: &Made| made.instance.status.as_ref().and_then(|s| s.database.as_ref().map(|d| d.server.clone()));
    if server(first) != server(second) {
        return Verdict::NotTested(
            "the second database was placed on another server, which has a template of its own".into(),
        );
    }
    let (before, after) = jobs;
    let new: Vec<&str> = after.iter().filter(|j| !before.contains(j)).map(String::as_str).collect();
    if !new.is_empty() {
        return Verdict::Failed(format!("the second instance was installed anew, by {}", new.join(", ")));
    }
    if second.built {
        return Verdict::Failed("a template was built once more for the second instance".into());
    }
    let times = format!("{} after {} for the first", duration(second.took), duration(first.took));
    Verdict::Passed(format!("ready in {times}, without another install"))
}

/// Judges the answer of the page behind which the instance is suspended.
pub fn page(status: Result<u16, String>) -> Verdict {
    match status {
        Ok(503) => Verdict::Passed("the page answers 503 behind the same Service".into()),
        Ok(other) => Verdict::Failed(format!("behind the page the Service answers {other}, not 503")),
        Err(why) => Verdict::Failed(format!("nothing answers while it is suspended: {why}")),
    }
}

/// Judges whether the instance answers again: `verify` once more, from outside, or any answer when the blueprint has no
/// `verify`.
pub fn answers(steps: Option<usize>, again: Result<u16, String>, after: &str) -> Verdict {
    match (steps, again) {
        (_, Err(why)) => Verdict::Failed(format!("after {after}: {why}")),
        (Some(steps), Ok(_)) => Verdict::Passed(format!("{} of `verify` passed after {after}", count(steps, "step"))),
        (None, Ok(503)) => Verdict::Failed(format!("after {after} it answers 503")),
        (None, Ok(status)) => Verdict::Passed(format!("it answers {status} after {after}")),
    }
}

/// Judges the runs of all schedules: each with its name, and what went wrong.
pub fn schedules(spec: &BlueprintSpec, runs: &[(String, Option<String>)]) -> Verdict {
    if spec.schedules.is_empty() {
        return Verdict::NotStated("the blueprint has no `schedules`".into());
    }
    let missing = spec.schedules.iter().filter(|s| !runs.iter().any(|(name, _)| *name == s.name));
    let missing = missing.map(|s| format!("{}: there is no CronJob", s.name));
    let wrong = runs.iter().filter_map(|(name, why)| why.as_ref().map(|why| format!("{name}: {why}")));
    let wrong: Vec<String> = wrong.chain(missing).collect();
    if wrong.is_empty() {
        let names: Vec<&str> = runs.iter().map(|(name, _)| name.as_str()).collect();
        return Verdict::Passed(format!("ran once and succeeded: {}", names.join(", ")));
    }
    Verdict::Failed(wrong.join("; "))
}

/// Judges what the archives keep of a tenant with these instances.
pub fn archived(spec: &BlueprintSpec, archives: &[Archive], tenant_id: &str, instances: &[String]) -> Verdict {
    let mut wrong = Vec::new();
    let of = |id: &str| archives.iter().find(|a| a.spec.id == id && phase(a) == ArchivePhase::Archived);
    if of(tenant_id).is_none_or(|a| a.spec.kind != ArchivedKind::Tenant) {
        wrong.push("the tenant has no archive".to_owned());
    }
    for id in instances {
        let Some(archive) = of(id) else {
            wrong.push(format!("instance {id} has no archive"));
            continue;
        };
        if spec.database.is_some() && archive.spec.databases.is_empty() {
            wrong.push(format!("the archive of {} keeps no database", label(archive)));
        }
        let absent = spec.volumes.iter().filter(|v| !archive.spec.volumes.iter().any(|c| c.contains(&v.name)));
        wrong.extend(absent.map(|v| format!("the archive of {} keeps no volume {}", label(archive), v.name)));
    }
    if !wrong.is_empty() {
        return Verdict::Failed(wrong.join("; "));
    }
    let sum = |get: fn(&Archive) -> usize| archives.iter().map(get).sum::<usize>();
    Verdict::Passed(format!(
        "{}, {} and {} are kept",
        count(sum(|a| a.spec.databases.len()), "database"),
        count(sum(|a| a.spec.volumes.len()), "volume"),
        count(sum(|a| a.spec.secrets.len()), "Secret"),
    ))
}

/// Judges what a purge left. `namespace` says whether the tenant's namespace still exists.
pub fn purged(archives: &[Archive], namespace: bool) -> Verdict {
    let open = archives.iter().filter(|a| phase(a) != ArchivePhase::Purged);
    let mut left: Vec<String> = open.map(|a| format!("archive {} is {:?}", a.name_any(), phase(a))).collect();
    if namespace {
        left.push("the tenant's namespace is still there".into());
    }
    if left.is_empty() {
        Verdict::Passed("databases, volumes, Secrets and the namespace are gone; only the records stay".into())
    } else {
        Verdict::Failed(left.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::archive::keep::tests::archive;

    fn spec(change: Value) -> BlueprintSpec {
        let mut all = json!({
            "title": "Demo", "releases": [{"version": "1", "image": "demo:1"}],
            "processes": [{"name": "web", "port": 80, "serves": true}],
        });
        for (key, value) in change.as_object().unwrap() {
            all[key] = value.clone();
        }
        serde_json::from_value(all).unwrap()
    }

    fn instance(conditions: Value, server: &str) -> CrmInstance {
        let mut made = CrmInstance::new(
            "one",
            serde_json::from_value(json!({"tenant": "t", "blueprint": "b", "host": "a.example"})).unwrap(),
        );
        let at = "2026-01-01T00:00:00Z";
        let conditions: Vec<Value> = conditions
            .as_array()
            .unwrap()
            .iter()
            .map(|c| json!({"type": c[0], "status": c[1], "reason": c[2], "message": "m", "lastTransitionTime": at}))
            .collect();
        let status = json!({"conditions": conditions, "database": {"server": server, "name": "crm_x"}});
        made.status = Some(serde_json::from_value(status).unwrap());
        made
    }

    fn made(server: &str, built: bool) -> Made {
        Made { instance: instance(json!([]), server), took: Duration::from_secs(3), built }
    }

    #[test]
    fn a_verification_that_does_not_pass_is_told_from_one_that_was_not_reached() {
        let failing =
            instance(json!([["ProcessesReady", "True", "Done"], ["Verified", "False", "VerificationFailed"]]), "a");
        assert_eq!(not_verified(&failing).as_deref(), Some("VerificationFailed: m"));
        assert_eq!(standing(Some(&failing)), Point::Verified);
        let starting = instance(json!([["Installed", "False", "BuildingTemplate"]]), "a");
        assert_eq!((not_verified(&starting), standing(Some(&starting))), (None, Point::Installs));
        assert!(builds_template(&starting) && !builds_template(&failing));
        assert_eq!(standing(None), Point::Installs);
    }

    #[test]
    fn a_second_install_is_found_by_its_job_and_by_what_the_operator_said() {
        let spec = spec(json!({
            "database": {"engines": [{"engine": "postgresql"}]},
            "install": {"steps": [{"name": "fill", "sql": "SELECT 1"}]},
        }));
        let (one, two) = (vec!["template-a-1".to_owned()], vec!["template-a-1".to_owned(), "template-a-2".to_owned()]);
        let judged = |second, after: &[String]| copied(&spec, &made("pg", true), &second, (&one, after)).word();
        assert_eq!(judged(made("pg", false), &one), "passed");
        assert_eq!(judged(made("pg", false), &two), "failed");
        assert_eq!(judged(made("pg", true), &one), "failed");
        assert_eq!(judged(made("other", false), &one), "not tested");
        assert_eq!(
            copied(&super::tests::spec(json!({})), &made("pg", false), &made("pg", false), (&[], &[])).word(),
            "not stated"
        );
    }

    #[test]
    fn a_suspended_instance_answers_503_and_a_resumed_one_does_not() {
        assert_eq!(page(Ok(503)).word(), "passed");
        assert_eq!(page(Ok(200)).word(), "failed");
        assert_eq!(page(Err("refused".into())).word(), "failed");
        assert_eq!(answers(None, Ok(503), "resuming").word(), "failed");
        assert_eq!(answers(None, Ok(404), "resuming").word(), "passed");
        assert_eq!(answers(Some(3), Ok(200), "a restart").reason(), "3 steps of `verify` passed after a restart");
        assert_eq!(answers(Some(3), Err("log in: no".into()), "a restart").word(), "failed");
    }

    #[test]
    fn every_schedule_must_have_run_and_succeeded() {
        let spec = spec(json!({"schedules": [
            {"name": "cron", "cron": "H * * * *", "command": ["x"]}, {"name": "mail", "cron": "H * * * *", "command": ["x"]}]}));
        let run = |name: &str, why: Option<&str>| (name.to_owned(), why.map(str::to_owned));
        assert_eq!(schedules(&spec, &[run("cron", None), run("mail", None)]).word(), "passed");
        assert!(schedules(&spec, &[run("cron", None)]).reason().contains("mail: there is no CronJob"));
        assert!(schedules(&spec, &[run("cron", Some("exit 1")), run("mail", None)]).reason().contains("cron: exit 1"));
        assert_eq!(schedules(&super::tests::spec(json!({})), &[]).word(), "not stated");
    }

    #[test]
    fn an_archive_must_keep_what_the_blueprint_has_and_a_purge_nothing() {
        let at = "2026-01-01T00:00:00Z";
        let has = spec(json!({
            "database": {"engines": [{"engine": "postgresql"}]},
            "volumes": [{"name": "files", "mountPath": "/f", "percentOfStorage": 10}],
        }));
        let all = |phase| {
            let tenant = archive(ArchivedKind::Tenant, "kabcdefghi", "t", at, phase);
            vec![tenant, archive(ArchivedKind::CrmInstance, "kaaaaaaaaa", "one", at, phase)]
        };
        let kept = all(ArchivePhase::Archived);
        let judged = |spec: &BlueprintSpec, ids: &[&str]| {
            let ids: Vec<String> = ids.iter().map(|i| (*i).to_owned()).collect();
            archived(spec, &kept, "kabcdefghi", &ids)
        };
        assert_eq!(judged(&has, &["kaaaaaaaaa"]).word(), "passed");
        assert!(judged(&has, &["kaaaaaaaaa", "kbbbbbbbbb"]).reason().contains("kbbbbbbbbb has no archive"));
        let more = spec(json!({"volumes": [{"name": "other", "mountPath": "/f", "percentOfStorage": 10}]}));
        assert!(judged(&more, &["kaaaaaaaaa"]).reason().contains("no volume other"));
        assert_eq!(purged(&all(ArchivePhase::Purged), false).word(), "passed");
        assert_eq!(purged(&all(ArchivePhase::Purged), true).word(), "failed");
        assert_eq!(purged(&kept, false).word(), "failed");
    }
}
