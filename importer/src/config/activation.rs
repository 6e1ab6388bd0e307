//! The section `activation`: what belongs to letting a release run, besides registry and Git.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sealift_fetch::Url;
use serde::{Deserialize, Deserializer};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// What belongs to letting a release run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Activation {
    /// The cluster whose Flux waits meanwhile; none: no Flux.
    #[serde(default)]
    pub flux: Option<FluxAccess>,
    /// What must be in order before anything is changed.
    #[serde(default)]
    pub preflight: Vec<Preflight>,
    /// What is done on the host, in this order.
    #[serde(default)]
    pub hooks: Hooks,
    /// When the release counts as running.
    #[serde(default)]
    pub health: Health,
    /// Sealift's own programs.
    #[serde(default)]
    pub programs: Programs,
    /// The socket of the helper that does what only root may do; without it `/run/sealift/host.sock`, if that is there and
    /// we are not root.
    #[serde(default)]
    pub helper: Option<PathBuf>,
}

impl Activation {
    /// What one node of a cluster does alone: Flux and the last look concern all nodes, and are the coordinator's.
    #[must_use]
    pub fn of_node(&self) -> Self {
        Self { flux: None, health: Health::default(), ..self.clone() }
    }
}

/// How Flux is reached.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FluxAccess {
    /// The file that says where the cluster is, and who we are to it.
    pub kubeconfig: PathBuf,
    /// The namespace of what is suspended and looked at; without it, all of them.
    #[serde(default)]
    pub namespace: Option<String>,
}

/// A program and its arguments; no shell reads it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct CommandLine {
    program: PathBuf,
    arguments: Vec<String>,
}

impl CommandLine {
    /// The program's file.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// What it is told.
    #[must_use]
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }
}

impl TryFrom<Vec<String>> for CommandLine {
    type Error = String;

    fn try_from(mut words: Vec<String>) -> Result<Self, String> {
        // What root runs is never looked for in a `PATH`.
        if !words.first().is_some_and(|program| program.starts_with('/')) {
            return Err("a command begins with the absolute path of a program".to_owned());
        }
        let program = PathBuf::from(words.remove(0));
        Ok(Self { program, arguments: words })
    }
}

/// A check before anything is changed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Preflight {
    /// What it is called.
    pub name: String,
    /// Exit status 0: in order. Otherwise its last words say what is not.
    pub command: CommandLine,
    /// How long it may take.
    #[serde(default = "one_minute", deserialize_with = "span")]
    pub timeout: Duration,
}

fn one_minute() -> Duration {
    MINUTE
}

/// The steps on the host: names differ, and no more than one of them is the point of no return.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<Hook>")]
pub struct Hooks(Vec<Hook>);

impl Hooks {
    /// In their order.
    pub fn iter(&self) -> std::slice::Iter<'_, Hook> {
        self.0.iter()
    }

    /// The one with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Hook> {
        self.0.iter().find(|hook| hook.name == name)
    }
}

impl<'a> IntoIterator for &'a Hooks {
    type Item = &'a Hook;
    type IntoIter = std::slice::Iter<'a, Hook>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl TryFrom<Vec<Hook>> for Hooks {
    type Error = String;

    fn try_from(hooks: Vec<Hook>) -> Result<Self, String> {
        let mut names = BTreeSet::new();
        if let Some(twice) = hooks.iter().find(|hook| !names.insert(&hook.name)) {
            return Err(format!("two hooks are called `{}`", twice.name));
        }
        let mut points = hooks.iter().filter(|hook| hook.point_of_no_return);
        if let (Some(one), Some(other)) = (points.next(), points.next()) {
            return Err(format!("both `{}` and `{}` are the point of no return", one.name, other.name));
        }
        Ok(Self(hooks))
    }
}

