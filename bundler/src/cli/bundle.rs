//! `lock` and `bundle`: the commands that talk to registries.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::runtime::{Builder, Runtime};

use sealift_archive::packer::{Packed, Packer};
use sealift_archive::trust::{KeyId, Signatures};
use sealift_archive::{Bundle, Digest, Progress, ReleaseName};
use sealift_fetch::meter::Meter;
use sealift_fetch::{Client, Options, unless_interrupted};

use super::EPOCH_VARIABLE;
use super::output::{Lines, Output, count, path, size};
use super::{BundleArgs, LockArgs, NetworkArgs, parity, split};
use crate::Error;
use crate::bundle::{self, Keys, Order, Plan, Planned};
use crate::definition::Definition;
use crate::keys::Opener;
use crate::lock::{Lock, LockedImage, resolve};

/// How long work on other threads has to notice that it was interrupted: Git has to end its children.
const LEAVE_AFTER: Duration = Duration::from_secs(2);

impl NetworkArgs {
    pub(super) fn client(&self) -> Result<Client, Error> {
        let mut options =
            Options { plain_http: self.plain_http, ca_files: self.ca_file.clone(), ..Options::default() };
        if let Some(concurrency) = self.concurrency {
            options.concurrency = concurrency;
        }
        Ok(Client::new(options)?)
    }
}

fn runtime() -> Result<Runtime, Error> {
    Ok(Builder::new_multi_thread().enable_all().build()?)
}

