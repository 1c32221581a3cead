//! Names of everything that is derived from an id. Nothing here comes from a name that may be used again. No I/O.

use crate::hash::short_hash;
use crate::id::Id;

/// Label: the id of the tenant an object belongs to.
pub const LABEL_TENANT_ID: &str = "tenantry.dev/tenant-id";
/// Label: the name of the tenant, for people.
pub const LABEL_TENANT: &str = "tenantry.dev/tenant";
/// Label: the id of the instance an object belongs to.
pub const LABEL_INSTANCE_ID: &str = "tenantry.dev/instance-id";
/// Label: the name of the instance, for people.
pub const LABEL_INSTANCE: &str = "tenantry.dev/instance";
/// Label: the process of the blueprint that a pod runs (`page` for the page behind which it is suspended).
pub const LABEL_PROCESS: &str = "tenantry.dev/process";
/// Label: what a pod serves to the Service of its instance: `app`, `page` or nothing.
pub const LABEL_SERVES: &str = "tenantry.dev/serves";
/// Label: the database server an object belongs to.
pub const LABEL_DATABASE_SERVER: &str = "tenantry.dev/database-server";
/// Label: what a job or secret is for (`install`, `personalise`, `database`, `admin`, `config`, ...).
pub const LABEL_PURPOSE: &str = "tenantry.dev/purpose";
/// Label: what the instance of an object is for. Only pods of `production` may talk to the world outside.
pub const LABEL_ENVIRONMENT: &str = "tenantry.dev/environment";
/// Label: the volumes that a pod mounts together with others, which run on its node.
pub const LABEL_VOLUMES: &str = "tenantry.dev/volumes";
/// Label: the generation of the data (database, volumes, secrets) that an object belongs to.
pub const LABEL_DATA_GENERATION: &str = "tenantry.dev/data-generation";
/// Label: the pinned release that a job works with, as a short hash of its hash.
pub const LABEL_RELEASE: &str = "tenantry.dev/release-hash";
/// The standard label that marks all that the operator makes, and the selector of its watches.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`LABEL_MANAGED_BY`].
pub const MANAGED_BY: &str = "tenantry";
/// Annotation on Tenant and CrmInstance: the state of affairs that is recorded as billed (see [`crate::ledger`]).
pub const ANNOTATION_LEDGER: &str = "tenantry.dev/ledger";
/// Annotation on CrmInstance: hash of the pinned release.
pub const ANNOTATION_RELEASE: &str = "tenantry.dev/release";
/// Annotation on CrmInstance: when its id was minted by whoever created it, RFC 3339. Only an id that is as old as the
/// object itself is known to have no data anywhere.
pub const ANNOTATION_MINTED: &str = "tenantry.dev/id-minted-at";
/// Annotation on CrmInstance: `SERVER/DATABASE` of data that was there before this object.
pub const ANNOTATION_TAKEN_OVER: &str = "tenantry.dev/data-taken-over";
/// Annotation on CrmInstance: when somebody asked for its integrations to be checked anew (see [`crate::request`]).
pub const ANNOTATION_CHECK: &str = "tenantry.dev/check-integrations";
/// Annotation on CrmInstance: the generation of its data, when it took over an archive or data that was there before it.
pub const ANNOTATION_DATA_GENERATION: &str = "tenantry.dev/data-generation";
/// Annotation on CrmInstance: prints of the settings that it was made with and that nothing reads since.
pub const ANNOTATION_MADE_WITH: &str = "tenantry.dev/made-with";
/// Annotation on a Tenant or CrmInstance that was made only to archive what nothing refers to any more: its id.
/// It is not brought up; deleting it archives what there is of that id.
pub const ANNOTATION_ORPHAN: &str = "tenantry.dev/orphan";
/// Finalizer of Tenant and CrmInstance: nothing is gone before it is archived.
pub const FINALIZER: &str = "tenantry.dev/archive";
/// Finalizer of Archive, which nobody takes away by itself: with it an Archive outlives the deletion of its definition.
pub const FINALIZER_RECORD: &str = "tenantry.dev/record";
/// Annotation in which a person writes the name of an object once more, before deleting what policies protect.
pub const ANNOTATION_CONFIRM_DELETION: &str = "tenantry.dev/confirm-deletion";
/// Namespace of the operator, its events, host claims, template jobs and managed database servers.
pub const SYSTEM_NAMESPACE: &str = "tenantry-system";
/// Annotation of an instance that is deleted although its database is lost: the name of the database, written once more.
pub const ANNOTATION_CONFIRM_LOSS: &str = "tenantry.dev/confirm-loss";
/// Annotation of an Archive whose purge a person asked for: the uid of the object that was asked. One that was put back
/// from a backup has another.
pub const ANNOTATION_PURGE_ASKED: &str = "tenantry.dev/purge-asked-of";
/// Header of every answer of the page behind which an instance is suspended, its own health among them, since a product
/// may have the same path for it: the kind of the page.
pub const HEADER_PAGE: &str = "x-tenantry-page";
/// Its value while an instance is suspended.
pub const PAGE_SUSPENDED: &str = "suspended";
/// Annotation of a DatabaseServer that begins anew with an empty volume although data was on it: its own name.
pub const ANNOTATION_CONFIRM_EMPTY: &str = "tenantry.dev/confirm-empty";

/// Name of the one Site object of a cluster.
pub const SITE_NAME: &str = "site";

/// Longest name of a process or volume in a blueprint.
pub const PART_NAME_MAX: usize = 20;

/// Namespace of a tenant.
#[must_use]
pub fn namespace(tenant: &Id) -> String {
    format!("tenant-{tenant}")
}