/// A step on the host, such as another k3s.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hook {
    /// What it is called.
    pub name: String,
    /// Makes the host fit for the release. It may be run again after a crash, and has to look at what is there.
    pub command: CommandLine,
    /// Makes the host fit for the release that is gone back to; without it, nothing has to be done.
    #[serde(default)]
    pub undo: Option<CommandLine>,
    /// How long either of them may take.
    #[serde(default = "fifteen_minutes", deserialize_with = "span")]
    pub timeout: Duration,
    /// Once it has begun, a failure is no longer undone by itself.
    #[serde(default)]
    pub point_of_no_return: bool,
    /// What going back behind it means for data, for whoever asks for it.
    #[serde(default)]
    pub rollback_warning: Option<String>,
}

fn fifteen_minutes() -> Duration {
    15 * MINUTE
}

/// When a release counts as running: all checks are good at the same time before the deadline.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Health {
    /// How long to wait for that.
    #[serde(default = "ten_minutes", deserialize_with = "span")]
    pub deadline: Duration,
    /// How long to wait between two rounds.
    #[serde(default = "five_seconds", deserialize_with = "span")]
    pub interval: Duration,
    /// What is looked at; nothing: a release runs as soon as it is served.
    #[serde(default)]
    pub checks: Vec<Check>,
}

impl Default for Health {
    fn default() -> Self {
        Self { deadline: ten_minutes(), interval: five_seconds(), checks: Vec::new() }
    }
}

fn ten_minutes() -> Duration {
    10 * MINUTE
}

fn five_seconds() -> Duration {
    5 * SECOND
}

/// One thing that is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawCheck")]
pub struct Check {
    /// What it is called.
    pub name: String,
    /// What is looked at.
    pub probe: Probe,
    /// How long one look may take.
    pub timeout: Duration,
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A command whose exit status is 0 if all is well.
    Command(CommandLine),
    /// A web server.
    Http(Http),
    /// Flux: everything that it manages is as the newest sources say.
    Flux,
}

/// What a web server has to answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Http {
    /// The address; redirects are answers, and are not followed.
    #[serde(deserialize_with = "address")]
    pub url: Url,
    /// The status that is wanted.
    #[serde(default = "ok")]
    pub status: u16,
    /// PEM file with the only certificates that are trusted; without it, those of the system.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

fn ok() -> u16 {
    200
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    use serde::de::Error as _;

    let text = String::deserialize(deserializer)?;
    let url: Url = text.parse().map_err(D::Error::custom)?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(D::Error::custom(format!("`{other}:` is neither `http:` nor `https:`"))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawCheck {
    name: String,
    command: Option<CommandLine>,
    http: Option<Http>,
    flux: Option<Nothing>,
    #[serde(default = "thirty_seconds", deserialize_with = "span")]
    timeout: Duration,
}

/// `{}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

fn thirty_seconds() -> Duration {
    30 * SECOND
}

impl TryFrom<RawCheck> for Check {
    type Error = String;

    fn try_from(raw: RawCheck) -> Result<Self, String> {
        let RawCheck { name, command, http, flux, timeout } = raw;
        let probe = match (command, http, flux) {
            (Some(command), None, None) => Probe::Command(command),
            (None, Some(http), None) => Probe::Http(http),
            (None, None, Some(Nothing {})) => Probe::Flux,
            _ => return Err(format!("the check `{name}` needs one of `command`, `http` and `flux`")),
        };
        Ok(Self { name, probe, timeout })
    }
}

/// Sealift's own programs, which releases bring along.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Programs {
    /// Where they are; without it, where this program is.
    #[serde(default)]
    pub dir: Option<PathBuf>,
    /// The trust root that has to be the pinned one, in a file that only root writes: then nobody becomes root by writing to
    /// the store.
    #[serde(default)]
    pub trust_root: Option<PathBuf>,
    /// Starts the registry again; without it, systemd's `try-restart`.
    #[serde(default)]
    pub restart_registry: Option<CommandLine>,
}

/// `90s`, `15m`, `2h`
pub(super) fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    use serde::de::Error as _;

    let text = String::deserialize(deserializer)?;
    parse_span(&text).ok_or_else(|| {
        D::Error::custom(format!("`{text}` is no time: a number above 0 and `s`, `m` or `h`, such as `15m`"))
    })
}

