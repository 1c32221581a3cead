//! `tenantry tenant purge`: destroys what the archives of a tenant and its instances keep. Does I/O.

use jiff::Timestamp;
use tenantry_api::archive::{Archive, ArchivedKind};

use crate::archive::purge::{self, Doomed};
use crate::archive::{chosen, of_tenant};
use crate::args::Destroy;
use crate::error::{Exit, Problem, api};
use crate::session::Session;

/// No selector and no --all, because this destroys data.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the archived tenant, or of its archive
    #[arg(value_name = "NAME", required = true, add = crate::completion::archives())]
    pub names: Vec<String>,
    #[command(flatten)]
    pub destroy: Destroy,
}

pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let archives = session.cluster.list_whole(&session.cluster.archives(), "archives").await?;
    let mut doomed = Vec::new();
    for name in &args.names {
        not_living(session, name).await?;
        let named = chosen(&archives, ArchivedKind::Tenant, name, "tenant purge", session.now())?;
        doomed.push(with_instances(&archives, named, session.now()));
    }
    purge::confirmed(session, &archives, &doomed, "tenant purge", &args.destroy).await
}

/// A tenant's archive with all kept archives of its instances.
fn with_instances<'a>(archives: &'a [Archive], named: &'a Archive, now: Timestamp) -> Doomed<'a> {
    Doomed { named, with: of_tenant(archives, &named.spec.tenant_id, now).into_values().flatten().collect() }
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
    use crate::archive::keep::tests::{archive, now};

    #[test]
    fn a_purge_takes_all_kept_instances_along_and_leaves_adopted_ones_alone() {
        let at = "2026-01-01T00:00:00Z";
        let all = [
            archive(ArchivedKind::Tenant, "kabcdefghi", "acme", at, ArchivePhase::Archived),
            archive(ArchivedKind::CrmInstance, "kaaaaaaaaa", "crm", at, ArchivePhase::Archived),
            archive(ArchivedKind::CrmInstance, "kbbbbbbbbb", "test", at, ArchivePhase::Adopted),
            archive(ArchivedKind::CrmInstance, "kccccccccc", "crm", "2025-01-01T00:00:00Z", ArchivePhase::Archived),
        ];
        let found = with_instances(&all, &all[0], now());
        assert_eq!(found.named.name_any(), "kabcdefghi-1");
        let with: Vec<String> = found.with.into_iter().map(ResourceExt::name_any).collect();
        assert_eq!(with, ["kaaaaaaaaa-1", "kccccccccc-1"]);
    }
}
