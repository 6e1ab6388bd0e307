//! What is measured of servers: content and manifests, beside a registry and the limit; and memory.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use fs_err as fs;
use sealift_archive::Digest;
use serde::Deserialize;

use super::chapters::Bench;
use super::client::{ACCEPT, Target};
use super::content::{CROWD, SERVED};
use super::measure::{Figures, run};
use super::peers::Peers;
use super::sealift::{FIRST, OUR_HOST, Vendor};
use super::server::{Identity, Server};
use super::table::Chapter;
use crate::vendor::Registry;

/// How many pull content at once, as the nodes of a cluster would.
const CLIENTS: u32 = 4;
/// How often each of them pulls all layers in a run: CPU time is counted in hundredths of a second.
const ROUNDS: usize = 2;
/// For how many manifests seconds are given.
const ANSWERS: u32 = 100_000;
/// How many pulls are under way at once when memory counts.
const CROWDED: usize = 200;
/// How much each of these pulls: enough for all to be at work together.
const CROWD_BYTES: u64 = 10_000_000;

/// The same content in three servers, each over plain HTTP and over TLS.
#[derive(Debug)]
struct Scene {
    plain: Servers,
    tls: Servers,
    identity: Identity,
    offer: Offer,
}

/// What is asked for, by paths behind `/v2/` and, with ours, the host.
#[derive(Debug, Default)]
struct Offer {
    /// One image by its tag.
    manifest: String,
    /// All layers of all images.
    layers: Vec<String>,
    /// Bytes of these together.
    bytes: u64,
}

/// An image manifest, as far as it counts here.
#[derive(Debug, Deserialize)]
struct Manifest {
    layers: Vec<Layer>,
}

#[derive(Debug, Deserialize)]
struct Layer {
    digest: Digest,
    size: u64,
}

#[derive(Debug)]
struct Servers {
    ours: Server,
    distribution: Server,
    nginx: Server,
    /// What ours took until it was ready, and had in memory then.
    started: Figures,
}

impl Bench {
    /// Content and manifests from our registry, the distribution project's, and nginx; and what that takes of memory.
    pub(super) fn serve(&self) -> io::Result<[Chapter; 3]> {
        let dir = self.scratch.within("serve")?;
        let scene = self.scene(dir.path())?;
        Ok([self.blobs(&scene)?, self.manifests(&scene)?, scene.memory()?])
    }

    fn scene(&self, dir: &Path) -> io::Result<Scene> {
        let registry = Registry::start()?;
        let images = SERVED.publish(&registry)?;
        let all = [images.clone(), CROWD.publish(&registry)?].concat();
        let definition = Vendor::define(&dir.join("ours"), FIRST, registry.addr(), &all)?;
        self.vendor.lock(&self.meter, &definition)?;
        let archive = self.vendor.bundle(&self.meter, &definition, None)?.archive;
        let store = dir.join("store");
        self.vendor.import(&self.meter, &archive, &store)?;
        self.vendor.activate(&store)?;
        let identity = Identity::new(dir)?;

        let (kept, tree) = (dir.join("distribution"), dir.join("nginx"));
        let named: Vec<String> = images.iter().map(|image| format!("{}/{image}", registry.addr())).collect();
        let distribution = Server::distribution(self.peers.registry(), &kept, None)?;
        Peers::push(&named, distribution.authority())?;
        let offer = Offer::as_files(&images, distribution.authority(), &store, &tree.join("root"))?;

        let servers = |identity: Option<&Identity>| {
            let begun = Instant::now();
            let ours = Server::sealift(&self.vendor.program("sealift-registry"), &store, identity)?;
            let ready = begun.elapsed().as_secs_f64();
            let started = Figures { peak: Some(ours.resident()?), ..Figures::seconds(ready) };
            let distribution = Server::distribution(self.peers.registry(), &kept, identity)?;
            let nginx = Server::nginx(&tree, identity)?;
            Ok::<_, io::Error>(Servers { ours, distribution, nginx, started })
        };
        Ok(Scene { plain: servers(None)?, tls: servers(Some(&identity))?, identity, offer })
    }

    fn blobs(&self, scene: &Scene) -> io::Result<Chapter> {
        let megabytes = SERVED.bytes() / 1_000_000;
        let mut chapter = Chapter::of_servers(
            "serve",
            format!(
                "{CLIENTS} clients pull {megabytes} MB in {} layers; for each GB, and MB",
                SERVED.layers()
            ),
        );
        for (name, servers, authority, bars) in [
            ("plain", &scene.plain, None, ["bar CPU 2.0", "bar wall 1.0"]),
            ("TLS", &scene.tls, Some(&*scene.identity.certificate), ["bar CPU 1.3", "bar wall 1.0"]),
        ] {
            let paths = |host: &str| -> Vec<String> {
                let layers = &scene.offer.layers;
                let layers = layers.iter().cycle().take(ROUNDS * layers.len());
                layers.map(|layer| format!("/v2/{host}{layer}")).collect()
            };
            let (ours, theirs) = (paths(OUR_HOST), paths(""));
            let bytes = ROUNDS as u64 * scene.offer.bytes;
            let pull = |server, paths: &[String]| Target { server, authority }.pull(paths, bytes, CLIENTS);
            let [ours, nginx, distribution] = by_turns(
                self.runs,
                [&mut || pull(&servers.ours, &ours), &mut || pull(&servers.nginx, &theirs), &mut || {
                    pull(&servers.distribution, &theirs)
                }],
            )?;
            chapter.row(&format!("sealift-registry, {name}"), ours.clone());
            chapter.row(&format!("nginx, {name}"), nginx.clone());
            chapter.row(&format!("distribution, {name}"), distribution.clone());
            chapter.ratio("  over nginx", &ours, &nginx);
            chapter.bar(bars[0]);
            chapter.ratio("  over distribution", &ours, &distribution);
            chapter.bar(bars[1]);
        }
        Ok(chapter)
    }

