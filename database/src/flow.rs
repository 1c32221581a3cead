//! The order of the steps, the same for both engines: record, compare, act, record — does I/O through `Server`.
//!
//! A crash between any two statements is repaired by calling the same function again. The record is written first when
//! something is created, and removed last when something is dropped.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex};

use async_trait::async_trait;
use tenantry_core::secret::Secret;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::admin::Administration;
use crate::error::{Error, Result};
use crate::limits::COPIES;
use crate::model::{DatabaseRecord, Dropped, Login, NewDatabase, Page, ServerFacts, Source, State};
use crate::quote;
use crate::registry::Registry;
use crate::server::Server;
use crate::session::Session;

/// Turns of each template, in this process. Across processes the leader's lease protects a copy, and so does the lock
/// of each database's name on the server, which a paused leader loses with its session. A copy takes as many turns as
/// its engine says; a drop of the template takes all turns. Turns are given in the order of the requests, so a drop
/// does not wait for copies that were requested after it.
static COPYING: LazyLock<Mutex<HashMap<String, Arc<Semaphore>>>> = LazyLock::new(Mutex::default);

/// Administration of a server, using the steps of its engine.
#[derive(Debug)]
pub(crate) struct Flow<S> {
    server: S,
    registry: Registry,
}

impl<S: Server> Flow<S> {
    pub(crate) fn new(server: S) -> Self {
        let registry = Registry(server.pool().endpoint.engine);
        Self { server, registry }
    }

    /// The steps of the engine.
    pub(crate) fn server(&self) -> &S {
        &self.server
    }

    /// A connection of the administrator to the registry.
    pub(crate) async fn session(&self) -> Result<Session> {
        if !self.server.prepared() {
            self.server.prepare().await?;
        }
        self.server.pool().session().await
    }

    /// A session that works on a database while no other process does. It ends with [`Server::unlock`]. A caller that
    /// stops before that ends the connection, and the lock with it.
    pub(crate) async fn alone(&self, name: &str) -> Result<Session> {
        quote::name("database", name)?;
        let mut session = self.session().await?;
        self.server.lock(&mut session, name).await?;
        Ok(session)
    }

    /// The record of a database, if the database belongs to this owner.
    async fn owned(&self, session: &mut Session, name: &str, owner: &str) -> Result<DatabaseRecord> {
        quote::name("database", name)?;
        let record = self.registry.row(session, name).await?.ok_or_else(|| Error::Absent { name: name.into() })?;
        same_owner(&record, owner)?;
        Ok(record)
    }

    /// Checked before a record is written: neither the database nor its role may belong to somebody else.
    async fn unclaimed(&self, session: &mut Session, new: &NewDatabase) -> Result<()> {
        if self.server.database_exists(session, &new.name).await? {
            return Err(Error::Unknown { kind: "database", name: new.name.clone() });
        }
        let users = self.registry.of_role(session, &new.role).await?;
        if let Some(other) = users.iter().find(|r| r.owner != new.owner) {
            let (name, owner, wanted) = (new.role.clone(), other.owner.clone(), new.owner.clone());
            return Err(Error::Foreign { name, owner, wanted });
        }
        if users.is_empty() && self.server.role_exists(session, &new.role).await? {
            return Err(Error::Unknown { kind: "role", name: new.role.clone() });
        }
        Ok(())
    }

    /// The sealed template from which a new database is made. None means that it is made without a template.
    async fn template(&self, session: &mut Session, new: &NewDatabase) -> Result<Option<DatabaseRecord>> {
        let Source::Template { name } = &new.source else { return Ok(None) };
        let record = self.registry.row(session, name).await?.ok_or_else(|| Error::Absent { name: name.clone() })?;
        if record.state != State::Template {
            let (name, state) = (record.name, record.state.to_string());
            return Err(Error::State { name, state, why: "only a sealed template can be copied".into() });
        }
        Ok(Some(record))
    }

