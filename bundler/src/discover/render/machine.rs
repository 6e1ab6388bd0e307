//! Executes templates as Go's `text/template` does, with Helm's additions.
//!
//! Why an executor of our own: charts call methods on objects (`.Files.Get`), change maps in place (`set`), and are somebody else's, so that work,
//! memory and depth have to be bounded across all templates of a chart together.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use gotmpl::parse::{BranchNode, CommandNode, Expr, ListNode, Node, Number, PipeNode, SmolStr};

use super::functions;
use super::objects;
use super::print::printed;
use super::template::{Template, parse};
use super::value::{Budget, Result, Value, fault};

/// Deepest nesting of bodies and included templates. The thread's stack is made for it.
const MAX_DEPTH: usize = 1500;

/// Renders templates; all of a chart share one.
pub(super) struct Machine {
    pub(super) budget: Budget,
    /// Named templates: those of the chart, and above them what each `tpl` under way defines.
    named: RefCell<Vec<BTreeMap<String, Rc<Template>>>>,
    depth: Cell<usize>,
    /// What is executed: file and line.
    here: RefCell<(Rc<str>, u32)>,
    /// The last line of the file that is being rendered.
    line: Cell<u32>,
    file: RefCell<Rc<str>>,
}

/// What was rendered, and which line of the template made it.
#[derive(Debug, Default)]
pub(in super::super) struct Output {
    pub(in super::super) text: String,
    marks: Vec<Mark>,
    /// A file's text goes out into the world; that of an `include` goes on into other templates.
    is_file: bool,
}

#[derive(Debug)]
struct Mark {
    offset: usize,
    line: u32,
    /// Text of the template itself goes on line by line; what an action made all comes from its one line.
    is_text: bool,
}

impl Output {
    /// The template's line that made a byte.
    pub(in super::super) fn line_at(&self, offset: usize) -> Option<u32> {
        let mark = self.marks[..self.marks.partition_point(|mark| mark.offset <= offset)].last()?;
        let further = if mark.is_text { self.text[mark.offset..offset].matches('\n').count() } else { 0 };
        Some(mark.line + u32::try_from(further).unwrap_or(0))
    }
}

/// Where a failure happened.
#[derive(Debug)]
pub(super) struct Trace {
    /// The line of the file that was being rendered.
    pub(super) line: u32,
    /// Why, and in which other file if it was in one.
    pub(super) why: String,
}

enum Flow {
    Next,
    Break,
    Continue,
}

struct Frame<'t> {
    template: &'t Template,
    dot: Value,
    variables: Vec<(SmolStr, Value)>,
}

impl Machine {
    pub(super) fn new(named: BTreeMap<String, Rc<Template>>) -> Self {
        let nowhere: Rc<str> = Rc::from("");
        Self {
            budget: Budget::new(),
            named: RefCell::new(vec![named]),
            depth: Cell::new(0),
            here: RefCell::new((Rc::clone(&nowhere), 0)),
            line: Cell::new(0),
            file: RefCell::new(nowhere),
        }
    }

    /// Renders a file. A failure still gives what was rendered until then.
    pub(super) fn render(&self, template: &Template, dot: Value) -> (Output, Option<Trace>) {
        self.depth.set(0);
        self.named.borrow_mut().truncate(1);
        self.line.set(1);
        *self.file.borrow_mut() = Rc::clone(&template.source);
        let mut output = Output { is_file: true, ..Output::default() };
        let failure = self.execute(template, dot, &mut output).err().map(|fault| {
            let (file, line) = self.here.borrow().clone();
            let elsewhere =
                if file == template.source { String::new() } else { format!(" (`{file}` line {line})") };
            Trace { line: self.line.get(), why: format!("{}{elsewhere}", fault.0) }
        });
        (output, failure)
    }

    /// `include`: renders a named template into a text.
    pub(super) fn include(&self, name: &str, dot: Value) -> Result<String> {
        let found = self.named.borrow().iter().rev().find_map(|layer| layer.get(name).cloned());
        let Some(template) = found else { return fault(format!("there is no template `{name}`")) };
        let mut output = Output::default();
        self.execute(&template, dot, &mut output)?;
        self.budget.spend_text(output.text.len())?;
        Ok(output.text)
    }

