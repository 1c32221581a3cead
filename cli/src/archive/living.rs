//! Kinds that people change, and that are archived when they are deleted. No I/O by itself.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use crate::listing::Listed;
use crate::session::Session;

/// A kind that people change, and that is archived when it is deleted.
pub trait Living: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Listed {
    /// The kind's word in commands, for example `tenant`.
    const WORD: &'static str;
    /// The API that serves this object.
    fn api(&self, session: &Session) -> Api<Self>;
    /// The object's phase in one word, and its conditions.
    fn state(&self) -> (String, &[Condition]);
}
