//! Which release the operator would run for an instance, and with which generation of its data. Does I/O (reads).
//!
//! The decisions are the operator's own functions. Here is only what they are told: what the cluster's objects say.
//! Nobody but the operator asks a database server. Where its answer would decide, that is said.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt};
use tenantry_api::archive::{Archive, ArchivedKind};
use tenantry_api::blueprint::Effective;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::ledger::Recorded;
use tenantry_core::names::{self, SYSTEM_NAMESPACE};
use tenantry_plan::adoption::{generation_to_note, may_be_adopted, reads_archive, was_copy, was_finished};
use tenantry_plan::instance::release::{Choice, Known, Row, choose, in_archive, in_config_map, is_of};
use tenantry_plan::instance::{Offer, Original, Source, Trust, is_made, runs_another, settle};

use crate::error::{Problem, api};
use crate::session::Session;
use crate::target;

/// What the operator would decide about an instance.
pub struct Decided {
    /// The release that the instance runs.
    pub release: Effective,
    /// The generation of its data that the instance would note. None means that it has its note, or none is needed.
    pub generation: Option<u32>,
    /// What the decision depends on besides, for people.
    pub remark: Option<String>,
}

/// The release that an instance runs, or that a new instance would pin.
pub async fn release(session: &Session, instance: &CrmInstance) -> Result<Effective, Problem> {
    Ok(decide(session, instance).await?.release)
}

/// Decides about an instance as the operator does. A new instance comes without an id.
pub async fn decide(session: &Session, instance: &CrmInstance) -> Result<Decided, Problem> {
    let noted = recorded(instance)?;
    let archive = match &instance.spec.adopt {
        Some(name) if reads_archive(instance, noted.as_ref()) => Some(adopted(session, instance, name).await?),
        _ => None,
    };
    let generation = generation_to_note(instance, noted.is_some(), archive.as_ref(), None);
    let reported = instance.status.as_ref().is_some_and(|s| s.data_generation.is_some());
    let of_archive = archive.as_ref().map(ledger_of).transpose()?;
    let mut known = Known::of(instance, noted.as_ref().or(of_archive.as_ref()));
    known.archive = archive.as_ref().and_then(|a| a.spec.release_hash.as_deref());
    if known.archive.is_some() && !reported {
        // The row of the archived database counts less than the Archive.
        known.row = Row::Says(None);
    }
    let choice = choose(&known);
    let (read, mut remark) = match choice.source() {
        Some(Source::Hash(hash)) => (of_hash(session, instance, archive.as_ref(), hash).await?, None),
        Some(Source::Original) => Box::pin(of_original(session, instance)).await?,
        Some(Source::Blueprint) => (newest(session, instance).await?, None),
        None => return Err(undecided(instance, &known)),
    };
    let name = &instance.spec.blueprint;
    let blueprint = session.cluster.blueprints().get_opt(name).await;
    let blueprint = blueprint.map_err(|e| api::problem("read the blueprint", &e))?;
    let settled = |made: bool| {
        let offer =
            Offer { blueprint: blueprint.as_ref().map(|b| &b.spec), asked: instance.spec.release.as_deref(), made };
        settle(&choice, read.clone(), &offer).map_err(|e| super::planned::cannot_be(&target::address_of(instance), &e))
    };
    let release = settled(is_made(instance, None))?;
    let given = instance.spec.id.is_some() && Trust::of(instance, noted.is_some()) == Trust::Given;
    if !reported && matches!(choice, Choice::Newest) && given && release.spec.database.is_some() {
        remark = Some(format!(
            "if a database server holds data of id {} already, the operator takes that over, with the release that wrote it",
            instance.spec.id.as_deref().unwrap_or_default()
        ));
    }
    // Without the status of an instance that was begun, only the database server says whether its database is made.
    let begun = matches!(choice, Choice::Mendable(_) | Choice::Copied(_));
    if begun && !reported && settled(true).ok().as_ref() != Some(&release) {
        return Err(undecided(instance, &known));
    }
    Ok(Decided { release, generation, remark })
}

/// The instance's own note of its ledger.
fn recorded(instance: &CrmInstance) -> Result<Option<Recorded>, Problem> {
    let text = instance.annotations().get(names::ANNOTATION_LEDGER);
    text.map(|text| serde_json::from_str(text)).transpose().map_err(|e| {
        Problem::failed(format!("annotation {} cannot be read", names::ANNOTATION_LEDGER))
            .safe("the operator leaves the instance as it is until that is mended")
            .why(e.to_string())
    })
}

fn ledger_of(archive: &Archive) -> Result<Recorded, Problem> {
    serde_json::from_str(&archive.spec.ledger).map_err(|e| {
        Problem::failed(format!("the ledger of archive {} cannot be read", archive.name_any())).why(e.to_string())
    })
}

/// The archive that an instance takes over, if it may.
async fn adopted(session: &Session, instance: &CrmInstance, name: &str) -> Result<Archive, Problem> {
    let archive = target::one(session, &session.cluster.archives(), target::ARCHIVE, name).await?;
    let (id, namespace) = (instance.spec.id.as_deref(), instance.namespace());
    let may = may_be_adopted(&archive, ArchivedKind::CrmInstance, id, namespace.as_deref());
    let may = match was_copy(&archive) {
        true => may.and(was_finished(&archive, &ledger_of(&archive)?)),
        false => may,
    };
    may.map_err(|why| refused(instance).why(why))?;
    Ok(archive)
}

