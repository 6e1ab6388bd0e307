//! Talking to the repository that a release takes commits from.
//!
//! Git is as the user has set it up: credential helpers, proxies, authorities, `insteadOf`. But it asks nobody (what
//! needs a person hangs in CI), speaks no protocol that runs programs or has no idea who answers, runs no hooks, and
//! gives up on a server that falls silent.

use std::ffi::{OsStr, OsString};
use std::io::Seek as _;
use std::path::Path;
use std::process::Command;

use tempfile::tempfile_in;

use sealift_archive::release::ObjectId;

use super::address::{PLAIN, SCHEMES};
use super::command::{Git, Input, read_text};
use super::reference::Listing;
use super::said::Trouble;
use super::{Repository, Unfit};
use crate::{Error, git};

/// Variables that tell Git which repository it works on (`git rev-parse --local-env-vars`): a hook or `git rebase
/// --exec` that runs Sealift sets them. Those that carry configuration stay.
const REPOSITORY_VARIABLES: [&str; 15] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_SHALLOW_FILE",
    "GIT_GRAFT_FILE",
    "GIT_REPLACE_REF_BASE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_PREFIX",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_CONFIG",
];

/// Nobody is asked, neither on a terminal nor in a window. An empty `GIT_ASKPASS` stands before `core.askPass` and
/// `SSH_ASKPASS`.
const NOBODY_IS_ASKED: [(&str, &str); 5] = [
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ASKPASS", ""),
    ("SSH_ASKPASS_REQUIRE", "never"),
    ("GCM_INTERACTIVE", "never"),
    // Messages are told apart by their words.
    ("LC_ALL", "C"),
];

/// What the user's configuration cannot change.
const SETTINGS: [&str; 13] = [
    "fetch.fsckObjects=true",
    "transfer.fsckObjects=true",
    "credential.interactive=false",
    "core.hooksPath=/dev/null",
    "core.bigFileThreshold=16m",
    "gc.auto=0",
    "maintenance.auto=false",
    "fetch.writeCommitGraph=false",
    "submodule.recurse=false",
    "transfer.bundleURI=false",
    "color.ui=false",
    // A server that sends less than a byte a second for a minute has gone; GIT_HTTP_LOW_SPEED_TIME grants it more.
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=60",
];

/// The same for OpenSSH: no questions, and four unanswered looks, 15 s apart, end it.
const SSH_OPTIONS: &str =
    " -oBatchMode=yes -oConnectTimeout=30 -oServerAliveInterval=15 -oServerAliveCountMax=4";

/// How a fetch is to be. Tags that lead to what is fetched come along, as Git does by itself.
const FETCH: [&str; 9] = [
    "fetch",
    // So that a server that counts objects for minutes is heard.
    "--progress",
    "--no-write-fetch-head",
    "--no-recurse-submodules",
    "--no-prune",
    "--no-prune-tags",
    "--no-auto-gc",
    "--stdin",
    "--end-of-options",
];

/// A remote, as seen from a repository of our own.
pub(super) struct Remote<'a> {
    repository: &'a Repository,
    git: Git<'a>,
    ssh: Option<OsString>,
}

impl<'a> Remote<'a> {
    /// Nothing is asked of the remote yet.
    ///
    /// # Errors
    /// [`git::Error::Address`] if it would be plain HTTP, which is not allowed; else as [`Git::finish`].
    pub(super) fn new(repository: &'a Repository, git: Git<'a>) -> Result<Self, Error> {
        if repository.address.is_exposed() && !repository.allows_plain {
            let why = "plain HTTP can be read and changed on the way; `--plain-http` allows it all the same";
            return Err(repository.address.refuse(why.to_owned()));
        }
        let mut remote = Self { repository, git, ssh: None };
        remote.ssh = remote.choose_ssh()?;
        Ok(remote)
    }

    /// Its branches and tags.
    ///
    /// # Errors
    /// What talking to it came to nothing for; [`git::Error::Source`] if it hashes with SHA-256.
    pub(super) fn list(&self) -> Result<Listing, Error> {
        let text = self.talk(&["ls-remote", "--heads", "--tags", "--end-of-options"], Input::Nothing)?;
        Listing::parse(self.name(), &text)
    }