    /// Whether a recorded database is already complete. Work that another process has done meanwhile counts as well.
    async fn is_made(&self, session: &mut Session, new: &NewDatabase, record: &DatabaseRecord) -> Result<bool> {
        same_owner(record, &new.owner)?;
        if record.role != new.role {
            return Err(Error::invalid("role", format!("{} was made with role {}", new.name, record.role)));
        }
        match record.state {
            State::Creating => Ok(false),
            State::Template => Ok(true),
            State::Dropping => {
                let (name, state) = (record.name.clone(), record.state.to_string());
                Err(Error::State { name, state, why: "finish dropping it first".into() })
            }
            _ => self.keep_as_made(session, new).await.map(|()| true),
        }
    }

    /// For a complete database: the password is set only if the role cannot log in with it.
    async fn keep_as_made(&self, session: &mut Session, new: &NewDatabase) -> Result<()> {
        let login = Login { user: new.role.clone(), password: new.password.clone() };
        if self.server.pool().logs_in(&login, &new.name).await? {
            return Ok(());
        }
        self.server.set_password(session, &new.role, &new.password).await
    }

    /// Drops a database in a session that holds the lock of its name.
    pub(crate) async fn drop_alone(&self, session: &mut Session, name: &str, owner: &str) -> Result<Dropped> {
        let Some(record) = self.registry.row(session, name).await? else {
            if self.server.database_exists(session, name).await? {
                return Err(Error::Unknown { kind: "database", name: name.into() });
            }
            return Ok(Dropped::Absent);
        };
        same_owner(&record, owner)?;
        let _not_while_copied = match record.state {
            State::Template => Some(self.turns(name, COPIES).await?),
            _ => None,
        };
        if !self.registry.begin_drop(session, name, owner, self.rows()).await? {
            let (name, state) = (record.name, "current".into());
            return Err(Error::State { name, state, why: "people work in it, and it is not dropped".into() });
        }
        let shared = self.registry.of_role(session, &record.role).await?.len() > 1;
        if !shared {
            self.server.lock_role(session, &record.role).await?;
        }
        self.server.drop_database(session, name, &record.role).await?;
        if !shared {
            self.server.drop_role(session, &record.role).await?;
        }
        self.registry.delete(session, name, owner).await?;
        tracing::info!(database = name, owner, "database dropped");
        Ok(Dropped::Dropped)
    }

    /// Waits for this many turns of a template, and holds them until the permit is dropped.
    async fn turns(&self, template: &str, turns: u32) -> Result<OwnedSemaphorePermit> {
        // The key is the server's address, because one server may be known under two names.
        let endpoint = &self.server.pool().endpoint;
        let key = format!("{}:{}/{template}", endpoint.host, endpoint.port);
        let all = {
            let mut all = COPYING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            Arc::clone(all.entry(key).or_insert_with(|| Arc::new(Semaphore::new(COPIES as usize))))
        };
        all.acquire_many_owned(turns.clamp(1, COPIES)).await.map_err(|_| lost())
    }
}

#[async_trait]
impl<S: Server> Administration for Flow<S> {
    async fn probe(&self) -> Result<ServerFacts> {
        self.server.prepare().await
    }

    async fn records(&self, page: &Page) -> Result<Vec<DatabaseRecord>> {
        quote::label("prefix", &page.prefix)?;
        quote::label("page", page.after.as_deref().unwrap_or_default())?;
        self.registry.page(&mut self.session().await?, page).await
    }

    async fn record(&self, name: &str) -> Result<Option<DatabaseRecord>> {
        quote::name("database", name)?;
        self.registry.row(&mut self.session().await?, name).await
    }

    async fn find_by_owner(&self, owner: &str) -> Result<Vec<DatabaseRecord>> {
        quote::label("owner", owner)?;
        self.registry.of_owner(&mut self.session().await?, owner).await
    }

    async fn find_by_tenant(&self, tenant: &str) -> Result<Vec<DatabaseRecord>> {
        quote::label("tenant", tenant)?;
        self.registry.of_tenant(&mut self.session().await?, tenant).await
    }

