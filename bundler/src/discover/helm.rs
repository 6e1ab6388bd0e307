//! Runs `helm template`, shut in: a copy of the chart, directories of its own, no cluster, a time limit, a limit on what it may say.

use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use fs_err as fs;
use tempfile::TempDir;

use super::chart::ChartFiles;
use super::render::{NAMESPACE, RELEASE_NAME};
use crate::Error;

/// The program's name.
const PROGRAM: &str = "helm";
/// Longest time that rendering a chart may take.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// Most bytes that a rendered chart may have.
const MAX_OUTPUT_BYTES: u64 = 64 << 20;
/// Most bytes of an explanation that are read.
const MAX_WORDS_BYTES: u64 = 64 << 10;

/// A `helm` program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helm {
    program: PathBuf,
    time_limit: Duration,
}

impl Helm {
    /// The first `helm` in `PATH`.
    #[must_use]
    pub fn find() -> Option<Self> {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|dir| dir.join(PROGRAM))
            .find(|program| program.is_file())
            .map(Self::at)
    }

    /// The program at a path.
    #[must_use]
    pub fn at(program: PathBuf) -> Self {
        Self { program, time_limit: TIME_LIMIT }
    }

    /// The same, with another limit on the time that rendering a chart may take.
    #[must_use]
    pub fn within(self, time_limit: Duration) -> Self {
        Self { time_limit, ..self }
    }

    /// Renders a chart, CRDs included. The inner error says why helm did not.
    pub(super) fn template(
        &self,
        files: &ChartFiles,
        values: &[(String, Vec<u8>)],
        kube_version: Option<&str>,
    ) -> Result<Result<String, String>, Error> {
        let dir = TempDir::with_prefix("sealift-helm-")?;
        let chart = dir.path().join("chart");
        for (path, content) in files.iter() {
            write(&chart, &on_disk(path), content)?;
        }
        let mut command = Command::new(&self.program);
        command.args(["template", RELEASE_NAME]).arg(&chart).args([
            "--namespace",
            NAMESPACE,
            "--include-crds",
        ]);
        if let Some(version) = kube_version {
            command.args(["--kube-version", version]);
        }
        for (at, (_, content)) in values.iter().enumerate() {
            let name = format!("values-{at}.yaml");
            write(dir.path(), Path::new(&name), content)?;
            command.arg("--values").arg(dir.path().join(name));
        }
        // Nothing of the user's: no repositories, no plugins, no credentials, no cluster.
        command.env_clear().env("KUBECONFIG", "/dev/null").env("PATH", "").current_dir(dir.path());
        for (variable, name) in [
            ("HOME", "home"),
            ("HELM_CACHE_HOME", "cache"),
            ("HELM_CONFIG_HOME", "config"),
            ("HELM_DATA_HOME", "data"),
        ] {
            command.env(variable, dir.path().join(name));
        }
        self.run(command)
    }

    fn run(&self, mut command: Command) -> Result<Result<String, String>, Error> {
        let shown = self.program.display();
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => return Ok(Err(format!("`{shown}` cannot be run: {error}"))),
        };
        let (tell, heard) = mpsc::channel();
        let words = child.stderr.take().map(|pipe| read_apart(pipe, MAX_WORDS_BYTES, tell.clone()));
        let output = child.stdout.take().map(|pipe| read_apart(pipe, MAX_OUTPUT_BYTES, tell));
        match heard.recv_timeout(self.time_limit) {
            Ok(limit) => {
                stop(&mut child)?;
                return Ok(Err(format!("`{shown} template` says more than {limit} bytes")));
            }
            Err(RecvTimeoutError::Timeout) => {
                stop(&mut child)?;
                return Ok(Err(format!(
                    "`{shown} template` took longer than {} s",
                    self.time_limit.as_secs_f32()
                )));
            }
            // Both pipes are at their end.
            Err(RecvTimeoutError::Disconnected) => {}
        }
        let (output, words) = (finish(output)?, finish(words)?);
        let status = child.wait()?;
        if status.success() {
            return Ok(String::from_utf8(output).map_err(|_| "what it renders is not UTF-8".to_owned()));
        }
        Ok(Err(String::from_utf8_lossy(&words).trim().to_owned()))
    }
}

