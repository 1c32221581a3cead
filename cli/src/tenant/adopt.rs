//! `tenantry tenant adopt`: brings an archived tenant back with its instances and all data. Does I/O.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::json;
use tenantry_api::archive::{Archive, ArchivePhase, ArchivedKind};
use tenantry_api::tenant::{Tenant, TenantSpec};

use super::follow;
use crate::archive::keep::{label, phase};
use crate::archive::words::{day_of, kept, until};
use crate::archive::{chosen, of_tenant};
use crate::args::Change;
use crate::error::{Exit, Problem, api};
use crate::instance::{adopt as instance_adopt, settings, track};
use crate::output::Format;
use crate::progress::Progress;
use crate::session::Session;
use crate::target::address_of;
use crate::wait::Until;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the archived tenant, or of its archive
    #[arg(value_name = "NAME|ARCHIVE", add = crate::completion::archives())]
    pub name: String,
    /// Name of the tenant from now on; its old one when not given
    #[arg(long = "as", value_name = "NAME")]
    pub new_name: Option<String>,
    /// Only these instances, by their names or their archives; all when not given. Can be repeated
    #[arg(long = "instance", value_name = "NAME|ARCHIVE")]
    pub instances: Vec<String>,
    #[command(flatten)]
    pub change: Change,
}

pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let until = Until::after(args.change.wait.timeout);
    let archives = session.cluster.list(&session.cluster.archives(), "archives", None).await?;
    let (archive, resumed) = source(args, session, &archives).await?;
    let instances = selected(args, &archives, archive, session.now())?;
    session.leave.set(
        Problem::left("left; the tenant may be adopted by half")
            .safe("all data is kept; run the same command again and it goes on")
            .next("look", "tenant list"),
    );
    let wanted = from_archive(archive, args.new_name.as_deref())?;
    let tenant = match resumed {
        Some(tenant) => tenant,
        None => create(session, &wanted, args.change.dry.dry_run).await?,
    };
    let mut progress = Progress::new(&session.out);
    if !args.change.dry.dry_run {
        follow::namespace(session, &tenant, until, &mut progress).await?;
    }
    let mut adopted = Vec::with_capacity(instances.len());
    for instance in instances {
        let result = instance_adopt::bring_back(session, &tenant, instance, args.change.dry.dry_run).await;
        adopted.push(result.map_err(|p| half(p, &tenant, instance))?);
    }
    if args.change.waits() {
        for instance in &mut adopted {
            *instance = track::until_ready(session, instance, until, &mut progress).await?;
        }
    }
    progress.end();
    settings::hidden(session, &mut adopted).await?;
    let names: Vec<String> = adopted.iter().map(address_of).collect();
    let word = match (args.change.dry.dry_run, args.change.wait.wait) {
        (true, _) => "would be adopted (dry run)",
        (_, true) => "is back with all its data",
        _ => "is adopted; the operator brings it up with its data now",
    };
    match session.out.format {
        Format::Json | Format::Yaml => session.out.document(&json!({"tenant": tenant, "instances": adopted}))?,
        Format::Name => session.out.line(&tenant.name_any()),
        Format::Text | Format::Wide => {
            let listed = if names.is_empty() { "it had no instances".into() } else { names.join(", ") };
            session.out.say(&format!("{} {word}: {listed}", tenant.name_any()));
        }
    }
    Ok(Exit::DONE)
}

/// The archive that is meant, and the tenant when an earlier try already created it.
async fn source<'a>(
    args: &Args,
    session: &Session,
    archives: &'a [Archive],
) -> Result<(&'a Archive, Option<Tenant>), Problem> {
    let name = args.new_name.as_deref().unwrap_or(&args.name);
    let living = session.cluster.tenants().get_opt(name).await.map_err(|e| api::problem("look for the tenant", &e))?;
    if let Some(tenant) = living {
        let from = tenant.spec.adopt.clone();
        let archive = archives.iter().find(|a| Some(a.name_any()) == from);
        return match archive {
            Some(archive) if archive.spec.name == args.name || archive.name_any() == args.name => {
                Ok((archive, Some(tenant)))
            }
            _ => Err(Problem::refused(format!("a tenant {name} lives already"))
                .safe("nothing was changed; the archive is kept")
                .next("give the archived one another name", format!("tenant adopt {} --as NEW-NAME", args.name))),
        };
    }
    let archive = chosen(archives, ArchivedKind::Tenant, &args.name, "tenant adopt", session.now())?;
    Ok((archive, None))
}