fn refused(instance: &CrmInstance) -> Problem {
    let address = target::address_of(instance);
    Problem::refused(format!("{address} cannot be as it is written")).safe("nothing was changed")
}

/// The error for a release that is not known here: only the operator can ask the database server, and it reports the
/// answer in the conditions.
fn undecided(instance: &CrmInstance, known: &Known<'_>) -> Problem {
    let address = target::address_of(instance);
    let says = |hash: Option<&str>| hash.unwrap_or("nothing").to_owned();
    Problem::failed(format!("it is not known here which release {address} runs"))
        .safe("nothing was changed")
        .why(format!(
            "annotation {} says {}, status.releaseHash {}; the record on the database server decides, which the operator asks",
            names::ANNOTATION_RELEASE,
            says(known.annotation),
            says(known.status)
        ))
        .next("what came of it", format!("instance show {address}"))
}

async fn newest(session: &Session, instance: &CrmInstance) -> Result<Effective, Problem> {
    let spec = &instance.spec;
    let blueprint = target::one(session, &session.cluster.blueprints(), target::BLUEPRINT, &spec.blueprint).await?;
    let newest = Effective::pin(&spec.blueprint, &blueprint.spec, spec.release.as_deref())
        .map_err(|e| Problem::not_found(e.to_string()).next("", format!("blueprint show {}", spec.blueprint)))?;
    let problems = tenantry_plan::blueprint::problems(&newest.spec);
    if !problems.is_empty() {
        let what = format!("blueprint {:?} cannot be used", spec.blueprint);
        return Err(Problem::refused(what).safe("nothing was changed").why(problems.join("; ")));
    }
    Ok(newest)
}

/// The release that a copy begins with. The operator waits for an original that is not ready yet; then the release that
/// the original will run is meant, and that is said.
async fn of_original(session: &Session, copy: &CrmInstance) -> Result<(Effective, Option<String>), Problem> {
    let name = copy.spec.from.as_ref().map(|f| f.instance.clone()).unwrap_or_default();
    let address = format!("{}/{name}", copy.spec.tenant);
    let api = session.cluster.instances(&copy.namespace().unwrap_or_default());
    let found = api.get_opt(&name).await.map_err(|e| api::problem("read the original", &e))?;
    let noted = found.as_ref().map(recorded).transpose()?.flatten();
    let (read, remark) = match (Original::judge(copy, found.as_ref(), noted.as_ref()), &found) {
        (Original::Ready { release, .. }, _) => (of_hash(session, copy, None, release).await?, None),
        (Original::OtherProduct(product), _) => {
            let why = format!("spec.blueprint: {address} is a {product}, and a copy is of the same product");
            return Err(refused(copy).why(why));
        }
        (Original::Changed, _) => {
            let why = format!(
                "{address} is not what it was when this copy was begun: another instance has its name, or it runs another release"
            );
            return Err(refused(copy).why(why));
        }
        (Original::NotReady, Some(original)) => {
            let text = format!("{address} has never been ready; the copy is begun when it is");
            (release(session, original).await?, Some(text))
        }
        (Original::Gone | Original::NotReady, _) => {
            let text =
                format!("{address} is not there; the copy is begun when it is, with the release that it runs then");
            (newest(session, copy).await?, Some(text))
        }
    };
    match runs_another(&copy.spec, &read) {
        Some(runs) => {
            let why = format!("spec.release: {address} runs {runs}, and a copy begins with what wrote its data");
            Err(refused(copy).why(why))
        }
        None => Ok((read, remark)),
    }
}

/// The release with a hash: its kept copy, the Blueprint's release with the same content, or the copy in the archive
/// that the instance took over.
async fn of_hash(
    session: &Session,
    instance: &CrmInstance,
    archive: Option<&Archive>,
    hash: &str,
) -> Result<Effective, Problem> {
    let name = &instance.spec.blueprint;
    let kept: Api<ConfigMap> = Api::namespaced(session.cluster.client.clone(), SYSTEM_NAMESPACE);
    let kept = kept.get_opt(&names::pinned_release(hash)).await.map_err(|e| api::problem("read the release", &e))?;
    let unreadable = |e| Problem::failed(format!("the pinned release {hash} cannot be read: {e}"));
    let mut found = kept.as_ref().map(in_config_map).transpose().map_err(unreadable)?.flatten();
    if found.is_none() {
        let blueprint = session.cluster.blueprints().get_opt(name).await;
        let blueprint = blueprint.map_err(|e| api::problem("read the blueprint", &e))?;
        found = blueprint.and_then(|b| Effective::find(name, &b.spec, hash));
    }
    if let (None, Some(adopt)) = (&found, &instance.spec.adopt) {
        let read = match archive {
            Some(archive) => Some(archive.clone()),
            None => {
                session.cluster.archives().get_opt(adopt).await.map_err(|e| api::problem("read the archive", &e))?
            }
        };
        found = read.map(|a| in_archive(&a.spec, hash)).transpose().map_err(unreadable)?.flatten();
    }
    let found = found.ok_or_else(|| {
        Problem::failed(format!("the pinned release {hash} is missing"))
            .safe("nothing was changed")
            .next("what the operator says", format!("instance show {}", target::address_of(instance)))
    })?;
    is_of(&found, name).map_err(Problem::failed)?;
    Ok(found)
}
