//! The command line, and the program's life: start, say where, serve, stop when asked.

mod config;
mod listed;
mod tls;

use std::env;
use std::ffi::OsString;
use std::future::pending;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use self::listed::Listed;
use crate::systemd::{self, Notifier};
use crate::{Clock, Config, Error, IdentitySource, Server, TlsFiles};

/// How many threads may read files at once. More would not make a disk faster.
const MAX_BLOCKING_THREADS: usize = 32;
/// Where we listen if nobody says otherwise.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5000);
/// Which messages are logged if `RUST_LOG` does not say.
const DEFAULT_LOG_FILTER: &str = "info";

/// Serve the images, charts, files and Git repositories of a Sealift store, read-only.
#[derive(Parser, Debug)]
#[command(name = "sealift-registry", version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
    /// Write the man pages into a directory, and do nothing else.
    #[arg(long, value_name = "DIR", hide = true, exclusive = true)]
    man: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  sealift-registry                                   plain HTTP on 127.0.0.1:5000, for this machine alone
  sealift-registry tls init                          make a certificate authority for this node, once
  sealift-registry --listen 0.0.0.0:5443 --tls-dir /var/lib/sealift-registry --allow 10.42.0.0/16";

#[derive(Subcommand, Debug)]
enum Command {
    #[command(subcommand)]
    Tls(tls::Command),
    #[command(subcommand)]
    Config(config::Command),
}

/// What serving takes.
#[derive(Args, Debug)]
struct Serve {
    /// The store's directory.
    #[arg(long, value_name = "DIR", env = "SEALIFT_STORE", default_value = "/var/lib/sealift")]
    store: PathBuf,
    /// Address and port to listen on; may be repeated; port 0 means any free one. Where systemd hands over sockets, these.
    #[arg(long, value_name = "ADDR", default_values_t = [DEFAULT_LISTEN])]
    listen: Vec<SocketAddr>,
    /// Speak TLS, with certificates made by the authority in this directory (`sealift-registry tls init`).
    #[arg(long, value_name = "DIR", group = "identity")]
    tls_dir: Option<PathBuf>,
    /// Speak TLS, with this certificate chain in PEM; read again when it changes.
    #[arg(long, value_name = "FILE", group = "identity", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// A network whose clients are let in, besides this machine's own; may be repeated.
    #[arg(long, value_name = "CIDR", env = "SEALIFT_REGISTRY_ALLOW")]
    allow: Vec<Listed<IpNet>>,
    /// Authorities in PEM; whoever comes from elsewhere shows a certificate of one of them, or of a node of the cluster.
    #[arg(long, value_name = "FILE", env = "SEALIFT_REGISTRY_CLIENT_CA")]
    client_ca: Option<OsString>,
    /// How to write the log to standard error. `RUST_LOG` says which messages.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
}

/// A form of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

impl Options {
    /// Does what was asked; without a command, serves until SIGTERM or SIGINT comes.
    ///
    /// Says on standard output in one line where it listens once it does: `ready <URL> …`.
    ///
    /// # Errors
    /// Whatever keeps the registry from starting, or the command from its end.
    pub fn run(self) -> Result<(), Error> {
        if let Some(dir) = self.man {
            fs_err::create_dir_all(&dir)?;
            return Ok(clap_mangen::generate_to(Self::command(), dir)?);
        }
        match self.command {
            Some(Command::Tls(command)) => command.run(&mut io::stdout().lock()),
            Some(Command::Config(command)) => command.run(&mut io::stdout().lock(), &mut io::stderr().lock()),
            None => self.serve.run(),
        }
    }
}

impl Serve {
    fn run(self) -> Result<(), Error> {
        self.log_format.start_logging();
        let runtime =
            Builder::new_multi_thread().enable_all().max_blocking_threads(MAX_BLOCKING_THREADS).build()?;
        runtime.block_on(serve(&self.into()))
    }
}

impl From<Serve> for Config {
    fn from(options: Serve) -> Self {
        let files = options
            .tls_cert
            .zip(options.tls_key)
            .map(|(certificate, key)| IdentitySource::Files(TlsFiles { certificate, key }));
        let authority = options.tls_dir.map(|dir| IdentitySource::Authority { dir, clock: Clock::system() });
        Self {
            store: options.store,
            listen: options.listen,
            tls: files.or(authority),
            allow: listed::flat(options.allow),
            client_ca: options.client_ca.filter(|file| !file.is_empty()).map(PathBuf::from),
        }
    }
}

async fn serve(config: &Config) -> Result<(), Error> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (systemd, sockets) = (Notifier::from_env(), systemd::sockets()?);
    let server =
        if sockets.is_empty() { Server::bind(config).await? } else { Server::adopt(config, sockets)? };
    let urls = server.urls().join(" ");
    tracing::info!(store = %config.store.display(), urls, "ready");
    // Whoever waits for this line reads it; if nobody does, that is no reason not to serve.
    let _ = writeln!(io::stdout().lock(), "ready {urls}");
    systemd.ready(&format!("listening on {urls}"));
    let check = server.self_check();
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("stopping: SIGTERM"),
            _ = interrupt.recv() => tracing::info!("stopping: SIGINT"),
        }
        systemd.stopping();
    };
    let signs_of_life = async {
        match systemd::watchdog_limit() {
            Some(limit) => systemd.stay_alive(limit, async || check.is_well().await).await,
            None => pending().await,
        }
    };
    tokio::select! {
        () = server.run(stop) => {}
        () = signs_of_life => {}
    }
    Ok(())
}

impl LogFormat {
    fn start_logging(self) {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_LOG_FILTER));
        let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal() && !no_color);
        match self {
            Self::Text => log.init(),
            Self::Json => log.json().init(),
        }
    }
}
