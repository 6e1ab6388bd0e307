//! What an activation does outside of the store: hooks and programs, by this process or by the helper behind a socket, and
//! checks of health.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use sealift_archive::{Explain as _, Progress, Unwatched};
use sealift_importer::Error;
use sealift_importer::activation::{
    Action, Between, Direct, Engine, Error as Refusal, Host, Socket, Switched, Trouble, answer,
};
use sealift_importer::config::activation::Activation as Config;
use sealift_store::Store;

use crate::activation::{Appliance, NEW, OLD, number};
use crate::outside::Outside;
use crate::vendor::{ACME, Offer};

/// How long anything here may take.
const DEADLINE: Duration = Duration::from_secs(60);
const BETWEEN: Between = Between { to: None, from: None };

fn config(text: &str) -> Config {
    serde_saphyr::from_str(text).unwrap()
}

fn activate(appliance: &Appliance, config: &Config, outside: &Outside) -> Result<Switched, Error> {
    let host = Direct::new(&appliance.store, config);
    let engine = Engine { host: &host, ..outside.engine(config) };
    engine.activate(&appliance.store.lock("test").unwrap(), number(2))
}

/// Answers so many connections as `sealiftctl host-helper` does.
fn serve(path: &Path, store: &Store, config: &Config, connections: usize) -> thread::JoinHandle<Vec<String>> {
    let listener = UnixListener::bind(path).unwrap();
    let (store, config) = (store.clone(), config.clone());
    thread::spawn(move || {
        let answers = (0..connections).map(|_| {
            let (stream, _) = listener.accept().unwrap();
            match answer(stream, &store, &Direct::new(&store, &config)) {
                Ok(()) => "answered".to_owned(),
                Err(error) => error.to_string(),
            }
        });
        answers.collect()
    })
}

