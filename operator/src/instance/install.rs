//! A template that is filled by SQL: by the operator itself, within one pass and without a pod. Does I/O (SQL).

use std::time::{Duration, Instant};

use kube::ResourceExt;
use tenantry_api::blueprint::StepList;
use tenantry_core::class::ErrorClass;
use tenantry_database::{Login, State};
use tenantry_plan::job;

use super::template::{Build, CONDITION};
use crate::halt::{Halt, OrHalt};
use crate::operation::attempt;
use crate::sql::FailedBuild;

/// Shortest time limit of a step: the server would take a limit of zero as no limit.
pub(super) const SHORTEST: Duration = Duration::from_secs(1);

impl Build<'_> {
    /// The wait while another pass of this process builds the template.
    pub(super) fn under_way(&self) -> Halt {
        let text = format!(
            "{} is being installed on {} by SQL; then it is copied for this instance",
            self.release.blueprint,
            self.object.name_any()
        );
        Halt::wait(CONDITION, "BuildingTemplate", text, Duration::from_secs(2))
    }

    /// Halts while the pause after a failure lasts.
    pub(super) async fn rest(&self) -> Result<(), Halt> {
        let Some(failed) = self.ctx.servers.failed_build(self.key).await else { return Ok(()) };
        match attempt::pause_left(failed.attempt, failed.since.elapsed()) {
            Some(left) => Err(told(&failed, left)),
            None => Ok(()),
        }
    }

    /// Fills an empty database and seals it. The remains of an earlier attempt are dropped, however far that attempt
    /// came.
    pub(super) async fn by_sql(&self, list: &StepList, record: Option<(State, u32)>) -> Result<(), Halt> {
        // Another pass may have failed since this one looked.
        self.rest().await?;
        let admin = &self.server.admin;
        let (attempt, half_made) = attempt::next_by_sql(record);
        let (new, values) = self.planned(attempt)?;
        let steps = job::sql(&self.release.blueprint, "install", list, &values).halt(CONDITION)?;
        if half_made {
            admin.drop_database(self.name, self.owner).await.halt(CONDITION)?;
        }
        admin.create(&new).await.halt(CONDITION)?;
        admin.set_state(self.name, self.owner, State::Installing).await.halt(CONDITION)?;
        let login = Login { user: new.role, password: new.password };
        let (start, limit) = (Instant::now(), Duration::from_secs(list.timeout_seconds.into()));
        for (step, sql) in &steps {
            let (endpoint, gate) = (&self.server.endpoint, &self.ctx.gate);
            let left = limit.saturating_sub(start.elapsed()).max(SHORTEST);
            if let Err(error) = tenantry_database::run_as(endpoint, &login, self.name, sql, gate, left).await {
                return Err(self.step_failed(attempt, step, error).await);
            }
        }
        admin.seal_template(self.name, self.owner).await.halt(CONDITION)?;
        self.ctx.servers.build_ended(self.key, None).await;
        Ok(())
    }

    async fn step_failed(&self, attempt: u32, step: &str, error: tenantry_database::Error) -> Halt {
        use tenantry_database::Error::{Fault, Unreachable};
        let said = format!("step {step:?}: {error}");
        if matches!(error, Fault(_) | Unreachable { .. }) {
            // The server went away. That says nothing about the step, which is tried again as soon as the server is
            // back.
            return Halt {
                message: format!("the install was broken off: {said}"),
                ..Halt::at(CONDITION)(error.into())
            };
        }
        let failed = FailedBuild { attempt, said, since: Instant::now() };
        self.ctx.servers.build_ended(self.key, Some(failed.clone())).await;
        told(&failed, Duration::from_secs(attempt::pause(attempt)))
    }
}

fn told(failed: &FailedBuild, again: Duration) -> Halt {
    let FailedBuild { attempt, said, .. } = failed;
    let pause = attempt::pause(*attempt);
    let text = format!(
        "the install failed: {said}. Nothing of a tenant was touched. It is tried again {pause} s after a failure (attempt {attempt} failed)"
    );
    Halt { again: Some(again), ..Halt::fail(CONDITION, "InstallFailed", text, ErrorClass::Blocked) }
}
