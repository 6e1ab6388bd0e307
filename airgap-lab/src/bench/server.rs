//! Servers that are measured while they run: ours, the distribution project's, nginx.

use std::io::{self, BufRead as _, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustix::process::{Pid, Signal, kill_process};

use super::machine::ProcessTicks;
use super::measure::{Figures, number};

/// What the distribution project's registry logs before the address that it got.
const LISTENING: &str = "listening on ";
/// What stands before our own, and before its port.
const READY: &str = "ready ";
const SCHEMES: [&str; 2] = ["https://", "http://"];

/// How long nginx may take until it listens, and how often to look.
const START_LIMIT: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// The unit of CPU times in `/proc`, on Linux wherever it runs.
const TICKS_PER_SECOND: f64 = 100.0;
const BYTES_PER_KIB: u64 = 1024;
/// What makes the kernel forget how much a process ever had in memory (proc(5), `clear_refs`).
const FORGET_PEAK: &str = "5";

/// A server's name for itself, in files.
#[derive(Debug)]
pub(super) struct Identity {
    /// The certificate, in PEM; it is its own authority.
    pub(super) certificate: PathBuf,
    /// Its key, in PEM.
    pub(super) key: PathBuf,
}

impl Identity {
    /// Makes one for loopback, into `dir`.
    pub(super) fn new(dir: &Path) -> io::Result<Self> {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])
                .map_err(io::Error::other)?;
        let identity = Self { certificate: dir.join("server.crt"), key: dir.join("server.key") };
        fs::write(&identity.certificate, cert.pem())?;
        fs::write(&identity.key, signing_key.serialize_pem())?;
        Ok(identity)
    }
}

/// A running server on loopback; it ends when this is dropped, or this process.
#[derive(Debug)]
pub(super) struct Server {
    authority: String,
    child: Child,
}

impl Server {
    /// Starts `sealift-registry` on a store.
    pub(super) fn sealift(program: &Path, store: &Path, identity: Option<&Identity>) -> io::Result<Self> {
        let mut command = bound(program);
        command.args(["--listen", "127.0.0.1:0", "--store"]).arg(store);
        if let Some(Identity { certificate, key }) = identity {
            command.arg("--tls-cert").arg(certificate).arg("--tls-key").arg(key);
        }
        let mut server = Self::spawn(command.stdout(Stdio::piped()))?;
        let said = server.child.stdout.take();
        server.authority = wait_for(said, |line| {
            let url = line.strip_prefix(READY)?;
            Some(SCHEMES.iter().find_map(|scheme| url.strip_prefix(scheme))?.to_owned())
        })?;
        Ok(server)
    }