fn expect_failed(result: Result<String, Trouble>) -> String {
    match result {
        Err(Trouble::Failed(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn expect_halted(result: Result<String, Trouble>) -> Error {
    match result {
        Err(Trouble::Halted(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_hook_is_told_what_it_is_about_directly_and_through_the_helper() {
    let appliance = Appliance::new(false);
    fs::create_dir(appliance.store.root().join("activation")).unwrap();
    let config = config(
        "hooks:
- name: k3s
  command: [/bin/sh, -c, 'echo $SEALIFT_PHASE $SEALIFT_VERSION $SEALIFT_SEQUENCE from $SEALIFT_FROM_VERSION; \
         [ ${#SEALIFT_RELEASE} = 71 ] && [ -d $SEALIFT_STORE/blobs ]']
  undo: [/bin/sh, -c, 'echo $SEALIFT_PHASE $SEALIFT_VERSION$SEALIFT_SEQUENCE from $SEALIFT_FROM_VERSION; exit 4']
",
    );
    let path = appliance.path("host.sock");
    let helper = serve(&path, &appliance.store, &config, 3);
    let (socket, direct) = (Socket::new(&path), Direct::new(&appliance.store, &config));
    let name = || "k3s".to_owned();
    let run =
        Action::RunHook { name: name(), between: Between { to: Some(number(2)), from: Some(number(1)) } };
    let undo = Action::UndoHook { name: name(), between: Between { to: None, from: Some(number(2)) } };
    for host in [&socket as &dyn Host, &direct] {
        assert_eq!(host.act(&run, &Unwatched).unwrap(), "hook 1.2 2 from 1.1");
        assert_eq!(expect_failed(host.act(&undo, &Unwatched)), "undo from 1.2 (exit status: 4)");
        let unknown = Action::RunHook { name: "reboot".to_owned(), between: BETWEEN };
        let error = expect_halted(host.act(&unknown, &Unwatched)).to_string();
        assert!(error.contains("the hook `reboot`"), "{error}");
    }
    assert_eq!(helper.join().unwrap(), ["answered"; 3]);
    let error = expect_halted(Socket::new(appliance.path("nowhere.sock")).act(&run, &Unwatched));
    assert_eq!(error.code().to_string(), "SL0532", "{error}");
}

#[test]
fn the_helper_does_nothing_else() {
    let appliance = Appliance::new(false);
    let config = config("hooks: [{name: k3s, command: [/bin/true]}]");
    let long = format!("{{\"action\":\"{}", "x".repeat(100_000));
    let cases = [
        ("", "no question came"),
        ("\n", "cannot be understood"),
        ("run k3s\n", "cannot be understood"),
        ("{\"action\":\"runHook\",\"name\":\"k3s\",\"command\":[\"/bin/sh\"]}\n", "unknown field `command`"),
        ("{\"action\":\"shell\"}\n", "unknown variant `shell`"),
        ("{\"action\":\"installPrograms\",\"release\":0}\n", "cannot be understood"),
        (long.as_str(), "more than 65536 bytes"),
    ];
    for (question, wanted) in cases {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let asking = thread::spawn({
            let question = question.to_owned();
            move || {
                // Whoever is refused in the middle of a question cannot write the rest of it.
                let _ = ours.write_all(question.as_bytes());
                let _ = ours.shutdown(std::net::Shutdown::Write);
                let mut told = String::new();
                let _ = ours.read_to_string(&mut told);
                told
            }
        });
        let refused = answer(theirs, &appliance.store, &Direct::new(&appliance.store, &config)).unwrap_err();
        assert!(
            matches!(refused, Error::Activation(Refusal::HelperRefuses { .. })),
            "{question:.40}: {refused}"
        );
        assert!(refused.to_string().contains(wanted), "{question:.40}: {refused}");
        let told = asking.join().unwrap();
        assert!(told.is_empty() || told.contains("\"halted\""), "{question:.40}: {told}");
    }
}

/// Asks to stop once a file is there.
struct Until(PathBuf, AtomicBool);

impl Progress for Until {
    fn advance(&self, _: u64) {}

    fn is_interrupted(&self) -> bool {
        if self.0.exists() {
            self.1.store(true, Ordering::Relaxed);
        }
        self.1.load(Ordering::Relaxed)
    }
}

#[test]
fn who_hangs_up_ends_what_the_helper_has_started() {
    let appliance = Appliance::new(false);
    fs::create_dir(appliance.store.root().join("activation")).unwrap();
    let (begun, held) = (appliance.path("begun"), appliance.path("held"));
    let config = config(&format!(
        "hooks: [{{name: k3s, command: [/usr/bin/flock, {}, /bin/sh, -c, 'touch {}; sleep 1000']}}]",
        held.display(),
        begun.display()
    ));
    let path = appliance.path("host.sock");
    let helper = serve(&path, &appliance.store, &config, 1);
    let run = Action::RunHook { name: "k3s".to_owned(), between: BETWEEN };
    let error = expect_halted(Socket::new(&path).act(&run, &Until(begun, AtomicBool::new(false))));
    assert_eq!(error.code().to_string(), "SL0120", "{error}");
    helper.join().unwrap();
    let held = fs::File::open(held).unwrap();
    let deadline = Instant::now() + DEADLINE;
    while held.try_lock().is_err() {
        assert!(Instant::now() < deadline, "the hook is still at work");
        thread::yield_now();
    }
}

#[test]
fn a_hook_that_outlived_its_run_is_waited_for() {
    let appliance = Appliance::new(false);
    fs::create_dir(appliance.store.root().join("activation")).unwrap();
    let config = config("hooks: [{name: k3s, command: [/bin/true]}]");
    let run = Action::RunHook { name: "k3s".to_owned(), between: BETWEEN };
    let direct = Direct::new(&appliance.store, &config);
    let file = fs::File::create(appliance.store.root().join("activation/hook")).unwrap();
    file.lock().unwrap();
    let error = expect_halted(direct.act(&run, &Unwatched));
    assert_eq!(error.code().to_string(), "SL0534", "{error}");
    drop(file);
    direct.act(&run, &Unwatched).unwrap();
}

/// The helper may be root, and the store somebody else's.
#[test]
fn a_hook_gets_no_file_from_elsewhere() {
    let config = config("hooks: [{name: k3s, command: [/bin/true]}]");
    let run = Action::RunHook { name: "k3s".to_owned(), between: BETWEEN };
    for case in ["a link to the folder", "a link to a file", "another name of a file", "a folder"] {
        let appliance = Appliance::new(false);
        let (folder, elsewhere) = (appliance.store.root().join("activation"), appliance.path("elsewhere"));
        fs::create_dir(&elsewhere).unwrap();
        let file = elsewhere.join("file");
        fs::write(&file, "secret").unwrap();
        if case == "a link to the folder" {
            std::os::unix::fs::symlink(&elsewhere, &folder).unwrap();
        } else {
            fs::create_dir(&folder).unwrap();
        }
        match case {
            "a link to a file" => std::os::unix::fs::symlink(&file, folder.join("hook")).unwrap(),
            "another name of a file" => fs::hard_link(&file, folder.join("hook")).unwrap(),
            "a folder" => fs::create_dir(folder.join("hook")).unwrap(),
            _ => {}
        }
        let error = expect_halted(Direct::new(&appliance.store, &config).act(&run, &Unwatched));
        assert!(error.to_string().contains("activation/hook"), "{case}: {error}");
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1, "{case}");
    }
}

#[test]
fn a_hook_may_only_read_what_it_is_given() {
    let appliance = Appliance::new(false);
    fs::create_dir(appliance.store.root().join("activation")).unwrap();
    let config = config("hooks: [{name: k3s, command: [/bin/sh, -c, 'echo x >&0']}]");
    let run = Action::RunHook { name: "k3s".to_owned(), between: BETWEEN };
    expect_failed(Direct::new(&appliance.store, &config).act(&run, &Unwatched));
}

const GOOD: &str = "#!/bin/sh\n# new\nexit 0\n";
const BAD: &str = "#!/bin/sh\necho needs another kernel\nexit 1\n";

/// An appliance whose release 2 brings these programs, and its configuration.
fn with_programs(programs: &[(&str, &str)]) -> (Appliance, Config) {
    let appliance = Appliance::new(false);
    fs::remove_dir_all(appliance.store.root().join("releases/2")).unwrap();
    let files: Vec<(String, &str)> =
        programs.iter().map(|(name, content)| (format!("sealift/bin/{name}"), *content)).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, content)| (name.as_str(), *content)).collect();
    appliance.stage(&Offer::with_files(&ACME, 2, &files));
    let dir = appliance.path("bin");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("sealiftctl"), "old").unwrap();
    let text = format!(
        "programs: {{dir: {0}, restartRegistry: [/bin/sh, -c, 'touch {0}/restarted']}}",
        dir.display()
    );
    let config = config(&text);
    (appliance, config)
}

#[test]
fn programs_are_updated_first_and_it_goes_on_as_the_new_one() {
    let other = if std::env::consts::ARCH == "x86_64" { "linux-arm64" } else { "linux-amd64" };
    let own = if std::env::consts::ARCH == "x86_64" { "linux-amd64" } else { "linux-arm64" };
    let (own, other) = (format!("{own}/sealiftctl"), format!("{other}/sealiftctl"));
    let (appliance, config) =
        with_programs(&[(&own, GOOD), (&other, BAD), ("sealift-registry", "#!/bin/sh\nexit 0\n")]);
    let outside = Outside::default();
    activate(&appliance, &config, &outside).unwrap_err();
    assert_eq!(outside.calls(), ["restart sealiftctl"]);
    assert_eq!(appliance.states(), OLD, "so far");
    let program = appliance.path("bin/sealiftctl");
    assert_eq!(fs::read_to_string(&program).unwrap(), GOOD);
    assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::read_to_string(appliance.path("bin/sealiftctl.previous")).unwrap(), "old");
    let mut there: Vec<_> =
        fs::read_dir(appliance.path("bin")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    there.sort();
    assert_eq!(there, ["restarted", "sealift-registry", "sealiftctl", "sealiftctl.previous"]);
    // The new program goes on, and has nothing to install any more.
    let outside = Outside::default();
    let resumed = outside.engine(&config).resume(&appliance.store.lock("test").unwrap()).unwrap();
    assert_eq!((resumed.len(), outside.calls().len()), (1, 0));
    assert_eq!(appliance.states(), NEW);
    appliance.expect_nothing_left("updated");
}

#[test]
fn a_program_that_does_not_run_here_takes_no_place() {
    let (appliance, config) = with_programs(&[("sealiftctl", BAD)]);
    let error = activate(&appliance, &config, &Outside::default()).unwrap_err();
    let is_back =
        matches!(&error, Error::Activation(Refusal::WentBack { phase, .. }) if phase == "self-update");
    assert!(is_back && error.to_string().contains("needs another kernel"), "{error}");
    assert_eq!(fs::read_to_string(appliance.path("bin/sealiftctl")).unwrap(), "old");
    assert_eq!(fs::read_dir(appliance.path("bin")).unwrap().count(), 1, "nothing else is there");
    assert_eq!(appliance.states(), OLD);
    appliance.expect_nothing_left("not updated");
}

#[test]
fn a_program_that_nobody_has_signed_takes_no_place() {
    let (appliance, mut config) = with_programs(&[("sealiftctl", GOOD)]);
    let root = appliance.path("root");
    fs::create_dir(&root).unwrap();
    config.programs.trust_root = Some(crate::vendor::OTHER.write_root(&root));
    let error = activate(&appliance, &config, &Outside::default()).unwrap_err();
    assert!(error.to_string().contains("pinned trust root"), "{error}");
    config.programs.trust_root = None;
    fs::remove_dir_all(appliance.store.root().join("releases/2/signatures")).unwrap();
    activate(&appliance, &config, &Outside::default()).unwrap_err();
    assert_eq!(fs::read_to_string(appliance.path("bin/sealiftctl")).unwrap(), "old");
}

/// Whoever owns the store says what is pinned in it, and would be root by that.
#[test]
fn root_takes_no_program_on_the_word_of_the_owner_of_a_store() {
    const SOMEBODY: u32 = 998;
    let (appliance, mut config) = with_programs(&[("sealiftctl", GOOD)]);
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        std::os::unix::fs::chown(appliance.store.root(), Some(SOMEBODY), None).unwrap();
    }
    let install = Action::InstallPrograms { release: number(2) };
    let installed = Direct::new(&appliance.store, &config).act(&install, &Unwatched);
    if is_root {
        let why = expect_failed(installed);
        assert!(why.contains("belongs to user 998") && why.contains("`programs.trustRoot`"), "{why}");
    } else {
        // Without root's rights, nobody gains any by it.
        installed.unwrap();
        fs::write(appliance.path("bin/sealiftctl"), "old").unwrap();
    }
    assert_eq!(fs::read_to_string(appliance.path("bin/sealiftctl")).unwrap(), "old");
    config.programs.trust_root = Some(ACME.write_root(&appliance.path("bin")));
    Direct::new(&appliance.store, &config).act(&install, &Unwatched).unwrap();
    assert_eq!(fs::read_to_string(appliance.path("bin/sealiftctl")).unwrap(), GOOD);
}

#[test]
fn keys_that_the_trust_root_of_the_configuration_has_left_behind_sign_no_programs() {
    let (appliance, mut config) = with_programs(&[("sealiftctl", GOOD)]);
    let later = ACME.with_another_key();
    let mut trusted = appliance.store.trust().unwrap();
    trusted.follow(later.root.clone(), &later.root_signatures()).unwrap();
    let writer = appliance.store.lock("test").unwrap();
    writer.remember_roots("test", &trusted, &later.root_signatures()).unwrap();
    let install = Action::InstallPrograms { release: number(2) };
    let roots = ["first", "second"].map(|name| {
        let dir = appliance.path(name);
        fs::create_dir(&dir).unwrap();
        dir
    });
    config.programs.trust_root = Some(later.write_root(&roots[1]));
    let refused = expect_halted(Direct::new(&appliance.store, &config).act(&install, &Unwatched));
    assert!(refused.to_string().contains("release.json"), "{refused}");
    assert_eq!(fs::read_to_string(appliance.path("bin/sealiftctl")).unwrap(), "old");
    config.programs.trust_root = Some(ACME.write_root(&roots[0]));
    Direct::new(&appliance.store, &config).act(&install, &Unwatched).unwrap();
    assert_eq!(fs::read_to_string(appliance.path("bin/sealiftctl")).unwrap(), GOOD);
}

#[test]
fn what_a_crash_left_beside_a_program_goes_with_the_next_try() {
    let asks = "#!/bin/sh\necho \"${0##*/}\" > \"${0%/*}/asked\"\n";
    let (appliance, config) = with_programs(&[("sealiftctl", asks)]);
    let bin = appliance.path("bin");
    // It ended while the new one was written, and between the two renames.
    fs::write(bin.join(".sealiftctl.new"), "half").unwrap();
    fs::hard_link(bin.join("sealiftctl"), bin.join("sealiftctl.previous")).unwrap();
    fs::hard_link(bin.join("sealiftctl"), bin.join(".sealiftctl.link")).unwrap();
    fs::write(bin.join(".sealift-registry.new"), "half").unwrap();
    let install = Action::InstallPrograms { release: number(2) };
    Direct::new(&appliance.store, &config).act(&install, &Unwatched).unwrap();
    let there = fs::read_dir(&bin).unwrap().map(|entry| entry.unwrap().file_name());
    let there: std::collections::BTreeSet<_> = there.collect();
    assert_eq!(there, ["asked", "sealiftctl", "sealiftctl.previous"].map(Into::into).into());
    // The name is one that the next try would have found.
    assert_eq!(fs::read_to_string(bin.join("asked")).unwrap(), ".sealiftctl.new\n");
    assert_eq!(fs::read_to_string(bin.join("sealiftctl.previous")).unwrap(), "old");
}

#[test]
fn health_is_waited_for() {
    let appliance = Appliance::new(false);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        for status in ["503 Service Unavailable", "503 Service Unavailable", "204 No Content"] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).unwrap() > 0);
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        }
    });
    let health = |deadline: &str, rest: &str| {
        config(&format!("health: {{deadline: {deadline}, interval: 1s, checks: [{rest}]}}"))
    };
    let web = format!("{{name: web, http: {{url: 'http://127.0.0.1:{port}/healthz', status: 204}}}}");
    activate(&appliance, &health("60s", &web), &Outside::default()).unwrap();
    server.join().unwrap();
    assert_eq!(appliance.states(), NEW);

    let appliance = Appliance::new(false);
    let api = "{name: api, command: [/bin/sh, -c, \"echo not $SEALIFT_PHASE of $SEALIFT_VERSION; exit 1\"]}";
    let config = health("1s", &format!("{web}, {api}"));
    let error = activate(&appliance, &config, &Outside::default()).unwrap_err().to_string();
    let wanted =
        ["phase health", "within 1 s: `web`: ", "refused", "`api`: not health of 1.2 (exit status: 1)"];
    assert!(wanted.iter().all(|wanted| error.contains(wanted)), "{error}");
    assert_eq!(appliance.states(), OLD);
}

