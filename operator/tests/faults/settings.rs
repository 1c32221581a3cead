//! Settings that come from Secrets: missed, found and followed, and mail servers that are away. Does I/O.

use std::time::Duration;

use kube::Client;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;
use tenantry_api::condition::find;
use tenantry_api::crm_instance::{CrmInstanceStatus, InstancePhase};
use tenantry_api::integration::{IntegrationState, IntegrationStatus};
use tenantry_core::names;
use tenantry_operator::cluster::{data_of, dynamic_api, typed};
use tenantry_plan::Kind;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

use crate::gate::Mode;
use crate::life::{INSTANCE, Life};
use crate::scenarios::{condition, run};
use crate::world::{Operator, World, apply, blueprint, fixture};

/// A check, and the write of an instance's status, as the gate names them.
const CHECK: &str = "check integration";
const STATUS: &str = "/crminstances/crm/status";

/// What is written into the product's file, in each configuration there is.
async fn configurations(life: &Life) -> Vec<String> {
    let api = dynamic_api(&life.base, Kind::Secret, Some(&life.namespace()));
    let all = api.list(&ListParams::default().labels(&format!("{}=config", names::LABEL_PURPOSE))).await.unwrap();
    let secrets = all.items.iter().map(|s| typed::<k8s_openapi::api::core::v1::Secret>(s).unwrap());
    secrets.map(|s| data_of(s.data.as_ref())["file-0"].clone()).collect()
}

async fn secret(life: &Life, labels: serde_json::Value, value: &str) {
    let metadata = json!({"name": "mine", "namespace": life.namespace(), "labels": labels});
    let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"password": value}});
    apply(&life.base, object).await;
}

async fn tenant(base: &Client, what: &str) -> Life {
    let mut life = Life::new(base, what);
    life.blueprint = World::get().name("mailing");
    let mut spec = fixture("mail={{ settings.mail }}\n");
    spec["settings"] = json!({"mail": {"secret": true}, "host": {"default": ""}});
    spec["integrations"] = json!([{"name": "mail", "kind": "smtp", "settings": ["mail", "host"],
        "check": {"type": "smtp", "host": "{{ settings.host }}", "timeoutSeconds": 2}}]);
    blueprint(base, &life.blueprint, spec).await;
    life.tenants().create(&PostParams::default(), &life.tenant_object(&json!({}))).await.unwrap();
    rounds(&mut life).await;
    life
}

async fn rounds(life: &mut Life) {
    for _ in 0..5 {
        life.round().await.unwrap();
    }
}

#[test]
fn a_setting_by_secret_is_missed_by_name_then_found_and_then_followed() {
    run(false, |base| async move {
        let mut life = tenant(&base, "setting").await;
        let source = json!({"settingsFrom": {"mail": {"secret": "mine", "key": "password"}}});
        life.instances().create(&PostParams::default(), &life.instance_object(&source)).await.unwrap();
        rounds(&mut life).await;
        let (status, reason, message) = condition(&life, INSTANCE, "SpecValid").await;
        assert_eq!((status.as_str(), reason.as_str()), ("False", "SecretMissing"));
        let remedy = format!("tenantry instance settings set {}/{INSTANCE} --from-stdin mail", life.name);
        assert!(
            message.contains("/mine") && message.contains("\"password\"") && message.contains(&remedy),
            "{message}"
        );
        for value in ["first", "second"] {
            secret(&life, json!({}), value).await;
            rounds(&mut life).await;
            assert_eq!(configurations(&life).await, [format!("mail={value}\n")], "{}", life.describe().await);
            life.check_rest().await.unwrap_or_else(|e| panic!("{value}: {e}"));
        }
        // What belongs to another is not taken, and what runs goes on.
        secret(&life, json!({names::LABEL_INSTANCE_ID: "bbbbbbbbbb"}), "third").await;
        rounds(&mut life).await;
        let (status, reason, message) = condition(&life, INSTANCE, "SpecValid").await;
        assert_eq!((status.as_str(), reason.as_str()), ("False", "SecretRefused"), "{message}");
        assert!(!message.contains("third") && configurations(&life).await == ["mail=second\n"], "{message}");
    });
}

/// A tenant whose mail server is this host, which tenants cannot reach.
async fn away(base: &Client, what: &str) -> Life {
    let mut life = tenant(base, what).await;
    let given = json!({"settings": {"mail": "x", "host": "127.0.0.1"}});
    life.instances().create(&PostParams::default(), &life.instance_object(&given)).await.unwrap();
    rounds(&mut life).await;
    life
}

/// What is known of the mail server.
async fn mail(life: &Life) -> IntegrationStatus {
    let status = life.instance().await.unwrap().unwrap().status.unwrap();
    let [mail] = status.integrations.as_slice() else { panic!("{status:?}") };
    mail.clone()
}

/// Asks for a check, or takes the request away, and counts calls from now on.
async fn ask(life: &Life, request: Option<&str>) {
    let patch = Patch::Merge(json!({"metadata": {"annotations": {names::ANNOTATION_CHECK: request}}}));
    life.instances().patch(INSTANCE, &PatchParams::default(), &patch).await.unwrap();
    life.operator.gate.count_anew();
}