    /// Starts a registry of the distribution project that keeps its content in `dir`.
    pub(super) fn distribution(program: &Path, dir: &Path, identity: Option<&Identity>) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let tls = identity.map_or_else(String::new, |Identity { certificate, key }| {
            format!(", tls: {{certificate: {}, key: {}}}", certificate.display(), key.display())
        });
        let name = if identity.is_some() { "tls.yml" } else { "plain.yml" };
        let config = dir.join(name);
        fs::write(
            &config,
            format!(
                "version: 0.1\n\
                 log: {{level: info, formatter: text, accesslog: {{disabled: true}}}}\n\
                 storage: {{filesystem: {{rootdirectory: {}}}}}\n\
                 http: {{addr: \"127.0.0.1:0\"{tls}}}\n",
                dir.join("storage").display()
            ),
        )?;
        let mut command = bound(program);
        command.arg("serve").arg(&config).env("OTEL_TRACES_EXPORTER", "none");
        let mut server = Self::spawn(command.stderr(Stdio::piped()))?;
        let log = server.child.stderr.take();
        server.authority = wait_for(log, |line| {
            let (_, rest) = line.split_once(LISTENING)?;
            Some(rest.split(['"', ',']).next()?.to_owned())
        })?;
        Ok(server)
    }

    /// Starts nginx on the files below `dir/root`, as a static server is run: `sendfile`, no log of requests.
    pub(super) fn nginx(dir: &Path, identity: Option<&Identity>) -> io::Result<Self> {
        // It cannot say which port it got, so it is told one that was free a moment ago.
        let free: SocketAddr = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let (parameter, tls) = match identity {
            None => ("", String::new()),
            Some(Identity { certificate, key }) => {
                let (certificate, key) = (certificate.display(), key.display());
                (" ssl", format!("ssl_certificate {certificate}; ssl_certificate_key {key};"))
            }
        };
        let name = if identity.is_some() { "tls" } else { "plain" };
        let config = dir.join(format!("{name}.conf"));
        fs::write(
            &config,
            format!(
                "daemon off; user root; worker_processes auto; pid {name}.pid; error_log stderr;\n\
                 events {{ worker_connections 1024; }}\n\
                 http {{\n\
                 access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;\n\
                 default_type application/octet-stream;\n\
                 server {{ listen {free}{parameter}; {tls} root root; }}\n\
                 }}\n"
            ),
        )?;
        let mut command = bound(Path::new("nginx"));
        command.arg("-p").arg(dir).arg("-c").arg(&config);
        let mut server = Self::spawn(command.stderr(Stdio::null()))?;
        let begun = Instant::now();
        while let Err(error) = TcpStream::connect(free) {
            if begun.elapsed() > START_LIMIT || server.child.try_wait()?.is_some() {
                return Err(io::Error::new(error.kind(), format!("nginx did not start: {error}")));
            }
            thread::sleep(LOOK_INTERVAL);
        }
        server.authority = free.to_string();
        Ok(server)
    }

    fn spawn(command: &mut Command) -> io::Result<Self> {
        let child = command.stdin(Stdio::null()).spawn()?;
        // Kept before anything can fail, so that it is stopped in any case.
        Ok(Self { authority: String::new(), child })
    }

    /// Where it listens: address and port.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// What it took so far; its peak in memory since it began or was [told to forget](Self::forget_peak).
    pub(super) fn figures(&self) -> io::Result<Figures> {
        let mut cpu = 0;
        for process in self.processes()? {
            cpu += ProcessTicks::of(&process)?.alone;
        }
        Ok(Figures {
            cpu: Some(number(cpu) / TICKS_PER_SECOND),
            peak: Some(self.sum("status", "VmHWM:", BYTES_PER_KIB)?),
            written: Some(self.sum("io", "write_bytes:", 1)?),
            ..Figures::default()
        })
    }

    /// What it has in memory now, in bytes.
    pub(super) fn resident(&self) -> io::Result<f64> {
        self.sum("status", "VmRSS:", BYTES_PER_KIB)
    }

    /// Lets the peak in memory begin anew.
    pub(super) fn forget_peak(&self) -> io::Result<()> {
        self.processes()?.iter().try_for_each(|process| fs::write(file(process, "clear_refs"), FORGET_PEAK))
    }

    /// The process and its children: nginx works in those.
    fn processes(&self) -> io::Result<Vec<String>> {
        let own = self.child.id().to_string();
        let children = fs::read_to_string(file(&own, &format!("task/{own}/children")))?;
        let children: Vec<String> = children.split_whitespace().map(str::to_owned).collect();
        Ok([vec![own], children].concat())
    }

    fn sum(&self, name: &str, field: &str, unit: u64) -> io::Result<f64> {
        let mut sum = 0;
        for process in self.processes()? {
            let text = fs::read_to_string(file(&process, name))?;
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(field)?.split_whitespace().next()?.parse::<u64>().ok());
            sum +=
                value.ok_or_else(|| io::Error::other(format!("`{field}` is not in {name} of {process}")))?;
        }
        Ok(number(sum * unit))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to stop. Killed, nginx would leave its workers behind.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

fn file(process: &str, name: &str) -> PathBuf {
    Path::new("/proc").join(process).join(name)
}

/// A program that is asked to end when this process has ended, even if that was killed.
fn bound(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Reads until a line tells what is sought.
fn wait_for<R>(output: Option<R>, sought: impl Fn(&str) -> Option<String>) -> io::Result<String>
where
    R: Read + Send + 'static,
{
    let mut output = BufReader::new(output.ok_or_else(|| io::Error::other("the server says nothing"))?);
    let mut said = String::new();
    loop {
        let begin = said.len();
        if output.read_line(&mut said)? == 0 {
            return Err(io::Error::other(format!("the server did not start:\n{said}")));
        }
        if let Some(found) = sought(said[begin..].trim_end()) {
            // Whoever fills a pipe that nobody reads stands still.
            thread::spawn(move || io::copy(&mut output, &mut io::sink()));
            return Ok(found);
        }
    }
}