fn parse_span(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => SECOND,
        "m" => MINUTE,
        "h" => 60 * MINUTE,
        _ => return None,
    };
    let number: u32 = number.parse().ok().filter(|&number| number > 0)?;
    unit.checked_mul(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Activation, String> {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn everything_that_can_be_said() {
        let read = read(
            "flux: {kubeconfig: /etc/rancher/k3s/k3s.yaml, namespace: flux-system}
preflight: [{name: disk, command: [/checks/disk]}]
hooks:
  - {name: os, command: [/hooks/os], timeout: 90s}
  - name: k3s
    command: [/hooks/k3s, upgrade]
    undo: [/hooks/k3s, downgrade]
    timeout: 2h
    pointOfNoReturn: true
    rollbackWarning: what was written since is lost
health:
  deadline: 20m
  interval: 1s
  checks:
    - {name: api, command: [/checks/api], timeout: 5s}
    - {name: web, http: {url: https://127.0.0.1/healthz, status: 204, caFile: /etc/ca.pem}}
    - {name: flux, flux: {}}
programs: {dir: /usr/bin, trustRoot: /etc/sealift/root.json, restartRegistry: [/bin/true]}
helper: /run/sealift/host.sock
",
        )
        .unwrap();
        assert_eq!(read.flux.unwrap().namespace.as_deref(), Some("flux-system"));
        assert_eq!(read.preflight[0].timeout, MINUTE);
        let hooks: Vec<_> = read.hooks.iter().map(|hook| (hook.name.as_str(), hook.timeout)).collect();
        assert_eq!(hooks, [("os", 90 * SECOND), ("k3s", 120 * MINUTE)]);
        let k3s = read.hooks.find("k3s").unwrap();
        assert_eq!(
            (k3s.command.program(), k3s.command.arguments()),
            (Path::new("/hooks/k3s"), &["upgrade".to_owned()][..])
        );
        assert!(k3s.point_of_no_return && k3s.undo.is_some() && k3s.rollback_warning.is_some());
        assert_eq!((read.health.deadline, read.health.interval), (20 * MINUTE, SECOND));
        let probes: Vec<_> = read.health.checks.iter().map(|check| (&check.probe, check.timeout)).collect();
        assert!(matches!(
            probes.as_slice(),
            [(Probe::Command(_), t), (Probe::Http(Http { status: 204, .. }), _), (Probe::Flux, _)] if *t == 5 * SECOND
        ));
        assert_eq!(super::Activation::default(), self::read("{}").unwrap());
    }

    #[test]
    fn mistakes() {
        let cases = [
            ("hooks: [{name: a, command: []}]", "absolute path"),
            ("hooks: [{name: a, command: [sh]}]", "absolute path"),
            ("hooks: [{name: a, command: [/a]}, {name: a, command: [/b]}]", "two hooks are called `a`"),
            (
                "hooks: [{name: a, command: [/a], pointOfNoReturn: true}, {name: b, command: [/b], pointOfNoReturn: true}]",
                "both `a` and `b`",
            ),
            ("hooks: [{name: a, command: [/a], timeout: 5}]", "is no time"),
            ("hooks: [{name: a, command: [/a], timeout: 0s}]", "is no time"),
            ("hooks: [{name: a, command: [/a], timeout: 4294967295hh}]", "is no time"),
            ("hooks: [{name: a, command: [/a], timeout: é}]", "is no time"),
            ("hooks: [{name: a, command: [/a], undoo: [/b]}]", "undoo"),
            ("health: {checks: [{name: a}]}", "needs one of"),
            ("health: {checks: [{name: a, flux: {}, command: [/a]}]}", "needs one of"),
            ("health: {checks: [{name: a, http: {url: \"ftp://a/\"}}]}", "neither `http:`"),
            ("health: {checks: [{name: a, http: {url: nothing}}]}", "relative URL"),
        ];
        for (text, wanted) in cases {
            let said = read(text).unwrap_err();
            assert!(said.contains(wanted), "{text}: {said}");
        }
    }
}
