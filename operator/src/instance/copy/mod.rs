//! A copy of another instance: filled, neutralised, made its own, and only then started. Does I/O.
//!
//! The database server's registry says how far the copy is. While it says `installing`, nothing in the database may be
//! believed, and work that was broken off starts again with an empty database. `personalised` says that all of the work
//! was done, neutralising included. For a product without a database, an annotation says that. The original is only
//! read.

mod fill;
mod neutralise;
mod source;
mod stage;

use kube::ResourceExt;
use kube::api::Api;
use tenantry_api::archive::Archive;
use tenantry_api::condition::ConditionType;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::database_server::DatabaseServer;
use tenantry_core::class::ErrorClass;
use tenantry_core::names;
use tenantry_database::{DatabaseRecord, State};
use tenantry_plan::adoption;

use super::inputs::{Inputs, Placed};
use super::pass::Pass;
use crate::context::Ctx;
use crate::generation;
use crate::halt::{Halt, OrHalt};
use crate::life::{adopt, metadata};
use crate::sql::Server;

pub use source::{origin_to_note, place_of_original, release_of_original};

/// Annotation of a finished copy of a product without a database: the generation of the data that was neutralised.
const ANNOTATION_NEUTRALISED: &str = "tenantry.dev/neutralised";

/// What a copy is made from, except the database.
pub struct Filling<'a> {
    /// The operator's context.
    pub ctx: &'a Ctx,
    /// The reconcile under way.
    pub pass: &'a Pass,
    /// What the copy is made of.
    pub inputs: &'a Inputs<'a>,
}

/// The database of a copy.
#[derive(Debug)]
pub struct Target<'a> {
    /// Where the database lies.
    pub placed: &'a Placed,
    /// The DatabaseServer.
    pub object: &'a DatabaseServer,
    /// The administration of that server.
    pub server: &'a Server,
}

impl Target<'_> {
    fn name(&self) -> &str {
        &self.placed.access.name
    }
}

/// Brings the database and files of a copy to the state in which processes can start.
///
/// # Errors
/// [`Halt`] at `Copied`, `Neutralised` or `Installed`.
pub async fn database(filling: &Filling<'_>, target: &Target<'_>, record: Option<DatabaseRecord>) -> Result<(), Halt> {
    neutralise::stated(filling)?;
    if filling.pass.installed_before() {
        // The copy ran: its processes may use the data that is there, and nothing is loaded beneath running processes.
        let text = format!(
            "database {} is not as it was left when this copy was finished, and it is not filled again; delete the copy and make a new one",
            target.name()
        );
        return Err(Halt::fail(ConditionType::Copied, "DatabaseLost", text, ErrorClass::Blocked));
    }
    let fill = fill::database(filling, target, record).await?;
    fill::files(filling).await?;
    neutralise::run(filling, Some(target)).await?;
    super::personalise::run(filling.ctx, filling.inputs, target.placed, target.server).await?;
    // Personalising may have switched something on again.
    neutralise::proven(filling, Some(target)).await?;
    stage::clear_secrets(filling).await?;
    let wanted = filling.inputs.wanted;
    let owner = names::owner_of_instance(&wanted.id);
    let said = target.server.admin.set_release(target.name(), &owner, &wanted.release.hash).await;
    said.halt(ConditionType::Installed)?;
    let done = target.server.admin.set_state(target.name(), &owner, State::Personalised).await;
    done.halt(ConditionType::Installed)?;
    generation::transformed(target.server, wanted, fill).await
}

/// Brings the files of a copy to the state in which processes can start, for a product that has files only.
///
/// # Errors
/// [`Halt`] at `Copied` or `Neutralised`.
pub async fn without_database(ctx: &Ctx, pass: &mut Pass, inputs: &Inputs<'_>) -> Result<(), Halt> {
    let wanted = inputs.wanted;
    let done = wanted.generation.to_string();
    if pass.installed_before() || pass.instance.annotations().get(ANNOTATION_NEUTRALISED) == Some(&done) {
        return Ok(());
    }
    let filling = Filling { ctx, pass, inputs };
    neutralise::stated(&filling)?;
    fill::files(&filling).await?;
    neutralise::run(&filling, None).await?;
    stage::clear_secrets(&filling).await?;
    let api: Api<CrmInstance> = Api::namespaced(ctx.client.clone(), &wanted.namespace);
    let stored = metadata(ctx, &api, &pass.instance, true, &[(ANNOTATION_NEUTRALISED, done)]).await;
    if let Some(stored) = stored.halt(ConditionType::Neutralised)? {
        pass.instance = stored;
    }
    Ok(())
}

/// Notes how far a copy is, from the result of its making.
pub fn reached(pass: &mut Pass, made: &Result<(), Halt>) {
    let Some(from) = &pass.instance.spec.from else { return };
    let (copied, neutralised) = match made {
        Ok(()) => (true, true),
        // Later stages start only after this one, so a halt there means that it succeeded.
        Err(halt) => match halt.condition {
            ConditionType::Installed => (true, true),
            ConditionType::Neutralised => (halt.reason != neutralise::NOT_STATED, false),
            _ => (false, false),
        },
    };
    let said = format!("from {}/{}", pass.instance.spec.tenant, from.instance);
    if copied {
        pass.reached.push((ConditionType::Copied, said));
    }
    if neutralised {
        pass.reached.push((ConditionType::Neutralised, "it cannot write to customers".into()));
    }
}

/// Refuses a database that holds an unfinished copy to an instance that is no copy.
#[must_use]
pub fn unfinished() -> Halt {
    let text = "its database holds a copy that was broken off before it was neutralised: nothing starts on it. Archive this instance and purge it, then make a new copy";
    Halt::fail(ConditionType::Neutralised, "CopyUnfinished", text, ErrorClass::Blocked)
}

/// Refuses the archive of an unfinished copy: its data is half copied or not neutralised, and nobody has worked in it.
///
/// # Errors
/// [`Halt`] at `Neutralised`.
pub fn was_finished(archive: &Archive) -> Result<(), Halt> {
    if !adoption::was_copy(archive) {
        return Ok(());
    }
    let finished = adoption::was_finished(archive, &adopt::ledger_of(archive)?);
    finished.map_err(|text| Halt::fail(ConditionType::Neutralised, "CopyUnfinished", text, ErrorClass::Blocked))
}
