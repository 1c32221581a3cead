//! What the operator would make of a wanted database server. Does I/O (reads).

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{Api, ResourceExt};
use tenantry_api::database_server::DatabaseServer;
use tenantry_plan::server::{Seen, children, claim_name, object_name, volume_bytes};
use tenantry_plan::{Claim, Kind, Settings};

use super::planned::{Planned, objects};
use super::volumes::look;
use crate::error::{Problem, api};
use crate::session::Session;

/// Children of a database server.
pub async fn planned(session: &Session, server: &DatabaseServer, settings: &Settings) -> Result<Planned, Problem> {
    let seen = seen(session, server, settings).await?;
    Ok(Planned { children: children(server, settings, &seen), prunes: Vec::new() })
}

async fn seen(session: &Session, server: &DatabaseServer, settings: &Settings) -> Result<Seen, Problem> {
    let Some(managed) = &server.spec.managed else { return Ok(Seen::default()) };
    let (client, name) = (&session.cluster.client, server.name_any());
    let namespace = settings.system_namespace.as_str();
    let sets = objects(session, Kind::StatefulSet, Some(namespace));
    let set = sets.get_opt(&object_name(&name)).await.map_err(|e| api::problem("read the StatefulSet", &e))?;
    let claim_templates = set.and_then(|s| s.data.pointer("/spec/volumeClaimTemplates").cloned());
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let claim = claims.get_opt(&claim_name(&name)).await.map_err(|e| api::problem("read the volume claim", &e))?;
    let mut claim = claim.map(|claim| Claim::of(&claim));
    if let Some(claim) = &mut claim {
        look(session, claim, volume_bytes(managed)).await;
    }
    Ok(Seen { claim_templates, claim, lost: None })
}
