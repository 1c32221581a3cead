//! Carries out the changes of generations, the same on both engines — does I/O through `Server`.

use async_trait::async_trait;
use tenantry_core::generation::Number;
use tenantry_core::secret::Secret;

use super::model::{Change, Changed, GenerationRow, Overdue};
use super::rows::Rows;
use crate::error::{Error, Result};
use crate::flow::Flow;
use crate::model::Login;
use crate::quote;
use crate::server::{Frozen, Server};

/// What the operator does about generations of instances. Every function can be called again after a crash at any
/// statement.
#[async_trait]
pub trait Generations: Send + Sync + std::fmt::Debug {
    /// The generations of an owner on this server, with what the role of each may do.
    async fn generations(&self, owner: &str) -> Result<Vec<GenerationRow>>;

    /// Makes a change of a generation, if its conditions hold.
    ///
    /// # Errors
    /// [`Error::State`] when somebody works in the database who is not ended (a prepared transaction, a session of
    /// another role that has written), and when it was changed during its freeze. [`Error::Absent`] for a generation that has no row.
    async fn change(&self, owner: &str, change: &Change) -> Result<Changed>;

    /// Drops what a candidate holds, so that it can be filled from the beginning, and gives the number of this beginning.
    /// None: it is not being filled (any more). An earlier beginning counts no more, wherever its work still goes on.
    async fn begin_fill(&self, owner: &str, name: &str) -> Result<Option<u64>>;

    /// Log-in that reads all of a frozen generation, for a job that copies it. On PostgreSQL a role of its own is made
    /// for that, because nobody logs in as the role of a frozen generation; on MariaDB that role itself can still read.
    async fn open_reader(&self, owner: &str, number: Number, own: &Login, password: &Secret) -> Result<Login>;

    /// Drops the role that [`Self::open_reader`] made, and ends its sessions.
    async fn close_reader(&self, owner: &str, number: Number) -> Result<()>;

    /// Freezes that are over, and rights that are taken for a freeze that nobody holds, of all owners on this server.
    async fn overdue(&self) -> Result<Vec<Overdue>>;

    /// Names of the databases whose generation is the first, complete, and not noted as current.
    async fn unsettled(&self) -> Result<Vec<String>>;

    /// Lifts such a freeze: first its token, then the rights. Safe to repeat, and whoever holds a newer freeze keeps it.
    async fn lift(&self, overdue: &Overdue) -> Result<()>;

    /// Removes all rows of an owner, tombstones included. Only a purge does that.
    async fn forget_generations(&self, owner: &str) -> Result<()>;
}

#[async_trait]
impl<S: Server> Generations for Flow<S> {
    async fn generations(&self, owner: &str) -> Result<Vec<GenerationRow>> {
        quote::label("owner", owner)?;
        self.rows().read(&mut self.session().await?, owner).await
    }

