//! How pods fetch images from registries that need credentials: several Secrets in the operator's namespace are merged
//! into one, which is copied to where pods run. No I/O.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::Settings;
use crate::child::{Child, Kind};
use crate::labels::Labels;

/// Name of the merged Secret in each namespace in which Tenantry starts pods.
pub const PULL_SECRET: &str = "tenantry-image-pull";
/// Type of a Secret with such credentials. Kubelets know only this type and one older type.
pub const PULL_TYPE: &str = "kubernetes.io/dockerconfigjson";
/// The only key of such a Secret.
pub const PULL_KEY: &str = ".dockerconfigjson";
/// Maximum size of the merged Secret in bytes. The API server accepts no Secret above 1 MiB.
const MOST: usize = 512 * 1024;

/// Type and data of a Secret that the Site names. `None` means that no Secret of that name exists.
pub type Found = Option<(String, BTreeMap<String, Vec<u8>>)>;

/// The result of merging all Secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// Content of the merged Secret. None means that no Secret could be used.
    pub content: Option<String>,
    /// The problems, one for each Secret.
    pub problems: Vec<String>,
}

impl std::fmt::Debug for Merged {
    // Passwords must never get into a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = self.content.as_ref().map(String::len);
        f.debug_struct("Merged").field("bytes", &shown).field("problems", &self.problems).finish()
    }
}

/// Merges the registries of several Secrets. If more than one names a registry, the first one wins, as a kubelet would
/// try it first.
#[must_use]
pub fn merge(named: &[(String, Found)]) -> Merged {
    let (mut auths, mut problems) = (Map::new(), Vec::new());
    for (name, found) in named {
        match registries(found.as_ref()) {
            Ok(more) => {
                for (registry, access) in more {
                    auths.entry(registry).or_insert(access);
                }
            }
            Err(why) => problems.push(format!("Secret {name:?} {why}")),
        }
    }
    let content = (!auths.is_empty()).then(|| json!({ "auths": auths }).to_string());
    let content = content.filter(|text| {
        let fits = text.len() <= MOST;
        if !fits {
            problems.push(format!("together they hold more than {} KiB", MOST / 1024));
        }
        fits
    });
    Merged { content, problems }
}

fn registries(found: Option<&(String, BTreeMap<String, Vec<u8>>)>) -> Result<Map<String, Value>, String> {
    let Some((type_, data)) = found else { return Err("does not exist".into()) };
    if type_ != PULL_TYPE {
        return Err(format!("is of type {type_:?}, not {PULL_TYPE}"));
    }
    let text = data.get(PULL_KEY).ok_or_else(|| format!("has no key {PULL_KEY}"))?;
    // The parser's own message is left out, because it may quote the text.
    let config: Value = serde_json::from_slice(text).map_err(|_| format!("has no JSON under {PULL_KEY}"))?;
    match config.get("auths").and_then(Value::as_object) {
        Some(auths) if !auths.is_empty() && auths.values().all(Value::is_object) => Ok(auths.clone()),
        _ => Err(format!("names no registry with its credentials under {PULL_KEY} (`auths`)")),
    }
}

/// The merged Secret for a namespace.
#[must_use]
pub fn build_pull_secret(namespace: &str, labels: &Labels, content: &str) -> Child {
    let rest = json!({ "type": PULL_TYPE, "stringData": { PULL_KEY: content } });
    Child::new(Kind::Secret, Some(namespace), PULL_SECRET, labels, rest)
}

/// Lets a pod fetch its images with the merged Secret, if the Site names any credentials.
pub fn allow(pod_spec: &mut Value, settings: &Settings) {
    if !settings.site.image_pull_secrets.is_empty() {
        pod_spec["imagePullSecrets"] = json!([{ "name": PULL_SECRET }]);
    }
}

/// Whether a workload can still start pods that fetch their images with the merged Secret. A job that has ended starts
/// no pods.
#[must_use]
pub fn is_allowed(workload: &Value) -> bool {
    let places = ["/spec/template/spec/imagePullSecrets", "/spec/jobTemplate/spec/template/spec/imagePullSecrets"];
    let mut named = places.iter().filter_map(|at| workload.pointer(at)?.as_array()).flatten();
    let ended = workload.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let ended = ended.filter(|c| c["status"] == "True").any(|c| c["type"] == "Complete" || c["type"] == "Failed");
    named.any(|one| one["name"] == PULL_SECRET) && !ended
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(type_: &str, text: &str) -> Found {
        Some((type_.to_owned(), BTreeMap::from([(PULL_KEY.to_owned(), text.as_bytes().to_vec())])))
    }

    fn all(found: Vec<Found>) -> Merged {
        let names = ["first", "second", "third"];
        merge(&names.into_iter().map(str::to_owned).zip(found).collect::<Vec<_>>())
    }

    #[test]
    fn what_several_say_is_put_together_and_the_first_that_names_a_registry_wins() {
        let merged = all(vec![
            secret(PULL_TYPE, r#"{"auths":{"registry.acme.vn":{"auth":"YTpi"}},"credsStore":"desktop"}"#),
            secret(PULL_TYPE, r#"{"auths":{"registry.acme.vn":{"auth":"b3RoZXI="},"quay.example":{"auth":"YzpE"}}}"#),
        ]);
        assert_eq!(merged.problems, Vec::<String>::new());
        let content: Value = serde_json::from_str(&merged.content.unwrap()).unwrap();
        let expected =
            json!({ "auths": { "registry.acme.vn": { "auth": "YTpi" }, "quay.example": { "auth": "YzpE" } } });
        assert_eq!(content, expected, "and nothing else of them is copied");
    }

    #[test]
    fn what_cannot_be_used_is_said_without_its_content_and_the_others_count() {
        let merged = all(vec![
            None,
            secret("Opaque", r#"{"auths":{"a.example":{"auth":"geheim"}}}"#),
            secret(PULL_TYPE, r#"{"auths":{"a.example":{"auth":"YTpi"}}}"#),
        ]);
        assert_eq!(merged.problems.len(), 2, "{:?}", merged.problems);
        assert!(merged.problems[0].contains("\"first\" does not exist"), "{:?}", merged.problems);
        assert!(merged.problems[1].contains("Opaque") && merged.problems[1].contains(PULL_TYPE));
        assert!(merged.content.as_ref().unwrap().contains("YTpi") && !format!("{merged:?}").contains("YTpi"));
        for text in ["geheim", r#"{"auths":{}}"#, r#"{"auths":{"a.example":"geheim"}}"#, r#"["geheim"]"#] {
            let merged = all(vec![secret(PULL_TYPE, text)]);
            assert_eq!((merged.content.as_ref(), merged.problems.len()), (None, 1), "{text}");
            assert!(!merged.problems[0].contains("geheim"), "{:?}", merged.problems);
        }
        let long = format!(r#"{{"auths":{{"a.example":{{"auth":"{}"}}}}}}"#, "x".repeat(MOST));
        let merged = all(vec![secret(PULL_TYPE, &long)]);
        assert!(merged.content.is_none() && merged.problems[0].contains("512 KiB"), "{:?}", merged.problems);
    }
}
