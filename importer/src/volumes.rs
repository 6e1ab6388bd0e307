//! Archives whose volumes lie on several sticks, which come one after the other.
//!
//! Every look begins anew: the archive is found, opened and verified again with whatever is there, and what is here
//! already is not asked for. So it is all the same whether the next stick comes while an import waits for it, or to the next
//! import, days later.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use sealift_archive::medium::{self, Found, Medium, VolumeSet};
use sealift_archive::parity::{Mended, Mender};
use sealift_archive::{Bundle, Digest, Progress};
use sealift_store::{Store, Writer};

use crate::Error;

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
}

impl Search {
    /// In these archives, volumes and folders.
    #[must_use]
    pub fn new(places: Vec<PathBuf>) -> Self {
        Self { places, set: None }
    }

    /// Finds the archive. If its first volume is not at hand, the front stands for it that an earlier import kept. None if it
    /// was found before and nothing of it is there now.
    ///
    /// # Errors
    /// As [`medium::find`], or I/O.
    pub fn open(&mut self, store: &Store) -> Result<Option<Box<dyn Medium>>, Error> {
        let volumes = match &self.set {
            Some(set) => match medium::find_set(&self.present(), set)? {
                Some(volumes) => volumes,
                None => return Ok(None),
            },
            None => match medium::find(&self.places) {
                Ok(Found::Volumes(volumes)) => volumes,
                // Parity may know better what is there.
                Ok(Found::File(_)) | Err(_) => return Ok(Some(medium::open_all(&self.places)?)),
            },
        };
        self.set = Some(volumes.set());
        let front = if volumes.volume(1).is_none() { store.front(&volumes.packing())? } else { None };
        let volumes = match front {
            Some(front) => volumes.with_front(front)?,
            None => volumes,
        };
        Ok(Some(self.with_parity(volumes)))
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
            Err(sealift_archive::Error::BadVolume { file }) => {
                Look::Other(format!("`{file}` is a volume with a damaged header"))
            }
            Err(_) => Look::Nothing,
        }
    }

    /// What is there of the places. Where a file was named that is gone, others of its set may be in its folder.
    fn present(&self) -> Vec<PathBuf> {
        let nearest = |place: &PathBuf| {
            let place = if place.exists() { Some(place.as_path()) } else { place.parent() };
            place.filter(|place| place.exists()).map(PathBuf::from)
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

/// Keeps the front of an archive in volumes for these releases of it, so that the next volumes can come without the first.
///
/// # Errors
/// I/O, or the archive's `Damaged` if the medium fails just now.
pub fn keep_front<'a>(
    writer: &Writer,
    bundle: &Bundle,
    releases: impl IntoIterator<Item = &'a Digest>,
) -> Result<(), Error> {
    if bundle.medium().parts().is_none() || writer.front(&bundle.packing_digest())?.is_some() {
        return Ok(());
    }
    let front = bundle.front()?;
    releases.into_iter().try_for_each(|release| Ok(writer.keep_front(release, &front)?))
}
