//! Everything that belongs to an image, found from its top down: the children of its indexes, what refers to any of
//! them, and what refers to that.
//!
//! Whatever can be asked at the same time is; the order in which answers come changes nothing. What goes wrong is
//! collected, so that one run tells all of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join, join_all};
use tokio::sync::Semaphore;

use sealift_archive::release::Descriptor;
use sealift_archive::{AnyDigest, Digest, Platform};

use super::Content;
use super::manifest::{Manifest, Named};
use super::referrers::{self, Attached};
use super::source::Source;
use crate::definition::Image;
use crate::{Error, image};

/// Indexes of indexes of indexes are somebody's mistake.
const MAX_DEPTH: usize = 4;
/// A signature of an SBOM of an image is the longest chain that is in use; a few more harm nobody.
const MAX_DISTANCE: usize = 4;
/// Most manifests of one image, with all that refers to it, and the most that they and the lists of what refers to them
/// hold together in bytes.
const MAX_MANIFESTS: usize = 2048;
const MAX_HELD_BYTES: u64 = 32 << 20;
/// Manifests of one image of which we ask at a time what refers to them: an answer counts only when it is complete.
const LISTS_AT_A_TIME: usize = 8;

/// All manifests of an image.
#[derive(Debug)]
pub(super) struct Gathered {
    /// In an order in which they may be pushed.
    pub(super) manifests: Vec<Manifest>,
    /// Tags of referrers.
    pub(super) tags: BTreeMap<String, Digest>,
    /// What a registry is to answer when it is asked for referrers.
    pub(super) referrers: BTreeMap<Digest, Vec<Descriptor>>,
}

/// Finds all manifests of `image`, which leads to `top` in `source`.
///
/// # Errors
/// All that went wrong.
pub(super) async fn gather(
    source: &Source<'_>,
    image: &Image,
    platforms: Option<&[Platform]>,
    top: Manifest,
) -> Result<Gathered, Vec<Error>> {
    let asking = Semaphore::new(LISTS_AT_A_TIME);
    let gathering = Gathering { source, image, asking, state: Mutex::default() };
    let digest = top.content.digest;
    gathering.take(top, Place { platforms, depth: 0, distance: 0 }).await;
    let state = gathering.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if state.errors.is_empty() { Ok(state.in_order(digest)) } else { Err(state.errors) }
}

struct Gathering<'a> {
    source: &'a Source<'a>,
    image: &'a Image,
    /// Held while we ask what refers to a manifest.
    asking: Semaphore,
    state: Mutex<State>,
}

/// Where in the tree a manifest stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// Which children of an index are carried; all, if there are none.
    platforms: Option<&'a [Platform]>,
    /// Indexes above it.
    depth: usize,
    /// How many manifests one has to go through from the image to this one, each of which refers to the one before.
    distance: usize,
}

#[derive(Default)]
struct State {
    nodes: HashMap<Digest, Node>,
    /// Manifests that are known by another name.
    aliases: HashMap<AnyDigest, Digest>,
    /// Names that somebody has asked for already.
    asked: HashSet<AnyDigest>,
    /// How much all manifests and lists hold.
    bytes: u64,
    /// There are too many; nothing more is asked for.
    is_full: bool,
    errors: Vec<Error>,
}

/// A manifest, and what was found to be next to it.
struct Node {
    manifest: Manifest,
    children: Vec<AnyDigest>,
    attached: Attached,
}

