//! The command line, and the program's life: start, say where, serve, stop when asked.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, ValueEnum};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::{Config, Error, Server, TlsFiles};

/// How many threads may read files at once. More would not make a disk faster.
const MAX_BLOCKING_THREADS: usize = 32;
/// Where we listen if nobody says otherwise.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5000);
/// Which messages are logged if `RUST_LOG` does not say.
const DEFAULT_LOG_FILTER: &str = "info";

/// Serve the images, charts, files and Git repositories of a Sealift store, read-only.
#[derive(Parser, Debug)]
#[command(name = "sealift-registry", version)]
pub struct Options {
    /// The store's directory.
    #[arg(long, value_name = "DIR", env = "SEALIFT_STORE", default_value = "/var/lib/sealift")]
    store: PathBuf,
    /// Address and port to listen on; may be repeated; port 0 means any free one.
    #[arg(long, value_name = "ADDR", default_values_t = [DEFAULT_LISTEN])]
    listen: Vec<SocketAddr>,
    /// Certificate chain in PEM; without one, plain HTTP is spoken.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// How to write the log to standard error. `RUST_LOG` says which messages.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
    /// Write the man page into a directory, and do nothing else.
    #[arg(long, value_name = "DIR", hide = true, exclusive = true)]
    man: Option<PathBuf>,
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
    /// Serves until SIGTERM or SIGINT comes.
    ///
    /// Says on standard output in one line where it listens once it does: `ready <URL> …`.
    ///
    /// # Errors
    /// Whatever keeps the registry from starting.
    pub fn run(self) -> Result<(), Error> {
        if let Some(dir) = self.man {
            fs_err::create_dir_all(&dir)?;
            return Ok(clap_mangen::generate_to(Self::command(), dir)?);
        }
        self.log_format.start_logging();
        let runtime =
            Builder::new_multi_thread().enable_all().max_blocking_threads(MAX_BLOCKING_THREADS).build()?;
        runtime.block_on(serve(&self.into()))
    }
}

impl From<Options> for Config {
    fn from(options: Options) -> Self {
        let tls =
            options.tls_cert.zip(options.tls_key).map(|(certificate, key)| TlsFiles { certificate, key });
        Self { store: options.store, listen: options.listen, tls }
    }
}

async fn serve(config: &Config) -> Result<(), Error> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let server = Server::bind(config).await?;
    let urls = server.urls().join(" ");
    tracing::info!(store = %config.store.display(), urls, "ready");
    // Whoever waits for this line reads it; if nobody does, that is no reason not to serve.
    let _ = writeln!(io::stdout().lock(), "ready {urls}");
    server
        .run(async {
            tokio::select! {
                _ = terminate.recv() => tracing::info!("stopping: SIGTERM"),
                _ = interrupt.recv() => tracing::info!("stopping: SIGINT"),
            }
        })
        .await;
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
