//! Flux, while a release is activated: held still, let go again, made to look at once, and asked whether all is well.
//!
//! [`Cluster`] does these four things through the Kubernetes API, blocking. What it has done is written on the
//! objects themselves (an annotation beside `spec.suspend`, in one change), never remembered here: whatever is interrupted
//! can be done again, by another process too, and what somebody else suspended stays suspended.

mod kind;
mod object;
mod standing;

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use self::kind::{APPLIERS, CHARTS, SOURCES, Served};
use self::object::{Object, Page};
use crate::activation::{self, NotSuspended, Readiness};
pub use crate::kubernetes::Error;
use crate::kubernetes::{Api, Ask, Deadline};

pub use self::standing::{Standing, Waiting};

/// Objects asked for at once.
const PAGE_OBJECTS: &str = "50";
/// Most objects of one kind that are listed. Appliances have tens.
const MAX_OBJECTS: usize = 10_000;
/// Time between two looks at the same objects.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// How long the cluster is insisted on.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For suspending, resuming and poking, each as a whole: an API server that restarts meanwhile comes back within it.
    pub change: Duration,
    /// For one look at how Flux stands.
    pub look: Duration,
    /// How long suspending waits for reconciliations that are under way. One that the power cut off looks the same for ever.
    pub finish: Duration,
    /// How long poking waits for sources before what is applied from them is poked too.
    pub fetch: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            change: Duration::from_secs(60),
            look: Duration::from_secs(15),
            finish: Duration::from_secs(30),
            fetch: Duration::from_secs(30),
        }
    }
}

/// The Flux of a cluster.
#[derive(Debug)]
pub struct Cluster {
    api: Api,
    namespace: Option<String>,
    patience: Patience,
}

