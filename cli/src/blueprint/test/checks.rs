//! The points that are tried on running instances. Does I/O; what they prove is judged elsewhere.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Duration;

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::DeleteParams;
use kube::{Api, ResourceExt};
use serde_json::json;
use tenantry_api::blueprint::BlueprintSpec;
use tenantry_api::condition::find;
use tenantry_api::crm_instance::{CrmInstance, InstancePhase};
use tenantry_api::tenant::TenantPhase;
use tenantry_core::names::{LABEL_INSTANCE_ID, LABEL_PROCESS, LABEL_PURPOSE};
use tokio::time::Instant;

use super::judge::{self, Made};
use super::points::{Point, Verdict};
use super::secrets::{self, Held};
use super::world::World;
use super::{ask, harmless, seats, sql, watch};
use crate::change::patch::patched;
use crate::cluster::post;
use crate::error::{Problem, api};
use crate::output::text::duration;
use crate::progress::Progress;
use crate::progress::steps::said;
use crate::tenant::follow;
use crate::wait::{self, Until};

/// Pause between two looks at the cluster.
const TICK: Duration = Duration::from_millis(500);

fn namespaced<K>(world: &World, instance: &CrmInstance) -> Api<K>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
    <K as kube::Resource>::DynamicType: Default,
{
    Api::namespaced(world.session.cluster.client.clone(), &instance.namespace().unwrap_or_default())
}

fn id_of(instance: &CrmInstance) -> String {
    instance.spec.id.clone().unwrap_or_default()
}

/// What the Secrets of an instance hold.
pub async fn held(world: &World, instance: &CrmInstance) -> Result<Held, Problem> {
    let secrets: Api<Secret> = namespaced(world, instance);
    let selector = format!("{LABEL_INSTANCE_ID}={}", id_of(instance));
    let found = world.session.cluster.list(&secrets, "Secrets of the instance", Some(&selector)).await?;
    let mut held = Held::default();
    for secret in found {
        let part = match secret.labels().get(LABEL_PURPOSE).map(String::as_str) {
            Some("keys") => &mut held.keys,
            Some("database") => &mut held.database,
            Some("config") => &mut held.config,
            _ => continue,
        };
        // The steps of schedules hold secrets on purpose: the list of texts to keep out of logs.
        let data = secret.data.unwrap_or_default().into_iter().filter(|(k, _)| k != "steps.json");
        part.extend(data.filter_map(|(k, v)| String::from_utf8(v.0).ok().map(|v| (k, v))));
    }
    Ok(held)
}

/// Whether two copies share a secret.
pub async fn secrets(world: &World, spec: &BlueprintSpec, first: &Made, second: &Made) -> Result<Verdict, Problem> {
    let (a, b) = (held(world, &first.instance).await?, held(world, &second.instance).await?);
    let given: Vec<String> = world.product.choices.settings.iter().map(|(_, value)| value.clone()).collect();
    Ok(secrets::judge(&a, &b, &given, |key| {
        let number = key.strip_prefix("file-").and_then(|n| n.parse::<usize>().ok());
        let file = number.and_then(|n| spec.files.get(n));
        file.map_or_else(|| key.to_owned(), |f| format!("files[{}]", f.path))
    }))
}

/// The pods of an instance's processes, without the page and without jobs.
async fn pods(world: &World, instance: &CrmInstance) -> Result<Vec<Pod>, Problem> {
    let selector = format!("{LABEL_INSTANCE_ID}={},{LABEL_PROCESS},{LABEL_PROCESS}!=page", id_of(instance));
    let found = world.session.cluster.list(&namespaced(world, instance), "pods", Some(&selector)).await?;
    let of_deployment = |p: &Pod| p.metadata.owner_references.iter().flatten().any(|o| o.kind == "ReplicaSet");
    Ok(found.into_iter().filter(of_deployment).collect())
}

