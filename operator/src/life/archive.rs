//! The Archive that remains of an object: stored once. Does I/O (Kubernetes).

use kube::api::Api;
use tenantry_api::archive::Archive;

use crate::cluster::post_params;
use crate::context::Ctx;
use crate::error::Error;

/// Stores an archive. An archive that exists already, from before a crash, stays as it is.
///
/// # Errors
/// [`Error::Kube`].
pub async fn store(ctx: &Ctx, archive: &Archive) -> crate::error::Result<()> {
    let api: Api<Archive> = Api::all(ctx.client.clone());
    match api.create(&post_params(), archive).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(e) => Err(Error::kube("store the archive")(e)),
    }
}