/// Checks that were made since somebody asked.
fn checks(life: &Life) -> usize {
    life.operator.gate.all().iter().filter(|call| *call == CHECK).count()
}

#[test]
fn a_mail_server_that_is_away_is_said_once_and_the_instance_is_ready() {
    run(false, |base| async move {
        let mut life = away(&base, "away").await;
        let status = life.instance().await.unwrap().unwrap().status.unwrap();
        assert_eq!(status.phase, InstancePhase::Ready, "{status:?}");
        let [mail] = status.integrations.as_slice() else { panic!("{status:?}") };
        assert_eq!(mail.state, IntegrationState::Unreachable);
        assert!(mail.message.contains("tenants cannot reach") && mail.since.is_some(), "{mail:?}");
        let (_, _, said) = condition(&life, INSTANCE, "SpecValid").await;
        assert!(said.contains("plain text (mail)"), "{said}");
        // Neither this process nor a new one, which asks again, writes the same finding twice.
        life.check_rest().await.unwrap();
    });
}

#[test]
fn a_check_that_is_asked_for_is_made_once_told_once_and_survives_a_new_process() {
    run(false, |base| async move {
        let mut life = away(&base, "again").await;
        let first = mail(&life).await;
        assert_eq!(first.checked_for, None);
        // Nothing is done for what is no request, and nothing is written of it.
        for nonsense in ["", "now", "2026-13-01T00:00:00Z", &"9".repeat(100_000)] {
            ask(&life, Some(nonsense)).await;
            rounds(&mut life).await;
            assert_eq!((checks(&life), life.operator.gate.writes()), (0, Vec::new()), "{nonsense:.40}");
        }
        let nine = "2026-11-21T09:00:00.000Z";
        ask(&life, Some(nine)).await;
        rounds(&mut life).await;
        let found = mail(&life).await;
        assert_eq!((found.checked_for.as_deref(), &found.since), (Some(nine), &first.since), "the finding is the same");
        let writes = life.operator.gate.writes();
        assert!(checks(&life) == 1 && writes.len() == 1 && writes[0].contains(STATUS), "{writes:?}");
        life.check_rest().await.unwrap();
        // Another time, older than the last one: whose clock is right is not ours to say.
        let eight = "2026-11-21T08:00:00.000Z";
        life.operator = Operator::new(&base);
        ask(&life, Some(eight)).await;
        rounds(&mut life).await;
        assert_eq!((mail(&life).await.checked_for.as_deref(), checks(&life)), (Some(eight), 1), "by a new process");
        ask(&life, None).await;
        rounds(&mut life).await;
        ask(&life, Some(eight)).await;
        rounds(&mut life).await;
        assert_eq!((checks(&life), life.operator.gate.writes()), (0, Vec::new()), "it was met before");
        life.check_rest().await.unwrap();
    });
}

#[test]
fn where_there_is_nothing_to_check_whoever_asks_is_answered_at_once() {
    run(false, |base| async move {
        let mut life = tenant(&base, "nothing").await;
        let given = json!({"settings": {"mail": "x"}});
        life.instances().create(&PostParams::default(), &life.instance_object(&given)).await.unwrap();
        rounds(&mut life).await;
        let nine = "2026-11-21T09:00:00.000Z";
        ask(&life, Some(nine)).await;
        rounds(&mut life).await;
        let found = mail(&life).await;
        assert_eq!(
            (found.state, found.checked_for.as_deref()),
            (IntegrationState::NotChecked, Some(nine)),
            "{found:?}"
        );
        assert_eq!((checks(&life), life.operator.gate.writes().len()), (0, 1));
        life.check_rest().await.unwrap();
    });
}

#[test]
fn a_request_is_met_whatever_fails_while_it_is() {
    run(false, |base| async move {
        let mut life = away(&base, "request").await;
        // What an injected error says would stand in the status as a finding, so the check itself is left or lost.
        let crashes = [Mode::CrashBefore, Mode::CrashAfter].map(|mode| (CHECK, mode));
        let faults = crashes.into_iter().chain(Mode::ALL.map(|mode| (STATUS, mode)));
        for (n, (place, mode)) in faults.enumerate() {
            let request = |minute: usize| format!("2026-11-21T09:{minute:02}:00.000Z");
            // A request that nothing disturbs says which call it is.
            ask(&life, Some(&request(2 * n))).await;
            life.round().await.unwrap();
            let calls = life.operator.gate.all();
            let call = calls.iter().position(|call| call.contains(place));
            let call = call.unwrap_or_else(|| panic!("no {place} in {calls:?}")) + 1;
            let asked = request(2 * n + 1);
            ask(&life, Some(&asked)).await;
            life.operator.gate.arm(Some((call, mode)));
            // Whether it says so or not is not the question here.
            let _ = life.round().await;
            let fired = life.operator.gate.fired();
            assert!(fired.as_ref().is_some_and(|fired| fired.contains(place)), "{place} {mode:?}: {fired:?}");
            if life.operator.gate.dead() {
                life.operator = Operator::new(&base);
            }
            life.operator.gate.count_anew();
            rounds(&mut life).await;
            let found = mail(&life).await;
            assert_eq!(found.checked_for, Some(asked), "{place} {mode:?}: {found:?}");
            life.check_rest().await.unwrap_or_else(|e| panic!("{place} {mode:?}: {e}"));
        }
    });
}

