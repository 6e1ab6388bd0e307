//! Renders a chart without Helm: the rules of `helm template`, in as much as images depend on them.
//!
//! The outcome is meant to be what Helm's is. Where it cannot be, the template is reported with its line, and what it would have said is left to a
//! coarser search; nothing is made up.

mod functions;
mod machine;
mod objects;
mod print;
mod template;
mod value;
mod yaml_text;

use std::collections::BTreeMap;
use std::rc::Rc;

use super::chart::Chart;
use super::yaml::Node;
pub(super) use functions::is_in_range;
use machine::Machine;
pub(super) use machine::Output;
use objects::{Files, capabilities};
pub(super) use print::number;
use template::{Template, parse};
pub(super) use value::Fault;
use value::{Budget, Value};
use yaml_text::to_yaml;

/// What Go prints for a value that is not there, and Helm takes out again.
const NO_VALUE: &str = "<no value>";
/// Names that every release has here; charts put them into names of objects, not of images.
pub(super) const RELEASE_NAME: &str = "release-name";
pub(super) const NAMESPACE: &str = "default";

/// A template that was rendered, the beginning of it at least.
#[derive(Debug)]
pub(super) struct Rendered {
    /// The template's path in the chart that was read.
    pub(super) file: String,
    pub(super) output: Output,
}

/// A template that could not be rendered to its end.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) file: String,
    pub(super) line: u32,
    pub(super) why: String,
    /// The template itself, to be searched as text.
    pub(super) text: String,
}

/// Renders a chart and its subcharts with the values that belong to it.
pub(super) fn render(
    chart: &Chart<'_>,
    values: &Node,
    kube_version: Option<&str>,
) -> (Vec<Rendered>, Vec<Failure>) {
    let shared = Shared { release: release(), capabilities: capabilities(kube_version) };
    let mut units = Vec::new();
    collect(chart, &chart.name, &Value::of(values), true, &shared, &mut units);
    // Helm parses what lies deepest first, so that a parent's named templates win, and renders in the same order.
    units.sort_by(|a, b| (b.name.matches('/').count(), &b.name).cmp(&(a.name.matches('/').count(), &a.name)));

    let (mut rendered, mut failures) = (Vec::new(), Vec::new());
    let mut named = BTreeMap::new();
    let mut mains = Vec::new();
    for unit in &units {
        match parse(&Rc::from(unit.file.as_str()), &unit.text) {
            Ok(parsed) => {
                named.insert(unit.name.clone(), Rc::clone(&parsed.main));
                for (name, template) in parsed.defined {
                    define(&mut named, name, template);
                }
                mains.push((unit, parsed.main));
            }
            Err((line, why)) => {
                failures.push(Failure { file: unit.file.clone(), line, why, text: unit.text.clone() });
            }
        }
    }
    let machine = Machine::new(named);
    for (unit, template) in mains.into_iter().filter(|(unit, _)| unit.is_rendered) {
        let about =
            [("Name", Value::text(unit.name.as_str())), ("BasePath", Value::text(unit.base_path.as_str()))];
        if let Value::Map(context) = &unit.context {
            context.borrow_mut().insert(Rc::from("Template"), Value::map(about));
        }
        let (output, trace) = machine.render(&template, unit.context.clone());
        rendered.push(Rendered { file: unit.file.clone(), output });
        failures.extend(trace.map(|trace| Failure {
            file: unit.file.clone(),
            line: trace.line,
            why: trace.why,
            text: unit.text.clone(),
        }));
    }
    (rendered, failures)
}

/// A tree as YAML, for Helm to read.
pub(super) fn yaml_of(node: &Node) -> Result<String, Fault> {
    to_yaml(&Value::of(node), &Budget::new())
}

/// A template file of a chart in the tree.
struct Unit {
    /// As Helm names it: `app/charts/redis/templates/pod.yaml`.
    name: String,
    /// Its path in the chart that was read.
    file: String,
    base_path: String,
    text: String,
    context: Value,
    is_rendered: bool,
}

struct Shared {
    release: Value,
    capabilities: Value,
}