/// Runs to the end. What was left behind by an interruption, such as a file that is being hashed, is not waited for long.
pub(super) fn run<T>(work: impl Future<Output = T>) -> Result<T, Error> {
    let runtime = runtime()?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(LEAVE_AFTER);
    Ok(done)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Locked {
    lock: std::path::PathBuf,
    images: usize,
    charts: usize,
    flux: usize,
    git: usize,
    files: usize,
    blobs: usize,
    bytes: u64,
}

pub(super) fn lock(output: Output, args: &LockArgs) -> Result<(), Error> {
    let definition = Definition::read(&args.definition)?;
    let client = args.network.client()?;
    let date = epoch(&args.definition)?;
    // Nobody knows yet how many bytes it is; this one is here for Ctrl-C.
    let meter: Arc<dyn Progress> = Arc::new(Meter::of_command("locking", 0, true)?);
    let previous = args.previous.as_deref().map(Lock::load).transpose()?;
    let order = resolve::Order {
        client: &client,
        definition: &definition,
        file: &args.definition,
        previous: previous.as_ref(),
        date,
        plain_http: args.network.plain_http,
        progress: Arc::clone(&meter),
    };
    let helm = args.rendering.helm();
    let locking = async {
        if args.discover {
            resolve::resolve_with_named(&order, helm.as_ref()).await
        } else {
            resolve::resolve(&order).await
        }
    };
    let lock = run(unless_interrupted(&*meter, locking))??;
    let file = lock.write(&args.definition)?;
    let mut content: Vec<_> = lock.contents().map(|c| c.blob()).collect();
    content.sort_unstable();
    content.dedup();
    let locked = Locked {
        lock: file,
        images: lock.images.len(),
        charts: lock.charts.len(),
        flux: lock.flux.len(),
        git: lock.git.len(),
        files: lock.files.len(),
        blobs: content.len(),
        bytes: content.iter().map(|b| b.size).sum(),
    };
    output.result(&locked, || {
        let mut lines =
            Lines::title(&format!("Locked {}", definition.name())).line("file", path(&locked.lock));
        for image in &lock.images {
            lines = lines.line("image", describe_image(image));
        }
        for chart in &lock.charts {
            lines = lines.line("chart", format!("{}  {}", chart.served, chart.image.target.digest.short()));
        }
        for flux in &lock.flux {
            lines = lines.line("flux", format!("{}  {}", flux.image.name, flux.image.target.digest.short()));
            for path in &flux.left_out {
                lines = lines.line("left out", format!("{} of {}", path.display(), flux.path.display()));
            }
        }
        for git in &lock.git {
            let commit = git.commit().map(|c| &c.as_str()[..12]).unwrap_or_default();
            lines = lines.line("git", format!("{}  {commit}", git.name));
            for (tag, why) in &git.pinned.left_out {
                lines = lines.line("left out", format!("{tag} of {}: {why}", git.name));
            }
        }
        for file in &lock.files {
            lines = lines.line("file", format!("{}  {}", file.name, file.content.digest.short()));
        }
        lines.line("content", format!("{}, {}", count(locked.blobs, "blob"), size(locked.bytes))).text()
    })
}

/// What it is, and how much comes along that refers to it: a vendor who signs sees here whether it was found.
fn describe_image(image: &LockedImage) -> String {
    let attached = match image.attached() {
        0 => String::new(),
        attached => format!("  +{attached} attached"),
    };
    format!("{}  {}{attached}", image.name, image.target.digest.short())
}

fn epoch(definition: &Path) -> Result<u64, Error> {
    let Ok(text) = std::env::var(EPOCH_VARIABLE) else { return Ok(0) };
    text.parse().map_err(|_| Error::Definition {
        file: definition.to_owned(),
        place: String::new(),
        why: format!("{EPOCH_VARIABLE} is `{text}`, not a number of seconds since 1970"),
        nearest: None,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bundled<'a> {
    release: ReleaseName,
    digest: Digest,
    plan: &'a Plan,
    archive: &'a Packed,
    /// What stands in the place of the archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    volumes: Option<split::Done>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parity: Option<sealift_archive::parity::Plan>,
    signers: Vec<KeyId>,
    seconds: Seconds,
}

/// Where the time went. Keys are opened while content is fetched.
#[derive(Serialize)]
struct Seconds {
    total: f64,
    plan: f64,
    keys: f64,
    content: f64,
    finish: f64,
}

pub(super) fn bundle(output: Output, args: &BundleArgs) -> Result<(), Error> {
    let begun = Instant::now();
    let order = Order {
        definition: &args.definition,
        trust: &args.trust,
        release_keys: &args.release_key,
        pack_keys: &args.pack_key,
        statement: args.statement.as_deref(),
        previous: args.previous.as_deref(),
        older: &args.older,
        bases: &args.base,
        identity: args.identity.as_deref(),
        known: &args.known,
        out: &args.output,
        level: args.level,
        volume_size: args.volume_size,
        parity: args.parity,
    };
    let planned = bundle::plan(&order)?;
    let plan_took = begun.elapsed();
    if args.plan {
        return output.result(&planned.plan, || describe(&planned.plan).text());
    }
    if let Some(size) = args.volume_size {
        if let Some(packed) = planned.packed() {
            return split::resume(output, &packed, size, args.parity);
        }
        split::expect_room(&planned.plan)?;
    }
    let opener = Opener::new(args.signer.program());
    opener.ask(args.release_key.iter().chain(&args.pack_key))?;
    let meter = Arc::new(output.meter("packing", planned.plan.content.bytes)?);
    let gathered = gather(&order, &planned, &args.network, opener, &(meter.clone() as Arc<dyn Progress>))?;
    let finishing = Instant::now();
    let (release, digest) = (planned.release().statement.name(), planned.release().digest());
    let (plan, root) = (planned.plan.clone(), planned.root().clone());
    let signers = gathered.signers;
    let archive =
        planned.finish(gathered.packer, gathered.signatures, &gathered.keys, args.level, &*meter)?;
    // Whoever else watched has gone with the content.
    if let Some(meter) = Arc::into_inner(meter) {
        meter.finish();
    }
    let seconds = Seconds {
        total: begun.elapsed().as_secs_f64(),
        plan: plan_took.as_secs_f64(),
        keys: gathered.keys_took.as_secs_f64(),
        content: gathered.content_took.as_secs_f64(),
        finish: finishing.elapsed().as_secs_f64(),
    };
    let volumes = match args.volume_size {
        Some(size) => Some(split::replace(output, &Bundle::open(&archive.path, &root)?, size)?),
        None => None,
    };
    let protected =
        volumes.as_ref().and_then(|done| done.files.first()).map_or(&archive.path, |file| &file.path);
    let parity = parity::make_for(output, protected, args.parity)?;
    let bundled =
        Bundled { release, digest, plan: &plan, archive: &archive, volumes, parity, signers, seconds };
    output.result(&bundled, || {
        let s = &bundled.seconds;
        let lines = describe(&plan).line("written", size(archive.bytes));
        let (lines, place) = match &bundled.volumes {
            Some(volumes) => (split::list(lines, volumes), path(&args.output)),
            None => (lines, path(&archive.path)),
        };
        parity::list(lines, bundled.parity.as_ref())
            .line("release", format!("{}, {}", bundled.release, bundled.digest.short()))
            .line(
                "time",
                format!(
                    "{:.2} s (plan {:.2}, content {:.2}, keys {:.2} at the same time, finish {:.2})",
                    s.total, s.plan, s.content, s.keys, s.finish
                ),
            )
            .end(&format!("next: sealift verify {place} --trust {}", path(&args.trust)))
    })
}

/// Everything that the archive is made of, at hand.
struct Gathered {
    packer: Packer,
    keys: Keys,
    signatures: Signatures,
    signers: Vec<KeyId>,
    keys_took: Duration,
    content_took: Duration,
}

/// Opens keys and gathers content, at the same time: one waits for a CPU, the other for a network.
fn gather(
    order: &Order<'_>,
    planned: &Planned,
    network: &NetworkArgs,
    opener: Opener,
    progress: &Arc<dyn Progress>,
) -> Result<Gathered, Error> {
    let begun = Instant::now();
    let packer = planned.open(&**progress)?;
    let failed = Arc::new(AtomicBool::new(false));
    let watched: Arc<dyn Progress> = Arc::new(Watched { progress: progress.clone(), failed: failed.clone() });
    let opener = opener.watched_by(watched.clone());
    std::thread::scope(|scope| {
        let keys = scope.spawn(|| {
            let signed = bundle::open_keys(order, planned.root(), &opener).and_then(|keys| {
                // Too few signatures are found now, not when everything has been fetched.
                let (signatures, signers) = planned.sign(&keys)?;
                Ok((keys, signatures, signers, begun.elapsed()))
            });
            failed.fetch_or(signed.is_err(), Ordering::Relaxed);
            signed
        });
        let content = gather_content(planned, network, packer, &watched);
        failed.fetch_or(content.is_err(), Ordering::Relaxed);
        let content_took = begun.elapsed();
        let keys = keys.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // What fails interrupts the other: the error of the one that was not interrupted is the one to show.
        match (keys, content) {
            (Ok((keys, signatures, signers, keys_took)), Ok(packer)) => {
                Ok(Gathered { packer, keys, signatures, signers, keys_took, content_took })
            }
            (Err(Error::Archive(sealift_archive::Error::Interrupted)) | Ok(_), Err(error))
            | (Err(error), _) => Err(error),
        }
    })
}

fn gather_content(
    planned: &Planned,
    network: &NetworkArgs,
    packer: Packer,
    progress: &Arc<dyn Progress>,
) -> Result<Packer, Error> {
    planned.copy_local(&packer, &**progress)?;
    planned.copy_repositories(&packer, network.plain_http, &**progress)?;
    if packer.missing().is_empty() {
        return Ok(packer);
    }
    let packer = Arc::new(packer);
    let fetched = runtime()?.block_on(async { planned.fetch(&network.client()?, &packer, progress).await });
    let packer = Arc::into_inner(packer);
    fetched?;
    // Whoever still held a part of it has gone with the runtime.
    packer.ok_or(Error::Archive(sealift_archive::Error::Interrupted))
}

/// Progress that also stops when the other half of the work has failed.
struct Watched {
    progress: Arc<dyn Progress>,
    failed: Arc<AtomicBool>,
}

impl Progress for Watched {
    fn advance(&self, bytes: u64) {
        self.progress.advance(bytes);
    }

    fn is_interrupted(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.progress.is_interrupted()
    }
}

fn describe(plan: &Plan) -> Lines {
    let tally = |t: &bundle::Tally| format!("{}, {}", count(t.blobs, "blob"), size(t.bytes));
    let mut lines = Lines::title(&path(&plan.path));
    if plan.releases.len() > 1 {
        lines = plan.releases.iter().fold(lines, |lines, release| lines.line("release", release));
    }
    lines = lines
        .line("content", tally(&plan.content))
        .line_if("left out", (plan.left_out.blobs > 0).then(|| tally(&plan.left_out)));
    lines = plan.needs.iter().fold(lines, |lines, base| lines.line("needs", base.name()));
    lines = plan
        .unknown
        .iter()
        .fold(lines, |lines, release| lines.line("unknown", format!("{release}, which the receipt names")));
    let replaced = "what is there: it is no archive of these releases, and goes";
    lines
        .line_if("replaces", plan.replaces.then_some(replaced))
        .line("previous", tally(&plan.from_previous))
        .line("from disk", tally(&plan.from_disk))
        .line("to fetch", tally(&plan.to_fetch))
        .line_if("parity", plan.parity_bytes.map(|bytes| format!("about {}", size(bytes))))
        .line("disk", format!("at most {}", size(plan.disk_bytes)))
}
