//! What an archive names, compared with what is there before an instance takes it over. Does I/O (Kubernetes, SQL).

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use tenantry_api::archive::{Archive, KeptDatabase};
use tenantry_api::condition::ConditionType;
use tenantry_core::class::ErrorClass;
use tenantry_core::id::Id;
use tenantry_core::names::{self, LABEL_INSTANCE_ID};

use super::database::Found;
use super::{database, volumes};
use crate::context::Ctx;
use crate::error::Error;
use crate::halt::{Halt, OrHalt};
use crate::life::{adopt, refuse};

/// Makes sure that everything that an archive names still exists. Nothing was taken over before this check. What is
/// missing can be restored, and the archive stays open until then.
///
/// # Errors
/// [`Halt`] that names what is gone and how to restore it.
pub async fn all_there(ctx: &Ctx, archive: &Archive) -> Result<(), Halt> {
    let spec = &archive.spec;
    let id = Id::parse(&spec.id).map_err(|e| refuse(e.to_string()))?;
    volumes::kept(ctx, &spec.namespace, id.as_str(), &spec.volumes).await?;
    secrets(ctx, archive, &id).await?;
    let settings = ctx.settings().await.halt(database::CONDITION)?;
    let installed = adopt::ledger_of(archive)?.facts.installed.is_some();
    for kept in &spec.databases {
        let looked = database::look(ctx, &id, kept, &settings).await.halt(database::CONDITION)?;
        match looked.found {
            Found::There => {}
            // The instance was archived before its database was made: the database is made now.
            Found::Unmade | Found::Unknown if !installed => {}
            Found::Unmade | Found::Unknown | Found::Lost => {
                let remedy = restored_by(archive, kept);
                return Err(database::missing(&kept.name, &kept.server, database::GONE, &remedy));
            }
        }
    }
    Ok(())
}

fn restored_by(archive: &Archive, kept: &KeptDatabase) -> String {
    format!(
        "archive {} names it. Nothing was taken over; restore database {} on that server from the server's own backup, and the adoption goes on by itself",
        archive.name_any(),
        kept.name
    )
}

/// Makes sure that the archive's Secrets exist. The Secret with the database access is left out, because it is made
/// again from the server's own record.
async fn secrets(ctx: &Ctx, archive: &Archive, id: &Id) -> Result<(), Halt> {
    let spec = &archive.spec;
    let remade = spec.data_generation.map(|g| names::database_secret(id, g));
    let needed: Vec<&String> = spec.secrets.iter().filter(|name| Some(*name) != remade.as_ref()).collect();
    if needed.is_empty() {
        return Ok(());
    }
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &spec.namespace);
    let mine = ListParams::default().labels(&format!("{LABEL_INSTANCE_ID}={id}"));
    let list = api.list_metadata(&mine).await;
    let list = list.map_err(Error::kube("list the archive's Secrets")).halt(ConditionType::SpecValid)?;
    let there: Vec<String> = list.items.iter().map(ResourceExt::name_any).collect();
    let mut gone = Vec::new();
    for name in needed.into_iter().filter(|name| !there.contains(name)) {
        // A person who restored the Secret may have left our labels out.
        let found = api.get_metadata_opt(name).await;
        if found.map_err(Error::kube(format!("get Secret {name}"))).halt(ConditionType::SpecValid)?.is_none() {
            gone.push(name.as_str());
        }
    }
    if gone.is_empty() {
        return Ok(());
    }
    let text = format!(
        "Secrets of namespace {} that archive {} names are gone: {}. Without them the application could not read its own data; nothing was taken over. Restore them from a backup of the cluster's objects; they are not made anew",
        spec.namespace,
        archive.name_any(),
        gone.join(", ")
    );
    Err(Halt::fail(ConditionType::SpecValid, "KeysMissing", text, ErrorClass::Blocked))
}