/// Deletes all pods of the instance, which must come back and answer.
pub async fn restart(world: &World, made: &Made, progress: &mut Progress) -> Result<Verdict, Problem> {
    let instance = &made.instance;
    let questions = ask::questions(&world.session, instance, &world.settings).await?;
    let api: Api<Pod> = namespaced(world, instance);
    let before = pods(world, instance).await?;
    if before.is_empty() {
        return Ok(Verdict::NotStated("no process runs by default".into()));
    }
    let old: BTreeSet<String> = before.iter().filter_map(ResourceExt::uid).collect();
    for pod in &before {
        api.delete(&pod.name_any(), &DeleteParams::default())
            .await
            .map_err(|e| api::problem("delete a pod of the test", &e))?;
    }
    let begun = Instant::now();
    loop {
        let now = pods(world, instance).await?;
        let fresh = now.iter().filter(|p| p.uid().is_some_and(|u| !old.contains(&u)) && ask::is_ready(p)).count();
        let gone = now.iter().all(|p| p.uid().is_none_or(|u| !old.contains(&u)));
        if gone && fresh >= old.len() {
            break;
        }
        if begun.elapsed() > world.traces.longest {
            let why = format!("{fresh} of {} pods are ready {} after a restart", old.len(), duration(begun.elapsed()));
            return Ok(Verdict::Failed(why));
        }
        progress.now("restarts", &format!("{fresh} of {} pods are ready again", old.len()));
        tokio::time::sleep(TICK).await;
    }
    progress.now("restarts", "asking it again");
    let again = ask::all(&world.session, instance, &questions).await;
    Ok(judge::answers(questions.steps(), again, "a restart"))
}

/// Suspends the tenant behind the page.
pub async fn suspend(world: &World, made: &Made, progress: &mut Progress) -> Result<Verdict, Problem> {
    change(world, true).await?;
    if let Err(why) = reaches(world, made, InstancePhase::Suspended, progress).await? {
        return Ok(Verdict::Failed(why));
    }
    settled(world, TenantPhase::Suspended, progress).await?;
    let answer = patiently(world, made, progress, |status| status == 503).await;
    Ok(judge::page(answer))
}

/// Resumes the tenant.
pub async fn resume(world: &World, made: &Made, progress: &mut Progress) -> Result<Verdict, Problem> {
    let questions = ask::questions(&world.session, &made.instance, &world.settings).await?;
    change(world, false).await?;
    if let Err(why) = reaches(world, made, InstancePhase::Ready, progress).await? {
        return Ok(Verdict::Failed(why));
    }
    settled(world, TenantPhase::Active, progress).await?;
    let again = ask::all(&world.session, &made.instance, &questions).await;
    Ok(judge::answers(questions.steps(), again, "resuming"))
}

async fn change(world: &World, suspended: bool) -> Result<(), Problem> {
    let tenant = world.tenant_made()?.clone();
    let spec = if suspended {
        json!({"suspended": true, "suspendedReason": "a test of the blueprint"})
    } else {
        json!({"suspended": null, "suspendedReason": null})
    };
    patched(&world.session, std::slice::from_ref(&tenant), &spec, false).await.map(drop)
}

/// Waits until the tenant has a phase, because it reports the phase a moment after its instances.
async fn settled(world: &World, wanted: TenantPhase, progress: &mut Progress) -> Result<(), Problem> {
    let (name, until) = (world.tenant_made()?.name_any(), Until::after(world.traces.longest));
    follow::phase(&world.session, &name, &[wanted], until, progress).await.map(drop)
}

/// Waits until the instance has a phase. Returns the reason when the instance does not reach it.
async fn reaches(
    world: &World,
    made: &Made,
    wanted: InstancePhase,
    progress: &mut Progress,
) -> Result<Result<(), String>, Problem> {
    let name = made.instance.name_any();
    let api = world.session.cluster.instances(&made.instance.namespace().unwrap_or_default());
    let end = wait::follow(api, &name, Until::after(world.traces.longest), |seen| {
        let status = seen.and_then(|s| s.status.clone()).unwrap_or_default();
        let held = find(&status.conditions, "Ready").map(said).unwrap_or_default();
        if status.phase == wanted {
            return ControlFlow::Break(Ok(()));
        }
        if [InstancePhase::Failed, InstancePhase::Invalid].contains(&status.phase) {
            return ControlFlow::Break(Err(format!("it is {:?}: {held}", status.phase)));
        }
        progress.now(&name, &format!("{:?} {held}", status.phase));
        ControlFlow::Continue(())
    });
    Ok(end.await?.unwrap_or_else(|| Err(format!("it is not {wanted:?} after {}", duration(world.traces.longest)))))
}