    fn manifests(&self, scene: &Scene) -> io::Result<Chapter> {
        let mut chapter = Chapter::of_servers(
            "manifests",
            format!("one manifest by its tag, wrk, 16 connections, plain; for {ANSWERS}"),
        );
        let ask = |server, host: &str| {
            Target { server, authority: None }.ask(&format!("/v2/{host}{}", scene.offer.manifest), ANSWERS)
        };
        let [ours, nginx, distribution] = by_turns(
            self.runs,
            [&mut || ask(&scene.plain.ours, OUR_HOST), &mut || ask(&scene.plain.nginx, ""), &mut || {
                ask(&scene.plain.distribution, "")
            }],
        )?;
        chapter.row("sealift-registry", ours.clone());
        chapter.row("nginx, the limit", nginx.clone());
        chapter.row("distribution", distribution.clone());
        chapter.ratio("over nginx", &ours, &nginx);
        chapter.ratio("over distribution", &ours, &distribution);
        chapter.bar("bar 8.0 a s, 0.2 p99");
        Ok(chapter)
    }
}

impl Offer {
    /// Puts what a registry has of these images below `root`, under the paths of its API: for a server of files. The
    /// layers are those of the store itself, so that both servers read the same pages of memory.
    fn as_files(images: &[String], registry: &str, store: &Path, root: &Path) -> io::Result<Self> {
        let mut layers = BTreeMap::new();
        let mut manifest = String::new();
        for image in images {
            let (repository, tag) = image.split_once(':').unwrap_or_default();
            manifest = format!("{repository}/manifests/{tag}");
            let bytes = run(Command::new("curl")
                .args(["--silent", "--show-error", "--fail", "--header", ACCEPT])
                .arg(format!("http://{registry}/v2/{manifest}")))?;
            let place = root.join("v2").join(&manifest);
            fs::create_dir_all(place.parent().unwrap_or(root))?;
            fs::write(place, &bytes)?;
            for Layer { digest, size } in serde_json::from_slice::<Manifest>(&bytes)?.layers {
                let layer = format!("{repository}/blobs/{digest}");
                let place = root.join("v2").join(&layer);
                fs::create_dir_all(place.parent().unwrap_or(root))?;
                fs::hard_link(store.join(digest.blob_path()), place)?;
                layers.insert(digest, (layer, size));
            }
        }
        let bytes = layers.values().map(|(_, size)| size).sum();
        Ok(Self { manifest, layers: layers.into_values().map(|(layer, _)| layer).collect(), bytes })
    }
}

impl Scene {
    /// What the servers hold in memory: at first, and under many pulls at once.
    fn memory(&self) -> io::Result<Chapter> {
        let blobs = SERVED.blobs() + CROWD.blobs();
        let title =
            format!("{blobs} blobs; and {CROWDED} pulls at once, of {} MB each", CROWD_BYTES / 1_000_000);
        let mut chapter = Chapter::new("memory", title);
        for (name, servers, authority) in
            [("plain", &self.plain, None), ("TLS", &self.tls, Some(&*self.identity.certificate))]
        {
            chapter.row(&format!("ours started, {name}"), vec![servers.started]);
            chapter.bar("bar 24 MiB, 0.2 s");
            let crowd = |server, host: &str| {
                let path = format!("/v2/{host}{}", self.offer.layers[0]);
                Target { server, authority }.crowd(&path, CROWD_BYTES, CROWDED)
            };
            chapter.row("  ours, pulls", vec![crowd(&servers.ours, OUR_HOST)?]);
            chapter.bar("bar 64 MiB");
            chapter.row("  nginx, pulls", vec![crowd(&servers.nginx, "")?]);
            chapter.row("  distribution, pulls", vec![crowd(&servers.distribution, "")?]);
        }
        Ok(chapter)
    }
}

/// Does all by turns, once to warm up and then so many times that count.
fn by_turns<const N: usize>(
    runs: usize,
    mut all: [&mut dyn FnMut() -> io::Result<Figures>; N],
) -> io::Result<[Vec<Figures>; N]> {
    let mut figures = [const { Vec::new() }; N];
    for run in 0..=runs {
        for (one, figures) in all.iter_mut().zip(&mut figures) {
            let figure = one()?;
            figures.extend((run > 0).then_some(figure));
        }
    }
    Ok(figures)
}
