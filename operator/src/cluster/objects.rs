//! Small helpers around untyped objects. No I/O by themselves.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use kube::Client;
use kube::api::{Api, DynamicObject};
use serde::de::DeserializeOwned;
use tenantry_plan::Kind;

use crate::error::Result;

/// The API of a kind of child.
#[must_use]
pub fn dynamic_api(client: &Client, kind: Kind, namespace: Option<&str>) -> Api<DynamicObject> {
    match namespace {
        Some(ns) => Api::namespaced_with(client.clone(), ns, &kind.api()),
        None => Api::all_with(client.clone(), &kind.api()),
    }
}

/// Data of a Secret as text; values that are not UTF-8 are left out.
#[must_use]
pub fn data_of(data: Option<&BTreeMap<String, ByteString>>) -> BTreeMap<String, String> {
    data.into_iter()
        .flatten()
        .filter_map(|(k, v)| String::from_utf8(v.0.clone()).ok().map(|text| (k.clone(), text)))
        .collect()
}

/// Converts an untyped object to its type.
///
/// # Errors
/// [`crate::error::Error::Json`] when the object is of another type.
pub fn typed<K: DeserializeOwned>(object: &DynamicObject) -> Result<K> {
    Ok(serde_json::from_value(serde_json::to_value(object)?)?)
}