impl Cluster {
    /// The Flux that a kubeconfig leads to, of one namespace or of all. Nothing is asked yet.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`] and [`Error::NotDone`].
    pub fn open(kubeconfig: &Path, namespace: Option<&str>) -> Result<Self, Error> {
        let api = Api::open(kubeconfig)?;
        Ok(Self { api, namespace: namespace.map(str::to_owned), patience: Patience::default() })
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Asks whether all that suspending and poking needs is allowed: of each kind, objects are listed, and the first one is
    /// patched with nothing, as a dry run.
    pub fn check(&self) -> Result<(), Error> {
        let deadline = Deadline::after(self.patience.look);
        let kinds = [&APPLIERS[..], &SOURCES, &CHARTS].concat();
        for served in &kind::served(&self.api, &kinds, deadline)? {
            let objects = self.pages(served, deadline)?;
            let Some(object) = objects.first() else { continue };
            let mut path = served.path(Some(object.namespace()));
            path.push(object.name());
            let query = &[("dryRun", "All")];
            let ask = Ask { verb: "patch", resource: served.resource(), path: &path, query };
            // Anything else, such as a webhook that knows no dry runs, says nothing about the real one.
            if let Err(error @ Error::Forbidden { .. }) = self.api.patch(&ask, &json!({}), deadline) {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Suspends all Kustomizations and `HelmReleases` that are not suspended, and tells how many that were. Returns when
    /// nothing is being applied any more. Health checks that are under way are not waited for.
    pub fn suspend(&self) -> Result<usize, Error> {
        self.suspend_counting(&Cell::new(0))
    }

    /// The same; `asked` counts how often an object was to be changed, whatever came of it.
    fn suspend_counting(&self, asked: &Cell<usize>) -> Result<usize, Error> {
        let deadline = Deadline::after(self.patience.change);
        let kinds = kind::served(&self.api, &APPLIERS, deadline)?;
        let now = now();
        let to_suspend = |object: &Object| {
            let patch = object.to_suspend(&now)?;
            asked.set(asked.get() + 1);
            Some(patch)
        };
        let changed = self.settle(&kinds, "suspended", to_suspend, deadline)?;
        self.wait_for(&kinds, |object| !object.is_in_progress(), self.patience.finish, deadline)?;
        Ok(changed)
    }

    /// Resumes what [`suspend`](Self::suspend) has suspended, now or in an earlier process, and tells how many that were.
    pub fn resume(&self) -> Result<usize, Error> {
        let deadline = Deadline::after(self.patience.change);
        let kinds = kind::served(&self.api, &APPLIERS, deadline)?;
        self.settle(&kinds, "resumed", Object::to_resume, deadline)
    }

    /// Asks Flux to look now: sources first, then, when these have looked, what is applied from them. What is suspended is
    /// not asked. Tells how many objects were asked.
    pub fn poke(&self) -> Result<usize, Error> {
        let deadline = Deadline::after(self.patience.change);
        let now = now();
        let mut poked = 0;
        for (kinds, is_awaited) in [(&SOURCES[..], true), (&CHARTS, true), (&APPLIERS, false)] {
            let kinds = kind::served(&self.api, kinds, deadline)?;
            poked += self.settle(&kinds, "poked", |object| object.to_poke(&now), deadline)?;
            if is_awaited {
                // Whatever they found: whether that is good is the business of `look`.
                let has_looked = |object: &Object| !object.is_reconciled() || object.is_handled();
                self.wait_for(&kinds, has_looked, self.patience.fetch, deadline)?;
            }
        }
        Ok(poked)
    }

    /// Looks once whether all that Flux reconciles is ready.
    pub fn look(&self) -> Result<Standing, Error> {
        let deadline = Deadline::after(self.patience.look);
        let appliers = kind::served(&self.api, &APPLIERS, deadline)?;
        let sources = kind::served(&self.api, &[&SOURCES[..], &CHARTS].concat(), deadline)?;
        if appliers.is_empty() {
            return Ok(Standing::without_flux());
        }
        // In this order; see `standing::judge`.
        let appliers = self.list(&appliers, deadline)?;
        let sources = self.list(&sources, deadline)?;
        Ok(standing::judge(&by_kind(appliers), &by_kind(sources)))
    }

    /// Applies `patch` to what needs it, until nothing does. What others change meanwhile is looked at again.
    fn settle(
        &self,
        kinds: &[Served],
        wanted: &'static str,
        patch: impl Fn(&Object) -> Option<Value>,
        deadline: Deadline,
    ) -> Result<usize, Error> {
        let mut changed = 0;
        loop {
            let mut last = None;
            for (served, object) in self.list(kinds, deadline)? {
                let Some(patch) = patch(&object) else { continue };
                if self.change(served, &object, &patch, deadline)? {
                    changed += 1;
                }
                last = Some(format!("{} {}/{}", served.kind.name, object.namespace(), object.name()));
            }
            let Some(object) = last else { return Ok(changed) };
            if deadline.is_over() {
                return Err(Error::Unsettled { server: self.api.address(), object, wanted });
            }
            self.api.pause(LOOK_AGAIN, deadline);
        }
    }

    /// Waits until all objects are as they should be, or have had `limit` for it.
    fn wait_for(
        &self,
        kinds: &[Served],
        is_done: impl Fn(&Object) -> bool,
        limit: Duration,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let end = Deadline::after(limit.min(deadline.left()));
        loop {
            if self.list(kinds, deadline)?.iter().all(|(_, object)| is_done(object)) || end.is_over() {
                return Ok(());
            }
            self.api.pause(LOOK_AGAIN, end);
        }
    }

    /// Changes an object; false if it is gone or has changed since it was read.
    fn change(
        &self,
        served: &Served,
        object: &Object,
        change: &Value,
        deadline: Deadline,
    ) -> Result<bool, Error> {
        let mut path = served.path(Some(object.namespace()));
        path.push(object.name());
        let ask = Ask { verb: "patch", resource: served.resource(), path: &path, query: &[] };
        match self.api.patch(&ask, change, deadline) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.status(), Some(404 | 409)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// All objects of these kinds, in the order of the kinds.
    fn list<'a>(&self, kinds: &'a [Served], deadline: Deadline) -> Result<Vec<(&'a Served, Object)>, Error> {
        let mut objects = Vec::new();
        for served in kinds {
            let found = loop {
                match self.pages(served, deadline) {
                    // The list became too old between two pages, so it begins anew.
                    Err(error) if error.status() == Some(410) && !deadline.is_over() => {
                        self.api.pause(LOOK_AGAIN, deadline);
                    }
                    found => break found?,
                }
            };
            objects.extend(found.into_iter().map(|object| (served, object)));
        }
        Ok(objects)
    }

    fn pages(&self, served: &Served, deadline: Deadline) -> Result<Vec<Object>, Error> {
        let path = served.path(self.namespace.as_deref());
        let mut objects: Vec<Object> = Vec::new();
        let mut next = String::new();
        loop {
            let query = [("limit", PAGE_OBJECTS), ("continue", next.as_str())];
            let query = if next.is_empty() { &query[..1] } else { &query };
            let ask = Ask { verb: "list", resource: served.resource(), path: &path, query };
            let page: Page = self.api.get(&ask, deadline)?;
            // A server that always promises more ends here too.
            if page.items.is_empty() && !page.metadata.next.is_empty() {
                return Err(self.api.odd(&ask, "an empty page says that there are more".to_owned()));
            }
            objects.extend(page.items);
            if objects.len() > MAX_OBJECTS {
                return Err(self.api.odd(&ask, format!("there are more than {MAX_OBJECTS} objects")));
            }
            if page.metadata.next.is_empty() {
                return Ok(objects);
            }
            next = page.metadata.next;
        }
    }
}

/// As the engine asks it, which needs no numbers.
impl activation::Flux for Cluster {
    fn check(&self) -> Result<(), crate::Error> {
        Ok(self.check()?)
    }

    fn suspend(&self) -> Result<(), NotSuspended> {
        let asked = Cell::new(0);
        self.suspend_counting(&asked).map(drop).map_err(|error| {
            let is_refused = matches!(&error, Error::Forbidden { verb: "patch", .. });
            let is_untouched = asked.get() == 0 || (asked.get() == 1 && is_refused);
            NotSuspended { cause: Box::new(error.into()), is_untouched }
        })
    }

    fn resume(&self) -> Result<(), crate::Error> {
        Ok(self.resume().map(|_| ())?)
    }

    fn poke(&self) -> Result<(), crate::Error> {
        Ok(self.poke().map(|_| ())?)
    }

    fn ready(&self) -> Result<Readiness, crate::Error> {
        let standing = self.look()?;
        Ok(if standing.is_ready() { Readiness::Ready } else { Readiness::NotYet(standing.to_string()) })
    }
}

fn by_kind(objects: Vec<(&Served, Object)>) -> Vec<(&'static str, Object)> {
    objects.into_iter().map(|(served, object)| (served.kind.name, object)).collect()
}

/// The time, as Flux writes it. Two pokes are told apart by its nanoseconds.
fn now() -> String {
    OffsetDateTime::now_utc().format(&Rfc3339).expect("a time of this millennium has an RFC 3339 form")
}
