//! Values of templates, as Go and Helm have them: maps are shared and can be changed (`set`), everything else stays as it is.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::super::yaml::{Node, Yaml};
use super::objects::Files;

/// How much work rendering one chart may take: nodes, calls and repetitions, each value looked at, each 16 bytes of text made.
/// Charts with megabytes of CRDs in templates take a third of a million.
const WORK: u64 = 20_000_000;
/// Longest text that a template may make, in bytes.
const MAX_TEXT_BYTES: usize = 16 << 20;
/// Bytes of text that cost as much as one step.
const BYTES_A_STEP: usize = 16;
/// Deepest nesting of lists and maps; a map can be put into itself.
const MAX_DEPTH: usize = 200;

/// Why a template cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Fault(pub(in super::super) String);

pub(super) type Result<T> = std::result::Result<T, Fault>;

/// Refuses with a reason.
pub(super) fn fault<T>(why: impl Into<String>) -> Result<T> {
    Err(Fault(why.into()))
}

pub(super) type Table = Rc<RefCell<BTreeMap<Rc<str>, Value>>>;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    List(Rc<Vec<Value>>),
    Map(Table),
    /// A point in time, in nanoseconds.
    Time(i64),
    /// `.Files`, or some of them.
    Files(Files),
    /// `.Capabilities.APIVersions`
    ApiVersions,
}

impl Value {
    pub(super) fn text(text: impl Into<Rc<str>>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn list(items: impl IntoIterator<Item = Self>) -> Self {
        Self::List(Rc::new(items.into_iter().collect()))
    }

    pub(super) fn map<K: Into<Rc<str>>>(entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Map(Rc::new(RefCell::new(
            entries.into_iter().map(|(key, value)| (key.into(), value)).collect(),
        )))
    }

    /// What a YAML tree means to a template.
    pub(super) fn of(node: &Node) -> Self {
        match &node.value {
            Yaml::Null => Self::Nil,
            Yaml::Bool(value) => Self::Bool(*value),
            Yaml::Number(value) => Self::Float(*value),
            Yaml::Text(text) => Self::text(text.as_str()),
            Yaml::List(items) => Self::list(items.iter().map(Self::of)),
            Yaml::Map(entries) => Self::map(entries.iter().map(|(key, node)| (key.as_str(), Self::of(node)))),
        }
    }

    /// Whether `if` takes it (text/template, `truth`); `default` and `empty` ask the same.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Map(map) => !map.borrow().is_empty(),
            Self::Files(files) => !files.is_empty(),
            Self::Time(_) | Self::ApiVersions => true,
        }
    }

    /// The kind, as `kindOf` names it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "invalid",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Time(_) => "struct",
            Self::List(_) | Self::ApiVersions => "slice",
            Self::Map(_) | Self::Files(_) => "map",
        }
    }

    /// The value under a key of a map.
    pub(super) fn get(&self, key: &str) -> Option<Self> {
        if let Self::Map(map) = self { map.borrow().get(key).cloned() } else { None }
    }
}

/// What is left of the work that rendering may take.
#[derive(Debug)]
pub(super) struct Budget(Cell<u64>);

impl Budget {
    pub(super) fn new() -> Self {
        Self(Cell::new(WORK))
    }

    pub(super) fn spend(&self, steps: usize) -> Result<()> {
        match self.0.get().checked_sub(steps as u64) {
            Some(left) => self.0.set(left),
            None => return fault("rendering it takes too much work"),
        }
        Ok(())
    }

    /// Pays for a text before it is made.
    pub(super) fn spend_text(&self, bytes: usize) -> Result<()> {
        Self::check_text(bytes)?;
        self.spend(1 + bytes / BYTES_A_STEP)
    }

    /// Refuses a text that is too long.
    pub(super) fn check_text(bytes: usize) -> Result<()> {
        if bytes > MAX_TEXT_BYTES {
            fault(format!("it makes a text of more than {MAX_TEXT_BYTES} bytes"))
        } else {
            Ok(())
        }
    }

    /// Pays for everything inside a value. What walks through a value calls this first, and then need not count.
    pub(super) fn spend_value(&self, value: &Value) -> Result<()> {
        self.walk(value, 0)
    }

    fn walk(&self, value: &Value, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return fault("a value is nested too deeply, or in itself");
        }
        self.spend(1)?;
        match value {
            Value::Text(text) => self.spend(text.len() / BYTES_A_STEP),
            Value::List(items) => items.iter().try_for_each(|item| self.walk(item, depth + 1)),
            Value::Map(map) => map.borrow().values().try_for_each(|value| self.walk(value, depth + 1)),
            _ => Ok(()),
        }
    }
}