    /// Fetches refs or objects with all that they lead to, and the tags that lead to that. `(from, to)`: `to` is a ref
    /// of ours.
    ///
    /// # Errors
    /// What talking to it came to nothing for: [`git::Error::Remote`], [`git::Error::Access`], [`git::Error::BadObject`]; and
    /// [`git::Error::Source`] if its history is cut off somewhere.
    pub(super) fn fetch(&self, refs: &[(&str, &str)]) -> Result<(), Error> {
        let lines: Vec<String> = refs.iter().map(|(from, to)| format!("+{from}:{to}\n")).collect();
        self.talk(&FETCH, Input::Text(&lines.concat()))?;
        let (_, to) = refs[0];
        // Git fetches from a shallow repository, and then leaves the refs alone, which is a warning to it.
        if !to.contains('*') && !self.git.has_ref(to)? {
            return Err(git::Error::Source { repository: self.name().to_owned(), why: Unfit::Shallow }.into());
        }
        Ok(())
    }

    /// Fetches objects by their names, wherever they stand in the remote's history.
    ///
    /// # Errors
    /// [`git::Error::Gone`] if the remote gives one of them to nobody; else as [`Self::fetch`].
    pub(super) fn fetch_objects(&self, objects: &[ObjectId]) -> Result<(), Error> {
        let Some(first) = objects.first() else { return Ok(()) };
        let names: Vec<String> =
            objects.iter().map(|object| format!("refs/sealift/locked/{object}")).collect();
        let refs: Vec<(&str, &str)> =
            objects.iter().map(ObjectId::as_str).zip(names.iter().map(String::as_str)).collect();
        self.fetch(&refs).map_err(|error| match error {
            Error::Git(git::Error::Remote { repository, said }) if Trouble::of(&said) == Trouble::Absent => {
                git::Error::Gone { repository, object: first.clone() }.into()
            }
            error => error,
        })
    }

    fn name(&self) -> &str {
        self.repository.name()
    }

    /// Runs a command that takes the address as its next argument.
    fn talk(&self, arguments: &[&str], input: Input<'_>) -> Result<String, Error> {
        let mut output = tempfile_in(self.git.dir)?;
        let mut command = self.command();
        command.args(arguments).arg(self.repository.address.given()).stdout(output.try_clone()?);
        let ended = self.git.finish(command, input)?;
        if !ended.status.success() {
            return Err(Trouble::of(&ended.said).error(self.name(), ended.said));
        }
        output.rewind()?;
        read_text(output)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("git");
        command.current_dir(self.git.dir).envs(self.repository.environment.iter().map(|(k, v)| (k, v)));
        for name in REPOSITORY_VARIABLES {
            command.env_remove(name);
        }
        command.env_remove("SSH_ASKPASS").envs(NOBODY_IS_ASKED);
        // Stands above `protocol.allow`, holds for redirects too, and reaches the helpers.
        let is_plain_fit = self.repository.allows_plain || self.repository.address.is_plain();
        let schemes = SCHEMES.iter().copied().filter(|scheme| is_plain_fit || *scheme != PLAIN);
        command.env("GIT_ALLOW_PROTOCOL", schemes.collect::<Vec<_>>().join(":"));
        command.envs(self.ssh.iter().map(|ssh| ("GIT_SSH_COMMAND", ssh)));
        command.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        command.arg("--git-dir").arg(self.git.dir);
        command
    }

    /// The user's OpenSSH with our options, found as Git finds it (git-config(1), `core.sshCommand`). Another program
    /// may not know them, and is taken as it is.
    fn choose_ssh(&self) -> Result<Option<OsString>, Error> {
        let chosen = match self.variable("GIT_SSH_COMMAND") {
            Some(command) => command,
            None => match self.configured("core.sshCommand")? {
                Some(command) => command.into(),
                None if self.variable("GIT_SSH").is_some() => return Ok(None),
                None => "ssh".into(),
            },
        };
        let program = chosen.to_str().and_then(|command| command.split_whitespace().next()).map(Path::new);
        let is_openssh = program.and_then(Path::file_name) == Some(OsStr::new("ssh"));
        Ok(is_openssh.then(|| {
            let mut command = chosen;
            command.push(SSH_OPTIONS);
            command
        }))
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        let ours = self.repository.environment.iter().find(|(ours, _)| ours == name);
        ours.map(|(_, value)| value.clone()).or_else(|| std::env::var_os(name))
    }

    fn configured(&self, key: &str) -> Result<Option<String>, Error> {
        let mut output = tempfile_in(self.git.dir)?;
        let mut command = self.command();
        command.args(["config", "--get", key]).stdout(output.try_clone()?);
        let ended = self.git.finish(command, Input::Nothing)?;
        output.rewind()?;
        let value = read_text(output)?;
        Ok(ended.status.success().then(|| value.trim_end().to_owned()))
    }
}
