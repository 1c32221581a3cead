//! Fills a copy with the database and the files of its original, by jobs. Does I/O (SQL, Kubernetes).

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use tenantry_api::blueprint::Process;
use tenantry_api::condition::ConditionType;
use tenantry_core::class::ErrorClass;
use tenantry_core::id::Id;
use tenantry_core::names::{self, LABEL_INSTANCE_ID, LABEL_PROCESS};
use tenantry_core::quantity;
use tenantry_database::{DatabaseRecord, NewDatabase, Source, State, Tls};
use tenantry_plan::Kind;
use tenantry_plan::copy::{self, ANNOTATION_DATABASE, Beside, Pair, Place, Side, client_image};
use tenantry_plan::instance::build_volume;

use super::source::{self, Original};
use super::stage::{Stage, ended};
use super::{Filling, Target};
use crate::error::Error;
use crate::generation;
use crate::halt::{Halt, OrHalt};
use crate::instance::inputs::Inputs;
use crate::operation::attempt::{self, Next};
use crate::operation::{Outcome, outcome, secret};
use crate::sql;

/// Fills the database and gives the number of the beginning that did so: it is made empty, then filled by a job. If that was broken off, the database is dropped and made
/// again. Nobody loses anything by that, because nobody has worked in the database.
///
/// # Errors
/// [`Halt`] at `Copied` until the copying is done.
pub async fn database(filling: &Filling<'_>, target: &Target<'_>, record: Option<DatabaseRecord>) -> Result<u64, Halt> {
    let owner = names::owner_of_instance(&filling.inputs.wanted.id);
    if let Some(r) = &record
        && (r.owner != owner || matches!(r.state, State::Archived | State::Template | State::Personalised))
    {
        let text = format!("database {} is {} and belongs to {}: it is left alone", r.name, r.state, r.owner);
        return Err(Halt::fail(ConditionType::Copied, "DatabaseInUse", text, ErrorClass::Blocked));
    }
    let newest = Stage::Database.newest(filling).await?;
    // Only the job that was made for the existing database counts; attempts are numbered from 1.
    let made_by = newest.as_ref().filter(|(_, job)| {
        let of = job.annotations().get(ANNOTATION_DATABASE);
        of.is_some() && of == record.as_ref().map(|r| &r.created_at)
    });
    let made_by = made_by.map_or(0, |(attempt, _)| *attempt);
    let attempt = match attempt::next(record.as_ref().map(|r| (r.state, made_by)), newest.as_ref()) {
        Next::Follow(attempt, job) => {
            if !matches!(outcome(job, filling.inputs.now), Outcome::Succeeded) {
                source::look(filling.ctx, &filling.pass.instance).await?;
            }
            match Stage::Database.follow(filling, attempt, job).await? {
                None => {
                    let fill = copy::fill_of(job);
                    generation::filled(target.server, filling.inputs.wanted, fill).await?;
                    return Ok(fill);
                }
                Some(next) => next,
            }
        }
        Next::Start(attempt) | Next::Anew(attempt) => attempt,
    };
    let original = source::look(filling.ctx, &filling.pass.instance).await?;
    Stage::Database.clear_the_way(filling).await?;
    begin(filling, target, &original, attempt).await
}