type Reader = JoinHandle<io::Result<Vec<u8>>>;

/// Reads a pipe to its end in a thread of its own. Tells of the limit if there is more; hangs up in any case.
fn read_apart(pipe: impl Read + Send + 'static, limit: u64, tell: mpsc::Sender<u64>) -> Reader {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            // If nobody listens any more, nobody needs to know.
            let _ = tell.send(limit);
        }
        Ok(bytes)
    })
}

fn finish(reader: Option<Reader>) -> io::Result<Vec<u8>> {
    let read = reader.and_then(|reader| reader.join().ok());
    read.unwrap_or_else(|| Err(io::Error::other("helm's output cannot be read")))
}

fn stop(child: &mut Child) -> io::Result<()> {
    child.kill()?;
    child.wait().map(|_| ())
}

/// Helm takes a `.tgz` in `charts/` for an archive, whatever it is; unpacked it needs another name.
fn on_disk(path: &str) -> PathBuf {
    path.split('/')
        .map(|part| {
            if Path::new(part).extension().is_some_and(|ending| ending == "tgz") {
                format!("{part}.d")
            } else {
                part.to_owned()
            }
        })
        .collect()
}

fn write(dir: &Path, path: &Path, content: &[u8]) -> Result<(), Error> {
    // The names were checked when the chart was read; this is where it would hurt.
    if path.components().any(|part| !matches!(part, Component::Normal(_))) {
        return Err(Error::UnreadableChart {
            chart: path.display().to_string(),
            why: "the name of a file leaves the chart".to_owned(),
        });
    }
    let file = dir.join(path);
    if let Some(parent) = file.parent() {
        fs::create_dir_all(parent)?;
    }
    Ok(fs::write(file, content)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the stand-in, which behaves as it is asked to.
    fn said(behaviour: &str, limit: Duration) -> Result<String, String> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/discover/not-helm");
        let values = [("v.yaml".to_owned(), b"a: 1".to_vec())];
        Helm::at(program).within(limit).template(&chart(), &values, Some(behaviour)).unwrap()
    }

    fn chart() -> ChartFiles {
        let mut builder =
            tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for name in ["a/Chart.yaml", "a/charts/b/templates/c.yaml"] {
            let mut header = tar::Header::new_ustar();
            header.set_size(4);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, &b"x: 1"[..]).unwrap();
        }
        ChartFiles::from_archive("a.tgz", &builder.into_inner().unwrap().finish().unwrap()).unwrap()
    }

    #[test]
    fn helm_sees_the_chart_the_values_and_nothing_else() {
        let said = said("told", TIME_LIMIT).unwrap();
        let expected = [
            "template release-name",
            "--namespace default",
            "--include-crds",
            "--values",
            "a: 1",
            "x: 1",
            "HELM_DATA_HOME=/",
        ];
        for expected in expected {
            assert!(said.contains(expected), "{expected} is not in: {said}");
        }
        assert!(!said.contains("CARGO_MANIFEST_DIR"), "{said}");
    }

    #[test]
    fn a_helm_that_misbehaves_is_told_of() {
        let cases = [
            ("refused", TIME_LIMIT, "no such template"),
            ("slow", Duration::from_millis(50), "took longer than 0.05 s"),
            ("endless", TIME_LIMIT, "says more than"),
            ("wordy", TIME_LIMIT, "says more than"),
            ("garbled", TIME_LIMIT, "not UTF-8"),
        ];
        for (behaviour, limit, expected) in cases {
            let said = said(behaviour, limit).unwrap_err();
            assert!(said.contains(expected), "{behaviour}: {said}");
        }
        let absent = Helm::at(PathBuf::from("/nonexistent/helm"));
        let said = absent.template(&chart(), &[], None).unwrap().unwrap_err();
        assert!(said.contains("cannot be run"), "{said}");
    }
}
