//! Asks an instance's database through a pod of its own, as the instance's own role. Does I/O.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, LogParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::database_server::{DatabaseServer, Engine};
use tenantry_core::id::Id;
use tenantry_core::names;
use tokio::time::Instant;

use super::seats;
use crate::error::{Problem, api};
use crate::session::Session;

/// Longest life of the pod, in seconds.
const SECONDS: u64 = 180;
/// Most bytes of the pod's log that are read.
const LOG: i64 = 100_000;
/// Pause between two looks at the pod.
const TICK: Duration = Duration::from_millis(500);

/// The answers to the questions, as the client prints them; an error text when the questions cannot be asked.
pub async fn ask(
    session: &Session,
    instance: &CrmInstance,
    settings: &tenantry_plan::Settings,
    questions: &[String],
) -> Result<Result<String, String>, Problem> {
    let Some(database) = instance.status.as_ref().and_then(|s| s.database.as_ref()) else {
        return Ok(Err("the instance has no database".into()));
    };
    let servers: Api<DatabaseServer> = Api::all(session.cluster.client.clone());
    let server = servers.get(&database.server).await.map_err(|e| api::problem("read the database server", &e))?;
    let Some(managed) = &server.spec.managed else {
        let why = format!("{} is an external server, and no image with its client is known", database.server);
        return Ok(Err(why));
    };
    let image = settings.image(&managed.image);
    let pod = pod(instance, server.spec.engine, &image, questions, settings)?;
    let pods: Api<Pod> = Api::namespaced(session.cluster.client.clone(), &instance.namespace().unwrap_or_default());
    let name = pod.name_any();
    let made = pods.create(&crate::cluster::post(false), &pod).await;
    made.map_err(|e| api::problem("start a pod with the database's client", &e))?;
    let answer = answered(&pods, &name).await;
    // Whatever the answer was, the pod is not needed any more. A failure does not matter: the namespace goes with the
    // test.
    let _ = pods.delete(&name, &DeleteParams::default().grace_period(0)).await;
    answer
}

async fn answered(pods: &Api<Pod>, name: &str) -> Result<Result<String, String>, Problem> {
    let begun = Instant::now();
    loop {
        let pod = pods.get(name).await.map_err(|e| api::problem("look at the pod with the database's client", &e))?;
        let phase = pod.status.and_then(|s| s.phase).unwrap_or_default();
        if phase == "Succeeded" || phase == "Failed" {
            let params = LogParams { limit_bytes: Some(LOG), ..LogParams::default() };
            let log = pods.logs(name, &params).await;
            return Ok(Ok(log.map_err(|e| api::problem("read the answers of the database", &e))?));
        }
        if begun.elapsed() > Duration::from_secs(SECONDS) {
            return Ok(Err(format!("the pod with the database's client is {phase} after {SECONDS} s")));
        }
        tokio::time::sleep(TICK).await;
    }
}

/// The pod: the server's own image, which contains the client, at the strictest Pod Security level.
fn pod(
    instance: &CrmInstance,
    engine: Engine,
    image: &str,
    questions: &[String],
    settings: &tenantry_plan::Settings,
) -> Result<Pod, Problem> {
    let wrong = |e: String| Problem::failed(format!("cannot ask the database: {e}"));
    let id = instance.spec.id.as_deref().unwrap_or_default();
    let generation = instance.status.as_ref().and_then(|s| s.data_generation).unwrap_or(1);
    let secret = names::database_secret(&Id::parse(id).map_err(|e| wrong(e.to_string()))?, generation);
    let env =
        |name: &str, key: &str| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}});
    let env: Vec<Value> = match engine {
        Engine::Postgresql => vec![
            env("PGHOST", "host"),
            env("PGPORT", "port"),
            env("PGDATABASE", "database"),
            env("PGUSER", "username"),
            env("PGPASSWORD", "password"),
            json!({"name": "PGOPTIONS", "value": "-c default_transaction_read_only=on -c statement_timeout=60000"}),
            json!({"name": "PGCONNECT_TIMEOUT", "value": "20"}),
        ],
        Engine::Mariadb => vec![
            env("DB_HOST", "host"),
            env("DB_PORT", "port"),
            env("DB_NAME", "database"),
            env("DB_USER", "username"),
            env("MYSQL_PWD", "password"),
        ],
    };
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("{id}-questions"), "labels": {names::LABEL_PURPOSE: "blueprint-test"}},
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": SECONDS,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "questions",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": escaped(engine, seats::command(engine, questions)),
                "env": env,
                "securityContext": tenantry_plan::pod::agent_security(),
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
            }],
        },
    });
    tenantry_plan::pull::allow(&mut pod["spec"], settings);
    let mut pod: Pod = serde_json::from_value(pod).map_err(|e| wrong(e.to_string()))?;
    pod.metadata.namespace = instance.namespace();
    Ok(pod)
}

/// Kubernetes replaces `$(NAME)` with a variable, which is not what a blueprint's text means.
fn escaped(engine: Engine, words: Vec<String>) -> Vec<String> {
    // Arguments of the command line itself, in which variables are meant.
    let own = |word: &str| match engine {
        Engine::Postgresql => false,
        Engine::Mariadb => word.contains("=$(DB_"),
    };
    words.into_iter().map(|w| if own(&w) { w } else { w.replace("$(", "$$(") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pod_holds_no_password_and_is_restricted() {
        let mut instance = CrmInstance::new(
            "one",
            serde_json::from_value(json!({"id": "kabcdefghi", "tenant": "t", "blueprint": "b", "host": "a.example"}))
                .unwrap(),
        );
        instance.metadata.namespace = Some("tenant-x".into());
        let site = json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "Site", "metadata": {"name": "site"},
            "spec": {"id": "site-1", "imagePullSecrets": ["registry"]}});
        let settings = tenantry_plan::Settings::of_site(&serde_json::from_value(site).unwrap());
        for engine in Engine::ALL {
            let pod = pod(&instance, engine, "db:1", &["SELECT '$(HOME)'".into()], &settings).unwrap();
            let spec = pod.spec.unwrap();
            assert!(spec.image_pull_secrets.is_some(), "its image may lie where the database server's does");
            let container = &spec.containers[0];
            let password = container.env.iter().flatten().find(|e| e.name.ends_with("PWD") || e.name == "PGPASSWORD");
            assert!(password.unwrap().value.is_none());
            assert!(container.command.iter().flatten().any(|w| w.contains("'$$(HOME)'")), "{:?}", container.command);
            let security = container.security_context.clone().unwrap();
            assert_eq!(
                (security.allow_privilege_escalation, security.read_only_root_filesystem),
                (Some(false), Some(true))
            );
        }
    }
}
