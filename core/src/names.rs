//! Names of everything that is derived from an id; nothing is derived from a name that people may use again. No I/O.

use crate::hash::short_hash;
use crate::id::Id;

/// Label: the id of the tenant that an object belongs to.
pub const LABEL_TENANT_ID: &str = "tenantry.dev/tenant-id";
/// Label: the name of the tenant, for people.
pub const LABEL_TENANT: &str = "tenantry.dev/tenant";
/// Label: the id of the instance that an object belongs to.
pub const LABEL_INSTANCE_ID: &str = "tenantry.dev/instance-id";
/// Label: the name of the instance, for people.
pub const LABEL_INSTANCE: &str = "tenantry.dev/instance";
/// Label: the process of the blueprint that a pod runs (`page` for the page that answers while an instance is
/// suspended).
pub const LABEL_PROCESS: &str = "tenantry.dev/process";
/// Label: what a pod is for the Service of its instance: `app`, `page` or nothing.
pub const LABEL_SERVES: &str = "tenantry.dev/serves";
/// Label: the database server that an object belongs to.
pub const LABEL_DATABASE_SERVER: &str = "tenantry.dev/database-server";
/// Label: what a job or secret is for (`install`, `personalise`, `database`, `admin`, `config`, ...).
pub const LABEL_PURPOSE: &str = "tenantry.dev/purpose";
/// Label: the environment of the instance that an object belongs to. Only pods of `production` may connect to the world
/// outside.
pub const LABEL_ENVIRONMENT: &str = "tenantry.dev/environment";
/// Label: the volumes that a pod mounts together with other pods, which therefore run on its node.
pub const LABEL_VOLUMES: &str = "tenantry.dev/volumes";
/// Label: the generation of the data (database, volumes, secrets) that an object belongs to.
pub const LABEL_DATA_GENERATION: &str = "tenantry.dev/data-generation";
/// Label: the pinned release that a job works with, as a short hash of the release's hash.
pub const LABEL_RELEASE: &str = "tenantry.dev/release-hash";
/// The standard label on all objects that the operator makes, and the selector of its watches.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`LABEL_MANAGED_BY`].
pub const MANAGED_BY: &str = "tenantry";
/// Annotation on Tenant and CrmInstance: the state that is recorded as billed (see [`crate::ledger`]).
pub const ANNOTATION_LEDGER: &str = "tenantry.dev/ledger";
/// Annotation on CrmInstance: hash of the pinned release.
pub const ANNOTATION_RELEASE: &str = "tenantry.dev/release";
/// Annotation on CrmInstance: when its creator minted its id, RFC 3339. Only an id that is as old as the object itself
/// is known to have no data anywhere.
pub const ANNOTATION_MINTED: &str = "tenantry.dev/id-minted-at";
/// Annotation on CrmInstance: `SERVER/DATABASE` of data that existed before this object.
pub const ANNOTATION_TAKEN_OVER: &str = "tenantry.dev/data-taken-over";
/// Annotation on CrmInstance: when a person requested a new check of its integrations (see [`crate::request`]).
pub const ANNOTATION_CHECK: &str = "tenantry.dev/check-integrations";
/// Annotation on CrmInstance: the generation of its data, if the instance took over an archive or data that existed
/// before it.
pub const ANNOTATION_DATA_GENERATION: &str = "tenantry.dev/data-generation";
/// Annotation on CrmInstance: fingerprints of the settings with which the instance was made and which nothing reads
/// since.
pub const ANNOTATION_MADE_WITH: &str = "tenantry.dev/made-with";
/// Annotation on a Tenant or CrmInstance that was made only to archive data to which nothing refers any more: the id of
/// that data. The object is not brought up; deleting it archives everything that exists under the id.
pub const ANNOTATION_ORPHAN: &str = "tenantry.dev/orphan";
/// Finalizer of Tenant and CrmInstance: no object is gone before it is archived.
pub const FINALIZER: &str = "tenantry.dev/archive";
/// Finalizer of Archive. Nothing removes it automatically, so an Archive outlives the deletion of its definition.
pub const FINALIZER_RECORD: &str = "tenantry.dev/record";
/// Annotation in which a person repeats the name of an object before deleting it, if policies protect the object.
pub const ANNOTATION_CONFIRM_DELETION: &str = "tenantry.dev/confirm-deletion";
/// Namespace of the operator and of its events, host claims, template jobs and managed database servers.
pub const SYSTEM_NAMESPACE: &str = "tenantry-system";
/// Annotation of an instance that is deleted although its database is lost. A person repeats the name of the database
/// in it.
pub const ANNOTATION_CONFIRM_LOSS: &str = "tenantry.dev/confirm-loss";
/// Annotation of an Archive whose purge a person requested: the uid of the Archive for which it was requested. An
/// Archive that was restored from a backup has another uid.
pub const ANNOTATION_PURGE_ASKED: &str = "tenantry.dev/purge-asked-of";
/// Header of every answer of the page that answers while an instance is suspended: the kind of the page. The page's own
/// health check has it too, since a product may use the same path for its health.
pub const HEADER_PAGE: &str = "x-tenantry-page";
/// Value of [`HEADER_PAGE`] while an instance is suspended.
pub const PAGE_SUSPENDED: &str = "suspended";
/// Annotation of a DatabaseServer that starts again with an empty volume although there was data on the old one: the
/// server's own name.
pub const ANNOTATION_CONFIRM_EMPTY: &str = "tenantry.dev/confirm-empty";