/// Gathers the templates of a chart and of those below it, and says what the chart's templates see as `.`.
fn collect(
    chart: &Chart<'_>,
    full_name: &str,
    values: &Value,
    is_root: bool,
    shared: &Shared,
    units: &mut Vec<Unit>,
) -> Value {
    let subcharts = Value::map::<&str>([]);
    let context = Value::map([
        ("Chart", metadata(chart, is_root)),
        ("Files", Value::Files(Files::of(&chart.files))),
        ("Release", shared.release.clone()),
        ("Capabilities", shared.capabilities.clone()),
        ("Values", values.clone()),
        ("Subcharts", subcharts.clone()),
    ]);
    for child in &chart.children {
        let below = values.get(&child.name).unwrap_or_else(|| Value::map::<&str>([]));
        let child_context =
            collect(child, &format!("{full_name}/charts/{}", child.name), &below, false, shared, units);
        if let Value::Map(subcharts) = &subcharts {
            subcharts.borrow_mut().insert(Rc::from(child.name.as_str()), child_context);
        }
    }
    for (path, content) in chart.files.iter().filter(|(path, _)| path.starts_with("templates/")) {
        let base_name = path.rsplit('/').next().unwrap_or(path);
        let is_partial = base_name.starts_with('_');
        if chart.is_library() && !is_partial {
            continue;
        }
        units.push(Unit {
            name: format!("{full_name}/{path}"),
            file: chart.path(path),
            base_path: format!("{full_name}/templates"),
            text: String::from_utf8_lossy(content).into_owned(),
            context: context.clone(),
            is_rendered: !is_partial && base_name != "NOTES.txt",
        });
    }
    context
}

/// An empty template does not take the place of one that says something (text/template, `AddParseTree`).
fn define(named: &mut BTreeMap<String, Rc<Template>>, name: String, template: Rc<Template>) {
    if !template.body.is_empty_tree() || !named.contains_key(&name) {
        named.insert(name, template);
    }
}

fn release() -> Value {
    Value::map([
        ("Name", Value::text(RELEASE_NAME)),
        ("Namespace", Value::text(NAMESPACE)),
        ("Service", Value::text("Helm")),
        ("Revision", Value::Int(1)),
        ("IsInstall", Value::Bool(true)),
        ("IsUpgrade", Value::Bool(false)),
    ])
}

/// `.Chart`: the keys of `Chart.yaml`, spelled as Go's fields.
fn metadata(chart: &Chart<'_>, is_root: bool) -> Value {
    const TEXTS: [&str; 9] =
        ["home", "version", "description", "icon", "condition", "tags", "appVersion", "kubeVersion", "type"];
    let text = |key: &str| Value::text(chart.metadata_text(key).unwrap_or_default());
    let part = |key: &str, empty: Value| chart.metadata.get(key).map_or(empty, Value::of);
    let capital = |key: &str| key[..1].to_ascii_uppercase() + &key[1..];
    let texts = TEXTS.iter().map(|key| (capital(key), text(key)));
    let rest = [
        ("Name", Value::text(chart.name.as_str())),
        ("APIVersion", text("apiVersion")),
        ("Deprecated", part("deprecated", Value::Bool(false))),
        ("Annotations", part("annotations", Value::map::<&str>([]))),
        ("Keywords", part("keywords", Value::list([]))),
        ("Sources", part("sources", Value::list([]))),
        ("Maintainers", part("maintainers", Value::list([]))),
        ("Dependencies", part("dependencies", Value::list([]))),
        ("IsRoot", Value::Bool(is_root)),
    ];
    Value::map(texts.chain(rest.map(|(key, value)| (key.to_owned(), value))))
}

#[cfg(test)]
mod tests {
    use super::super::ChartFiles;
    use super::super::chart::coalesce;
    use super::*;

    /// What Helm says, checked with Helm in `tests/e2e/discover.rs`.
    const EXPECTED: &str = include_str!("../../../tests/discover/functions.txt");
    const VALUES: &[u8] = include_bytes!("../../../tests/discover/functions.yaml");

    #[test]
    fn expressions_come_to_what_they_come_to_in_helm() {
        let rows: Vec<(&str, &str)> = EXPECTED
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_once('\t').unwrap())
            .collect();
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &[u8]| {
            let path = dir.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        write("Chart.yaml", b"apiVersion: v2\nname: fn\nversion: 1.2.3\nappVersion: \"4.5\"\n");
        write("values.yaml", VALUES);
        for (at, (expression, _)) in rows.iter().enumerate() {
            let text = format!(
                "{{{{- define \"e{at}\" }}}}{{{{ {expression} }}}}{{{{ end -}}}}{{{{ include \"e{at}\" . | toJson }}}}"
            );
            write(&format!("templates/{at:03}.txt"), text.as_bytes());
        }
        let files = ChartFiles::read(dir.path()).unwrap();
        let chart = Chart::load(&files, "", &mut Vec::new());
        let (rendered, failures) = render(&chart, &coalesce(&chart, &Node::empty()), Some("v1.36.0"));
        assert!(failures.is_empty(), "{failures:?}");
        let texts: BTreeMap<String, String> = rendered.into_iter().map(|r| (r.file, r.output.text)).collect();
        let mut wrong = Vec::new();
        for (at, (expression, expected)) in rows.iter().enumerate() {
            let text = &texts[&format!("templates/{at:03}.txt")];
            let text = text.replace("\\u003c", "<").replace("\\u003e", ">").replace("\\u0026", "&");
            if text != *expected {
                wrong.push(format!("{expression}: {text}, in Helm {expected}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
