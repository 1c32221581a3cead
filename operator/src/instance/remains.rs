//! What is left of an instance when it is archived, beside volumes and Secrets. No I/O.

use tenantry_api::archive::KeptDatabase;
use tenantry_api::crm_instance::CrmInstanceSpec;

/// What is kept of an instance beside volumes and Secrets.
#[derive(Debug)]
pub struct Remains {
    /// Its databases.
    pub databases: Vec<KeptDatabase>,
    /// Generation of the data.
    pub generation: u32,
    /// Hash of the release that worked with the data. None means that it is not known.
    pub release_hash: Option<String>,
    /// The object's spec, without secrets.
    pub spec: CrmInstanceSpec,
}
