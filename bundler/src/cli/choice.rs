//! `--release`: one of the releases that an archive carries.

use std::path::Path;

use clap::Args;

use sealift_archive::{Bundle, Release, Source as _};

use crate::Error;

/// Which of the releases is meant.
#[derive(Debug, Args)]
pub(super) struct Choice {
    /// Only this release of an archive that carries several: its version, or its sequence
    #[arg(long, value_name = "VERSION")]
    release: Option<String>,
}

impl Choice {
    /// The chosen release, or all.
    pub(super) fn of<'a>(&self, file: &Path, bundle: &'a Bundle) -> Result<Vec<&'a Release>, Error> {
        match &self.release {
            Some(wanted) => find(file, bundle, wanted).map(|release| vec![release]),
            None => Ok(bundle.releases().iter().collect()),
        }
    }
}

/// The release of this version or, if there is none, of this sequence.
pub(super) fn find<'a>(file: &Path, bundle: &'a Bundle, wanted: &str) -> Result<&'a Release, Error> {
    let releases = bundle.releases();
    let by_version = releases.iter().find(|release| release.statement.version.as_str() == wanted);
    let by_sequence = || releases.iter().find(|release| release.statement.sequence.to_string() == wanted);
    by_version.or_else(by_sequence).ok_or_else(|| Error::NoSuchRelease {
        bundle: file.to_owned(),
        wanted: wanted.to_owned(),
        releases: releases.iter().map(|release| release.statement.name()).collect(),
    })
}
