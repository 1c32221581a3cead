//! The size of an instance as options of `create` and `set`, and what they make of a spec. No I/O.

use serde_json::{Map, Value, json};
use tenantry_api::blueprint::BlueprintSpec;
use tenantry_api::scheduling::Toleration;

use crate::error::{Problem, near};

/// How many pods run, and on which nodes.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Size and place")]
pub struct Size {
    /// Pods of a process, for example web=2, or web=default for the blueprint's number; can be repeated
    #[arg(long = "replicas", value_name = "PROCESS=N", value_parser = replicas)]
    pub replicas: Vec<(String, Option<u32>)>,
    /// Label that a node must have, KEY- to take one away, or `none` for any node; can be repeated
    #[arg(long = "node-selector", value_name = "KEY=VALUE", value_parser = selector)]
    pub node_selector: Vec<Selector>,
    /// Taint that does not keep it away, or `none` to take all away; can be repeated, and replaces what was there
    #[arg(long = "toleration", value_name = "KEY[=VALUE][:EFFECT]", value_parser = toleration)]
    pub tolerations: Vec<Borne>,
    /// Whether several pods of one process prefer different nodes
    #[arg(long, value_name = "YES|NO", value_parser = clap::builder::BoolishValueParser::new())]
    pub spread: Option<bool>,
}

/// What `--node-selector` said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// A label with its value.
    Label(String, String),
    /// A label that is no longer asked for.
    Without(String),
    /// Any node will do.
    Any,
}

/// What `--toleration` said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Borne {
    /// A taint.
    Taint(Box<Toleration>),
    /// No taint at all.
    None,
}

fn replicas(text: &str) -> Result<(String, Option<u32>), String> {
    let wrong = || format!("{text:?} is not PROCESS=N; write for example web=2 or web=default");
    let (process, number) = text.split_once('=').filter(|(p, _)| !p.is_empty()).ok_or_else(wrong)?;
    let number = match number {
        "default" => None,
        n => Some(n.parse().ok().filter(|n| (1..=50).contains(n)).ok_or_else(wrong)?),
    };
    Ok((process.to_owned(), number))
}

fn selector(text: &str) -> Result<Selector, String> {
    match (text.split_once('='), text.strip_suffix('-')) {
        (Some((key, value)), _) if !key.is_empty() => Ok(Selector::Label(key.to_owned(), value.to_owned())),
        (None, Some(key)) if !key.is_empty() => Ok(Selector::Without(key.to_owned())),
        (None, None) if text == "none" => Ok(Selector::Any),
        _ => Err(format!("{text:?} is not KEY=VALUE, KEY- or none")),
    }
}

fn toleration(text: &str) -> Result<Borne, String> {
    if text == "none" {
        return Ok(Borne::None);
    }
    let wrong =
        || format!("{text:?} is not KEY[=VALUE][:EFFECT] with effect NoSchedule, PreferNoSchedule or NoExecute");
    let (taint, effect) = text.rsplit_once(':').map_or((text, None), |(taint, effect)| (taint, Some(effect)));
    let (key, value) = taint.split_once('=').map_or((taint, None), |(key, value)| (key, Some(value)));
    if key.is_empty() {
        return Err(wrong());
    }
    let operator = if value.is_some() { "Equal" } else { "Exists" };
    let made = json!({ "key": key, "operator": operator, "value": value, "effect": effect });
    serde_json::from_value(made).map(|t| Borne::Taint(Box::new(t))).map_err(|_| wrong())
}