async fn begin(filling: &Filling<'_>, target: &Target<'_>, original: &Original, attempt: u32) -> Result<u64, Halt> {
    let ctx = filling.ctx;
    let Inputs { wanted, settings, limits, .. } = *filling.inputs;
    let (server, from) = source::access(ctx, &wanted.namespace, original).await?;
    let to = &target.placed.access;
    if from.engine != to.engine {
        let text = format!(
            "spec.databaseServer: {} is {}, and {} lies on {}: a copy needs the same engine",
            target.placed.server, to.engine, original.address, from.engine
        );
        return Err(Halt::fail(ConditionType::Copied, "OtherEngine", text, ErrorClass::Invalid));
    }
    let image = client_image(target.object, settings).ok_or_else(|| {
        let name = target.object.name_any();
        let text = format!(
            "DatabaseServer {name:?} is external and names no image with its client programs: kubectl patch databaseserver {name} --type=merge -p '{{\"spec\":{{\"clientImage\":\"IMAGE\"}}}}'"
        );
        Halt::fail(ConditionType::Copied, "NoClientImage", text, ErrorClass::Blocked)
    })?;
    let object = ctx.database_server(&server).await.halt(ConditionType::Copied)?;
    let object = object.ok_or_else(|| {
        let text =
            format!("DatabaseServer {server:?} with the data of {} does not exist; create it again", original.address);
        Halt::fail(ConditionType::Copied, "NoSuchServer", text, ErrorClass::Blocked)
    })?;
    let from_server = sql::administration(ctx, &object, settings).await.halt(ConditionType::Copied)?;
    let size = from_server.admin.size_bytes(&from.name).await.halt(ConditionType::Copied)?;
    let storage = target.object.spec.managed.as_ref().and_then(|m| quantity::bytes(&m.storage).ok());
    let used = target.server.admin.total_bytes().await.halt(ConditionType::Copied)?;
    if !copy::has_room(storage, used, size) {
        let (needs, has) = (quantity::human(size), quantity::human(storage.unwrap_or_default()));
        let text = format!(
            "the database of {} has {needs}, and server {:?} holds {} of {has} already: a copy would leave its tenants no room. Raise managed.storage of the server, or make the copy with --database-server",
            original.address,
            target.placed.server,
            quantity::human(used)
        );
        return Err(Halt::fail(ConditionType::Copied, "ServerFull", text, ErrorClass::Blocked));
    }
    let (from_tls, from_ca) = tls(&from_server.endpoint.tls);
    let (to_tls, to_ca) = tls(&target.server.endpoint.tls);
    let from = Side { access: &from, tls: from_tls, ca: from_ca };
    let to = Side { access: to, tls: to_tls, ca: to_ca };
    let file = copy::database_file(&from, &to);
    let name = Stage::Database.job_name(filling, attempt);
    let purpose = Stage::Database.purpose(wanted.generation);
    let place = Place {
        namespace: &wanted.namespace,
        name: &name,
        labels: wanted.labels(),
        purpose: &purpose,
        image,
        scheduling: wanted.scheduling.as_ref(),
    };
    let secret = copy::build_secret(&place, &file, &[("from", &from), ("to", &to)]).halt(ConditionType::Copied)?;

    let admin = &target.server.admin;
    let owner = names::owner_of_instance(&wanted.id);
    generation::begin(target.server, wanted, target.name()).await?;
    // Drops what an earlier attempt left. From now on nobody believes that attempt.
    let fill = admin.begin_fill(&owner, target.name()).await.halt(ConditionType::Copied)?;
    let fill = fill.ok_or_else(|| {
        let text = format!("people work in database {}: it is not filled again", target.name());
        Halt::fail(ConditionType::Copied, "DatabaseInUse", text, ErrorClass::Blocked)
    })?;
    admin.create(&empty(filling, target, &owner)).await.halt(ConditionType::Copied)?;
    admin.set_state(target.name(), &owner, State::Installing).await.halt(ConditionType::Copied)?;
    let record = admin.record(target.name()).await.halt(ConditionType::Copied)?;
    let made = record
        .ok_or_else(|| Error::Bug("a database that was made is not written down".into()))
        .halt(ConditionType::Copied)?;
    ctx.apply(&secret).await.halt(ConditionType::Copied)?;
    let made = copy::Made { at: &made.created_at, fill };
    let job = copy::build_database_job(&place, &file, limits.storage_bytes, size, &made, settings);
    secret::start(ctx, &job).await.halt(ConditionType::Copied)?;
    Err(Stage::Database.under_way(filling, attempt))
}

fn empty(filling: &Filling<'_>, target: &Target<'_>, owner: &str) -> NewDatabase {
    let (wanted, access) = (filling.inputs.wanted, &target.placed.access);
    let needs = wanted.release.spec.database.as_ref();
    NewDatabase {
        name: access.name.clone(),
        owner: owner.to_owned(),
        tenant: wanted.tenant_id.to_string(),
        generation: wanted.generation,
        role: access.user.clone(),
        password: access.password.clone(),
        connection_limit: Some(target.object.spec.connections_per_tenant),
        source: Source::Empty,
        release_hash: wanted.release.hash.clone(),
        extensions: needs.map(|d| d.extensions.clone()).unwrap_or_default(),
        charset: needs.and_then(|d| d.charset.clone()),
    }
}

/// Whether connections are encrypted, and the CA by which the server's certificate is trusted.
fn tls(of: &Tls) -> (bool, Option<&str>) {
    match of {
        Tls::Disable => (false, None),
        Tls::Require { ca } => (true, ca.as_deref()),
    }
}

