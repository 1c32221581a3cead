//! The field manager of the operator: every write carries this one name, whatever verb it uses. No I/O.

use kube::api::{PatchParams, PostParams};
pub use tenantry_plan::child::FIELD_MANAGER;

/// Parameters of an apply. The operator takes over fields that somebody else has changed.
#[must_use]
pub fn apply_params() -> PatchParams {
    PatchParams::apply(FIELD_MANAGER).force()
}

/// Parameters of a patch that changes single fields.
#[must_use]
pub fn patch_params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() }
}

/// Parameters of a creation or a replacement.
#[must_use]
pub fn post_params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() }
}
