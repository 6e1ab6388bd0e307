//! Clients that put a load on a server: curl for content, wrk for small answers.

use std::io;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Instant;

use super::measure::{Figures, number, run};
use super::server::Server;

const BYTES_PER_GIGABYTE: f64 = 1e9;
const BYTES_PER_MEGABYTE: f64 = 1e6;

/// What curl says after each file: the status, and how many bytes came.
const TOLD_BY_CURL: &str = "%{http_code} %{size_download}\\n";
/// For one answer after the other over one connection, the same on all servers.
const CURL_OPTIONS: [&str; 6] =
    ["--silent", "--show-error", "--fail", "--http1.1", "--write-out", TOLD_BY_CURL];

/// The kind of manifest that all images here have.
pub(super) const ACCEPT: &str = "Accept: application/vnd.oci.image.manifest.v1+json";

/// What Go's clients ask for first, and so containerd and Flux; curl's own order is another, and servers go by it or not.
const CIPHER: &str = "TLS_AES_128_GCM_SHA256";

/// A server, and how one speaks to it.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) server: &'a Server,
    /// Whom to trust; without it, HTTP is plain.
    pub(super) authority: Option<&'a Path>,
}

impl Target<'_> {
    fn url(&self, path: &str) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.server.authority())
    }

    fn curl(&self) -> Command {
        let mut curl = Command::new("curl");
        curl.args(CURL_OPTIONS);
        if let Some(authority) = self.authority {
            curl.args(["--tls13-ciphers", CIPHER, "--cacert"]).arg(authority);
        }
        curl
    }

    /// Pulls all of `paths`, `bytes` together, by `clients` at once: seconds, and the server's, for each gigabyte.
    pub(super) fn pull(&self, paths: &[String], bytes: u64, clients: u32) -> io::Result<Figures> {
        let before = self.server.figures()?;
        let begun = Instant::now();
        let pulled: u64 = thread::scope(|scope| {
            let pull = || {
                let mut curl = self.curl();
                for path in paths {
                    curl.args(["-o", "/dev/null"]).arg(self.url(path));
                }
                received(&run(&mut curl)?)
            };
            let clients: Vec<_> = (0..clients).map(|_| scope.spawn(pull)).collect();
            clients
                .into_iter()
                .map(|client| client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .sum::<io::Result<u64>>()
        })?;
        let wall = begun.elapsed().as_secs_f64();
        expect(bytes * u64::from(clients), pulled)?;
        let taken = self.server.figures()?.since(before);
        let gigabytes = number(pulled) / BYTES_PER_GIGABYTE;
        Ok(Figures {
            wall: wall / gigabytes,
            cpu: taken.cpu.map(|cpu| cpu / gigabytes),
            peak: taken.peak,
            rate: Some(number(pulled) / BYTES_PER_MEGABYTE / wall),
            ..Figures::default()
        })
    }

    /// Pulls the first `bytes` of one path over so many connections at once.
    pub(super) fn crowd(&self, path: &str, bytes: u64, connections: usize) -> io::Result<Figures> {
        self.server.forget_peak()?;
        let begun = Instant::now();
        let mut curl = self.curl();
        curl.args(["--parallel", "--parallel-immediate", "--parallel-max", &connections.to_string()]);
        curl.args(["--range", &format!("0-{}", bytes - 1)]);
        for _ in 0..connections {
            curl.args(["-o", "/dev/null"]).arg(self.url(path));
        }
        let pulled = received(&run(&mut curl)?)?;
        let wall = begun.elapsed().as_secs_f64();
        expect(bytes * connections as u64, pulled)?;
        Ok(Figures { peak: self.server.figures()?.peak, ..Figures::seconds(wall) })
    }

    /// Asks for a small thing as often as it is answered: seconds, and the server's, for `answers` of them.
    pub(super) fn ask(&self, path: &str, answers: u32) -> io::Result<Figures> {
        let before = self.server.figures()?;
        let mut wrk = Command::new("wrk");
        wrk.args(["--threads", "2", "--connections", "16", "--duration", "3s", "--latency"]);
        wrk.args(["--header", ACCEPT]);
        let said = String::from_utf8_lossy(&run(wrk.arg(self.url(path)))?).into_owned();
        let taken = self.server.figures()?.since(before);
        let told = Told::parse(&said).ok_or_else(|| io::Error::other(format!("wrk says:\n{said}")))?;
        let per_answer = |seconds: f64| seconds / told.answers * f64::from(answers);
        Ok(Figures {
            wall: f64::from(answers) / told.rate,
            cpu: taken.cpu.map(per_answer),
            peak: taken.peak,
            rate: Some(told.rate),
            p99: Some(told.p99),
            ..Figures::default()
        })
    }
}

