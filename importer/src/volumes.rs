//! Archives whose volumes lie on several sticks, which come one after the other.
//!
//! Every look begins anew: the archive is found, opened and verified again with whatever is there, and what is here
//! already is not asked for. So it is all the same whether the next stick comes while an import waits for it, or to the next
//! import, days later.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use sealift_archive::bundle::AtHand;
use sealift_archive::format::volume::Header;
use sealift_archive::medium::{self, Found, Medium, Parts, VolumeSet};
use sealift_archive::parity::{Mended, Mender};
use sealift_archive::{Bundle, Digest, Error as ArchiveError, Progress, durable};
use sealift_store::{Store, Writer};
use serde::Serialize;

use crate::Error;
use crate::import::Plan;

/// How often the places are looked at while an import waits.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long it takes at most to notice that somebody asked to stop.
const NOTICE_INTERVAL: Duration = Duration::from_millis(50);

/// Where an archive is looked for.
#[derive(Debug)]
pub struct Search {
    places: Vec<PathBuf>,
    /// The set of volumes that was found first: from then on it is looked for, and nothing else.
    set: Option<Digest>,
    /// Headers of the volumes of this set that have come so far.
    headers: Vec<Header>,
}

impl Search {
    /// In these archives, volumes and folders.
    #[must_use]
    pub fn new(places: Vec<PathBuf>) -> Self {
        Self { places, set: None, headers: Vec::new() }
    }

    /// Finds the archive. If its first volume is not at hand, the front stands for it that an earlier import kept.
    ///
    /// # Errors
    /// As [`medium::find`]; its `NoArchive` also if nothing is there of the set that was found first, but another archive;
    /// or I/O.
    pub fn open(&mut self, store: &Store) -> Result<Box<dyn Medium>, Error> {
        let volumes = match &self.set {
            Some(set) => medium::find_set(&self.present(), set)?.ok_or_else(|| self.nothing_of_it())?,
            None => match medium::find(&self.places) {
                Ok(Found::Volumes(volumes)) => volumes,
                // Parity may know better what is there.
                Ok(Found::File(_)) | Err(_) => return Ok(medium::open_all(&self.places)?),
            },
        };
        self.set = Some(volumes.set());
        let seen = store.volume_headers(&volumes.set())?;
        let volumes = volumes.with_seen(seen);
        self.headers = volumes.headers().collect();
        let front = if volumes.volume(1).is_none() { store.front(&volumes.packing())? } else { None };
        let volumes = match front {
            Some(front) => volumes.with_front(front)?,
            None => volumes,
        };
        Ok(self.with_parity(volumes))
    }

    fn nothing_of_it(&self) -> ArchiveError {
        let places: Vec<String> = self.places.iter().map(|place| place.display().to_string()).collect();
        ArchiveError::NoArchive { place: places.join("`, `") }
    }

    /// Keeps what is known of an archive in volumes until these releases are staged, so that the next volumes can come without
    /// the first.
    ///
    /// # Errors
    /// I/O, or the archive's `Damaged` if the medium fails just now.
    pub fn keep<'a>(
        &self,
        writer: &Writer,
        bundle: &Bundle,
        releases: impl IntoIterator<Item = &'a Digest>,
    ) -> Result<(), Error> {
        if self.set.is_none() {
            return Ok(());
        }
        let front = bundle.front()?;
        for release in releases {
            writer.keep_volume_headers(release, &self.headers)?;
            writer.keep_front(release, &front)?;
        }
        Ok(())
    }

    fn with_parity(&self, volumes: VolumeSet) -> Box<dyn Medium> {
        let set = volumes.set();
        let volumes: Box<dyn Medium> = Box::new(volumes);
        match Mender::find(&self.present(), Some(set)) {
            Ok(Some(mender)) => Box::new(Mended::new(Some(volumes), mender)),
            // What is wrong with parity stands in nobody's way.
            _ => volumes,
        }
    }

    /// Whether nothing is there any more of what was found.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.set.is_some_and(|set| !matches!(medium::find_set(&self.present(), &set), Ok(Some(_))))
    }

    /// Waits until one of these volumes is there; `false` if none came in time. What comes instead is told, once.
    ///
    /// # Errors
    /// The archive's `Interrupted`.
    pub fn wait_for(
        &self,
        numbers: &[u32],
        deadline: Option<Instant>,
        progress: &dyn Progress,
        mut tell: impl FnMut(&str) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let mut told = None;
        loop {
            let next_look = Instant::now() + LOOK_INTERVAL;
            match self.look(numbers) {
                Look::Here => return Ok(true),
                Look::Other(what) if told.as_ref() != Some(&what) => {
                    tell(&what)?;
                    told = Some(what);
                }
                Look::Other(_) | Look::Nothing => {}
            }
            while Instant::now() < next_look {
                progress.go_on()?;
                if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    return Ok(false);
                }
                thread::sleep(NOTICE_INTERVAL);
            }
        }
    }

    fn look(&self, numbers: &[u32]) -> Look {
        let Some(set) = &self.set else { return Look::Nothing };
        let places = self.present();
        // A stick that is just being taken out or put in cannot be read.
        if let Ok(Some(volumes)) = medium::find_set(&places, set) {
            let is_wanted = |&number: &u32| volumes.volume(number).is_some();
            return if numbers.iter().any(is_wanted) { Look::Here } else { Look::Nothing };
        }
        match medium::find(&places) {
            Ok(Found::Volumes(other)) => Look::Other(format!("`{}` is another archive", other.name())),
            Ok(Found::File(other)) => Look::Other(format!("`{}` is another archive", other.name())),
            Err(ArchiveError::BadVolume { file }) => {
                Look::Other(format!("`{file}` is a volume with a damaged header"))
            }
            Err(_) => Look::Nothing,
        }
    }

    /// What is there of the places. Where a file was named that is gone, others of its set may be in its folder.
    fn present(&self) -> Vec<PathBuf> {
        let nearest = |place: &PathBuf| {
            let nearest = if place.exists() { place.as_path() } else { durable::parent_of(place) };
            nearest.exists().then(|| nearest.to_owned())
        };
        self.places.iter().filter_map(nearest).collect()
    }
}

/// What a look found.
enum Look {
    Here,
    /// Something else, in words.
    Other(String),
    Nothing,
}

/// Which volumes of an archive are at hand, as far as an import is concerned.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Volumes {
    /// How many there are.
    pub count: u32,
    /// The numbers of those that are not at hand.
    pub missing: Vec<u32>,
    /// Those of them that have content which is needed.
    pub needed: BTreeSet<u32>,
    /// Bytes of needed content that are at hand.
    pub at_hand_bytes: u64,
}

impl Volumes {
    /// What there is to be told of a bundle's volumes; none if it is one file.
    #[must_use]
    pub fn of(bundle: &Bundle, plan: &Plan) -> Option<Self> {
        let Parts { count, missing } = bundle.medium().parts()?;
        let wanted = plan.need.missing.iter().map(|blob| blob.digest).collect();
        let AtHand { bytes, missing: needed } = bundle.at_hand(&wanted);
        Some(Self { count, missing, needed, at_hand_bytes: bytes })
    }
}

impl fmt::Display for Volumes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} at hand", self.count as usize - self.missing.len(), self.count)?;
        let mut before = ", still needed: ";
        for number in &self.needed {
            write!(f, "{before}{number}")?;
            before = ", ";
        }
        Ok(())
    }
}