impl Gathering<'_> {
    /// Takes a manifest in, and all that is below it or refers to it.
    fn take<'s>(&'s self, manifest: Manifest, place: Place<'s>) -> BoxFuture<'s, ()> {
        async move {
            let content = manifest.content.clone();
            let chosen = match self.choose(&manifest.children, place.platforms) {
                Ok(chosen) => chosen,
                Err(error) => return self.fail(error),
            };
            if place.depth > MAX_DEPTH || chosen.len() > MAX_MANIFESTS {
                return self.overflow();
            }
            if !self.enter(manifest, &chosen) {
                return;
            }
            let below = Place { depth: place.depth + 1, ..place };
            let children = chosen.into_iter().map(|child| self.child(&content, child, below));
            join(join_all(children), self.around(&content, place)).await;
        }
        .boxed()
    }

    async fn child(&self, index: &Content, child: Named, place: Place<'_>) {
        if !self.is_new(child.digest) {
            return;
        }
        match self.source.manifest(&child).await {
            Ok(Some(manifest)) => self.take(manifest, place).await,
            Ok(None) => self.fail(image::Error::MissingChild {
                index: self.source.name_of(index.name()),
                child: Box::new(child.digest),
                platform: child.platform,
                place: self.source.name(),
            }),
            Err(error) => self.fail(error),
        }
    }

    /// Takes in what refers to a manifest.
    async fn around(&self, subject: &Content, place: Place<'_>) {
        if !self.image.referrers {
            return;
        }
        let mut attached = match self.attached(subject).await {
            Ok(Some(attached)) => attached,
            Ok(None) => return,
            Err(errors) => return self.lock().errors.extend(errors),
        };
        if place.distance >= MAX_DISTANCE {
            let why = format!("what refers to it is referred to itself, more than {MAX_DISTANCE} times over");
            return self.fail(image::Error::BadImage { image: self.image.name.to_string(), why });
        }
        let beyond = Place { platforms: None, depth: 0, distance: place.distance + 1 };
        let listed = attached.list.clone().into_iter().map(|referrer| self.listed(subject, referrer, beyond));
        let tagged = attached.tags.iter().map(|(_, manifest)| self.take(manifest.clone(), beyond));
        join(join_all(listed), join_all(tagged)).await;
        if let Some((_, index)) = &mut attached.fallback {
            // Nobody signs such an index: it changes with every signature. What it names is taken in already.
            let children = std::mem::take(&mut index.children);
            self.enter(index.clone(), &children);
        }
        if let Some(node) = self.lock().nodes.get_mut(&subject.digest) {
            node.attached = attached;
        }
    }

    /// What refers to a manifest, if there is something, and room for it.
    async fn attached(&self, subject: &Content) -> Result<Option<Attached>, Vec<Error>> {
        let _turn = self.asking.acquire().await.expect("nobody closes this semaphore");
        if self.lock().is_full {
            return Ok(None);
        }
        let attached = referrers::attached(self.source, subject).await?;
        // A list may name one thing many times over, with much said about it each time.
        let is_too_long = attached.list.len() > MAX_MANIFESTS;
        if is_too_long || !self.lock().hold(attached.list_bytes()) {
            self.overflow();
            return Ok(None);
        }
        Ok((!attached.is_empty()).then_some(attached))
    }

    async fn listed(&self, subject: &Content, referrer: Named, place: Place<'_>) {
        if !self.is_new(referrer.digest) {
            return;
        }
        match self.source.manifest(&referrer).await {
            Ok(Some(manifest)) => self.take(manifest, place).await,
            Ok(None) => self.fail(image::Error::DanglingReferrer {
                subject: self.source.name_of(subject.name()),
                referrer: Box::new(referrer.digest),
                artifact_type: referrer.artifact_type,
                place: self.source.name(),
            }),
            Err(error) => self.fail(error),
        }
    }

    /// Notes a manifest. Says whether it is new, and there is room for it.
    fn enter(&self, manifest: Manifest, children: &[Named]) -> bool {
        let mut state = self.lock();
        let (digest, name) = (manifest.content.digest, manifest.name());
        state.asked.insert(name);
        state.aliases.insert(name, digest);
        if let Some(known) = state.nodes.get_mut(&digest) {
            // Named by both kinds of digest, it has both names.
            known.manifest.content.alias = known.manifest.content.alias.or(manifest.content.alias);
            return false;
        }
        if state.nodes.len() >= MAX_MANIFESTS || !state.hold(manifest.content.size) {
            drop(state);
            self.overflow();
            return false;
        }
        let children = children.iter().map(|child| child.digest).collect();
        state.nodes.insert(digest, Node { manifest, children, attached: Attached::default() });
        true
    }

    /// The children of an index that are carried. With those of a platform come what BuildKit attests of them; others
    /// without a platform belong to nobody's choice and come along only with `all`.
    fn choose(&self, children: &[Named], platforms: Option<&[Platform]>) -> Result<Vec<Named>, Error> {
        let Some(platforms) = platforms.filter(|_| !children.is_empty()) else {
            return Ok(children.to_vec());
        };
        for wanted in platforms {
            if !children.iter().any(|child| child.is_for(wanted)) {
                let has: Vec<&str> = children.iter().filter_map(|c| c.platform.as_deref()).collect();
                let has = if has.is_empty() { "none that are named".to_owned() } else { has.join(", ") };
                let image = self.image.name.to_string();
                return Err(image::Error::NoPlatform { image, platform: wanted.clone(), has }.into());
            }
        }
        let is_chosen = |child: &&Named| platforms.iter().any(|platform| child.is_for(platform));
        let chosen: HashSet<AnyDigest> =
            children.iter().filter(is_chosen).map(|child| child.digest).collect();
        let is_carried = |child: &&Named| {
            chosen.contains(&child.digest) || child.attests().is_some_and(|of| chosen.contains(&of))
        };
        Ok(children.iter().filter(is_carried).cloned().collect())
    }

    /// Whether nobody has asked for this name before, and it is still worth asking.
    fn is_new(&self, name: AnyDigest) -> bool {
        let mut state = self.lock();
        !state.is_full && state.asked.insert(name)
    }

    /// Stops asking. One error says so.
    fn overflow(&self) {
        if !std::mem::replace(&mut self.lock().is_full, true) {
            let why = format!(
                "with all that belongs to it, it has more than {MAX_MANIFESTS} manifests, or more than \
                 {MAX_HELD_BYTES} bytes of them and of lists of them, or indexes more than {MAX_DEPTH} deep in each other"
            );
            self.fail(image::Error::BadImage { image: self.image.name.to_string(), why });
        }
    }

    fn fail(&self, error: impl Into<Error>) {
        self.lock().errors.push(error.into());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts so many bytes. Says whether there is room for them.
    fn hold(&mut self, bytes: u64) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes <= MAX_HELD_BYTES
    }

    /// What was found, with children before their indexes and subjects before what refers to them.
    fn in_order(mut self, top: Digest) -> Gathered {
        let mut order = Vec::new();
        self.visit(top, &mut order, &mut HashSet::new());
        let mut gathered =
            Gathered { manifests: Vec::new(), tags: BTreeMap::new(), referrers: BTreeMap::new() };
        for digest in &order {
            let Some(node) = self.nodes.get(digest) else { continue };
            let tags = node.attached.all_tags().map(|(tag, digest)| (tag.to_owned(), digest));
            gathered.tags.extend(tags);
            let describe = |named: &Named| {
                let made = || Some(self.nodes.get(self.aliases.get(&named.digest)?)?.manifest.descriptor());
                named.descriptor().filter(|_| node.attached.is_exact).or_else(made)
            };
            let list: Vec<Descriptor> = node.attached.list.iter().filter_map(describe).collect();
            if !list.is_empty() {
                gathered.referrers.insert(*digest, list);
            }
        }
        gathered.manifests =
            order.iter().filter_map(|digest| Some(self.nodes.remove(digest)?.manifest)).collect();
        gathered
    }

    fn visit(&self, digest: Digest, order: &mut Vec<Digest>, seen: &mut HashSet<Digest>) {
        let Some(node) = self.nodes.get(&digest).filter(|_| seen.insert(digest)) else { return };
        let before = node.manifest.subject.iter().chain(&node.children);
        for name in before.filter_map(|name| self.aliases.get(name)) {
            self.visit(*name, order, seen);
        }
        order.push(digest);
        let listed = node.attached.list.iter().filter_map(|named| self.aliases.get(&named.digest).copied());
        for name in listed.chain(node.attached.all_tags().map(|(_, digest)| digest)) {
            self.visit(name, order, seen);
        }
    }
}