#[test]
fn the_program_asks_the_helper_and_goes_on_as_the_new_one() {
    let real = assert_cmd::cargo::cargo_bin!("sealiftctl");
    let script = format!("#!/bin/sh\nexec '{}' \"$@\"\n", real.display());
    let (appliance, _) = with_programs(&[("sealiftctl", &script)]);
    let (socket, file) = (appliance.path("host.sock"), appliance.path("appliance.yaml"));
    let text = format!(
        "apiVersion: sealift/v1
kind: Appliance
activation:
  programs: {{dir: {}}}
  helper: {}
  hooks: [{{name: k3s, command: [/bin/sh, -c, 'echo $SEALIFT_VERSION > {}']}}]
",
        appliance.path("bin").display(),
        socket.display(),
        appliance.path("hook").display()
    );
    fs::write(&file, text).unwrap();
    let command = || {
        let mut command = Command::new(real);
        command
            .arg("--store")
            .arg(appliance.store.root())
            .arg("--config")
            .arg(&file)
            .env_remove("SEALIFT_STORE");
        command
    };
    let listener = UnixListener::bind(&socket).unwrap();
    let activation = thread::spawn({
        let mut command = command();
        move || command.args(["activate", "1.2"]).stdin(Stdio::null()).output().unwrap()
    });
    // As systemd does it: the programs, then the hook.
    for _ in 0..2 {
        let (stream, _) = listener.accept().unwrap();
        let status = command().arg("host-helper").stdin(OwnedFd::from(stream)).status().unwrap();
        assert!(status.success());
    }
    let output = activation.join().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}");
    assert_eq!(out, "acme 1.2 (sequence 2) is active\n  before      acme 1.1 (sequence 1)\n");
    assert_eq!(err, "1.2: 1/5 self-update  install sealiftctl\n1.2: 3/5 hook         k3s\n");
    assert_eq!(fs::read_to_string(appliance.path("hook")).unwrap(), "1.2\n");
    assert_eq!(fs::read_to_string(appliance.path("bin/sealiftctl")).unwrap(), script);
    assert_eq!(appliance.states(), NEW);
    appliance.expect_nothing_left("by the program");
}
