//! Whether Archives outlive an accident to their definition. Does I/O; the judgement is pure.

use kube::ResourceExt;
use tenantry_api::archive::Archive;
use tenantry_core::names::FINALIZER_RECORD;

use super::report::{Check, Verdict};
use crate::output::text::{count, some};
use crate::session::Session;

/// The command that gives every Archive the finalizer.
const MEND: &str = "for archive in $(kubectl get archives -o name); do kubectl patch \"$archive\" --type merge -p '{\"metadata\":{\"finalizers\":[\"tenantry.dev/record\"]}}'; done";

/// Looks at all Archives.
pub async fn check(session: &Session) -> Check {
    match session.cluster.read_list(&session.cluster.archives(), "archives", None).await {
        Ok((found, _)) => judged(&found),
        Err(problem) => Check::new(Verdict::Warn, TITLE).line(format!("not checked: {}", problem.what)),
    }
}

const TITLE: &str = "Archives are kept";

/// Archives of an older version have no finalizer, so they would be deleted with their definition.
pub fn judged(found: &[Archive]) -> Check {
    let going: Vec<String> =
        found.iter().filter(|a| a.metadata.deletion_timestamp.is_some()).map(ResourceExt::name_any).collect();
    if !going.is_empty() {
        return Check::new(Verdict::Fail, TITLE)
            .line(format!("deleted, and kept by their finalizer alone: {}", some(&going, 10)))
            .line("nothing of the data is lost; do not take the finalizer away: see \"A definition was deleted\" in docs/protection.md")
            .elsewhere("kubectl get archives -o yaml > archives.yaml");
    }
    let open: Vec<String> = found
        .iter()
        .filter(|a| !a.finalizers().iter().any(|f| f == FINALIZER_RECORD))
        .map(ResourceExt::name_any)
        .collect();
    if open.is_empty() {
        return Check::new(Verdict::Pass, TITLE)
            .line(format!("{}, each with its finalizer", count(found.len(), "archive")));
    }
    Check::new(Verdict::Warn, TITLE)
        .line(format!(
            "of an older version, without the finalizer that keeps them when their definition is deleted: {}",
            some(&open, 10)
        ))
        .elsewhere(MEND)
}
