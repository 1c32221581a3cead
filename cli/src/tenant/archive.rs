//! `tenantry tenant archive`: removes tenants and keeps their data. Does I/O.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, ResourceExt};
use tenantry_api::archive::Archive;
use tenantry_api::tenant::Tenant;

use crate::archive::ending;
use crate::archive::living::Living;
use crate::archive::view::commands;
use crate::error::{Exit, Problem};
use crate::listing;
use crate::output::paint::Paint;
use crate::session::Session;
use crate::target;

pub use crate::archive::ending::Args;

impl Living for Tenant {
    const WORD: &'static str = "tenant";

    fn api(&self, session: &Session) -> Api<Self> {
        session.cluster.tenants()
    }

    fn state(&self) -> (String, &[Condition]) {
        self.status.as_ref().map_or_else(Default::default, |s| (format!("{:?}", s.phase), s.conditions.as_slice()))
    }
}

pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let tenants = target::tenants(session, &args.targets, false).await?;
    if let Some(exit) = ending::begin(session, &tenants, &args.sure).await? {
        return Ok(exit);
    }
    ending::gone(session, &tenants, &args.sure).await?;
    let all = session.cluster.list(&session.cluster.archives(), "archives", None).await?;
    let archives: Vec<Archive> = tenants.iter().flat_map(|t| written(&all, t, session.now())).collect();
    let names: Vec<String> = tenants.iter().map(ResourceExt::name_any).collect();
    listing::changed(&session.out, &archives, &text(&names, &archives))
}

/// The archives that a tenant left, its own first.
pub fn written(all: &[Archive], tenant: &Tenant, now: Timestamp) -> Vec<Archive> {
    let id = tenant.spec.id.clone().unwrap_or_default();
    let ours = all.iter().filter(|a| a.spec.tenant_id == id && crate::archive::is_kept(a, now));
    let mut ours: Vec<Archive> = ours.cloned().collect();
    ours.sort_by_key(|a| (a.spec.id != id, a.spec.name.clone(), std::cmp::Reverse(a.spec.life)));
    ours
}

/// What is kept, until when, and how to go on.
fn text(names: &[String], archives: &[Archive]) -> String {
    let mut page = ending::page(names, archives, "the tenant had no data yet");
    for archive in archives.iter().filter(|a| names.contains(&a.spec.name) && a.spec.id == a.spec.tenant_id) {
        for (key, line) in commands(archive) {
            page.fact(&format!("  {key}"), line);
        }
    }
    page.render(&Paint::default(), None)
}

#[cfg(test)]
mod tests {
    use tenantry_api::archive::{ArchivePhase, ArchivedKind};

    use super::*;
    use crate::archive::keep::tests::archive;

    #[test]
    fn archiving_says_what_is_kept_until_when_and_how_to_go_on() {
        let at = "2026-01-01T00:00:00Z";
        let all = [
            archive(ArchivedKind::Tenant, "kabcdefghi", "acme", at, ArchivePhase::Archived),
            archive(ArchivedKind::CrmInstance, "kaaaaaaaaa", "crm", at, ArchivePhase::Archived),
        ];
        insta::assert_snapshot!(text(&["acme".into()], &all));
    }
}
