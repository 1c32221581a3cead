//! Labels of all objects that are made for a tenant or instance. No I/O.

use serde_json::{Map, Value};
use tenantry_core::names;

/// Labels in the order in which they were added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(Vec<(&'static str, String)>);

impl Labels {
    /// The label that marks all objects that the operator makes.
    #[must_use]
    pub fn managed() -> Self {
        Self(vec![(names::LABEL_MANAGED_BY, names::MANAGED_BY.into())])
    }

    /// Adds one label.
    #[must_use]
    pub fn and(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.0.push((key, value.into()));
        self
    }

    /// The labels of a tenant's objects.
    #[must_use]
    pub fn tenant(id: &str, name: &str) -> Self {
        Self::managed().and(names::LABEL_TENANT_ID, id).and(names::LABEL_TENANT, name)
    }

    /// The labels as JSON.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        self.0.iter().map(|(k, v)| ((*k).to_owned(), Value::from(v.clone()))).collect()
    }
}