    /// `tpl`: renders a text. What it defines is known inside it only.
    pub(super) fn render_text(&self, text: &str, dot: Value) -> Result<String> {
        if !text.contains("{{") {
            return Ok(text.to_owned());
        }
        self.budget.spend_text(text.len())?;
        let source = self.here.borrow().0.clone();
        let parsed = parse(&source, text)
            .or_else(|(_, why)| fault(format!("`{}`: {why}", super::super::reference::shortened(text))))?;
        self.named.borrow_mut().push(parsed.defined);
        let here = self.here.borrow().clone();
        let mut output = Output::default();
        let line = self.line.get();
        self.execute(&parsed.main, dot, &mut output)?;
        // Lines of the text say nothing about the file.
        self.line.set(line);
        *self.here.borrow_mut() = here;
        self.named.borrow_mut().pop();
        Ok(output.text.replace(super::NO_VALUE, ""))
    }

    fn execute(&self, template: &Template, dot: Value, out: &mut Output) -> Result<()> {
        let mut frame = Frame { template, dot: dot.clone(), variables: vec![(SmolStr::new("$"), dot)] };
        self.body(&template.body, &mut frame, out).map(|_| ())
    }

    fn body(&self, list: &ListNode, frame: &mut Frame<'_>, out: &mut Output) -> Result<Flow> {
        self.depth.set(self.depth.get() + 1);
        if self.depth.get() > MAX_DEPTH {
            return fault(format!("templates include one another more than {MAX_DEPTH} levels deep"));
        }
        let known = frame.variables.len();
        let mut flow = Flow::Next;
        for node in &list.nodes {
            self.budget.spend(1)?;
            flow = self.node(node, frame, out)?;
            if !matches!(flow, Flow::Next) {
                break;
            }
        }
        frame.variables.truncate(known);
        self.depth.set(self.depth.get() - 1);
        Ok(flow)
    }

    fn node(&self, node: &Node, frame: &mut Frame<'_>, out: &mut Output) -> Result<Flow> {
        match node {
            Node::List(list) => return self.body(list, frame, out),
            Node::Text(text) => {
                let line = self.arrive(frame, text.pos);
                self.write(&text.text, line, true, out)?;
            }
            Node::Action(action) => {
                let line = self.arrive(frame, action.pos);
                let value = self.pipe(&action.pipe, frame)?;
                if action.pipe.decl.is_empty() {
                    self.write(&printed(&value, &self.budget)?, line, false, out)?;
                } else {
                    bind(&action.pipe, &action.pipe.decl, vec![value], frame)?;
                }
            }
            Node::If(branch) => {
                self.arrive(frame, branch.pos);
                return self.branch(branch, frame, out, false);
            }
            Node::With(branch) => {
                self.arrive(frame, branch.pos);
                return self.branch(branch, frame, out, true);
            }
            Node::Range(branch) => {
                self.arrive(frame, branch.pos);
                self.range(branch, frame, out)?;
            }
            Node::Template(call) => {
                let line = self.arrive(frame, call.pos);
                let dot = call.pipe.as_ref().map_or(Ok(Value::Nil), |pipe| self.pipe(pipe, frame))?;
                let text = self.include(&call.name, dot)?;
                self.write(&text, line, false, out)?;
            }
            Node::Break(_) => return Ok(Flow::Break),
            Node::Continue(_) => return Ok(Flow::Continue),
            // What a file defines was taken out when it was parsed.
            Node::Define(_) => {}
        }
        Ok(Flow::Next)
    }

    /// Notes where execution is, and says the line.
    fn arrive(&self, frame: &Frame<'_>, at: gotmpl::parse::Pos) -> u32 {
        let line = frame.template.line(at);
        *self.here.borrow_mut() = (Rc::clone(&frame.template.source), line);
        if frame.template.source == *self.file.borrow() {
            self.line.set(line);
        }
        line
    }