/// Asks until the answer is as wanted or the time is over, because a Service needs a moment to select other pods.
async fn patiently(
    world: &World,
    made: &Made,
    progress: &mut Progress,
    wanted: impl Fn(u16) -> bool,
) -> Result<u16, String> {
    let begun = Instant::now();
    loop {
        let answer = ask::root(&world.session, &made.instance).await;
        if answer.as_ref().is_ok_and(|s| wanted(*s))
            || begun.elapsed() > world.traces.longest.min(Duration::from_secs(120))
        {
            return answer;
        }
        progress.now("suspends", "waiting for the page");
        tokio::time::sleep(TICK).await;
    }
}

/// What the database says of seats and of the tables that stay writable.
pub async fn tables(world: &World, spec: &BlueprintSpec, made: &Made) -> Result<(Verdict, Verdict), Problem> {
    let questions = seats::questions(spec);
    if questions.is_empty() || spec.database.is_none() {
        return Ok((seats::seats(spec, ""), seats::read_only(spec, "")));
    }
    Ok(match sql::ask(&world.session, &made.instance, &world.settings, &questions).await? {
        Ok(output) => (seats::seats(spec, &output), seats::read_only(spec, &output)),
        Err(why) => {
            let untested = |stated: bool, other: Verdict| if stated { Verdict::NotTested(why.clone()) } else { other };
            (
                untested(spec.seats.is_some(), seats::seats(spec, "")),
                untested(spec.read_only.is_some(), seats::read_only(spec, "")),
            )
        }
    })
}

/// Runs every schedule once, now.
pub async fn schedules(
    world: &World,
    spec: &BlueprintSpec,
    made: &Made,
    progress: &mut Progress,
) -> Result<Verdict, Problem> {
    let crons: Api<CronJob> = namespaced(world, &made.instance);
    let mut runs = Vec::new();
    for schedule in &spec.schedules {
        progress.now("schedules", &format!("running {}", schedule.name));
        let name = format!("{}-{}", id_of(&made.instance), schedule.name);
        let cron = crons.get_opt(&name).await.map_err(|e| api::problem("read the CronJob", &e))?;
        if let Some(cron) = cron {
            runs.push((schedule.name.clone(), once(world, made, &cron).await?));
        }
    }
    Ok(judge::schedules(spec, &runs))
}

/// Runs a CronJob once; returns what went wrong.
async fn once(world: &World, made: &Made, cron: &CronJob) -> Result<Option<String>, Problem> {
    let jobs: Api<Job> = namespaced(world, &made.instance);
    let name = format!("{}-test", cron.name_any());
    let mut job = Job { spec: cron.spec.as_ref().and_then(|s| s.job_template.spec.clone()), ..Job::default() };
    job.metadata.name = Some(name.clone());
    jobs.create(&post(false), &job).await.map_err(|e| api::problem("run the schedule", &e))?;
    let begun = Instant::now();
    loop {
        let now = jobs.get(&name).await.map_err(|e| api::problem("look at the run", &e))?;
        let conditions = now.status.and_then(|s| s.conditions).unwrap_or_default();
        let has = |kind: &str| conditions.iter().find(|c| c.type_ == kind && c.status == "True");
        if has("Complete").is_some() {
            return Ok(None);
        }
        if let Some(failed) = has("Failed") {
            let why = failed.message.clone().or_else(|| failed.reason.clone()).unwrap_or_default();
            return Ok(Some(last_words(world, made, &name).await.unwrap_or(why)));
        }
        if begun.elapsed() > world.traces.longest {
            return Ok(Some(format!("not done after {}", duration(begun.elapsed()))));
        }
        tokio::time::sleep(TICK).await;
    }
}