    async fn change(&self, owner: &str, change: &Change) -> Result<Changed> {
        quote::label("owner", owner)?;
        let rows = self.rows();
        let session = &mut self.session().await?;
        let is_done = match change {
            Change::Begin(new) => {
                quote::name("database", &new.database)?;
                quote::label("operation", new.operation.as_deref().unwrap_or_default())?;
                quote::label("server", new.supersedes.as_ref().map_or("", |(o, _)| o.server.as_str()))?;
                rows.begin(session, owner, new).await?
            }
            Change::Progress { number, to, fill } => rows.progress(session, owner, *number, *to, *fill).await?,
            Change::Freeze { number, operation, holds } => {
                quote::label("operation", operation)?;
                rows.freeze(session, owner, *number, operation, holds.as_secs().max(1)).await?
            }
            Change::ClearToken { number, token } => rows.clear_token(session, owner, *number, *token).await?,
            Change::MakeCurrent { number, fill } => rows.make_current(session, owner, *number, *fill).await?,
            Change::Bury(number) => rows.bury(session, owner, *number).await?,
            Change::Decide { number, to, token } => {
                quote::label("server", &to.server)?;
                let frozen = self.frozen(owner, *number).await?;
                let print = self.server().print(session, &frozen).await?;
                let is_decided = rows.decide(session, owner, *number, to, *token, &print).await?;
                if !is_decided && rows.differs(session, owner, *number, *token, &print).await? {
                    let why = "during the freeze somebody wrote in it, or changed its definitions or rights, which the copy lacks".into();
                    return Err(Error::State { name: frozen.database, state: "changed".into(), why });
                }
                is_decided
            }
            Change::TakeRights { number, token } => {
                let frozen = self.frozen(owner, *number).await?;
                self.server().take_rights(session, &frozen, *token).await?
            }
            Change::Fence { number, token } => {
                let frozen = self.frozen(owner, *number).await?;
                self.server().end_writers(session, &frozen).await?;
                let print = self.server().print(session, &frozen).await?;
                rows.fenced(session, owner, *number, *token, &print).await?
            }
            Change::GiveBack { number, token } => {
                let frozen = self.frozen(owner, *number).await?;
                self.server().give_back(session, &frozen, *token).await?
            }
            Change::Lock(number) => {
                let frozen = self.frozen(owner, *number).await?;
                self.server().lock_retired(session, &frozen).await?
            }
            Change::Unlock(number) => {
                let frozen = self.frozen(owner, *number).await?;
                self.server().unlock_current(session, &frozen).await?
            }
        };
        Ok(if is_done { Changed::Done } else { Changed::NotNow })
    }

    async fn begin_fill(&self, owner: &str, name: &str) -> Result<Option<u64>> {
        quote::label("owner", owner)?;
        let session = &mut self.alone(name).await?;
        // Counted first: whoever filled it before can no longer say that it is filled, and its content may be dropped.
        let fill = self.rows().begin_fill(session, owner, name).await?;
        if fill.is_some() {
            self.drop_alone(session, name, owner).await?;
        }
        self.server().unlock(session).await?;
        Ok(fill)
    }

    async fn open_reader(&self, owner: &str, number: Number, own: &Login, password: &Secret) -> Result<Login> {
        let frozen = self.frozen(owner, number).await?;
        self.server().open_reader(&mut self.session().await?, &frozen, own, password).await
    }

    async fn close_reader(&self, owner: &str, number: Number) -> Result<()> {
        let frozen = self.frozen(owner, number).await?;
        self.server().close_reader(&mut self.session().await?, &frozen).await
    }

    async fn overdue(&self) -> Result<Vec<Overdue>> {
        let session = &mut self.session().await?;
        let mut all: Vec<Overdue> = Vec::new();
        loop {
            let after = all.last().map(|o| o.owner.clone()).unwrap_or_default();
            let page = self.rows().overdue(session, &after).await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    async fn unsettled(&self) -> Result<Vec<String>> {
        self.rows().unsettled(&mut self.session().await?).await
    }

    async fn lift(&self, overdue: &Overdue) -> Result<()> {
        let Overdue { owner, number, held, taken } = overdue;
        if let Some(token) = held {
            self.change(owner, &Change::ClearToken { number: *number, token: *token }).await?;
        }
        if let Some(token) = taken {
            self.change(owner, &Change::GiveBack { number: *number, token: *token }).await?;
            // Last: a role that only reads harms nobody, and people wait for their rights.
            self.close_reader(owner, *number).await?;
        }
        Ok(())
    }

    async fn forget_generations(&self, owner: &str) -> Result<()> {
        quote::label("owner", owner)?;
        self.rows().forget(&mut self.session().await?, owner).await
    }
}

impl<S: Server> Flow<S> {
    pub(crate) fn rows(&self) -> Rows {
        Rows(self.server().pool().endpoint.engine)
    }

    /// The names that statements about the rights of a generation need.
    async fn frozen(&self, owner: &str, number: Number) -> Result<Frozen> {
        let all = self.generations(owner).await?;
        let found = all.into_iter().find(|g| g.row.number == number);
        let row = found.ok_or_else(|| Error::Absent { name: format!("generation {number} of {owner}") })?;
        Ok(Frozen { owner: owner.to_owned(), number, database: row.database, role: row.role })
    }
}