impl Size {
    /// The fields of a spec that this sets, as a merge patch: null takes a field away.
    pub fn patch(&self) -> Map<String, Value> {
        let mut spec = Map::new();
        if !self.replicas.is_empty() {
            let wishes: Map<String, Value> = self.replicas.iter().map(|(p, n)| (p.clone(), json!(n))).collect();
            spec.insert("replicas".into(), wishes.into());
        }
        let mut scheduling = Map::new();
        if self.node_selector.contains(&Selector::Any) {
            scheduling.insert("nodeSelector".into(), Value::Null);
        } else if !self.node_selector.is_empty() {
            let label = |s: &Selector| match s {
                Selector::Label(key, value) => (key.clone(), json!(value)),
                Selector::Without(key) => (key.clone(), Value::Null),
                Selector::Any => (String::new(), Value::Null),
            };
            let labels: Map<String, Value> = self.node_selector.iter().map(label).collect();
            scheduling.insert("nodeSelector".into(), labels.into());
        }
        if !self.tolerations.is_empty() {
            let taint = |b: &Borne| match b {
                Borne::Taint(taint) => Some(json!(taint)),
                Borne::None => None,
            };
            let all: Vec<Value> = self.tolerations.iter().filter_map(taint).collect();
            scheduling.insert("tolerations".into(), if all.is_empty() { Value::Null } else { all.into() });
        }
        if let Some(spread) = self.spread {
            scheduling.insert("spread".into(), spread.into());
        }
        if !scheduling.is_empty() {
            spec.insert("scheduling".into(), scheduling.into());
        }
        spec
    }

    /// Whether a blueprint has the processes and allows so many pods of them.
    pub fn fits(&self, name: &str, spec: &BlueprintSpec) -> Result<(), Problem> {
        let show = format!("blueprint show {name}");
        for (process, wished) in &self.replicas {
            let Some(found) = spec.processes.iter().find(|p| &p.name == process) else {
                let known = spec.processes.iter().map(|p| p.name.clone()).collect();
                return Err(near::missing(&format!("process of blueprint {name}"), process, known, &show));
            };
            let most = found.replicas.max;
            if wished.is_some_and(|n| n > most) {
                return Err(Problem::refused(format!("blueprint {name} bears {most} pods of {process} at most"))
                    .safe("nothing was changed")
                    .next("what it bears", show));
            }
        }
        Ok(())
    }
}

/// A merge patch without nulls, for something that does not exist yet: there is nothing to remove.
pub fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().map(|(k, v)| (k, without_nulls(v))).filter(|(_, v)| !v.is_null());
            Value::Object(kept.collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        size: Size,
    }

    fn size(words: &[&str]) -> Result<Size, clap::Error> {
        Line::try_parse_from(std::iter::once("set").chain(words.iter().copied())).map(|l| l.size)
    }

    #[test]
    fn a_size_becomes_a_patch_that_sets_and_takes_away() {
        let words = [
            "--replicas",
            "web=2",
            "--replicas",
            "worker=default",
            "--node-selector",
            "pool=acme",
            "--node-selector",
            "old-",
            "--toleration",
            "for=acme:NoSchedule",
            "--toleration",
            "big",
            "--spread",
            "no",
        ];
        assert_eq!(
            Value::Object(size(&words).unwrap().patch()),
            json!({
                "replicas": { "web": 2, "worker": null },
                "scheduling": {
                    "nodeSelector": { "pool": "acme", "old": null },
                    "tolerations": [
                        { "key": "for", "operator": "Equal", "value": "acme", "effect": "NoSchedule" },
                        { "key": "big", "operator": "Exists" },
                    ],
                    "spread": false,
                },
            })
        );
        let nothing = size(&["--node-selector", "none", "--toleration", "none"]).unwrap().patch();
        assert_eq!(Value::Object(nothing), json!({ "scheduling": { "nodeSelector": null, "tolerations": null } }));
        assert_eq!(size(&[]).unwrap().patch(), Map::new());
        let new = without_nulls(json!({ "replicas": { "web": 2, "worker": null }, "scheduling": null }));
        assert_eq!(new, json!({ "replicas": { "web": 2 } }));
    }

    #[test]
    fn what_is_no_size_is_refused_with_an_example() {
        for (words, said) in [
            (["--replicas", "web"], "web=2"),
            (["--replicas", "web=0"], "web=2"),
            (["--replicas", "web=51"], "web=2"),
            (["--node-selector", "pool"], "KEY=VALUE"),
            (["--toleration", "a:Never"], "NoSchedule"),
            (["--toleration", ":NoSchedule"], "NoSchedule"),
        ] {
            let error = size(&words).unwrap_err().to_string();
            assert!(error.contains(said), "{words:?}: {error}");
        }
    }
}
