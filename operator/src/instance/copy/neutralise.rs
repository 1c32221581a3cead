//! Makes a copy unable to write to customers, by the blueprint's own steps. Does I/O (SQL, Kubernetes).

use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use serde_json::Value;
use tenantry_api::blueprint::{Neutralisation, StepList};
use tenantry_api::condition::ConditionType;
use tenantry_core::class::ErrorClass;
use tenantry_core::names::{self, LABEL_PURPOSE};
use tenantry_database::Login;
use tenantry_plan::config::Config;
use tenantry_plan::instance::build_volume;
use tenantry_plan::job::{self, Place};
use tenantry_plan::one_node::Together;

use super::stage::Stage;
use super::{Filling, Target};
use crate::error::Error;
use crate::halt::{Halt, OrHalt};
use crate::instance::inputs::Inputs;
use crate::instance::install::SHORTEST;
use crate::instance::personalise::release_label;
use crate::operation::{Outcome, outcome, secret};

/// Reason of a halt: the blueprint does not say how a copy is neutralised.
pub const NOT_STATED: &str = "NotStated";
/// Reason of a halt: the copy's own data says that the copy is not neutralised.
const NOT_PROVEN: &str = "NotProven";

/// Refuses a copy of a product whose blueprint does not say how it is neutralised.
///
/// # Errors
/// [`Halt`] at `Neutralised`.
pub fn stated(filling: &Filling<'_>) -> Result<(), Halt> {
    let wanted = filling.inputs.wanted;
    if wanted.release.spec.neutralise.as_ref().is_some_and(|list| !list.steps.is_empty()) {
        return Ok(());
    }
    let text = format!(
        "blueprint {:?} does not say how a copy is kept from writing to customers, so none is made; nothing was copied. Write `neutralise` into the blueprint (docs: For the author of a blueprint) and the copy goes on by itself",
        wanted.release.blueprint
    );
    Err(Halt::fail(ConditionType::Neutralised, NOT_STATED, text, ErrorClass::Blocked))
}

/// Runs the steps, with the copy's own values: SQL as the copy's role, then commands by one job in the product's image.
/// The steps may run again after anything that broke off a later stage.
///
/// # Errors
/// [`Halt`] at `Neutralised`.
pub async fn run(filling: &Filling<'_>, target: Option<&Target<'_>>) -> Result<(), Halt> {
    let wanted = filling.inputs.wanted;
    let Some(list) = wanted.release.spec.neutralise.as_ref().map(Neutralisation::list) else { return stated(filling) };
    let list = &list;
    let values = filling.inputs.values();
    let start = Instant::now();
    if job::is_sql(list) {
        by_sql(filling, target, list, &values, start).await?;
        return proven(filling, target).await;
    }
    let attempt = match &Stage::Neutralise.newest(filling).await? {
        None => 1,
        // The job ran other steps than the steps that the blueprint has now.
        Some((attempt, job))
            if of_another_release(filling, job) && !matches!(outcome(job, filling.inputs.now), Outcome::Running) =>
        {
            attempt.saturating_add(1)
        }
        Some((attempt, job)) => match Stage::Neutralise.follow(filling, *attempt, job).await? {
            // The job was started after the SQL, so the SQL is done.
            None => return proven(filling, target).await,
            Some(next) => next,
        },
    };
    Stage::Neutralise.clear_the_way(filling).await?;
    by_sql(filling, target, list, &values, start).await?;
    let spent = u32::try_from(start.elapsed().as_secs()).unwrap_or(u32::MAX);
    by_commands(filling, list, &values, attempt, spent).await
}

fn of_another_release(filling: &Filling<'_>, job: &Job) -> bool {
    job.labels().get(names::LABEL_RELEASE) != Some(&release_label(filling.inputs.wanted))
}

