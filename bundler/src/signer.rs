//! Programs that sign: in front of a hardware module, a service for keys, or a person with a token.
//!
//! `PROGRAM ARGUMENTS… DIGEST` is run without a shell; `DIGEST` is the SHA-256 of the document in hexadecimal. On standard output
//! it prints the signature of that digest (ECDSA P-256, in DER), and it ends with 0. Its environment tells
//! `SEALIFT_KEY_ID`, `SEALIFT_PUBLIC_KEY` (the path of the key file) and `SEALIFT_ROLE`. It may use the terminal: to ask for a
//! PIN, say. What it prints is believed only once the public key has verified it.

use std::fmt;
use std::io::{self, IsTerminal as _, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use sealift_archive::trust::{PublicKey, RoleName, Signer};
use sealift_archive::{Digest, Error, Progress};

/// How long a program may take: somebody has to find the token and type the PIN.
const DEADLINE: Duration = Duration::from_secs(5 * 60);
/// Between two looks at whether somebody asked to stop.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Longest output that is taken, in bytes. A signature has at most 72.
const MAX_ANSWER_BYTES: u64 = 512;

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    path: String,
    arguments: Vec<String>,
}

impl FromStr for Program {
    type Err = &'static str;

    /// Cuts at spaces, and knows no quotes: there is no shell.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split_whitespace().map(str::to_owned);
        let path = words.next().ok_or("no program is named")?;
        Ok(Self { path, arguments: words.collect() })
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

/// A key whose private half only a program can use.
pub(crate) struct ProgramSigner {
    program: Program,
    public: PublicKey,
    /// The public key's file.
    file: PathBuf,
    role: RoleName,
    progress: Arc<dyn Progress>,
    deadline: Duration,
    /// Whether all that the program starts can be ended with it. On a terminal it stays with us, or it could not ask for a
    /// PIN; but there Ctrl-C reaches all of them.
    has_own_group: bool,
}

impl fmt::Debug for ProgramSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProgramSigner({} for {})", self.program, self.public.id())
    }
}

impl ProgramSigner {
    pub(crate) fn new(
        program: Program,
        public: PublicKey,
        file: PathBuf,
        role: RoleName,
        progress: Arc<dyn Progress>,
    ) -> Self {
        let has_own_group = !(io::stdin().is_terminal() || io::stderr().is_terminal());
        Self { program, public, file, role, progress, deadline: DEADLINE, has_own_group }
    }

    fn start(&self, document: &Digest) -> io::Result<(Child, ChildStdout)> {
        let mut command = Command::new(&self.program.path);
        command.args(&self.program.arguments).arg(document.hex()).stdout(Stdio::piped());
        command.env("SEALIFT_KEY_ID", self.public.id().to_string());
        command.env("SEALIFT_PUBLIC_KEY", std::path::absolute(&self.file)?);
        command.env("SEALIFT_ROLE", self.role.to_string());
        if self.has_own_group {
            command.process_group(0);
        }
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("it has no standard output"))?;
        Ok((child, output))
    }

    /// Waits until the program has ended and all that it printed is here.
    fn wait(&self, child: &mut Child, answers: &Receiver<io::Result<Vec<u8>>>) -> Result<Vec<u8>, Error> {
        let begun = Instant::now();
        let mut answer = None;
        loop {
            match answers.recv_timeout(POLL_INTERVAL) {
                Ok(read) => answer = Some(read.map_err(|error| self.failed(error.to_string()))?),
                Err(RecvTimeoutError::Timeout) => {}
                // It has been read already; what is waited for is the end of the program.
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(POLL_INTERVAL),
            }
            // Asked first: Ctrl-C reaches the program too, and how it ends then is no news.
            self.progress.go_on()?;
            let status = child.try_wait().map_err(|error| self.failed(error.to_string()))?;
            match (status, answer.take()) {
                (Some(status), _) if !status.success() => return Err(self.failed(how(status))),
                (Some(_), Some(bytes)) => return Ok(bytes),
                (_, unfinished) => answer = unfinished,
            }
            if begun.elapsed() > self.deadline {
                let (signer, key) = (self.name(), self.public.id());
                return Err(Error::SignerSilent { signer, key, seconds: self.deadline.as_secs() });
            }
        }
    }

    fn end(&self, child: &mut Child) {
        // What has ended already needs no ending.
        let _ = child.kill();
        if self.has_own_group {
            let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
        }
        let _ = child.wait();
    }

    fn failed(&self, why: String) -> Error {
        Error::SignerFailed { signer: self.name(), key: self.public.id(), why }
    }
}

impl Signer for ProgramSigner {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn name(&self) -> String {
        format!("`{}`", self.program)
    }

    fn sign_digest(&self, document: &Digest) -> Result<Vec<u8>, Error> {
        let (mut child, output) =
            self.start(document).map_err(|error| self.failed(format!("it cannot be run: {error}")))?;
        let (sender, answers) = mpsc::channel();
        // Not waited for: somebody whom the program left behind may keep its output open.
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = output.take(MAX_ANSWER_BYTES + 1).read_to_end(&mut bytes);
            // Nobody listens any more if the program was given up.
            let _ = sender.send(read.map(|_| bytes));
        });
        let answer = self.wait(&mut child, &answers);
        if answer.is_err() {
            self.end(&mut child);
        }
        match answer? {
            empty if empty.is_empty() => Err(self.failed("it printed nothing".to_owned())),
            long if long.len() as u64 > MAX_ANSWER_BYTES => Err(self.failed(format!(
                "it printed more than {MAX_ANSWER_BYTES} bytes; a signature has 72 at most"
            ))),
            signature => Ok(signature),
        }
    }
}