    fn write(&self, text: &str, line: u32, is_text: bool, out: &mut Output) -> Result<()> {
        self.budget.spend_text(text.len())?;
        let kept = if out.is_file && text.contains(super::NO_VALUE) {
            Cow::Owned(text.replace(super::NO_VALUE, ""))
        } else {
            Cow::Borrowed(text)
        };
        let text = &*kept;
        Budget::check_text(out.text.len() + text.len())?;
        out.marks.push(Mark { offset: out.text.len(), line, is_text });
        out.text.push_str(text);
        Ok(())
    }

    fn branch(
        &self,
        branch: &BranchNode,
        frame: &mut Frame<'_>,
        out: &mut Output,
        is_with: bool,
    ) -> Result<Flow> {
        let known = frame.variables.len();
        let value = self.pipe(&branch.pipe, frame)?;
        bind(&branch.pipe, &branch.pipe.decl, vec![value.clone()], frame)?;
        let flow = if value.is_true() {
            let before = frame.dot.clone();
            if is_with {
                frame.dot = value;
            }
            let flow = self.body(&branch.body, frame, out)?;
            frame.dot = before;
            flow
        } else if let Some(otherwise) = &branch.else_body {
            self.body(otherwise, frame, out)?
        } else {
            Flow::Next
        };
        frame.variables.truncate(known);
        Ok(flow)
    }

    fn range(&self, branch: &BranchNode, frame: &mut Frame<'_>, out: &mut Output) -> Result<()> {
        let over = self.pipe(&branch.pipe, frame)?;
        let text = |key: &Rc<str>| Value::Text(Rc::clone(key));
        let items: Box<dyn Iterator<Item = (Value, Value)>> = match &over {
            Value::Nil => Box::new(std::iter::empty()),
            Value::Int(count) => Box::new((0..*count).map(|n| (Value::Int(n), Value::Int(n)))),
            Value::List(items) => Box::new((0..).map(Value::Int).zip(items.iter().cloned())),
            // The body may change the map; what it was is gone through.
            Value::Map(map) => Box::new(
                map.borrow()
                    .iter()
                    .map(|(key, value)| (text(key), value.clone()))
                    .collect::<Vec<_>>()
                    .into_iter(),
            ),
            Value::Files(files) => Box::new(
                files
                    .entries()
                    .map(|(key, value)| (text(key), value.clone()))
                    .collect::<Vec<_>>()
                    .into_iter(),
            ),
            other => return fault(format!("`range` cannot go through a {}", other.kind())),
        };
        let (known, before) = (frame.variables.len(), frame.dot.clone());
        let mut any = false;
        for (key, value) in items {
            any = true;
            self.budget.spend(1)?;
            let bound =
                if branch.pipe.decl.len() > 1 { vec![key, value.clone()] } else { vec![value.clone()] };
            bind(&branch.pipe, &branch.pipe.decl, bound, frame)?;
            frame.dot = value;
            let flow = self.body(&branch.body, frame, out)?;
            frame.variables.truncate(known);
            if matches!(flow, Flow::Break) {
                break;
            }
        }
        frame.dot = before;
        if !any && let Some(otherwise) = &branch.else_body {
            self.body(otherwise, frame, out)?;
        }
        Ok(())
    }

    fn pipe(&self, pipe: &PipeNode, frame: &Frame<'_>) -> Result<Value> {
        self.depth.set(self.depth.get() + 1);
        if self.depth.get() > MAX_DEPTH {
            return fault(format!("templates include one another more than {MAX_DEPTH} levels deep"));
        }
        let mut last = None;
        for command in &pipe.commands {
            last = Some(self.command(command, last, frame)?);
        }
        self.depth.set(self.depth.get() - 1);
        Ok(last.unwrap_or(Value::Nil))
    }