/// Runs the SQL of the list, which may have none.
async fn by_sql(
    filling: &Filling<'_>,
    target: Option<&Target<'_>>,
    list: &StepList,
    values: &Value,
    start: Instant,
) -> Result<(), Halt> {
    let ctx = filling.ctx;
    if job::split(list).0.is_empty() {
        return Ok(());
    }
    let Some(target) = target else {
        let text = "the blueprint neutralises by SQL and has no database; it must be mended";
        return Err(Halt::fail(ConditionType::Neutralised, "NoDatabase", text, ErrorClass::Blocked));
    };
    let access = &target.placed.access;
    let login = Login { user: access.user.clone(), password: access.password.clone() };
    let limit = Duration::from_secs(u64::from(list.timeout_seconds));
    let left = || limit.saturating_sub(start.elapsed()).max(SHORTEST);
    let blueprint = &filling.inputs.wanted.release.blueprint;
    for (step, sql) in job::sql(blueprint, "neutralise", list, values).halt(ConditionType::Neutralised)? {
        let (endpoint, gate) = (&target.server.endpoint, &ctx.gate);
        let done = tenantry_database::run_as(endpoint, &login, &access.name, &sql, gate, left()).await;
        done.map_err(|e| {
            let halt = Halt::at(ConditionType::Neutralised)(Error::Database(e));
            Halt { message: format!("neutralise[{step}]: {}; nothing of the copy was started", halt.message), ..halt }
        })?;
    }
    Ok(())
}

/// Asks the copy whether the steps had their effect: a step that changed nothing is no error by itself.
///
/// # Errors
/// [`Halt`] at `Neutralised` while a statement does not hold or cannot be asked.
pub async fn proven(filling: &Filling<'_>, target: Option<&Target<'_>>) -> Result<(), Halt> {
    let (Some(target), Some(stated)) = (target, &filling.inputs.wanted.release.spec.neutralise) else { return Ok(()) };
    let (access, endpoint, gate) = (&target.placed.access, &target.server.endpoint, &filling.ctx.gate);
    let login = Login { user: access.user.clone(), password: access.password.clone() };
    for (i, question) in stated.verify_sql.iter().enumerate() {
        let place = format!("neutralise.verifySql[{i}]");
        let answer = tenantry_database::holds(endpoint, &login, &access.name, question, gate).await;
        let holds = answer.map_err(|e| {
            let halt = Halt::at(ConditionType::Neutralised)(Error::Database(e));
            Halt { message: format!("{place}: {}; nothing of the copy was started", halt.message), ..halt }
        })?;
        if !holds {
            let text = format!(
                "the steps of neutralise ran, and {place} does not hold; nothing of the copy was started. Mend the steps or the statement in blueprint {:?}, and the copy goes on by itself",
                filling.inputs.wanted.release.blueprint
            );
            return Err(Halt::fail(ConditionType::Neutralised, NOT_PROVEN, text, ErrorClass::Blocked));
        }
    }
    Ok(())
}

/// Runs the commands, with the copy's configuration and volumes, in the rest of the list's time after `spent` seconds.
async fn by_commands(
    filling: &Filling<'_>,
    list: &StepList,
    values: &Value,
    attempt: u32,
    spent: u32,
) -> Result<(), Halt> {
    let ctx = filling.ctx;
    let Inputs { wanted, settings, limits, .. } = *filling.inputs;
    let (spec, blueprint) = (&wanted.release.spec, &wanted.release.blueprint);
    for volume in &spec.volumes {
        ctx.create_once(&build_volume(wanted, settings, limits, volume, None))
            .await
            .halt(ConditionType::Neutralised)?;
    }
    let config = Config::render(blueprint, spec, values, false).halt(ConditionType::Neutralised)?;
    let mut file = job::file(blueprint, "neutralise", list, values).halt(ConditionType::Neutralised)?;
    file.timeout_seconds = list.timeout_seconds.saturating_sub(spent).max(1);
    let claim = |volume: &str| names::volume(&wanted.id, volume, wanted.generation);
    let name = Stage::Neutralise.job_name(filling, attempt);
    let place = |purpose: &str| Place {
        namespace: &wanted.namespace,
        name: &name,
        labels: wanted.labels().and(LABEL_PURPOSE, purpose).and(names::LABEL_RELEASE, release_label(wanted)),
        spec,
        image: wanted.release.release().map(|r| settings.image(&r.image)).unwrap_or_default(),
        config: &config,
        scheduling: wanted.scheduling.as_ref(),
        claims: Some(&claim),
        together: Together::jobs(wanted),
    };
    // The Secret is removed like any configuration.
    let secret = job::build_secret(&place("config"), &file).halt(ConditionType::Neutralised)?;
    ctx.apply(&secret).await.halt(ConditionType::Neutralised)?;
    let purpose = Stage::Neutralise.purpose(wanted.generation);
    secret::start(ctx, &job::build_job(&place(&purpose), &file, settings)).await.halt(ConditionType::Neutralised)?;
    Err(Stage::Neutralise.under_way(filling, attempt))
}
