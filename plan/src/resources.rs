//! Requests and limits of processor time and memory: checks each value and whether both fit together. No I/O.

use tenantry_api::plan::Resources;
use tenantry_core::quantity::{InvalidAmount, amount, memory};

/// All problems of requests and limits, each with its place. The API server would report them only when a pod is
/// created.
#[must_use]
pub fn problems(place: &str, resources: &Resources) -> Vec<String> {
    let mut found = Vec::new();
    let mut read = |name: &str, text: Option<&String>, read: fn(&str) -> Result<u128, InvalidAmount>| match read(text?)
    {
        Ok(amount) => Some(amount),
        Err(e) => {
            found.push(format!("{place}.{name}: {e}"));
            None
        }
    };
    let cpu = (
        read("cpuRequest", resources.cpu_request.as_ref(), amount),
        read("cpuLimit", resources.cpu_limit.as_ref(), amount),
    );
    let memory = (
        read("memoryRequest", resources.memory_request.as_ref(), memory),
        read("memoryLimit", resources.memory_limit.as_ref(), memory),
    );
    for (name, pair) in [("cpu", cpu), ("memory", memory)] {
        if let (Some(request), Some(limit)) = pair
            && request > limit
        {
            found.push(format!("{place}.{name}Request is above {name}Limit"));
        }
    }
    found
}

/// Where a value comes from. The stronger source stands first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// The plan, which is the contract.
    Plan,
    /// The process itself.
    Own,
    /// Neither: it is a default.
    Default,
}

/// Adjusts a request above its limit when the two come from different sources: the value of the weaker source is set to
/// that of the stronger. Two values of the same source stay as they are.
pub(crate) fn fitted(request: (Source, String), limit: (Source, String)) -> (String, String) {
    let above = matches!((amount(&request.1), amount(&limit.1)), (Ok(r), Ok(l)) if r > l);
    match request.0.cmp(&limit.0) {
        std::cmp::Ordering::Less if above => (request.1.clone(), request.1),
        std::cmp::Ordering::Greater if above => (limit.1.clone(), limit.1),
        _ => (request.1, limit.1),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(resources: serde_json::Value) -> String {
        problems("processes[web].resources", &serde_json::from_value(resources).unwrap()).join("; ")
    }

    #[test]
    fn what_the_api_server_would_refuse_is_told_with_its_place() {
        assert_eq!(told(json!({ "cpuRequest": "50m", "memoryRequest": "128Mi", "memoryLimit": "1Gi" })), "");
        assert_eq!(told(json!({})), "");
        for (resources, words) in [
            (
                json!({ "memoryLimit": "64MB" }),
                "processes[web].resources.memoryLimit: \"64MB\" is not a quantity: write 64M",
            ),
            (
                json!({ "memoryRequest": "512MiB" }),
                "resources.memoryRequest: \"512MiB\" is not a quantity: write 512Mi",
            ),
            (json!({ "cpuLimit": "0,5" }), "resources.cpuLimit: \"0,5\" is not a quantity: write 0.5"),
            (json!({ "memoryRequest": "2Gi", "memoryLimit": "1Gi" }), "resources.memoryRequest is above memoryLimit"),
            (json!({ "cpuRequest": "1", "cpuLimit": "500m" }), "resources.cpuRequest is above cpuLimit"),
            (json!({ "memoryLimit": "512m" }), "write 512Mi"),
        ] {
            let said = told(resources.clone());
            assert!(said.contains(words), "{resources}: {said}");
        }
    }

    #[test]
    fn of_two_sources_the_weaker_follows() {
        let pair =
            |r: Source, request: &str, l: Source, limit: &str| fitted((r, request.to_owned()), (l, limit.to_owned()));
        let both = |text: &str| (text.to_owned(), text.to_owned());
        assert_eq!(pair(Source::Default, "128Mi", Source::Own, "64Mi"), both("64Mi"));
        assert_eq!(pair(Source::Plan, "1Gi", Source::Own, "512Mi"), both("1Gi"));
        assert_eq!(pair(Source::Own, "1Gi", Source::Plan, "512Mi"), both("512Mi"));
        assert_eq!(pair(Source::Own, "64Mi", Source::Default, "512Mi"), ("64Mi".into(), "512Mi".into()));
        assert_eq!(pair(Source::Own, "2Gi", Source::Own, "1Gi"), ("2Gi".into(), "1Gi".into()));
    }
}