    fn command(&self, command: &CommandNode, last: Option<Value>, frame: &Frame<'_>) -> Result<Value> {
        self.budget.spend(1)?;
        let Some((first, rest)) = command.args.split_first() else { return Ok(Value::Nil) };
        let arguments = |machine: &Self| -> Result<Vec<Value>> {
            rest.iter()
                .map(|argument| machine.expression(argument, frame))
                .chain(last.clone().map(Ok))
                .collect()
        };
        match first {
            Expr::Identifier(_, name) if matches!(name.as_str(), "and" | "or") => {
                self.short_circuit(name == "or", rest, last, frame)
            }
            Expr::Identifier(_, name) => functions::call(self, name, &arguments(self)?),
            Expr::Field(_, fields) => self.fields(frame.dot.clone(), fields, &arguments(self)?),
            Expr::Variable(_, name, fields) => self.fields(variable(name, frame)?, fields, &arguments(self)?),
            Expr::Chain(_, inner, fields) => {
                self.fields(self.expression(inner, frame)?, fields, &arguments(self)?)
            }
            _ if rest.is_empty() && last.is_none() => self.expression(first, frame),
            _ => fault("a value is called like a function"),
        }
    }

    /// `and` and `or` look at no more than they need.
    fn short_circuit(
        &self,
        stop_at: bool,
        rest: &[Expr],
        last: Option<Value>,
        frame: &Frame<'_>,
    ) -> Result<Value> {
        let mut value = Value::Nil;
        for argument in rest {
            value = self.expression(argument, frame)?;
            if value.is_true() == stop_at {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    fn expression(&self, expression: &Expr, frame: &Frame<'_>) -> Result<Value> {
        Ok(match expression {
            Expr::Dot(_) => frame.dot.clone(),
            Expr::Field(_, fields) => self.fields(frame.dot.clone(), fields, &[])?,
            Expr::Variable(_, name, fields) => self.fields(variable(name, frame)?, fields, &[])?,
            Expr::Identifier(_, name) => functions::call(self, name, &[])?,
            Expr::String(_, text) => Value::text(&**text),
            Expr::Number(_, Number::Int(value)) => Value::Int(*value),
            Expr::Number(_, Number::Uint(value)) => Value::Int(i64::try_from(*value).unwrap_or(i64::MAX)),
            Expr::Number(_, Number::Float(value)) => Value::Float(*value),
            Expr::Bool(_, value) => Value::Bool(*value),
            Expr::Nil(_) => Value::Nil,
            Expr::Pipe(_, pipe) => self.pipe(pipe, frame)?,
            Expr::Chain(_, inner, fields) => self.fields(self.expression(inner, frame)?, fields, &[])?,
        })
    }

    /// `.a.b.c`; the last of them may be a method, and takes the arguments.
    fn fields(&self, mut value: Value, fields: &[SmolStr], arguments: &[Value]) -> Result<Value> {
        for (at, field) in fields.iter().enumerate() {
            let given: &[Value] = if at + 1 == fields.len() { arguments } else { &[] };
            value = match &value {
                Value::Map(map) if given.is_empty() => match map.borrow().get(field.as_str()) {
                    Some(inner) => inner.clone(),
                    // `.Values.AsMap`: a method of Helm's, for functions that are particular about types.
                    None if field == "AsMap" => value.clone(),
                    None => Value::Nil,
                },
                Value::Map(_) => return fault(format!("`.{field}` is no method, but has arguments")),
                Value::Nil => {
                    return fault(format!("`.{field}` is asked of something that is not there (nil)"));
                }
                _ => match objects::method(&value, field, given, &self.budget)? {
                    Some(value) => value,
                    None => return fault(format!("a {} has no `.{field}`", value.kind())),
                },
            };
        }
        if fields.is_empty() && !arguments.is_empty() {
            return fault("a value is called like a function");
        }
        Ok(value)
    }
}

fn variable(name: &str, frame: &Frame<'_>) -> Result<Value> {
    let found = frame.variables.iter().rev().find(|(known, _)| known == name);
    found.map_or_else(|| fault(format!("there is no variable `{name}`")), |(_, value)| Ok(value.clone()))
}

/// Declares variables, or gives new values to those that are there.
fn bind(pipe: &PipeNode, names: &[SmolStr], values: Vec<Value>, frame: &mut Frame<'_>) -> Result<()> {
    for (name, value) in names.iter().zip(values) {
        if !pipe.is_assign {
            frame.variables.push((name.clone(), value));
        } else if let Some((_, known)) = frame.variables.iter_mut().rev().find(|(known, _)| known == name) {
            *known = value;
        } else {
            return fault(format!("there is no variable `{name}`"));
        }
    }
    Ok(())
}
