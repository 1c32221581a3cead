//! Jobs that run a blueprint's commands through the agent, and the Secret that tells the agent what to run. No I/O.

use serde_json::{Value, json};
use tenantry_api::blueprint::{BlueprintSpec, StepList};
use tenantry_api::scheduling::Scheduling;
use tenantry_core::steps::{JobFile, RenderedStep, Step};

use crate::agent_pod::{AgentPod, job_rest};
use crate::child::{Child, Kind};
use crate::config::{Config, fits, render, without_secrets};
use crate::labels::Labels;
use crate::one_node::Together;
use crate::view::View;
use crate::{PlanError, Settings, pod, scheduling};

/// Seconds that a pod may need to start, added to the steps' own time.
const START_SECONDS: u32 = 300;

/// Whether every step is SQL, so that no pod is needed.
#[must_use]
pub fn is_sql(list: &StepList) -> bool {
    list.steps.iter().all(|s| s.sql.is_some())
}

/// The leading SQL steps of a list, and the commands after them.
#[must_use]
pub fn split(list: &StepList) -> (&[Step], &[Step]) {
    let sql = list.steps.iter().take_while(|s| s.sql.is_some()).count();
    list.steps.split_at(sql)
}

/// Renders the SQL steps of a list. Returns their names and texts.
///
/// # Errors
/// [`PlanError::Template`] with step and variable.
pub fn sql(blueprint: &str, place: &str, list: &StepList, context: &Value) -> Result<Vec<(String, String)>, PlanError> {
    let steps = split(list).0.iter().filter_map(|s| s.sql.as_ref().map(|sql| (s, sql)));
    steps
        .map(|(s, text)| Ok((s.name.clone(), render(blueprint, &format!("{place}[{}]", s.name), text, context)?)))
        .collect()
}

/// Renders the command steps of a list into the agent's file. The file gets the time limit of the whole list.
///
/// # Errors
/// [`PlanError::Template`] with step and variable.
pub fn file(blueprint: &str, place: &str, list: &StepList, context: &Value) -> Result<JobFile, PlanError> {
    let open = without_secrets(context);
    let step = |s: &Step| -> Result<RenderedStep, PlanError> {
        let place = format!("{place}[{}]", s.name);
        let mut env = std::collections::BTreeMap::new();
        for (name, source) in &s.env {
            env.insert(name.clone(), render(blueprint, &format!("{place}.env.{name}"), source, context)?);
        }
        Ok(RenderedStep {
            name: s.name.clone(),
            command: pod::words(blueprint, &format!("{place}.command"), &s.command, &open)?,
            env,
            stdin: s.stdin.as_ref().map(|t| render(blueprint, &format!("{place}.stdin"), t, context)).transpose()?,
            working_dir: s.working_dir.clone(),
            timeout_seconds: s.timeout_seconds,
            fail_on_output: s.fail_on_output.clone(),
        })
    };
    Ok(JobFile {
        timeout_seconds: list.timeout_seconds,
        steps: split(list).1.iter().map(step).collect::<Result<_, _>>()?,
        redact: tenantry_core::template::secret_texts(context),
    })
}

/// Where a job runs, and with what.
#[allow(missing_debug_implementations)]
pub struct Place<'a> {
    /// Namespace.
    pub namespace: &'a str,
    /// Name of the job and of its Secret.
    pub name: &'a str,
    /// Labels of the job and of its Secret.
    pub labels: Labels,
    /// Content of the blueprint.
    pub spec: &'a BlueprintSpec,
    /// Image of the product.
    pub image: String,
    /// Rendered configuration of the product.
    pub config: &'a Config,
    /// Nodes on which the job may run. None means any node.
    pub scheduling: Option<&'a Scheduling>,
    /// Names the claim of each of the blueprint's volumes. None means that the job gets temporary empty folders
    /// instead.
    pub claims: Option<&'a (dyn Fn(&str) -> String + Sync)>,
    /// The pods whose node the job needs, because they mount the same volumes.
    pub together: Option<Together>,
}

/// The Secret of a job: its steps and the product's configuration.
///
/// # Errors
/// When the steps cannot be written as JSON, or do not fit into a Secret.
pub fn build_secret(place: &Place<'_>, file: &JobFile) -> Result<Child, PlanError> {
    let mut data = json!(place.config.data);
    let steps = serde_json::to_string(file)?;
    let rendered: usize = place.config.data.values().map(String::len).sum();
    fits(&place.spec.title, rendered + steps.len())?;
    data["steps.json"] = steps.into();
    let rest = json!({ "type": "Opaque", "stringData": data });
    Ok(Child::new(Kind::Secret, Some(place.namespace), place.name, &place.labels, rest))
}

/// The job: an init container copies the agent into a volume, and the product's image runs the steps with it.
#[must_use]
pub fn build_job(place: &Place<'_>, file: &JobFile, settings: &Settings) -> Child {
    let view = View::of_jobs(place.spec);
    let security = view.security;
    let claim = place.claims.map(|claim| claim as &dyn Fn(&str) -> String);
    let mut pod_spec = AgentPod {
        image: &place.image,
        env: place.config.container_env(place.name, None).into(),
        pod_security: pod::pod_security(security),
        security: pod::container_security(security),
        volumes: view.pod_volumes(place.config, place.name, claim),
        mounts: view.mounts(place.config),
        secret: place.name,
        keys: Some(&["steps.json"]),
    }
    .spec(settings);
    scheduling::place(&mut pod_spec, place.scheduling);
    let mut template = json!({ "metadata": { "labels": place.labels.to_map() }, "spec": pod_spec });
    if let Some(together) = &place.together {
        together.mark(&mut template);
    }
    let rest = job_rest(file, START_SECONDS, &template);
    Child::new(Kind::Job, Some(place.namespace), place.name, &place.labels, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_split_into_its_sql_and_the_commands_after_it() {
        let list: StepList = serde_json::from_value(json!({ "timeoutSeconds": 60, "steps": [
            { "name": "rows", "sql": "UPDATE a SET b = {{ b|sql_quote }}" },
            { "name": "more rows", "sql": "SELECT 1" },
            { "name": "copy", "command": ["cp", "-an", "{{ c }}", "/srv"] },
            { "name": "cache", "command": ["warm"] },
        ]}))
        .unwrap();
        let context = json!({ "b": "it's", "c": "/usr/share/crm" });
        let sql = sql("crm", "personalise", &list, &context).unwrap();
        let texts: Vec<_> = sql.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(texts, [("rows", "UPDATE a SET b = 'it''s'"), ("more rows", "SELECT 1")]);
        let file = file("crm", "personalise", &list, &context).unwrap();
        let names: Vec<_> = file.steps.iter().map(|s| s.name.as_str()).collect();
        assert_eq!((names, file.timeout_seconds), (vec!["copy", "cache"], 60));
        assert_eq!(file.steps[0].command, ["cp", "-an", "/usr/share/crm", "/srv"]);
        assert!(!is_sql(&list));
    }
}