/// What the agent wrote when a job failed. The agent keeps secrets out of it.
async fn last_words(world: &World, made: &Made, job: &str) -> Option<String> {
    let selector = format!("batch.kubernetes.io/job-name={job}");
    let pods: Api<Pod> = namespaced(world, &made.instance);
    let found = world.session.cluster.list(&pods, "pods", Some(&selector)).await.ok()?;
    found.iter().find_map(|pod| {
        let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
        let message = statuses.iter().find_map(|c| c.state.as_ref()?.terminated.as_ref()?.message.clone())?;
        let report = tenantry_core::progress::last_failure(&message);
        Some(report.map_or(message, |r| format!("step {:?}: {}", r.step, r.message)))
    })
}

/// Makes a staging copy of the first instance. Judges whether the copy works, and whether it was made harmless.
pub async fn stage(
    world: &World,
    spec: &BlueprintSpec,
    first: &Made,
    progress: &mut Progress,
) -> Result<(Verdict, Verdict), Problem> {
    let name = first.instance.name_any();
    let from = json!({"environment": "staging", "from": {"instance": name}});
    let server = first.instance.status.as_ref().and_then(|s| s.database.as_ref()).map(|d| d.server.clone());
    let Some(copy) = world.planned("staging", server.as_deref(), &from)? else {
        let why = "this version makes no copies of instances";
        return Ok((Verdict::NotTested(why.into()), Verdict::NotTested(why.into())));
    };
    let Some(stated) = spec.neutralise.as_ref().filter(|list| !list.steps.is_empty()) else {
        return Ok((Verdict::NotTested("no copy is made without `neutralise`".into()), unstated()));
    };
    let copy = world.create(copy).await?;
    let patience = spec.verify.as_ref().map(|v| Duration::from_secs(u64::from(v.timeout_seconds)));
    let made = match watch::ready(&world.session, &copy, patience, world.traces.longest, progress).await? {
        Ok(made) => made,
        Err(stopped) if stopped.at == Point::Neutralises => {
            let then = Verdict::NotTested("the copy was not neutralised, so nothing of it started".into());
            return Ok((then, Verdict::Failed(stopped.why)));
        }
        Err(stopped) => {
            let then = Verdict::NotTested("the copy did not get ready".into());
            return Ok((Verdict::Failed(stopped.why), then));
        }
    };
    let conditions = made.instance.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    let says = |kind: &str| find(conditions, kind).filter(|c| c.status == "True").map(|c| c.message.clone());
    let copied = says("Copied");
    let (a, b) = (held(world, &first.instance).await?, held(world, &made.instance).await?);
    let staged = match copied {
        Some(_) => secrets::access(&a, &b, duration(made.took)),
        None => Verdict::Failed("it is Ready, but nothing says that it was copied".into()),
    };
    let harmless = match says("Neutralised") {
        Some(said) => {
            let questions = harmless::questions(stated);
            let output = match questions.is_empty() {
                true => Ok(String::new()),
                false => sql::ask(&world.session, &made.instance, &world.settings, &questions).await?,
            };
            output.map_or_else(Verdict::NotTested, |output| harmless::judge(stated, &said, &output))
        }
        None => Verdict::Failed("it started, and nothing says that it was neutralised before".into()),
    };
    Ok((staged, harmless))
}

fn unstated() -> Verdict {
    Verdict::NotStated("the blueprint has no `neutralise`: no copy for staging is made".into())
}

pub fn ids(made: &[&Made]) -> Vec<String> {
    made.iter().map(|m| id_of(&m.instance)).collect()
}

#[cfg(test)]
mod tests {
    use tenantry_core::id::Id;
    use tenantry_core::names;

    #[test]
    fn names_that_the_test_builds_are_those_of_the_operator() {
        let id = Id::mint([3; 10]);
        assert_eq!(names::service(&id), id.to_string());
        assert_eq!(names::process(&id, "cron"), format!("{id}-cron"));
    }
}