fn how(status: ExitStatus) -> String {
    format!("it ended with {status}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};

    use fs_err as fs;
    use sealift_archive::Unwatched;
    use sealift_archive::trust::{SecretKey, Signature};

    use super::*;

    /// Signs the digest as it is, with the key in its first argument.
    const SIGN: &str = "perl -e 'print pack \"H*\", shift' $2 | openssl pkeyutl -sign -inkey $1\n";

    /// A key that a script signs with.
    struct Place {
        dir: tempfile::TempDir,
        public: PublicKey,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let made = Command::new("openssl")
                .args(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"])
                .arg(dir.path().join("key"))
                .output()
                .expect("openssl");
            assert!(made.status.success(), "{made:?}");
            let pem = fs::read(dir.path().join("key")).unwrap();
            let key = SecretKey::from_pem("key", &pem, || Err(Error::Interrupted)).unwrap();
            Self { dir, public: key.public().clone() }
        }

        fn path(&self, name: &str) -> String {
            self.dir.path().join(name).display().to_string()
        }

        fn signer(&self, script: &str) -> ProgramSigner {
            fs::write(self.path("script"), script).unwrap();
            let program = format!("sh {} {}", self.path("script"), self.path("key")).parse().unwrap();
            let (file, progress) = (self.path("release.pub").into(), Arc::new(Unwatched));
            let signer = ProgramSigner::new(program, self.public.clone(), file, RoleName::Release, progress);
            ProgramSigner { has_own_group: true, ..signer }
        }

        /// What the signer says to a document.
        fn refusal(&self, script: &str) -> String {
            Signature::sign(b"document", &self.signer(script)).unwrap_err().to_string()
        }
    }

    fn wait_until(mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !condition() {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_program_signs_and_is_told_for_whom() {
        let place = Place::new();
        let told =
            format!("echo $SEALIFT_KEY_ID $SEALIFT_ROLE $SEALIFT_PUBLIC_KEY > {}\n", place.path("told"));
        let signature = Signature::sign(b"document", &place.signer(&(told + SIGN))).unwrap();
        assert_eq!(signature.key, place.public.id());
        let expected = format!("{} release {}\n", place.public.id(), place.path("release.pub"));
        assert_eq!(fs::read_to_string(place.path("told")).unwrap(), expected);
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        let (place, other) = (Place::new(), Place::new());
        let not_ours = format!("what `sh` gave is not a signature by key {}", place.public.id().short());
        let cases = [
            ("another key's", SIGN.replace("$1", &other.path("key")), not_ours.as_str()),
            ("of another digest", SIGN.replace("$2", &"00".repeat(32)), &not_ours),
            ("text", "echo hello".to_owned(), &not_ours),
            ("nothing", "true".to_owned(), "it printed nothing"),
            ("without end", "exec cat /dev/zero".to_owned(), "`sh` did not sign for key"),
            ("an error", format!("{SIGN}exit 7"), "it ended with exit status: 7"),
        ];
        for (name, script, expected) in cases {
            let said = place.refusal(&script);
            assert!(said.contains(expected), "{name}: {said}");
        }
        let mut nothing = place.signer("");
        nothing.program = "/nonexistent/program".parse().unwrap();
        let said = Signature::sign(b"document", &nothing).unwrap_err().to_string();
        assert!(said.contains("`/nonexistent/program`") && said.contains("cannot be run"), "{said}");
        assert!("  ".parse::<Program>().is_err());
    }

    /// Whether somebody asked to stop.
    struct Asked(AtomicBool);

    impl Progress for Asked {
        fn advance(&self, _: u64) {}

        fn is_interrupted(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn nobody_waits_for_ever_and_nothing_goes_on() {
        let place = Place::new();
        let pid_file = place.path("pid");
        let script = format!("sleep 600 & echo $! > {pid_file}.new; mv {pid_file}.new {pid_file}; wait");
        let is_running = || {
            let pid = fs::read_to_string(&pid_file).unwrap();
            let stat = fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat"));
            stat.is_ok_and(|stat| !stat.contains(") Z "))
        };
        let silent = ProgramSigner { deadline: Duration::from_secs(1), ..place.signer(&script) };
        let error = silent.sign_digest(&Digest::of(b"document")).unwrap_err();
        assert!(matches!(error, Error::SignerSilent { seconds: 1, .. }), "{error}");
        wait_until(|| !is_running());

        fs::remove_file(&pid_file).unwrap();
        let asked = Arc::new(Asked(AtomicBool::new(false)));
        let signer = ProgramSigner { progress: asked.clone(), ..place.signer(&script) };
        std::thread::scope(|scope| {
            let signing = scope.spawn(|| signer.sign_digest(&Digest::of(b"document")));
            wait_until(|| Path::new(&pid_file).exists());
            asked.0.store(true, Ordering::Relaxed);
            assert!(matches!(signing.join().unwrap(), Err(Error::Interrupted)));
        });
        wait_until(|| !is_running());
    }
}
