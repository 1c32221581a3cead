//! `tenantry tenant purge`: destroys what the archives of a tenant and its instances keep. Does I/O.

use tenantry_api::archive::{Archive, ArchivedKind};

use crate::archive::{chosen, is_kept, purge};
use crate::args::Sure;
use crate::error::{Exit, Problem, api};
use crate::session::Session;

/// Arguments. No selector and no --all: this destroys.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the archived tenant, or of its archive
    #[arg(value_name = "NAME", required = true, add = crate::completion::archives())]
    pub names: Vec<String>,
    /// Whether that is meant.
    #[command(flatten)]
    pub sure: Sure,
}

/// Runs it.
pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let archives = session.cluster.list_whole(&session.cluster.archives(), "archives").await?;
    let mut doomed: Vec<&Archive> = Vec::new();
    for name in &args.names {
        not_living(session, name).await?;
        let tenant = chosen(&archives, ArchivedKind::Tenant, name, |a| &a.spec.name == name)?;
        doomed.extend(all_of(&archives, tenant));
    }
    let tenants = doomed.iter().filter(|a| a.spec.kind == ArchivedKind::Tenant);
    let names: Vec<String> = tenants.map(|a| a.spec.name.clone()).collect();
    purge::confirmed(session, &doomed, &names, &args.sure).await
}

/// All kept archives of a tenant: every instance first, the tenant's own last.
fn all_of<'a>(archives: &'a [Archive], tenant: &'a Archive) -> Vec<&'a Archive> {
    let mut all: Vec<&Archive> = archives
        .iter()
        .filter(|a| a.spec.kind == ArchivedKind::CrmInstance && a.spec.tenant_id == tenant.spec.tenant_id && is_kept(a))
        .collect();
    all.push(tenant);
    all
}

async fn not_living(session: &Session, name: &str) -> Result<(), Problem> {
    let living = session.cluster.tenants().get_opt(name).await.map_err(|e| api::problem("look for the tenant", &e))?;
    match living {
        None => Ok(()),
        Some(_) => Err(purge::lives("tenant", name)),
    }
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt;
    use tenantry_api::archive::ArchivePhase;

    use super::*;
    use crate::archive::keep::tests::archive;

    #[test]
    fn a_purge_takes_the_instances_first_and_leaves_adopted_ones_alone() {
        let at = "2026-01-01T00:00:00Z";
        let all = [
            archive(ArchivedKind::Tenant, "kabcdefghi", "acme", at, ArchivePhase::Archived),
            archive(ArchivedKind::CrmInstance, "kaaaaaaaaa", "crm", at, ArchivePhase::Archived),
            archive(ArchivedKind::CrmInstance, "kbbbbbbbbb", "test", at, ArchivePhase::Adopted),
        ];
        let found: Vec<String> = all_of(&all, &all[0]).into_iter().map(ResourceExt::name_any).collect();
        assert_eq!(found, ["kaaaaaaaaa-1", "kabcdefghi-1"]);
    }
}