    async fn present(&self) -> Result<BTreeSet<String>> {
        self.registry.present(&mut self.session().await?).await
    }

    async fn exists(&self, name: &str) -> Result<bool> {
        quote::name("database", name)?;
        self.server.database_exists(&mut self.session().await?, name).await
    }

    async fn has_registry(&self) -> Result<bool> {
        if self.server.prepared() {
            return Ok(true);
        }
        self.server.has_registry().await
    }

    async fn count(&self) -> Result<u32> {
        self.registry.count(&mut self.session().await?).await
    }

    async fn create(&self, new: &NewDatabase) -> Result<()> {
        check(new)?;
        let mut waiting = Some(self.alone(&new.name).await?);
        let session = waiting.as_mut().ok_or_else(lost)?;
        match self.registry.row(session, &new.name).await? {
            None => {
                // Checked before the record is written, so that a wrong template leaves nothing behind.
                self.template(session, new).await?;
                self.unclaimed(session, new).await?;
                self.registry.insert(session, new).await?;
            }
            Some(record) => {
                if self.is_made(session, new, &record).await? {
                    return self.server.unlock(session).await;
                }
                self.registry.rewrite(session, new).await?;
            }
        }
        let _turn = match &new.source {
            Source::Template { name } => {
                // No connection is held while waiting. Otherwise copies of one template would keep all other operations
                // out.
                self.server.unlock(session).await?;
                waiting.take();
                let turn = self.turns(name, self.server.turns_of_a_copy()).await?;
                let session = waiting.insert(self.alone(&new.name).await?);
                let record = self.owned(session, &new.name, &new.owner).await?;
                if self.is_made(session, new, &record).await? {
                    return self.server.unlock(session).await;
                }
                Some(turn)
            }
            Source::Empty => None,
        };
        let session = waiting.as_mut().ok_or_else(lost)?;
        let template = self.template(session, new).await?;
        self.server.put_role(session, new).await?;
        if self.server.database_exists(session, &new.name).await? {
            // An earlier attempt left it incomplete. Its record says that nothing was ever served from it.
            self.server.drop_database(session, &new.name, &new.role).await?;
        }
        self.server.make_database(session, new, template.as_ref()).await?;
        self.registry.set_state(session, &new.name, &new.owner, State::Loaded).await?;
        tracing::info!(database = new.name, owner = new.owner, "database made");
        self.server.unlock(session).await
    }

    async fn set_state(&self, name: &str, owner: &str, state: State) -> Result<()> {
        let own_way = |s| matches!(s, State::Creating | State::Template | State::Dropping);
        if own_way(state) {
            return Err(Error::invalid(
                "state",
                format!("{state} is set by create, seal_template and drop_database only"),
            ));
        }
        let session = &mut self.alone(name).await?;
        let record = self.owned(session, name, owner).await?;
        if own_way(record.state) {
            let (name, state) = (record.name, record.state.to_string());
            return Err(Error::State { name, state, why: "its state cannot be set in this way".into() });
        }
        if record.state != state {
            self.registry.set_state(session, name, owner, state).await?;
        }
        self.server.unlock(session).await
    }

    async fn set_release(&self, name: &str, owner: &str, release_hash: &str) -> Result<()> {
        quote::label("release", release_hash)?;
        let session = &mut self.alone(name).await?;
        let record = self.owned(session, name, owner).await?;
        if record.release_hash != release_hash {
            if !matches!(record.state, State::Loaded | State::Installing | State::Personalised) {
                let (name, state) = (record.name, record.state.to_string());
                return Err(Error::State { name, state, why: "its release cannot be set".into() });
            }
            self.registry.set_release(session, name, owner, release_hash).await?;
        }
        self.server.unlock(session).await
    }

