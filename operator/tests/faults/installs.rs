//! Installs by SQL, without a pod: one template for all, a step that fails, and a fault at every call. Does I/O.

use std::sync::Arc;

use futures::StreamExt;
use jiff::Timestamp;
use kube::Client;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use tenantry_api::crm_instance::InstancePhase;

use crate::gate::Mode;
use crate::life::{INSTANCE, Life, Outcome, Step};
use crate::picture::versions;
use crate::scenarios::{condition, ready, run};
use crate::sweep::sampled;
use crate::unfinished::{begun, root, rounds};
use crate::world::{Operator, World, blueprint, fixture};

/// Lives at the same time.
const AT_ONCE: usize = 8;

/// The fixture with an install by SQL: a table that cannot be made twice, and a mark that no two builds share.
fn product(more: Option<Value>) -> Value {
    let mut steps = vec![
        json!({"name": "tables", "sql": "CREATE TABLE built (mark text NOT NULL)"}),
        json!({"name": "mark", "sql": "INSERT INTO built VALUES (gen_random_uuid()::text)"}),
    ];
    steps.extend(more);
    let mut spec = fixture("key={{ secrets.key }}\n");
    spec["install"] = json!({"steps": steps});
    spec
}

/// States and attempts of a blueprint's templates.
pub async fn templates(blueprint: &str) -> String {
    let mine = format!("owner LIKE 'template/{blueprint}/%'");
    root(&format!("SELECT string_agg(state || ' ' || generation, ', ' ORDER BY state) FROM databases WHERE {mine}"))
        .await
}

async fn mark(life: &Life) -> String {
    life.sql("pg-a", "SELECT string_agg(mark, ',') FROM built").await.unwrap()
}

/// Scripts of blueprints that a process ran.
fn scripts(operator: &Operator) -> usize {
    operator.gate.writes().iter().filter(|call| *call == "sql run script").count()
}

