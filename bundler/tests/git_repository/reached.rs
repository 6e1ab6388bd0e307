//! How a remote is talked to: as its user has set Git up, with nobody asked and nothing run.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fs_err as fs;
use tempfile::TempDir;

use sealift_archive::{Class, Explain as _, Progress, report};
use sealift_bundler::git::Repository;

use crate::source::{Source, repository, resolve};

/// How long a killed process may take to go.
const DEADLINE: Duration = Duration::from_secs(10);

/// A stand-in for ssh that does this.
fn by_ssh(dir: &Path, script: &str) -> Repository {
    let program = dir.join("remote-shell");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    let set = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&program, set).unwrap();
    repository("git@git.example.com:acme/policies.git", "main")
        .with_variable("GIT_SSH_COMMAND", program.as_os_str())
        .with_variable("GIT_SSH_VARIANT", "simple")
}

#[test]
fn nobody_is_asked() {
    let cases = [
        ("echo 'git@git.example.com: Permission denied (publickey).' >&2; exit 255", "Permission denied"),
        ("echo 'Host key verification failed.' >&2; exit 255", "Host key verification failed"),
        // What the kernel does to a process in the background that reads from the terminal.
        ("kill -TTIN 0; exit 0", "wanted to ask"),
    ];
    for (script, expected) in cases {
        let dir = TempDir::new().unwrap();
        let error = resolve(&by_ssh(dir.path(), script), None, None).unwrap_err();
        let said = report(&error);
        let expected = ["SL0452", "git@git.example.com:acme/policies.git", expected, "credential helper"];
        assert!(expected.iter().all(|part| said.contains(part)), "{script}: {said}");
        assert_eq!(error.class(), Class::Unreachable);
    }
}

#[test]
fn openssh_is_told_to_ask_nobody() {
    let dir = TempDir::new().unwrap();
    let source = Source::small();
    // Called `ssh`, and does what sshd would do with the command.
    let script = format!(
        "echo \"$@\" > {0}/said; cd {1} && exec git-upload-pack .",
        dir.path().display(),
        source.path().display()
    );
    let _ = by_ssh(dir.path(), &script);
    fs::rename(dir.path().join("remote-shell"), dir.path().join("ssh")).unwrap();
    let ssh = format!("{}/ssh -i key", dir.path().display());
    let repository = repository("ssh://git@git.example.com/acme/policies.git", "main")
        .with_variable("GIT_SSH_COMMAND", ssh);
    let (pinned, _) = resolve(&repository, None, None).unwrap();
    assert_eq!(pinned, source.pin("main"));
    let said = fs::read_to_string(dir.path().join("said")).unwrap();
    assert!(
        said.contains("-i key") && said.contains("-oBatchMode=yes") && said.contains("git@git.example.com"),
        "{said}"
    );
}

/// Somebody who asks to stop as soon as a file is there.
struct Impatient {
    file: PathBuf,
    asked: AtomicUsize,
}

impl Progress for Impatient {
    fn advance(&self, _: u64) {}

    fn is_interrupted(&self) -> bool {
        // So that a test fails instead of hanging.
        self.asked.fetch_add(1, Ordering::Relaxed) > 1000 || self.file.exists()
    }
}

#[test]
fn stopping_stops_git_and_all_that_it_started() {
    let dir = TempDir::new().unwrap();
    let pid = dir.path().join("pid");
    let script = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000", pid.display());
    let scratch = TempDir::new().unwrap();
    let impatient = Impatient { file: pid.clone(), asked: AtomicUsize::new(0) };
    let error = by_ssh(dir.path(), &script).resolve(None, None, scratch.path(), &impatient).unwrap_err();
    assert_eq!(error.class(), Class::Interrupted, "{error}");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "nothing is left");
    let pid = fs::read_to_string(pid).unwrap();
    let is_gone = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        // Whoever inherited it may not have come round to burying it.
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
    };
    let deadline = Instant::now() + DEADLINE;
    while !is_gone() {
        assert!(Instant::now() < deadline, "process {pid} lives on");
        std::thread::yield_now();
    }
}

#[test]
fn the_users_configuration_holds_and_runs_nothing_of_the_remotes() {
    let source = Source::small();
    let dir = TempDir::new().unwrap();
    let (config, hooks, ran) = (dir.path().join("config"), dir.path().join("hooks"), dir.path().join("ran"));
    fs::create_dir(&hooks).unwrap();
    for hook in ["reference-transaction", "post-checkout", "pre-auto-gc"] {
        let hook = hooks.join(hook);
        fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", ran.display())).unwrap();
        fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let settings = format!(
        "[url \"file://{}\"]\ninsteadOf = https://git.example.com/policies.git\n\
         [url \"ext::touch {} \"]\ninsteadOf = https://evil.example.com/\n\
         [core]\nhooksPath = {}\n\
         [fetch]\nprune = true\npruneTags = true\nwriteCommitGraph = true\n\
         [init]\ndefaultObjectFormat = sha256\n",
        source.path().display(),
        ran.display(),
        hooks.display(),
    );
    fs::write(&config, settings).unwrap();
    let at = |url: &str| {
        repository(url, "main")
            .with_variable("GIT_CONFIG_GLOBAL", &config)
            .with_variable("GIT_DIR", "/nonexistent")
    };
    let (pinned, _) = resolve(&at("https://git.example.com/policies.git"), None, None).unwrap();
    assert_eq!(pinned, source.pin("main"));
    let said = report(&resolve(&at("https://evil.example.com/x"), None, None).unwrap_err());
    assert!(said.contains("transport 'ext' not allowed"), "{said}");
    assert!(!ran.exists(), "somebody ran something");
}

#[test]
fn plain_http_is_for_this_machine_unless_asked_for() {
    let dir = TempDir::new().unwrap();
    let config = dir.path().join("config");
    // An address of this machine at which nobody answers.
    let closed = "http://127.0.0.1:1/";
    fs::write(&config, format!("[url \"{closed}\"]\ninsteadOf = https://git.example.com/\n")).unwrap();
    let proxy = |repository: Repository| repository.with_variable("http_proxy", closed);
    let cases = [
        ("http://git.invalid/x", false, "SL0450"),
        ("http://git.invalid/x", true, "SL0451"),
        ("http://127.0.0.1:1/x", false, "SL0451"),
        ("https://git.example.com/x", false, "transport 'http' not allowed"),
        ("https://git.example.com/x", true, "SL0451"),
    ];
    for (url, allowed, expected) in cases {
        let repository = proxy(repository(url, "main"))
            .with_variable("GIT_CONFIG_GLOBAL", &config)
            .with_plain_http(allowed);
        let said = report(&resolve(&repository, None, None).unwrap_err());
        assert!(said.contains(expected), "{url}: {said}");
        assert_eq!(said.contains("--plain-http"), expected == "SL0450", "{url}: {said}");
        assert_eq!(said.contains("not allowed"), expected.contains("not allowed"), "{url}: {said}");
    }
}
