//! `tenantry tenant adopt`: brings an archived tenant back with its instances and all data. Does I/O.

use kube::ResourceExt;
use serde_json::json;
use tenantry_api::archive::{Archive, ArchivedKind};
use tenantry_api::tenant::{Tenant, TenantSpec};

use super::follow;
use crate::archive::{chosen, of_tenant};
use crate::args::{DryRun, WaitArgs};
use crate::error::{Exit, Problem, api};
use crate::instance::{adopt as instance_adopt, settings, track};
use crate::output::Format;
use crate::progress::Progress;
use crate::session::Session;
use crate::target::address_of;
use crate::wait::Until;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the archived tenant, or of its archive
    #[arg(value_name = "NAME|ARCHIVE", add = crate::completion::archives())]
    pub name: String,
    /// Name of the tenant from now on; its old one when not given
    #[arg(long = "as", value_name = "NAME")]
    pub new_name: Option<String>,
    /// Only these instances; all when not given. Can be repeated
    #[arg(long = "instance", value_name = "NAME")]
    pub instances: Vec<String>,
    /// Waiting.
    #[command(flatten)]
    pub wait: WaitArgs,
    /// Dry run.
    #[command(flatten)]
    pub dry: DryRun,
}

/// Runs it.
pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let until = Until::after(args.wait.timeout);
    let archives = session.cluster.list(&session.cluster.archives(), "archives", None).await?;
    let (archive, resumed) = source(args, session, &archives).await?;
    let instances = selected(args, &archives, archive)?;
    session.leave.set(
        Problem::left("left; the tenant may be adopted by half")
            .safe("all data is kept; run the same command again and it goes on")
            .next("look", "tenant list"),
    );
    let wanted = from_archive(archive, args.new_name.as_deref())?;
    let tenant = match resumed {
        Some(tenant) => tenant,
        None => create(session, &wanted, args.dry.dry_run).await?,
    };
    let mut progress = Progress::new(&session.out);
    if !args.dry.dry_run {
        follow::namespace(session, &tenant, until, &mut progress).await?;
    }
    let mut adopted = Vec::with_capacity(instances.len());
    for instance in instances {
        let result = instance_adopt::bring_back(session, &tenant, instance, args.dry.dry_run).await;
        adopted.push(result.map_err(|p| half(p, &tenant, instance))?);
    }
    if args.wait.wait && !args.dry.dry_run {
        for instance in &mut adopted {
            *instance = track::until_ready(session, instance, until, &mut progress).await?;
        }
    }
    progress.end();
    settings::hidden(session, &mut adopted).await?;
    let names: Vec<String> = adopted.iter().map(address_of).collect();
    let word = match (args.dry.dry_run, args.wait.wait) {
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

/// The archive that is meant, and the tenant when an earlier try made it already.
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
    let archive = chosen(archives, ArchivedKind::Tenant, &args.name, |a| a.spec.name == args.name)?;
    Ok((archive, None))
}

/// The instances that come along.
fn selected<'a>(args: &Args, archives: &'a [Archive], tenant: &Archive) -> Result<Vec<&'a Archive>, Problem> {
    let all = of_tenant(archives, &tenant.spec.id);
    for wanted in &args.instances {
        if !all.iter().any(|a| &a.spec.name == wanted) {
            let names = all.iter().map(|a| a.spec.name.clone()).collect();
            return Err(crate::error::near::missing("archived instance", wanted, names, "archive list"));
        }
    }
    Ok(all.into_iter().filter(|a| args.instances.is_empty() || args.instances.contains(&a.spec.name)).collect())
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
