//! Template databases: built once for each release on each server, by a job or by SQL. Does I/O.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde_json::Value;
use tenantry_api::blueprint::Effective;
use tenantry_api::condition::ConditionType;
use tenantry_api::database_server::DatabaseServer;
use tenantry_core::hash::short_hash;
use tenantry_core::names;
use tenantry_database::{NewDatabase, Source, State};
use tenantry_plan::config::Config;
use tenantry_plan::context::{self, DatabaseAccess, Keys};
use tenantry_plan::job::{self, Place};
use tenantry_plan::labels::Labels;
use tenantry_plan::{Kind, Settings, server as plan_server};

use crate::context::Ctx;
use crate::error::Error;
use crate::halt::{Halt, OrHalt};
use crate::operation::attempt::{self, Next};
use crate::operation::{Followed, Work, follow, secret};
use crate::sql::Server;

pub(super) const CONDITION: ConditionType = ConditionType::Installed;
/// Label of all objects of one template's build.
const LABEL_TEMPLATE: &str = "tenantry.dev/template";

/// Makes sure that the template exists and returns its name.
///
/// # Errors
/// [`Halt`] at `Installed` while it is being built, or when the build failed.
#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "template", skip_all)]
pub async fn ensure(
    ctx: &Ctx,
    object: &DatabaseServer,
    server: &Server,
    release: &Effective,
    settings: &Settings,
    now: Timestamp,
) -> Result<String, Halt> {
    let name = names::template_database(&release.blueprint, &release.hash);
    let server_name = object.name_any();
    let owner = names::owner_of_template(&release.blueprint, &release.hash);
    let key = short_hash(format!("{}/{}/{server_name}", release.blueprint, release.hash).as_bytes());
    let build = Build { ctx, object, server, release, settings, name: &name, owner: &owner, key: &key, now };
    if matches!(build.record().await?, Some((State::Template, _))) {
        return Ok(name);
    }
    let by_sql = release.spec.install.as_ref().filter(|list| job::is_sql(list));
    let lock = ctx.servers.lock_template(&server_name, &name).await;
    let _one_at_a_time = match by_sql {
        Some(_) => {
            build.rest().await?;
            // The lock is held as long as the steps take: a pass that waited for it would keep a place from other
            // tenants.
            lock.try_lock().map_err(|_| build.under_way())?
        }
        None => lock.lock().await,
    };
    let record = build.record().await?;
    if matches!(record, Some((State::Template, _))) {
        return Ok(name);
    }
    if let Some(list) = by_sql {
        build.by_sql(list, record).await?;
        return Ok(name);
    }
    let newest = build.newest().await?;
    // The job of the attempt that made the database may be gone already.
    let made_by = record.map_or(0, |(_, attempt)| attempt);
    match attempt::next(record, newest.as_ref()) {
        Next::Follow(attempt, job) => build.follow(attempt, job).await?,
        Next::Start(attempt) => {
            build.forget(made_by).await?;
            return build.start(attempt).await;
        }
        Next::Anew(attempt) => {
            build.forget(made_by).await?;
            server.admin.drop_database(&name, &owner).await.halt(CONDITION)?;
            return build.start(attempt).await;
        }
    }
    Ok(name)
}

/// The build of one template on one server.
pub(super) struct Build<'a> {
    pub(super) ctx: &'a Ctx,
    pub(super) object: &'a DatabaseServer,
    pub(super) server: &'a Server,
    pub(super) release: &'a Effective,
    settings: &'a Settings,
    pub(super) name: &'a str,
    pub(super) owner: &'a str,
    pub(super) key: &'a str,
    now: Timestamp,
}