/// The instances that come back with the tenant: one archive of each name.
fn selected<'a>(
    args: &Args,
    archives: &'a [Archive],
    tenant: &Archive,
    now: Timestamp,
) -> Result<Vec<&'a Archive>, Problem> {
    let all = of_tenant(archives, &tenant.spec.id, now);
    let mut chosen: BTreeMap<&str, &Archive> = BTreeMap::new();
    for wanted in &args.instances {
        let exact = all.values().flatten().copied().find(|a| &a.name_any() == wanted);
        let of_name = all.get(wanted.as_str()).map_or(&[][..], Vec::as_slice);
        let one = match (exact, of_name) {
            (Some(one), _) => one,
            (None, [one]) => *one,
            // An earlier try brought this instance back already.
            (None, []) if archives.iter().any(|a| is_back(a, tenant, wanted)) => continue,
            (None, several) if !several.is_empty() => {
                return Err(which(&args.name, &all, &args.instances, several));
            }
            (None, _) => {
                let names = all.keys().map(|name| (*name).to_owned()).collect();
                return Err(crate::error::near::missing("archived instance", wanted, names, "archive list"));
            }
        };
        if chosen.insert(&one.spec.name, one).is_some_and(|other| other.name_any() != one.name_any()) {
            return Err(Problem::usage(format!("two archives of {} cannot come back under one name", one.spec.name))
                .safe("nothing was changed; all data is kept"));
        }
    }
    if !args.instances.is_empty() {
        return Ok(chosen.into_values().collect());
    }
    match all.values().find(|of_name| of_name.len() > 1) {
        Some(several) => Err(which(&args.name, &all, &[], several)),
        None => Ok(all.into_values().flatten().collect()),
    }
}

fn is_back(archive: &Archive, tenant: &Archive, wanted: &str) -> bool {
    let spec = &archive.spec;
    spec.kind == ArchivedKind::CrmInstance
        && spec.tenant_id == tenant.spec.id
        && phase(archive) == ArchivePhase::Adopted
        && (spec.name == wanted || archive.name_any() == wanted)
}

/// The error for several archives with one name, of which only one can come back with the tenant: the person must say
/// which.
fn which(tenant: &str, all: &BTreeMap<&str, Vec<&Archive>>, asked: &[String], several: &[&Archive]) -> Problem {
    let name = several.first().map(|a| label(a)).unwrap_or_default();
    let lines: Vec<String> = several
        .iter()
        .map(|a| {
            format!("{}: archived {}, kept until {}, {}", a.name_any(), day_of(&a.spec.archived_at), until(a), kept(a))
        })
        .collect();
    let wanted = |n: &str| asked.is_empty() || asked.iter().any(|a| a == n);
    let newest = all.iter().filter(|(n, _)| wanted(n)).filter_map(|(_, of_name)| of_name.first());
    let with: Vec<String> = newest.map(|a| format!(" --instance {}", a.name_any())).collect();
    Problem::refused(format!("{} archives keep a {name:?}: which one comes back?", several.len()))
        .safe("nothing was changed; the others stay archives")
        .why(lines.join("\n"))
        .next("with the newest of each name", format!("tenant adopt {tenant}{}", with.concat()))
}

/// The tenant as it was, under its id.
fn from_archive(archive: &Archive, new_name: Option<&str>) -> Result<Tenant, Problem> {
    let mut spec: TenantSpec = serde_json::from_str(&archive.spec.object).map_err(|e| {
        Problem::failed(format!("archive {} does not hold a readable tenant", archive.name_any()))
            .safe("its data is kept")
            .why(e.to_string())
    })?;
    spec.id = Some(archive.spec.id.clone());
    spec.adopt = Some(archive.name_any());
    Ok(Tenant::new(new_name.unwrap_or(&archive.spec.name), spec))
}

async fn create(session: &Session, wanted: &Tenant, dry_run: bool) -> Result<Tenant, Problem> {
    let made = session.cluster.tenants().create(&crate::cluster::post(dry_run), wanted).await;
    made.map_err(|e| api::problem(&format!("adopt tenant {}", wanted.name_any()), &e))
}

fn half(problem: Problem, tenant: &Tenant, instance: &Archive) -> Problem {
    let name = tenant.name_any();
    let why = [Some(problem.what), problem.why].into_iter().flatten().collect::<Vec<_>>().join("\n");
    Problem {
        exit: problem.exit,
        ..Problem::failed(format!("tenant {name} is back, its instance {} is not", instance.spec.name))
            .safe("all data is kept in the archive")
            .why(why)
            .next("finish", format!("instance adopt {}", instance.name_any()))
    }
}

#[cfg(test)]
mod tests {
    use tenantry_api::archive::ArchivePhase;

    use super::*;
    use crate::archive::keep::tests::archive;

    #[test]
    fn a_tenant_comes_back_as_it_was_under_its_id() {
        let mut from =
            archive(ArchivedKind::Tenant, "kabcdefghi", "acme", "2026-01-01T00:00:00Z", ArchivePhase::Archived);
        from.spec.object = r#"{"id":"kabcdefghi","plan":"fibo-2","seats":9,"adopt":"older-1"}"#.into();
        let tenant = from_archive(&from, None).unwrap();
        assert_eq!(tenant.name_any(), "acme");
        assert_eq!(tenant.spec.seats, Some(9));
        assert_eq!(tenant.spec.id.as_deref(), Some("kabcdefghi"));
        assert_eq!(tenant.spec.adopt.as_deref(), Some("kabcdefghi-1"));
        assert_eq!(from_archive(&from, Some("acme-2")).unwrap().name_any(), "acme-2");
        from.spec.object = "{".into();
        assert!(from_archive(&from, None).is_err());
    }
}
