//! Is the cluster fit: version, definitions, storage, ingress, Site. Does I/O; judgements are pure.

use k8s_openapi::api::networking::v1::IngressClass;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, ResourceExt};
use tenantry_api::site::{Site, SiteSpec};
use tenantry_core::names::SITE_NAME;
use tenantry_core::zone;

use super::report::{Check, Verdict};
use crate::change::fields::differences;
use crate::session::Session;

/// Oldest minor version of Kubernetes 1: ValidatingAdmissionPolicies exist since this version.
const OLDEST: u32 = 30;

/// All checks of the cluster.
pub async fn checks(session: &Session) -> Vec<Check> {
    let client = &session.cluster.client;
    let version = match client.apiserver_version().await {
        Ok(info) => version(&info.git_version, &info.major, &info.minor),
        Err(e) => {
            let problem = crate::error::api::problem("ask for the version", &e);
            return vec![Check::from_problem("The cluster answers", &problem)];
        }
    };
    let mut all = vec![version];
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    all.push(match session.cluster.list(&crds, "definitions", None).await {
        Ok(found) => definitions(&found),
        Err(problem) => Check::from_problem("Definitions", &problem),
    });
    if all.iter().any(|c| c.verdict == Verdict::Fail && c.is_ground) {
        return all;
    }
    let site = Api::<Site>::all(client.clone()).get_opt(SITE_NAME).await.ok().flatten();
    all.push(site_check(site.as_ref()));
    let spec = site.map(|s| s.spec);
    all.extend(spec.as_ref().map(admitted));
    let classes = session.cluster.list(&Api::<StorageClass>::all(client.clone()), "storage classes", None).await;
    all.push(match classes {
        Ok(found) => storage(&found, spec.as_ref()),
        Err(problem) => unseen("Storage class", &problem.what),
    });
    let classes = session.cluster.list(&Api::<IngressClass>::all(client.clone()), "ingress classes", None).await;
    all.push(match classes {
        Ok(found) => ingress(&found, spec.as_ref()),
        Err(problem) => unseen("Ingress class", &problem.what),
    });
    all
}

fn unseen(title: &str, why: &str) -> Check {
    Check::new(Verdict::Warn, title).line(format!("not checked: {why}"))
}

/// Whether the version of Kubernetes is new enough.
pub fn version(shown: &str, major: &str, minor: &str) -> Check {
    let number =
        |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u32>().unwrap_or(0);
    let fit = number(major) > 1 || number(minor) >= OLDEST;
    let verdict = if fit { Verdict::Pass } else { Verdict::Fail };
    Check::new(verdict, "Kubernetes version").line(format!("{shown}; 1.{OLDEST} or newer is needed"))
}

/// Whether our definitions exist, are established, and are the definitions of this program.
pub fn definitions(found: &[CustomResourceDefinition]) -> Check {
    let (mut missing, mut other, mut waiting, mut going) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ours in tenantry_api::definitions() {
        let name = ours.name_any();
        match found.iter().find(|f| f.name_any() == name) {
            None => missing.push(name),
            Some(live) if live.metadata.deletion_timestamp.is_some() => going.push(name),
            Some(live) if !established(live) => waiting.push(name),
            Some(live) if schema(live) != schema(&ours) => other.push(first_difference(&name, live, &ours)),
            Some(_) => {}
        }
    }
    let title = "Definitions";
    let wanted = tenantry_api::definitions().len();
    if !missing.is_empty() {
        let check = Check::new(Verdict::Fail, title).line(format!("not installed: {}", missing.join(", ")));
        let check = if missing.len() == wanted { check.ground() } else { check };
        return check.help("install");
    }
    if !going.is_empty() {
        return Check::new(Verdict::Fail, title)
            .line(format!("being deleted: {}", going.join(", ")))
            .line("objects with a finalizer stay: take none away before docs/protection.md was read, \"A definition was deleted\"");
    }
    if !waiting.is_empty() {
        return Check::new(Verdict::Fail, title)
            .line(format!("not established by the API server: {}", waiting.join(", ")));
    }
    if !other.is_empty() {
        return Check::new(Verdict::Warn, title)
            .line(format!("of another version than this program: {}", other.join(", ")))
            .help("version")
            .help("install");
    }
    Check::new(Verdict::Pass, title).line(format!("all {wanted} are installed, of the version of this program"))
}

fn established(crd: &CustomResourceDefinition) -> bool {
    let conditions = crd.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == "Established" && c.status == "True")
}