    async fn seal_template(&self, name: &str, owner: &str) -> Result<()> {
        let session = &mut self.alone(name).await?;
        let record = self.owned(session, name, owner).await?;
        match record.state {
            State::Template => return self.server.unlock(session).await,
            State::Creating | State::Dropping | State::Archived => {
                let (name, state) = (record.name, record.state.to_string());
                return Err(Error::State { name, state, why: "only a finished database can become a template".into() });
            }
            State::Loaded | State::Installing | State::Personalised => {}
        }
        self.server.lock_role(session, &record.role).await?;
        self.server.seal(session, &record).await?;
        self.registry.set_state(session, name, owner, State::Template).await?;
        self.server.unlock(session).await
    }

    async fn drop_database(&self, name: &str, owner: &str) -> Result<Dropped> {
        let session = &mut self.alone(name).await?;
        let dropped = self.drop_alone(session, name, owner).await?;
        self.server.unlock(session).await?;
        Ok(dropped)
    }

    async fn size_bytes(&self, name: &str) -> Result<u64> {
        quote::name("database", name)?;
        let session = &mut self.session().await?;
        if !self.server.database_exists(session, name).await? {
            return Err(Error::Absent { name: name.into() });
        }
        self.server.size(session, name).await
    }

    async fn total_bytes(&self) -> Result<u64> {
        let session = &mut self.session().await?;
        self.server.total(session).await
    }

    async fn set_password(&self, name: &str, owner: &str, password: &Secret) -> Result<()> {
        let session = &mut self.alone(name).await?;
        let record = self.owned(session, name, owner).await?;
        self.server.set_password(session, &record.role, password).await?;
        self.server.unlock(session).await
    }

    async fn keep_password(&self, name: &str, owner: &str, password: &Secret) -> Result<()> {
        let session = &mut self.alone(name).await?;
        let record = self.owned(session, name, owner).await?;
        let login = Login { user: record.role.clone(), password: password.clone() };
        let pool = self.server.pool();
        if !pool.logs_in(&login, name).await? {
            self.server.set_password(session, &record.role, password).await?;
            if !pool.logs_in(&login, name).await? {
                return Err(Error::Authentication { server: pool.endpoint.to_string(), role: record.role });
            }
        }
        self.server.unlock(session).await
    }

    async fn lock_role(&self, name: &str, owner: &str) -> Result<()> {
        let session = &mut self.alone(name).await?;
        let record = self.owned(session, name, owner).await?;
        self.server.lock_role(session, &record.role).await?;
        self.server.unlock(session).await
    }

    async fn unlock_role(&self, name: &str, owner: &str) -> Result<()> {
        let session = &mut self.alone(name).await?;
        let record = self.owned(session, name, owner).await?;
        if matches!(record.state, State::Template | State::Dropping) {
            let (name, state) = (record.name, record.state.to_string());
            return Err(Error::State { name, state, why: "its role stays locked".into() });
        }
        self.server.unlock_role(session, &record.role).await?;
        self.server.unlock(session).await
    }
}

fn lost() -> Error {
    Error::Registry { why: "a connection was given away too early".into() }
}

fn same_owner(record: &DatabaseRecord, wanted: &str) -> Result<()> {
    if record.owner == wanted {
        return Ok(());
    }
    Err(Error::Foreign { name: record.name.clone(), owner: record.owner.clone(), wanted: wanted.into() })
}

fn check(new: &NewDatabase) -> Result<()> {
    quote::name("database", &new.name)?;
    quote::name("role", &new.role)?;
    quote::label("owner", &new.owner)?;
    quote::label("tenant", &new.tenant)?;
    quote::label("release", &new.release_hash)?;
    if new.owner.is_empty() || new.password.reveal().is_empty() {
        return Err(Error::invalid("database", "owner or password is missing"));
    }
    if new.name == crate::REGISTRY || new.role == crate::REGISTRY {
        return Err(Error::invalid("database", "this name belongs to the registry"));
    }
    if let Some(charset) = &new.charset {
        quote::word("charset", charset)?;
    }
    if let Source::Template { name } = &new.source {
        quote::name("template", name)?;
    }
    new.extensions.iter().try_for_each(|e| quote::word("extension", e).map(drop))
}