/// Name of the Service and Ingress of an instance.
#[must_use]
pub fn service(instance: &Id) -> String {
    instance.to_string()
}

/// Name of the Deployment of a process and of the Service that leads to it, of a scheduled job, or of the page.
#[must_use]
pub fn process(instance: &Id, process: &str) -> String {
    format!("{instance}-{process}")
}

/// Name of the volume claim of a blueprint's volume, for one generation of the data.
#[must_use]
pub fn volume(instance: &Id, volume: &str, generation: u32) -> String {
    format!("{instance}-{volume}-g{generation}")
}

/// Value of [`LABEL_VOLUMES`]: the first of the volumes, and the generation of the data.
#[must_use]
pub fn volume_group(first: &str, generation: u32) -> String {
    format!("{first}-g{generation}")
}

/// Name of the Secret that holds the database's address, name, role and password.
#[must_use]
pub fn database_secret(instance: &Id, generation: u32) -> String {
    format!("{instance}-database-g{generation}")
}

/// Name of the Secret that holds the administrator's first password and the application's own keys.
#[must_use]
pub fn keys_secret(instance: &Id, generation: u32) -> String {
    format!("{instance}-keys-g{generation}")
}

/// Name of the Secret into which the command line writes settings that are secret.
#[must_use]
pub fn settings_secret(instance: &Id) -> String {
    format!("{instance}-settings")
}

/// Name of the Secret with the rendered files and environment. Its content is part of the name:
/// a change makes a new Secret and nothing is overwritten under a running process.
#[must_use]
pub fn config_secret(instance: &Id, generation: u32, content: &[u8]) -> String {
    format!("{instance}-config-g{generation}-{}", short_hash(content))
}

/// How the names of all databases begin that belong to instances.
pub const DATABASE_PREFIX: &str = "crm_";

/// Name of an instance's database, and of the role that owns it.
#[must_use]
pub fn database(instance: &Id, generation: u32) -> String {
    format!("{DATABASE_PREFIX}{instance}_g{generation}")
}

/// How the names of all databases begin that are templates.
pub const TEMPLATE_PREFIX: &str = "tpl_";

/// Name of the template database of a release on a server. `release_hash` is the pinned hash of the release.
#[must_use]
pub fn template_database(blueprint: &str, release_hash: &str) -> String {
    format!("{TEMPLATE_PREFIX}{}", short_hash(format!("{blueprint}/{release_hash}").as_bytes()))
}

/// Name of the job, secret and service objects that build a template on a server.
#[must_use]
pub fn template_job(blueprint: &str, release_hash: &str, server: &str, attempt: u32) -> String {
    let key = short_hash(format!("{blueprint}/{release_hash}/{server}").as_bytes());
    format!("template-{key}-{attempt}")
}

/// Name of a personalise job of an instance.
#[must_use]
pub fn personalise_job(instance: &Id, generation: u32, attempt: u32) -> String {
    format!("{instance}-personalise-g{generation}-{attempt}")
}

/// Name of a job of a copy, and of its Secret: `what` is `database`, `files` or `neutralise`.
#[must_use]
pub fn copy_job(instance: &Id, what: &str, generation: u32, attempt: u32) -> String {
    format!("{}{what}-g{generation}-{attempt}", copy_jobs(instance))
}

/// How the names of all jobs of a copy begin.
#[must_use]
pub fn copy_jobs(instance: &Id) -> String {
    format!("{instance}-copy-")
}

/// Name of the ConfigMap that claims an id.
#[must_use]
pub fn id_claim(id: &Id) -> String {
    format!("id.{id}")
}

/// Name of the object that claims a host: one host, one object, made atomically.
#[must_use]
pub fn host_claim(host: &str) -> String {
    format!("host.{}", host.to_ascii_lowercase())
}

/// Name of the n-th billing event of a tenant or instance.
#[must_use]
pub fn billing_event(id: &Id, sequence: u64) -> String {
    format!("{id}-{sequence:06}")
}

/// Name of the archive of a tenant's or instance's `life`-th life (the first is 1).
#[must_use]
pub fn archive(id: &Id, life: u32) -> String {
    format!("{id}-{life}")
}

/// Name of the ConfigMap that keeps a pinned release.
#[must_use]
pub fn pinned_release(hash: &str) -> String {
    format!("release-{hash}")
}

/// Owner written into a server's registry for the database of an instance.
#[must_use]
pub fn owner_of_instance(instance: &Id) -> String {
    format!("instance/{instance}")
}

/// The id of the instance that an owner in a server's registry is.
#[must_use]
pub fn instance_of_owner(owner: &str) -> Option<Id> {
    owner.strip_prefix("instance/").and_then(|id| Id::parse(id).ok())
}

/// Owner written into a server's registry for a template database.
#[must_use]
pub fn owner_of_template(blueprint: &str, release_hash: &str) -> String {
    format!("template/{blueprint}/{release_hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_parts_still_fit_into_dns_labels_and_database_names() {
        let id = Id::mint([7; 10]);
        let part = "p".repeat(PART_NAME_MAX);
        for name in [
            namespace(&id),
            process(&id, &part),
            volume(&id, &part, u32::MAX),
            database_secret(&id, u32::MAX),
            config_secret(&id, u32::MAX, b"x"),
            personalise_job(&id, u32::MAX, u32::MAX),
            copy_job(&id, "neutralise", u32::MAX, u32::MAX),
            template_job(&"b".repeat(63), "h", &"s".repeat(63), u32::MAX),
        ] {
            assert!(name.len() <= 63, "{name}");
        }
        assert!(database(&id, u32::MAX).len() <= 32);
        assert!(billing_event(&id, u64::MAX).len() <= 63);
    }
}
