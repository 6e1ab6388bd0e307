//! The built-in objects that have methods: `.Files` and `.Capabilities.APIVersions` (Helm's documentation, “Built-in Objects”).

use std::collections::BTreeMap;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::glob::{Style, compile};
use super::value::{Budget, Result, Value, fault};
use super::yaml_text::to_yaml;

/// Kubernetes versions when none is given: what the release's k3s is near to.
const KUBERNETES_VERSION: &str = "v1.36.0";
/// What `.Capabilities.HelmVersion.Version` says; charts ask for it to refuse old ones.
const HELM_VERSION: &str = "v3.22.0";
/// The API groups that Helm takes for granted without a cluster (those of client-go).
const API_VERSIONS: &str = include_str!("api_versions.txt");

/// Files of a chart, by name.
#[derive(Clone, Debug)]
pub(in super::super) struct Files(Rc<BTreeMap<Rc<str>, Value>>);

impl Files {
    /// What a chart holds besides templates, values and metadata.
    pub(super) fn of(files: &BTreeMap<&str, &[u8]>) -> Self {
        let is_other = |name: &str| {
            !name.starts_with("templates/")
                && !matches!(name, "Chart.yaml" | "Chart.lock" | "values.yaml" | "values.schema.json")
        };
        let files = files.iter().filter(|(name, _)| is_other(name));
        Self(Rc::new(
            files
                .map(|(name, content)| (Rc::from(*name), Value::text(String::from_utf8_lossy(content))))
                .collect(),
        ))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and contents, sorted by name.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&Rc<str>, &Value)> {
        self.0.iter()
    }

    fn content(&self, name: &str) -> Rc<str> {
        if let Some(Value::Text(text)) = self.0.get(name) { Rc::clone(text) } else { Rc::from("") }
    }

    /// The files by their last names, as `AsConfig` and `AsSecrets` put them into YAML.
    fn by_base_name(&self, change: impl Fn(&str) -> String, budget: &Budget) -> Result<Value> {
        let base = |name: &str| Rc::<str>::from(name.rsplit('/').next().unwrap_or(name));
        let map =
            Value::map(self.0.keys().map(|name| (base(name), Value::text(change(&self.content(name))))));
        Ok(Value::text(to_yaml(&map, budget)?))
    }
}

/// Calls a method. `Ok(None)` if the value has no such method.
pub(super) fn method(
    receiver: &Value,
    name: &str,
    arguments: &[Value],
    budget: &Budget,
) -> Result<Option<Value>> {
    let argument = || match arguments.first() {
        Some(Value::Text(text)) => Ok(text),
        _ => fault(format!("`{name}` takes a text")),
    };
    Ok(Some(match (receiver, name) {
        (Value::ApiVersions, "Has") => {
            let version = argument()?;
            Value::Bool(API_VERSIONS.lines().any(|known| known == &**version))
        }
        (Value::Files(files), "Get" | "GetBytes") => Value::Text(files.content(argument()?)),
        (Value::Files(files), "Lines") => {
            let content = files.content(argument()?);
            Value::list(content.lines().map(Value::text))
        }
        (Value::Files(files), "Glob") => {
            let pattern = argument()?;
            let Some(pattern) = compile(pattern, Style::Extended) else {
                return fault(format!("`{pattern}` is no pattern of file names"));
            };
            let matching = files.0.iter().filter(|(name, _)| pattern.is_match(name));
            Value::Files(Files(Rc::new(
                matching.map(|(name, content)| (Rc::clone(name), content.clone())).collect(),
            )))
        }
        (Value::Files(files), "AsConfig") => files.by_base_name(str::to_owned, budget)?,
        (Value::Files(files), "AsSecrets") => files.by_base_name(|text| STANDARD.encode(text), budget)?,
        _ => return Ok(None),
    }))
}

/// `.Capabilities`
pub(super) fn capabilities(kube_version: Option<&str>) -> Value {
    let version = kube_version.unwrap_or(KUBERNETES_VERSION);
    let version = if version.starts_with('v') { version.to_owned() } else { format!("v{version}") };
    let mut numbers = version[1..].split('.');
    let mut number = || Value::text(numbers.next().unwrap_or_default());
    let (major, minor) = (number(), number());
    let kube = Value::map([
        ("Version", Value::text(version.as_str())),
        ("GitVersion", Value::text(version.as_str())),
        ("Major", major),
        ("Minor", minor),
    ]);
    let helm = Value::map([("Version", Value::text(HELM_VERSION)), ("GoVersion", Value::text("go"))]);
    Value::map([("KubeVersion", kube), ("APIVersions", Value::ApiVersions), ("HelmVersion", helm)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(receiver: &Value, name: &str, argument: &str) -> Value {
        method(receiver, name, &[Value::text(argument)], &Budget::new()).unwrap().unwrap()
    }

    #[test]
    fn files_are_what_is_neither_template_nor_values() {
        let names =
            ["a.yaml", "config/a.conf", "config/b.yaml", "Chart.yaml", "values.yaml", "templates/x.yaml"];
        let files = Value::Files(Files::of(&names.iter().map(|name| (*name, name.as_bytes())).collect()));
        let Value::Files(found) = call(&files, "Glob", "**") else { panic!("no files") };
        let found: Vec<&str> = found.entries().map(|(name, _)| &**name).collect();
        assert_eq!(found, ["a.yaml", "config/a.conf", "config/b.yaml"]);
        assert!(matches!(call(&files, "Get", "a.yaml"), Value::Text(text) if &*text == "a.yaml"));
        assert!(matches!(call(&files, "Get", "Chart.yaml"), Value::Text(text) if text.is_empty()));
        let config =
            method(&call(&files, "Glob", "config/*"), "AsConfig", &[], &Budget::new()).unwrap().unwrap();
        assert!(
            matches!(config, Value::Text(text) if &*text == "a.conf: config/a.conf\nb.yaml: config/b.yaml")
        );
    }
}
