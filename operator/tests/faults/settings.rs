//! Settings that come from Secrets: missed, found and followed, and mail servers that are away. Does I/O.

use kube::Client;
use kube::api::{ListParams, PostParams};
use serde_json::json;
use tenantry_api::crm_instance::InstancePhase;
use tenantry_api::integration::IntegrationState;
use tenantry_core::names;
use tenantry_operator::cluster::{data_of, dynamic_api, typed};
use tenantry_plan::Kind;

use crate::life::{INSTANCE, Life};
use crate::scenarios::{condition, run};
use crate::world::{World, apply, fixture};

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
    let blueprint = json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "Blueprint",
        "metadata": {"name": life.blueprint}, "spec": spec});
    apply(base, blueprint).await;
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
            assert_eq!(configurations(&life).await, [format!("mail={value}\n")]);
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

#[test]
fn a_mail_server_that_is_away_is_said_once_and_the_instance_is_ready() {
    run(false, |base| async move {
        let mut life = tenant(&base, "away").await;
        let given = json!({"settings": {"mail": "x", "host": "127.0.0.1"}});
        life.instances().create(&PostParams::default(), &life.instance_object(&given)).await.unwrap();
        rounds(&mut life).await;
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
