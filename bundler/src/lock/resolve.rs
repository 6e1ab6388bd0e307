//! From references to digests: every image is asked for once, all at the same time.

use std::collections::BTreeSet;
use std::path::Path;

use futures_util::{StreamExt as _, stream};

use sealift_fetch::Client;

use super::{Lock, LockedGit};
use crate::definition::{Definition, Git};
use crate::image::{Scope, resolve_image};
use crate::{Error, folder};

/// Images that are resolved at a time. The client bounds the requests to each registry; this bounds memory.
const IMAGES_AT_A_TIME: usize = 32;

/// Resolves everything that the definition in `file` names. `date` is that of Git commits made from folders, in seconds
/// since 1970. An image that leads to what one in the lock beside `file` led to is taken from there.
///
/// # Errors
/// What registries, layouts and git answer; names that stand twice; platforms that are not there. All that went wrong
/// is told together.
pub async fn resolve(
    client: &Client,
    definition: &Definition,
    file: &Path,
    date: u64,
) -> Result<Lock, Error> {
    let base = file.parent().unwrap_or(Path::new(""));
    let known = Lock::known_images(file, definition);
    let mut names = BTreeSet::new();
    if let Some(twice) = definition.images.iter().find(|image| !names.insert(&image.name)) {
        return Err(Error::NameTwice(Box::new(twice.name.clone())));
    }
    let scope = Scope { client, platforms: definition.platforms.chosen(), base, known: &known };
    let resolved: Vec<_> = stream::iter(&definition.images)
        .map(|image| resolve_image(scope, image))
        .buffered(IMAGES_AT_A_TIME)
        .collect()
        .await;
    let (mut images, mut errors) = (Vec::new(), Vec::new());
    for image in resolved {
        match image {
            Ok(image) => images.push(image),
            Err(more) => errors.extend(more),
        }
    }
    let mut git = Vec::new();
    for folder in &definition.git {
        match resolve_folder(folder, base, date) {
            Ok(locked) => git.push(locked),
            Err(error) => errors.push(error),
        }
    }
    match Error::all(errors) {
        Some(error) => Err(error),
        None => Ok(Lock::new(definition, images, git)),
    }
}

fn resolve_folder(git: &Git, base: &Path, date: u64) -> Result<LockedGit, Error> {
    let packed = folder::pack(&base.join(&git.path), &git.branch, date)?;
    Ok(LockedGit {
        name: git.name.clone(),
        path: git.path.clone(),
        branch: git.branch.clone(),
        commit: packed.commit.clone(),
        date,
        pack: packed.blob(),
    })
}
