//! What mirroring costs on the line: when there is nothing new, and when the next release is there.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;

use super::chapters::{Bench, Offer, describe};
use super::content::{MANY, MORE};
use super::measure::{Figures, number};
use super::sealift::{Edition, FIRST, SECOND, Vendor};
use super::table::Chapter;
use crate::vendor::{Config, Proxy, Registry};

/// Where releases are published, on a web server as in a registry.
const PLACE: &str = "bench/releases";

/// Where a vendor publishes, and the line to it on which everything is counted.
struct Site {
    /// Folder in which it is all laid out as well.
    folder: PathBuf,
    server: Registry,
    line: Proxy,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    /// A web server, which has the folder.
    Web,
    /// A registry, to which the same is pushed.
    Registry,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Web => "web server",
            Self::Registry => "registry",
        })
    }
}

/// What went over the line.
#[derive(Clone, Copy)]
struct Toll {
    requests: usize,
    bytes: u64,
}

impl Bench {
    /// An appliance that has a release asks for news: there are none, and then there is the next release.
    pub(super) fn mirroring(&self) -> io::Result<[Chapter; 2]> {
        let offer = Offer::new(MANY, Config::default())?;
        let more = MORE.publish(&offer.registry)?;
        let dir = self.scratch.within("releases")?;
        let release = |edition, images: &[String]| {
            let definition =
                Vendor::define(&dir.path().join("ours"), edition, offer.registry.addr(), images)?;
            self.vendor.lock(&self.meter, &definition)?;
            Ok::<_, io::Error>(self.vendor.bundle(&self.meter, &definition, None)?.archive)
        };
        let first = release(FIRST, &offer.images)?;
        let second = release(SECOND, &[offer.images.clone(), more].concat())?;
        let folder = |name| dir.path().join(name);
        // A vendor's channel never goes back, wherever it is published: first everybody has the one, then the other.
        let sites = [Site::new(folder("web"), Kind::Web)?, Site::new(folder("registry"), Kind::Registry)?];
        let mut quiet = Chapter::new("quiet", format!("{}, all of it here", describe(&offer.set)));
        for site in &sites {
            site.publish(&self.vendor, &first, FIRST)?;
            let (figures, Toll { requests, bytes }) = self.mirror(site, &first)?;
            quiet.row(&format!("from a {}", site.kind), figures);
            quiet.remark(format!("{}: {requests} requests, {bytes} bytes (bars 3 and 20,000)", site.kind));
        }
        let mut news = Chapter::new("news", "the next release, with one image more".to_owned());
        for site in &sites {
            let before = bytes_below(&site.folder)?;
            site.publish(&self.vendor, &second, SECOND)?;
            let new = bytes_below(&site.folder)? - before;
            let (figures, Toll { requests, bytes }) = self.mirror(site, &first)?;
            news.row(&format!("from a {}", site.kind), figures);
            let ratio = number(bytes) / number(new);
            news.remark(format!(
                "{}: {requests} requests, {bytes} bytes, {ratio:.4} times the {new} that are new there",
                site.kind
            ));
        }
        Ok([quiet, news])
    }

    /// Mirrors into stores that have this archive; says what the most expensive run cost on the line.
    fn mirror(&self, site: &Site, archive: &Path) -> io::Result<(Vec<Figures>, Toll)> {
        let mut runs = Vec::new();
        let mut most = Toll { requests: 0, bytes: 0 };
        for _ in 0..self.runs {
            let dir = self.scratch.within("store")?;
            let store = dir.path().join("store");
            self.vendor.import(&self.meter, archive, &store)?;
            let config = dir.path().join("appliance.yaml");
            let text = format!(
                "apiVersion: sealift/v1\nkind: Appliance\nmirror: {{source: \"{}\"}}\n",
                site.address(&site.line.addr().to_string())
            );
            fs::write(&config, text)?;
            site.server.forget();
            let before = site.line.bytes();
            runs.push(self.vendor.mirror(&self.meter, &store, &config)?);
            let toll = Toll { requests: site.server.seen().len(), bytes: site.line.bytes() - before };
            most = if toll.bytes > most.bytes { toll } else { most };
        }
        Ok((runs, most))
    }
}

impl Site {
    fn new(folder: PathBuf, kind: Kind) -> io::Result<Self> {
        fs::create_dir(&folder)?;
        let server = Registry::start()?;
        let line = Proxy::start(server.addr(), Duration::ZERO)?;
        Ok(Self { folder, server, line, kind })
    }

    /// How it is called, reached at this authority.
    fn address(&self, authority: &str) -> String {
        match self.kind {
            Kind::Web => format!("http://{authority}/{PLACE}"),
            Kind::Registry => format!("oci://{authority}/{PLACE}"),
        }
    }

    fn publish(&self, vendor: &Vendor, archive: &Path, edition: Edition) -> io::Result<()> {
        vendor.publish(archive, edition, self.folder.as_os_str())?;
        match self.kind {
            Kind::Web => files_below(&self.folder)?.iter().try_for_each(|file| {
                let path = file.strip_prefix(&self.folder).map_err(io::Error::other)?;
                self.server.add_file(&format!("/{PLACE}/{}", path.display()), fs::read(file)?);
                Ok(())
            }),
            Kind::Registry => {
                let address = OsString::from(self.address(&self.server.addr().to_string()));
                vendor.publish(archive, edition, &address)
            }
        }
    }
}

fn bytes_below(dir: &Path) -> io::Result<u64> {
    files_below(dir)?.iter().map(|file| Ok(fs::metadata(file)?.len())).sum()
}

fn files_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    Ok(files)
}