/// Fills the copy's own volumes with the files, by one job. An attempt begins with empty volumes, however far an
/// earlier attempt came. A volume that only a companion sees begins empty and stays empty: nothing neutralises the data
/// that waits there to be sent, and another user wrote it.
///
/// # Errors
/// [`Halt`] at `Copied` until the copying is done.
pub async fn files(filling: &Filling<'_>) -> Result<(), Halt> {
    let ctx = filling.ctx;
    let Inputs { wanted, settings, limits, .. } = *filling.inputs;
    let spec = &wanted.release.spec;
    let volumes: Vec<&str> = spec.volumes_of_jobs().map(|v| v.name.as_str()).collect();
    if volumes.is_empty() {
        return Ok(());
    }
    let newest = Stage::Files.newest(filling).await?;
    let attempt = match &newest {
        None => 1,
        Some((attempt, job)) => {
            if !matches!(outcome(job, filling.inputs.now), Outcome::Succeeded) {
                let original = source::look(ctx, &filling.pass.instance).await?;
                give_way(filling, &original.id, job).await?;
            }
            match Stage::Files.follow(filling, *attempt, job).await? {
                None => return Ok(()),
                Some(next) => next,
            }
        }
    };
    let original = source::look(ctx, &filling.pass.instance).await?;
    Stage::Files.clear_the_way(filling).await?;
    for volume in &spec.volumes {
        ctx.create_once(&build_volume(wanted, settings, limits, volume, None)).await.halt(ConditionType::Copied)?;
    }
    let pair = |name: &&str| Pair {
        name: (*name).to_owned(),
        from: names::volume(&original.id, name, original.generation),
        to: names::volume(&wanted.id, name, wanted.generation),
    };
    let pairs: Vec<Pair> = volumes.iter().map(pair).collect();
    let file = copy::files_file(&pairs);
    let name = Stage::Files.job_name(filling, attempt);
    let purpose = Stage::Files.purpose(wanted.generation);
    let nodes = copy::nodes(wanted.scheduling.as_ref(), original.scheduling.as_ref());
    let place = Place {
        namespace: &wanted.namespace,
        name: &name,
        labels: wanted.labels(),
        purpose: &purpose,
        scheduling: nodes.as_ref(),
        image: wanted.release.release().map(|r| settings.image(&r.image)).unwrap_or_default(),
    };
    let processes = hold_volumes(filling, &original.id).await?;
    let beside = (!processes.is_empty()).then_some(Beside { original: &original.id, processes: &processes });
    ctx.apply(&copy::build_secret(&place, &file, &[]).halt(ConditionType::Copied)?)
        .await
        .halt(ConditionType::Copied)?;
    let job = copy::build_files_job(&place, &file, spec, &pairs, beside, settings);
    secret::start(ctx, &job).await.halt(ConditionType::Copied)?;
    Err(Stage::Files.under_way(filling, attempt))
}

/// Ends a job that keeps the original from its volumes. The copying begins again beside the original.
async fn give_way(filling: &Filling<'_>, original: &Id, job: &Job) -> Result<(), Halt> {
    if !matches!(outcome(job, filling.inputs.now), Outcome::Running) {
        return Ok(());
    }
    let waiting = holders(filling, original).await?.into_iter().filter(|p| phase(p) == Some("Pending"));
    let waiting: Vec<String> = waiting.filter_map(|p| node(&p)).collect();
    if waiting.is_empty() {
        return Ok(());
    }
    let of_job = Stage::Files.pods(filling, job).await?;
    let held: Vec<String> = of_job.iter().filter(|p| !ended(p)).filter_map(node).collect();
    if !copy::original_waits(&waiting, &held) {
        return Ok(());
    }
    let (namespace, name) = (&filling.inputs.wanted.namespace, job.name_any());
    filling.ctx.remove(Kind::Job, Some(namespace), &name).await.halt(ConditionType::Copied)?;
    let text = "the original starts on another node and needs its volumes: the copy of its files is broken off and begins again beside it";
    Err(Halt::wait(ConditionType::Copied, "OriginalFirst", text, Duration::from_secs(5)))
}

/// The original's processes that have a node and see volumes which are copied: these volumes can be mounted only where
/// these processes run.
async fn hold_volumes(filling: &Filling<'_>, original: &Id) -> Result<BTreeSet<String>, Halt> {
    let pods = holders(filling, original).await?;
    Ok(pods.iter().filter_map(|p| p.labels().get(LABEL_PROCESS)).cloned().collect())
}

/// The original's pods that have a node, are neither ended nor being deleted, and see volumes which are copied.
/// Companions without volumes and the page may run anywhere.
async fn holders(filling: &Filling<'_>, original: &Id) -> Result<Vec<Pod>, Halt> {
    let spec = &filling.inputs.wanted.release.spec;
    let copied: BTreeSet<&str> = spec.volumes_of_jobs().map(|v| v.name.as_str()).collect();
    let sees = |p: &&Process| spec.volumes_of(p).any(|v| copied.contains(v.name.as_str()));
    let processes: BTreeSet<&str> = spec.processes.iter().filter(sees).map(|p| p.name.as_str()).collect();
    let api: Api<Pod> = Api::namespaced(filling.ctx.client.clone(), &filling.inputs.wanted.namespace);
    let selector = format!("{LABEL_INSTANCE_ID}={original},{LABEL_PROCESS}");
    let list = api.list(&ListParams::default().labels(&selector)).await;
    let mut pods = list.map_err(Error::kube("list the original's pods")).halt(ConditionType::Copied)?.items;
    pods.retain(|p| {
        let sees = p.labels().get(LABEL_PROCESS).is_some_and(|name| processes.contains(name.as_str()));
        sees && !ended(p) && node(p).is_some() && p.metadata.deletion_timestamp.is_none()
    });
    Ok(pods)
}

fn node(pod: &Pod) -> Option<String> {
    pod.spec.as_ref().and_then(|s| s.node_name.clone())
}

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref().and_then(|s| s.phase.as_deref())
}