/// The name, and the first field that differs.
fn first_difference(name: &str, live: &CustomResourceDefinition, ours: &CustomResourceDefinition) -> String {
    let found = differences(&schema(live).unwrap_or_default(), &schema(ours).unwrap_or_default());
    found.first().map_or_else(|| name.to_owned(), |f| format!("{name} (at {})", f.path))
}

fn schema(crd: &CustomResourceDefinition) -> Option<serde_json::Value> {
    let version = crd.spec.versions.iter().find(|v| v.name == tenantry_api::VERSION)?;
    serde_json::to_value(version.schema.as_ref()?).ok()
}

fn site_check(site: Option<&Site>) -> Check {
    match site {
        Some(site) => match zone::check(&site.spec.time_zone) {
            Ok(()) => {
                Check::new(Verdict::Pass, "Site").line(format!("{} · time zone {}", site.spec.id, site.spec.time_zone))
            }
            Err(e) => Check::new(Verdict::Fail, "Site")
                .line(format!("spec.timeZone: {e}"))
                .elsewhere("kubectl patch site site --type merge -p '{\"spec\":{\"timeZone\":\"ZONE\"}}'"),
        },
        None => Check::new(Verdict::Fail, "Site")
            .line("this cluster has no Site: nothing knows how the world reaches it, and nothing can be billed")
            .help("install --site-id ID"),
    }
}

/// Whether the Site's network rules let people's requests in.
pub fn admitted(site: &SiteSpec) -> Check {
    let title = "Requests are let in";
    match site.lets_nobody_in() {
        Some(text) => Check::new(Verdict::Warn, title).line(format!("the Site's {text}")),
        None => {
            let from: Vec<String> = site.ingress_namespaces.iter().chain(&site.ingress_cidrs).cloned().collect();
            Check::new(Verdict::Pass, title).line(format!("from {}", from.join(", ")))
        }
    }
}

/// Whether volumes will find a storage class.
pub fn storage(found: &[StorageClass], site: Option<&SiteSpec>) -> Check {
    let title = "Storage class";
    let names: Vec<String> = found.iter().map(ResourceExt::name_any).collect();
    if let Some(wanted) = site.and_then(|s| s.storage_class.as_ref()) {
        return if names.contains(wanted) {
            Check::new(Verdict::Pass, title).line(format!("{wanted}, as the Site says"))
        } else {
            Check::new(Verdict::Fail, title)
                .line(format!("the Site wants {wanted}, which does not exist; there are: {}", names.join(", ")))
        };
    }
    let default = |c: &&StorageClass| {
        c.annotations().get("storageclass.kubernetes.io/is-default-class").is_some_and(|v| v == "true")
    };
    match found.iter().filter(default).map(ResourceExt::name_any).collect::<Vec<_>>().as_slice() {
        [one] => Check::new(Verdict::Pass, title).line(format!("{one} is the default")),
        [] => Check::new(Verdict::Fail, title)
            .line("none is the default and the Site names none: volumes would wait for ever")
            .elsewhere("kubectl annotate storageclass NAME storageclass.kubernetes.io/is-default-class=true"),
        several => Check::new(Verdict::Warn, title).line(format!("several are the default: {}", several.join(", "))),
    }
}

/// Whether an ingress controller will take charge of our Ingresses.
pub fn ingress(found: &[IngressClass], site: Option<&SiteSpec>) -> Check {
    let title = "Ingress class";
    let names: Vec<String> = found.iter().map(ResourceExt::name_any).collect();
    if let Some(wanted) = site.and_then(|s| s.ingress.class_name.as_ref()) {
        return if names.contains(wanted) {
            Check::new(Verdict::Pass, title).line(format!("{wanted}, as the Site says"))
        } else {
            Check::new(Verdict::Fail, title)
                .line(format!("the Site wants {wanted}, which does not exist; there are: {}", names.join(", ")))
        };
    }
    let default = |c: &&IngressClass| {
        c.annotations().get("ingressclass.kubernetes.io/is-default-class").is_some_and(|v| v == "true")
    };
    match found.iter().find(default) {
        Some(one) => Check::new(Verdict::Pass, title).line(format!("{} is the default", one.name_any())),
        None => Check::new(Verdict::Fail, title)
            .line(format!(
                "none is the default and the Site names none: no URL would answer; there are: {}",
                if names.is_empty() { "none".into() } else { names.join(", ") }
            ))
            .elsewhere("kubectl patch site site --type merge -p '{\"spec\":{\"ingress\":{\"className\":\"NAME\"}}}'"),
    }
}