#[test]
fn a_check_beside_the_reconcile_brings_the_instance_back_when_it_was_asked_for() {
    run(false, |base| async move {
        let mut life = away(&base, "beside").await;
        let (wake, mut woken) = unbounded_channel();
        life.operator = Operator::new(&base);
        life.operator.ctx.wake = Some(wake);
        life.round().await.unwrap();
        assert!(timeout(Duration::from_secs(30), woken.recv()).await.unwrap().is_some(), "the check of a new process");
        rounds(&mut life).await;
        let nine = "2026-11-21T09:00:00.000Z";
        ask(&life, Some(nine)).await;
        life.round().await.unwrap();
        assert!(timeout(Duration::from_secs(30), woken.recv()).await.unwrap().is_some(), "the same finding");
        rounds(&mut life).await;
        assert_eq!((mail(&life).await.checked_for.as_deref(), checks(&life)), (Some(nine), 1));
        assert!(woken.try_recv().is_err(), "woken once");
        let writes = life.operator.gate.writes();
        assert!(writes.len() == 1 && writes[0].contains(STATUS), "{writes:?}");
    });
}

#[test]
fn a_setting_that_only_personalise_uses_is_never_said_to_be_in_use_when_it_changes_later() {
    run(false, |base| async move {
        let mut life = Life::new(&base, "once");
        life.blueprint = World::get().name("once");
        let mut spec = fixture("key={{ secrets.key }}\n");
        spec["settings"] = json!({"company": {"default": ""}});
        let sql = "CREATE TABLE IF NOT EXISTS company (name text); INSERT INTO company VALUES ({{ settings.company | sql_quote }}); COMMENT ON TABLE company IS {{ tenant.display_name | sql_quote }}";
        spec["personalise"]["steps"].as_array_mut().unwrap().push(json!({"name": "company", "sql": sql}));
        blueprint(&base, &life.blueprint, spec).await;
        life.tenants().create(&PostParams::default(), &life.tenant_object(&json!({}))).await.unwrap();
        rounds(&mut life).await;
        let given = json!({"databaseServer": "pg-a", "settings": {"company": "Acme"}});
        life.instances().create(&PostParams::default(), &life.instance_object(&given)).await.unwrap();
        rounds(&mut life).await;
        let unapplied = |status: &CrmInstanceStatus| find(&status.conditions, "SettingsApplied").cloned();
        let status = |life: &Life| {
            let instances = life.instances();
            async move { instances.get(INSTANCE).await.unwrap().status.unwrap() }
        };
        let set = |life: &Life, name: &str| {
            let (instances, patch) = (life.instances(), json!({"spec": {"settings": {"company": name}}}));
            async move { instances.patch(INSTANCE, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap() }
        };
        let now = status(&life).await;
        assert!(now.phase == InstancePhase::Ready && unapplied(&now).is_none(), "{now:?}");

        set(&life, "Other").await;
        rounds(&mut life).await;
        let now = status(&life).await;
        let said = unapplied(&now).unwrap_or_else(|| panic!("{now:?}"));
        assert_eq!((said.status.as_str(), said.reason.as_str()), ("False", "OnlyWhenMade"));
        assert!(said.message.contains("of: company.") && !said.message.contains("Other"), "{}", said.message);
        assert_eq!(now.phase, InstancePhase::Ready, "{now:?}");
        let names = "SELECT string_agg(name, ',') FROM company";
        assert_eq!(life.sql("pg-a", names).await.as_deref(), Ok("Acme"), "it was run again");
        life.check_rest().await.unwrap();

        set(&life, "Acme").await;
        rounds(&mut life).await;
        assert!(unapplied(&status(&life).await).is_none());
        // Somebody changed it inside the CRM and says so.
        set(&life, "Other").await;
        rounds(&mut life).await;
        assert!(unapplied(&status(&life).await).is_some());
        // The same of a field that is no setting.
        let renamed = Patch::Merge(json!({"spec": {"displayName": "Acme and Sons"}}));
        life.tenants().patch(&life.name, &PatchParams::default(), &renamed).await.unwrap();
        rounds(&mut life).await;
        let said = unapplied(&status(&life).await).unwrap();
        assert!(
            said.message.contains("of: company, tenant.display_name.") && !said.message.contains("Sons"),
            "{said:?}"
        );
        let forget = Patch::Merge(json!({"metadata": {"annotations": {names::ANNOTATION_MADE_WITH: null}}}));
        life.instances().patch(INSTANCE, &PatchParams::default(), &forget).await.unwrap();
        rounds(&mut life).await;
        assert!(unapplied(&status(&life).await).is_none());
        life.check_rest().await.unwrap();
    });
}