/// How many bytes curl got, if all answers were good.
fn received(said: &[u8]) -> io::Result<u64> {
    let said = String::from_utf8_lossy(said);
    let sizes = said.lines().map(|line| {
        let (status, size) = line.split_once(' ')?;
        ["200", "206"].contains(&status).then(|| size.parse::<u64>().ok())?
    });
    sizes.sum::<Option<u64>>().ok_or_else(|| io::Error::other(format!("curl says:\n{said}")))
}

fn expect(wanted: u64, found: u64) -> io::Result<()> {
    if wanted == found {
        Ok(())
    } else {
        Err(io::Error::other(format!("{found} bytes were pulled instead of {wanted}")))
    }
}

/// What wrk says, as far as it counts here.
#[derive(Debug, PartialEq)]
struct Told {
    answers: f64,
    /// A second.
    rate: f64,
    /// In seconds.
    p99: f64,
}

impl Told {
    /// None as well if an answer was bad, of which wrk says `Non-2xx` or `Socket errors`.
    fn parse(said: &str) -> Option<Self> {
        let mut lines = said.lines().map(str::trim);
        if lines.clone().any(|line| line.starts_with("Non-2xx") || line.starts_with("Socket errors")) {
            return None;
        }
        let p99 = duration(lines.find_map(|line| line.strip_prefix("99%"))?.trim())?;
        let answers = lines.find_map(|line| line.split_once(" requests in ")?.0.parse().ok())?;
        let rate = lines.find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok())?;
        Some(Self { answers, rate, p99 })
    }
}

/// A time as wrk writes it, in seconds.
fn duration(text: &str) -> Option<f64> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    Some(number * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says_is_understood() {
        let said = "\
Running 3s test @ http://127.0.0.1:5000/
  2 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   499.00us  602.17us   9.49ms   91.62%
    Req/Sec    19.56k     1.54k   22.96k    65.00%
  Latency Distribution
     50%  345.00us
     75%  493.00us
     90%    0.94ms
     99%    3.10ms
  117023 requests in 3.01s, 93.87MB read
Requests/sec:  38900.12
Transfer/sec:     31.20MB
";
        let expected = Told { answers: 117_023.0, rate: 38_900.12, p99: 0.003_1 };
        let told = Told::parse(said).unwrap();
        assert_eq!((told.answers, told.rate), (expected.answers, expected.rate));
        assert!((told.p99 - expected.p99).abs() < 1e-9, "{told:?}");
        for wrong in
            ["", "Non-2xx or 3xx responses: 5", "Socket errors: connect 0, read 1, write 0, timeout 0"]
        {
            assert_eq!(
                Told::parse(&said.replace("Transfer/sec:     31.20MB", wrong)).is_none(),
                !wrong.is_empty()
            );
        }
    }

    #[test]
    fn a_download_counts_only_if_all_of_it_came() {
        assert_eq!(received(b"200 10\n206 5\n").unwrap(), 15);
        assert!(received(b"200 10\n404 5\n").is_err());
        assert!(received(b"what?\n").is_err());
        assert!(expect(15, 14).is_err());
    }
}