#[test]
fn an_install_by_sql_makes_one_template_for_all_tenants_and_no_job() {
    run(false, |base| async move {
        let name = World::get().name("by-sql");
        blueprint(&base, &name, product(None)).await;
        let mut marks = Vec::new();
        // Two steps of the install and one of personalise; then that one only.
        for expected in [3, 1] {
            let mut life = Life::new(&base, "by-sql");
            life.blueprint.clone_from(&name);
            life.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(scripts(&life.operator), expected);
            let jobs: Vec<_> = life.operator.gate.all().into_iter().filter(|call| call.contains("/jobs")).collect();
            assert_eq!(jobs, Vec::<String>::new());
            assert_eq!(life.sql("pg-a", "SELECT note FROM facts").await, Ok(life.instance_id.clone().unwrap()));
            marks.push(mark(&life).await);
            life.check(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
        }
        assert!(marks[0].len() == 36 && marks[0] == marks[1], "{marks:?}");
        assert_eq!(templates(&name).await, "template 1");
    });
}

#[test]
fn a_step_of_an_install_that_fails_is_told_and_rests_and_the_next_attempt_begins_anew() {
    run(false, |base| async move {
        let neighbour = ready(&base, "neighbour").await;
        let untouched = versions(&neighbour).await.unwrap();
        // This step fails until the role exists.
        let switch = World::get().name("switch").replace('-', "_");
        let sql = format!("SELECT 1 / count(*) FROM pg_roles WHERE rolname = '{switch}'");
        let mut life = begun(&base, "failing", product(Some(json!({"name": "switch", "sql": sql})))).await;
        // Every new process tries once more and no oftener, and the pauses go on growing.
        for (attempt, pause) in [(1, 60), (2, 120)] {
            if attempt > 1 {
                life.operator = Operator::new(&base);
                rounds(&mut life).await;
            }
            let (status, reason, message) = condition(&life, INSTANCE, "Installed").await;
            assert_eq!((status.as_str(), reason.as_str()), ("False", "InstallFailed"), "{message}");
            for part in ["step \"switch\"", "division by zero", &format!("{pause} s"), &format!("attempt {attempt}")] {
                assert!(message.contains(part), "{part} is not in: {message}");
            }
            assert_eq!(scripts(&life.operator), 3, "{:?}", life.operator.gate.writes());
            assert_eq!(templates(&life.blueprint).await, format!("installing {attempt}"));
            let instance = life.instance().await.unwrap().unwrap();
            assert_eq!(instance.status.as_ref().unwrap().phase, InstancePhase::Failed);
            let ctx = &life.operator.ctx;
            let again = tenantry_operator::instance::reconcile(Arc::new(instance), ctx, Timestamp::now()).await;
            let again = again.unwrap().unwrap().as_secs();
            assert!((pause / 2..=pause).contains(&again), "{again} of {pause}");
        }
        root(&format!("CREATE ROLE {switch}")).await;
        rounds(&mut life).await;
        assert_eq!(templates(&life.blueprint).await, "installing 2", "the pause was not kept");

        // A process that died while it dropped what was half made.
        let mine = format!("owner LIKE 'template/{}/%'", life.blueprint);
        root(&format!("UPDATE databases SET state = 'dropping' WHERE {mine}")).await;
        life.operator = Operator::new(&base);
        life.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(templates(&life.blueprint).await, "template 3");
        assert_eq!(mark(&life).await.len(), 36);
        life.check(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
        root(&format!("DROP ROLE {switch}")).await;
        assert_eq!(versions(&neighbour).await.unwrap(), untouched);
    });
}

#[test]
fn a_mended_blueprint_installs_at_once_beside_the_one_that_fails() {
    run(false, |base| async move {
        let wrong = json!({"name": "rows", "sql": "INSERT INTO nowhere VALUES (1)"});
        let mut first = begun(&base, "mended", product(Some(wrong))).await;
        let (_, reason, message) = condition(&first, INSTANCE, "Installed").await;
        assert_eq!(reason, "InstallFailed", "{message}");
        assert!(message.contains("step \"rows\"") && message.contains("\"nowhere\" does not exist"), "{message}");

        blueprint(&base, &first.blueprint, product(None)).await;
        let mut second = Life::new(&base, "mended");
        second.blueprint.clone_from(&first.blueprint);
        // By the same process: the pause is that of the release that failed.
        second.operator = first.operator.clone();
        second.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
        second.check(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(templates(&first.blueprint).await, "installing 1, template 1");

        // One that never ran can be deleted and made again.
        first.instances().delete(INSTANCE, &DeleteParams::default()).await.unwrap();
        rounds(&mut first).await;
        assert_eq!(first.instance().await.unwrap(), None);
        first.instance_id = None;
        first.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(mark(&first).await, mark(&second).await);
    });
}

#[test]
fn a_fault_at_any_call_of_an_install_by_sql_ends_in_one_whole_template() {
    run(false, |base| async move {
        let life = built(&base, None).await.unwrap_or_else(|e| panic!("undisturbed: {e}"));
        let calls = life.operator.gate.all();
        // The template's record is the first of the server's registry. Calls are counted from 1.
        let first = calls.iter().position(|call| call == "sql registry insert").unwrap() + 1;
        let last = calls.iter().position(|call| call == "sql registry state template").unwrap() + 1;
        let faults = sampled(first..=last).flat_map(|k| [(k, Mode::Timeout), (k, Mode::CrashAfter)]);
        let lives = futures::stream::iter(faults).map(|fault| whole(&base, fault)).buffer_unordered(AT_ONCE);
        let failures: Vec<_> = lives.filter_map(|outcome| async move { outcome.err() }).collect().await;
        assert!(failures.is_empty(), "{} lives failed:\n{}", failures.len(), failures.join("\n"));
    });
}

/// A tenant with an instance of a product of its own, with one call failing on the way.
pub async fn built(base: &Client, fault: Option<(usize, Mode)>) -> Outcome<Life> {
    let mut life = Life::new(base, "install");
    life.blueprint.clone_from(&life.name);
    blueprint(base, &life.blueprint, product(None)).await;
    let drive = life.drive(Step::Create, fault.map(Into::into)).await?;
    match (fault, drive.fired) {
        (Some(_), None) => Err("the call was not reached".into()),
        _ => Ok(life),
    }
}

async fn whole(base: &Client, (k, mode): (usize, Mode)) -> Outcome {
    let place = |e: String| format!("{mode:?} at call {k}: {e}");
    let mut life = built(base, Some((k, mode))).await.map_err(place)?;
    let (templates, marks) = (templates(&life.blueprint).await, mark(&life).await);
    if !["template 1", "template 2"].contains(&templates.as_str()) || marks.len() != 36 {
        return Err(place(format!("templates {templates:?}, marks {marks:?}")));
    }
    life.check(Step::Create, None).await.map_err(place).map(drop)
}
