//! Making a database an instance's own: by SQL as its role, or by jobs in the tenant's namespace. Does I/O (Kubernetes,
//! SQL).

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde_json::Value;
use tenantry_api::condition::ConditionType;
use tenantry_core::hash::short_hash;
use tenantry_core::names;
use tenantry_core::steps::JobFile;
use tenantry_database::Login;
use tenantry_plan::config::Config;
use tenantry_plan::instance::{Wanted, build_volume};
use tenantry_plan::job::{self, Place};
use tenantry_plan::one_node::Together;

use super::inputs::{Inputs, Placed};
use super::install::SHORTEST;
use crate::context::Ctx;
use crate::error::Error;
use crate::halt::{Halt, OrHalt};
use crate::operation::{Followed, Outcome, Work, attempt, follow, outcome, secret};
use crate::sql::Server;

const CONDITION: ConditionType = ConditionType::Installed;

/// Personalises the database: by SQL as the database's role, or by a job.
///
/// # Errors
/// [`Halt`] at `Installed`.
pub async fn run(ctx: &Ctx, inputs: &Inputs<'_>, placed: &Placed, server: &Server) -> Result<(), Halt> {
    let Inputs { wanted, settings, limits, now, .. } = *inputs;
    let Some(list) = &wanted.release.spec.personalise else { return Ok(()) };
    let values = inputs.values();
    let blueprint = &wanted.release.blueprint;
    // While a job with the commands runs or pauses, and after one that succeeded, there is nothing to do here.
    let commands = match job::split(list).1 {
        [] => None,
        _ => match due(ctx, wanted, now).await? {
            None => return Ok(()),
            due => due,
        },
    };
    let login = Login { user: placed.access.user.clone(), password: placed.access.password.clone() };
    let (start, limit) = (Instant::now(), Duration::from_secs(list.timeout_seconds.into()));
    let left = || limit.saturating_sub(start.elapsed()).max(SHORTEST);
    for (step, sql) in job::sql(blueprint, "personalise", list, &values).halt(ConditionType::Installed)? {
        tenantry_database::run_as(&server.endpoint, &login, &placed.access.name, &sql, &ctx.gate, left())
            .await
            .map_err(|e| {
                let halt = Halt::at(ConditionType::Installed)(Error::Database(e));
                Halt { message: format!("personalise[{step}]: {}", halt.message), ..halt }
            })?;
    }
    let Some(attempt) = commands else { return Ok(()) };
    // The job may write into the volumes, and its pod waits for them.
    for volume in &wanted.release.spec.volumes {
        ctx.create_once(&build_volume(wanted, settings, limits, volume, None)).await.halt(ConditionType::Installed)?;
    }
    let mut file = job::file(blueprint, "personalise", list, &values).halt(ConditionType::Installed)?;
    let spent = u32::try_from(start.elapsed().as_secs()).unwrap_or(u32::MAX);
    file.timeout_seconds = list.timeout_seconds.saturating_sub(spent).max(1);
    Err(begin(ctx, inputs, &values, &file, attempt).await?)
}

/// Value of the purpose label of an instance's personalise jobs.
fn purpose(wanted: &Wanted) -> String {
    format!("personalise-g{}", wanted.generation)
}

/// Value of the label that says with which release a job of an instance works.
pub fn release_label(wanted: &Wanted) -> String {
    short_hash(wanted.release.hash.as_bytes())
}

/// Personalising by commands: one job for each attempt.
struct Personalise<'a>(&'a Wanted);

impl Work for Personalise<'_> {
    fn condition(&self) -> ConditionType {
        CONDITION
    }

    fn trace(&self) -> &'static str {
        "personalise"
    }

    fn namespace(&self) -> &str {
        &self.0.namespace
    }

    fn under_way(&self, _attempt: u32) -> Halt {
        personalising()
    }

    fn failed(&self) -> &'static str {
        "PersonaliseFailed"
    }

    fn failure(&self, said: &str) -> String {
        format!("personalise failed: {said}.")
    }
}

/// The attempt at personalising by commands that is due. None means that an attempt has succeeded.
///
/// # Errors
/// [`Halt`] at `Installed` while an attempt runs, and while the pause after a failure lasts.
async fn due(ctx: &Ctx, wanted: &Wanted, now: Timestamp) -> Result<Option<u32>, Halt> {
    let api: Api<Job> = Api::namespaced(ctx.client.clone(), &wanted.namespace);
    let label = purpose(wanted);
    let params = ListParams::default().labels(&format!(
        "{}={},{}={label}",
        names::LABEL_INSTANCE_ID,
        wanted.id,
        names::LABEL_PURPOSE
    ));
    let jobs = api.list(&params).await.map_err(Error::kube("list personalise jobs")).halt(CONDITION)?;
    let Some((attempt, job)) = attempt::newest(jobs.items) else { return Ok(Some(1)) };
    // A job of another release worked in a database that was dropped and replaced by this one. While that job runs, it
    // is waited for.
    let of_this_copy = job.labels().get(names::LABEL_RELEASE) == Some(&release_label(wanted));
    if !of_this_copy && outcome(&job, now) != Outcome::Running {
        return Ok(Some(attempt.saturating_add(1)));
    }
    match follow(ctx, &Personalise(wanted), attempt, &job, now).await? {
        Followed::Done => {
            secret::clear(ctx, wanted, &label).await.halt(CONDITION)?;
            Ok(None)
        }
        Followed::Due(next) => Ok(Some(next)),
    }
}

/// Starts an attempt at personalising by commands: one job in the tenant's namespace. Returns the halt that waits for
/// it.
///
/// # Errors
/// [`Halt`] at `Installed` when the attempt cannot be started.
async fn begin(ctx: &Ctx, inputs: &Inputs<'_>, values: &Value, file: &JobFile, attempt: u32) -> Result<Halt, Halt> {
    let Inputs { wanted, settings, .. } = *inputs;
    let (blueprint, label) = (&wanted.release.blueprint, purpose(wanted));
    let config = Config::render(blueprint, &wanted.release.spec, values, false).halt(CONDITION)?;
    let claim = |volume: &str| names::volume(&wanted.id, volume, wanted.generation);
    let job_name = names::personalise_job(&wanted.id, wanted.generation, attempt);
    let place = Place {
        namespace: &wanted.namespace,
        name: &job_name,
        labels: wanted.labels().and(names::LABEL_PURPOSE, &label).and(names::LABEL_RELEASE, release_label(wanted)),
        spec: &wanted.release.spec,
        image: wanted.release.release().map(|r| settings.image(&r.image)).unwrap_or_default(),
        config: &config,
        scheduling: wanted.scheduling.as_ref(),
        claims: Some(&claim),
        together: Together::jobs(wanted),
    };
    secret::clear(ctx, wanted, &label).await.halt(CONDITION)?;
    ctx.apply(&job::build_secret(&place, file).halt(CONDITION)?).await.halt(CONDITION)?;
    secret::start(ctx, &job::build_job(&place, file, settings)).await.halt(CONDITION)?;
    Ok(personalising())
}

fn personalising() -> Halt {
    Halt::wait(CONDITION, "Personalising", "the copy is being made this instance's own", Duration::from_secs(10))
}