/// Name of the only Site object of a cluster.
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

/// Value of [`LABEL_VOLUMES`]: the first of the volumes and the generation of the data.
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

/// Name of the Secret into which the command line writes secret settings.
#[must_use]
pub fn settings_secret(instance: &Id) -> String {
    format!("{instance}-settings")
}

/// Name of the Secret with the rendered files and environment. Its content is part of the name, so a change creates a
/// new Secret and nothing is overwritten under a running process.
#[must_use]
pub fn config_secret(instance: &Id, generation: u32, content: &[u8]) -> String {
    format!("{instance}-config-g{generation}-{}", short_hash(content))
}

/// Prefix of the names of all databases that belong to instances.
pub const DATABASE_PREFIX: &str = "crm_";

/// Name of an instance's database, and of the role that owns it.
#[must_use]
pub fn database(instance: &Id, generation: u32) -> String {
    format!("{DATABASE_PREFIX}{instance}_g{generation}")
}

/// Prefix of the names of all template databases.
pub const TEMPLATE_PREFIX: &str = "tpl_";

/// Name of the template database of a release on a server. `release_hash` is the pinned hash of the release.
#[must_use]
pub fn template_database(blueprint: &str, release_hash: &str) -> String {
    format!("{TEMPLATE_PREFIX}{}", short_hash(format!("{blueprint}/{release_hash}").as_bytes()))
}

/// Name of the job, Secret and Service that build a template on a server.
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

/// Prefix of the names of all jobs of a copy.
#[must_use]
pub fn copy_jobs(instance: &Id) -> String {
    format!("{instance}-copy-")
}

/// Name of the ConfigMap that claims an id.
#[must_use]
pub fn id_claim(id: &Id) -> String {
    format!("id.{id}")
}

/// Name of the object that claims a host. One host has one object, whose creation is atomic.
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

/// Owner of an instance's database in a server's registry.
#[must_use]
pub fn owner_of_instance(instance: &Id) -> String {
    format!("instance/{instance}")
}

/// The id of the instance that an owner in a server's registry stands for.
#[must_use]
pub fn instance_of_owner(owner: &str) -> Option<Id> {
    owner.strip_prefix("instance/").and_then(|id| Id::parse(id).ok())
}

/// Owner of a template database in a server's registry.
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