impl Build<'_> {
    pub(super) fn job_name(&self, attempt: u32) -> String {
        names::template_job(&self.release.blueprint, &self.release.hash, &self.object.name_any(), attempt)
    }

    /// What the server's registry says of the template: state and attempt.
    async fn record(&self) -> Result<Option<(State, u32)>, Halt> {
        let record = self.server.admin.record(self.name).await.halt(CONDITION)?;
        Ok(record.map(|r| (r.state, r.generation)))
    }

    async fn newest(&self) -> Result<Option<(u32, Job)>, Halt> {
        let api: Api<Job> = Api::namespaced(self.ctx.client.clone(), &self.ctx.system_namespace);
        let params = ListParams::default().labels(&format!("{LABEL_TEMPLATE}={}", self.key));
        let list = api.list(&params).await.map_err(Error::kube("list template jobs")).halt(CONDITION)?;
        Ok(attempt::newest(list.items))
    }

    /// The empty database of an attempt, and the values for the steps that fill it.
    pub(super) fn planned(&self, attempt: u32) -> Result<(NewDatabase, Value), Halt> {
        let ctx = self.ctx;
        let spec = &self.release.spec;
        let (host, port) = plan_server::address(self.object, self.settings);
        let access = DatabaseAccess {
            engine: self.object.spec.engine,
            host,
            port,
            name: self.name.to_owned(),
            user: self.name.to_owned(),
            password: ctx.password(32).halt(CONDITION)?,
        };
        let mut secrets = std::collections::BTreeMap::new();
        for secret in &spec.secrets {
            secrets.insert(secret.name.clone(), ctx.password(usize::from(secret.length)).halt(CONDITION)?);
        }
        // These keys are thrown away after the build: every copy gets its own keys by `personalise`.
        let keys =
            Keys { admin_password: ctx.password(usize::from(spec.admin.password_length)).halt(CONDITION)?, secrets };
        let values = context::template(self.release, self.settings, &access, &keys);
        let new = NewDatabase {
            name: self.name.to_owned(),
            owner: self.owner.to_owned(),
            tenant: String::new(),
            generation: attempt,
            role: access.user,
            password: access.password,
            connection_limit: None,
            source: Source::Empty,
            release_hash: self.release.hash.clone(),
            extensions: spec.database.as_ref().map(|d| d.extensions.clone()).unwrap_or_default(),
            charset: spec.database.as_ref().and_then(|d| d.charset.clone()),
        };
        Ok((new, values))
    }

    /// Makes an empty database and the job that fills it.
    async fn start(&self, attempt: u32) -> Result<String, Halt> {
        let ctx = self.ctx;
        let spec = &self.release.spec;
        let list = spec.install.as_ref().ok_or_else(|| Error::Bug("nothing to install".into())).halt(CONDITION)?;
        let (new, values) = self.planned(attempt)?;
        let blueprint = &self.release.blueprint;
        let config = Config::render(blueprint, spec, &values, false).halt(CONDITION)?;
        let file = job::file(blueprint, "install", list, &values).halt(CONDITION)?;
        let job_name = self.job_name(attempt);
        let labels = Labels::managed().and(LABEL_TEMPLATE, self.key).and(names::LABEL_PURPOSE, "install");
        // The label of the server is left out: it protects data, and would keep everybody from deleting this job's
        // Secret.
        let image = self.release.release().map(|r| self.settings.image(&r.image)).unwrap_or_default();
        let place = Place {
            namespace: &ctx.system_namespace,
            name: &job_name,
            labels,
            spec,
            image,
            config: &config,
            // The job belongs to no tenant whose nodes it could ask for.
            scheduling: None,
            claims: None,
            together: None,
        };
        self.forget(attempt.saturating_sub(1)).await?;
        self.server.admin.create(&new).await.halt(CONDITION)?;
        ctx.apply(&job::build_secret(&place, &file).halt(CONDITION)?).await.halt(CONDITION)?;
        self.server.admin.set_state(self.name, self.owner, State::Installing).await.halt(CONDITION)?;
        secret::start(ctx, &job::build_job(&place, &file, self.settings)).await.halt(CONDITION)?;
        Err(self.building(attempt))
    }

    fn building(&self, attempt: u32) -> Halt {
        let version = self.release.release().map(|r| r.version.clone()).unwrap_or_default();
        let text = format!(
            "the first install of {} {version} on {} takes some minutes (attempt {attempt}); later ones take a second. Log: kubectl -n {} logs job/{}",
            self.release.blueprint,
            self.object.name_any(),
            self.ctx.system_namespace,
            self.job_name(attempt)
        );
        Halt::wait(CONDITION, "BuildingTemplate", text, Duration::from_secs(20))
    }

    /// Seals the template when its job is done, or clears up after a failure and starts the next attempt.
    async fn follow(&self, attempt: u32, job: &Job) -> Result<(), Halt> {
        match follow(self.ctx, self, attempt, job, self.now).await? {
            Followed::Done => {
                self.server.admin.seal_template(self.name, self.owner).await.halt(CONDITION)?;
                self.forget(attempt).await
            }
            Followed::Due(next) => {
                self.server.admin.drop_database(self.name, self.owner).await.halt(CONDITION)?;
                self.start(next).await.map(|_| ())
            }
        }
    }

    /// Removes the Secret of an attempt at a template: its database is no longer used, or its job is done.
    ///
    /// # Errors
    /// [`Halt`] at `Installed`.
    async fn forget(&self, attempt: u32) -> Result<(), Halt> {
        if attempt == 0 {
            return Ok(());
        }
        let ns = Some(self.ctx.system_namespace.as_str());
        self.ctx.remove(Kind::Secret, ns, &self.job_name(attempt)).await.halt(CONDITION)
    }
}

impl Work for Build<'_> {
    fn condition(&self) -> ConditionType {
        CONDITION
    }

    fn trace(&self) -> &'static str {
        "install"
    }

    fn namespace(&self) -> &str {
        &self.ctx.system_namespace
    }

    fn under_way(&self, attempt: u32) -> Halt {
        self.building(attempt)
    }

    fn failed(&self) -> &'static str {
        "InstallFailed"
    }

    fn failure(&self, said: &str) -> String {
        format!("the install failed: {said}. Nothing of a tenant was touched.")
    }
}
