//! Whether a volume claim can grow, for planning. Does I/O (reads).

use k8s_openapi::api::storage::v1::StorageClass;
use kube::Api;
use tenantry_plan::Claim;

use crate::session::Session;

/// Finds out whether a claim that should be larger can grow. Without the right to read storage classes the answer is
/// yes.
pub async fn look(session: &Session, claim: &mut Claim, wanted: u64) {
    if !claim.is_short_of(wanted) {
        return;
    }
    let classes: Api<StorageClass> = Api::all(session.cluster.client.clone());
    claim.grows = match claim.class.as_deref().filter(|name| !name.is_empty()) {
        None => false,
        Some(name) => match classes.get_opt(name).await {
            Ok(class) => class.and_then(|c| c.allow_volume_expansion) == Some(true),
            Err(_) => true,
        },
    };
}
