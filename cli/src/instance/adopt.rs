//! `tenantry instance adopt`: brings an archived instance back with all its data. Does I/O.

use jiff::Timestamp;
use kube::ResourceExt;
use tenantry_api::archive::{Archive, ArchivedKind};
use tenantry_api::crm_instance::{CrmInstance, CrmInstanceSpec};
use tenantry_api::tenant::Tenant;

use super::{make, settings, track};
use crate::archive::{chosen, is_kept};
use crate::args::Change;
use crate::error::{Exit, Problem};
use crate::listing;
use crate::progress::Progress;
use crate::session::Session;
use crate::target::address_of;
use crate::wait::Until;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The archived instance, or its archive
    #[arg(value_name = "TENANT/INSTANCE|ARCHIVE", add = crate::completion::archives())]
    pub name: String,
    #[command(flatten)]
    pub change: Change,
}

pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let until = Until::after(args.change.wait.timeout);
    let archives = session.cluster.list(&session.cluster.archives(), "archives", None).await?;
    let archive = chosen(&archives, ArchivedKind::CrmInstance, &args.name, "instance adopt", session.now())?;
    let tenant = living(session, archive, &archives).await?;
    session.leave.goes_on("the instance may be adopted; all data is kept", "look", "instance list");
    let mut adopted = bring_back(session, &tenant, archive, args.change.dry.dry_run).await?;
    let address = address_of(&adopted);
    if args.change.waits() {
        let mut progress = Progress::new(&session.out);
        adopted = track::until_ready(session, &adopted, until, &mut progress).await?;
    }
    let text = match (args.change.dry.dry_run, args.change.wait.wait) {
        (true, _) => format!("{address} would be adopted (dry run)"),
        (_, true) => format!("{address} is back with all its data"),
        _ => format!("{address} is adopted; the operator brings it up with its data now"),
    };
    settings::hidden(session, std::slice::from_mut(&mut adopted)).await?;
    listing::changed(&session.out, &[adopted], &text)
}

/// The living tenant of an archived instance, whatever its name is now.
async fn living(session: &Session, archive: &Archive, archives: &[Archive]) -> Result<Tenant, Problem> {
    let all = session.cluster.list(&session.cluster.tenants(), "tenants", None).await?;
    let name = &archive.spec.tenant_name;
    all.into_iter().find(|t| t.spec.id.as_ref() == Some(&archive.spec.tenant_id)).ok_or_else(|| {
        let problem =
            Problem::refused(format!("tenant {name} of this instance does not exist")).safe("all data is kept");
        // The archive of the tenant's last life, found by id: another tenant's archive may have the same name.
        let of_tenant = |a: &&Archive| a.spec.kind == ArchivedKind::Tenant && a.spec.id == archive.spec.tenant_id;
        match archives.iter().filter(of_tenant).filter(|a| is_kept(a, session.now())).max_by_key(|a| a.spec.life) {
            None => problem.next("which archives are there?", "archive list"),
            Some(tenant) => {
                let tenant = tenant.name_any();
                let this = format!("tenant adopt {tenant} --instance {}", archive.name_any());
                problem
                    .next("bring the tenant back with all its instances", format!("tenant adopt {tenant}"))
                    .next("or with this one only", this)
            }
        }
    })
}

/// Creates the instance from its archive, or uses the instance that an earlier try created.
pub async fn bring_back(
    session: &Session,
    tenant: &Tenant,
    archive: &Archive,
    dry_run: bool,
) -> Result<CrmInstance, Problem> {
    let instance = make::instance(tenant, &archive.spec.name, from_archive(session, archive, tenant)?, &[])?;
    if dry_run {
        return make::rehearsed(session, &instance).await;
    }
    make::stored(session, tenant, instance).await
}

/// The instance's spec as it was, under its id.
fn from_archive(session: &Session, archive: &Archive, tenant: &Tenant) -> Result<CrmInstanceSpec, Problem> {
    let mut spec: CrmInstanceSpec = serde_json::from_str(&archive.spec.object).map_err(|e| {
        Problem::failed(format!("archive {} does not hold a readable instance", archive.name_any()))
            .safe("its data is kept")
            .why(e.to_string())
    })?;
    spec.id = Some(archive.spec.id.clone());
    spec.tenant = tenant.name_any();
    spec.adopt = Some(archive.name_any());
    // The data is the instance's own by now. An end that has passed is dropped, because a person who brings an instance
    // back does not want it to end at once.
    spec.from = None;
    spec.expires = spec.expires.filter(|at| at.parse::<Timestamp>().is_ok_and(|at| at > session.now()));
    Ok(spec)
}
