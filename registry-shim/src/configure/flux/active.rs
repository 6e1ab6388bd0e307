//! What the active release has for Flux, and which of it carries a signature that Flux would look for. Whose it is, Flux finds
//! out: here nothing is verified, and what is unsigned is not made to wait for a signature that never comes.

use std::collections::BTreeMap;

use sealift_archive::release::{Descriptor, Refs};
use sealift_archive::{Digest, INTERNAL_HOST, RepositoryName, bounded, digest_tag};
use sealift_store::{State, Store};
use serde_json::Value;

use crate::Error;

/// A Sigstore bundle, as a referrer (cosign 3, "new bundle format"); versions differ in how it ends.
const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle";
/// What a bundle is about; it stands in its manifest, and not in every list of referrers. Other bundles are attestations.
const PREDICATE_ANNOTATION: &str = "dev.sigstore.bundle.predicateType";
const SIGNATURE_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";
/// Largest manifest that is looked into, in bytes (distribution-spec, "Pushing Manifests").
const MAX_MANIFEST_BYTES: u64 = 4 << 20;
/// How cosign 2 ends the tag of an image's signatures.
const SIGNATURE_SUFFIX: &str = ".sig";

/// The header of a commit in which its signature stands, and how each kind of them begins (gitformat-signature).
const COMMIT_SIGNATURE: &str = "gpgsig ";
const PGP: &str = "-----BEGIN PGP";
const SSH: &str = "-----BEGIN SSH";

/// How a commit is signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// By a key in a file NAME.asc.
    Pgp,
    /// By a key in a file NAME.sshpub.
    Ssh,
}

/// The active release.
#[derive(Debug)]
pub(crate) struct Active {
    store: Store,
    pub(super) refs: Refs,
    /// How the commit is signed that a mirror's HEAD leads to, if it is.
    commits: BTreeMap<RepositoryName, Option<Form>>,
}

impl Active {
    /// That of a store, if there is one.
    pub(crate) fn of(store: &Store) -> Result<Option<Self>, Error> {
        let releases = store.releases()?;
        let Some(release) = releases.iter().find(|release| *release.state() == State::Active) else {
            return Ok(None);
        };
        let refs = release.refs()?;
        let mut commits = BTreeMap::new();
        for (name, repository) in &refs.git {
            let commit =
                repository.refs.get(&repository.head).map(|id| store.commit(name, id)).transpose()?;
            commits.insert(name.clone(), commit.as_deref().and_then(form));
        }
        Ok(Some(Self { store: store.clone(), refs, commits }))
    }

    /// How the commit is signed that Flux takes from this mirror.
    pub(super) fn commit_form(&self, repository: &RepositoryName) -> Option<Form> {
        self.commits.get(repository).copied().flatten()
    }

    /// Whether cosign has signed this manifest of a repository under our own name.
    pub(super) fn is_signed(&self, repository: &str, manifest: Digest) -> bool {
        let by_tag = || {
            let tag = digest_tag::with_suffix(manifest.into(), SIGNATURE_SUFFIX)?;
            let name = format!("{INTERNAL_HOST}/{repository}:{tag}").parse().ok()?;
            self.refs.images.get(&name)
        };
        let mut referrers = self.refs.referrers.get(&manifest).into_iter().flatten();
        let read = |digest: &Digest| {
            // If it is gone, `verify` tells of it.
            bounded::read(&self.store.blob_path(digest), MAX_MANIFEST_BYTES).unwrap_or_default()
        };
        referrers.any(|referrer| is_signature(referrer, || read(&referrer.digest))) || by_tag().is_some()
    }
}

/// Whether this is a signature, by what is listed of it, or else by its manifest.
fn is_signature(referrer: &Descriptor, manifest: impl FnOnce() -> Vec<u8>) -> bool {
    let is_bundle = referrer.artifact_type.as_ref().is_some_and(|kind| kind.starts_with(BUNDLE_TYPE));
    let predicate = || {
        let manifest: Value = serde_json::from_slice(&manifest()).ok()?;
        Some(manifest["annotations"][PREDICATE_ANNOTATION].as_str()?.to_owned())
    };
    let listed = referrer.annotations.get(PREDICATE_ANNOTATION).cloned();
    is_bundle && listed.or_else(predicate).is_none_or(|predicate| predicate == SIGNATURE_PREDICATE)
}

/// How a commit is signed, if it is. What stands in its message is nobody's signature.
fn form(commit: &str) -> Option<Form> {
    let header = commit.split("\n\n").next().unwrap_or_default();
    let signature = header.lines().find_map(|line| line.strip_prefix(COMMIT_SIGNATURE))?;
    [(PGP, Form::Pgp), (SSH, Form::Ssh)]
        .into_iter()
        .find_map(|(begin, form)| signature.starts_with(begin).then_some(form))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_signature_stands_in_the_header_of_a_commit() {
        let commit = |more: &str| format!("tree 1\nauthor A\n{more}committer C\n\nmessage");
        let cases = [
            (commit("gpgsig -----BEGIN PGP SIGNATURE-----\n \n wsB\n"), Some(Form::Pgp)),
            (commit("gpgsig -----BEGIN SSH SIGNATURE-----\n U1N\n"), Some(Form::Ssh)),
            (commit("gpgsig -----BEGIN SIGNED MESSAGE-----\n MII\n"), None),
            (commit("") + "\ngpgsig -----BEGIN PGP SIGNATURE-----\n", None),
            (String::new(), None),
        ];
        for (commit, expected) in cases {
            assert_eq!(form(&commit), expected, "{commit}");
        }
    }

    #[test]
    fn an_attestation_is_no_signature() {
        let referrer = |kind: &str, predicate: Option<&str>| Descriptor {
            media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
            digest: Digest::of(b"it"),
            size: 2,
            artifact_type: Some(kind.to_owned()),
            annotations: predicate
                .map(|p| (PREDICATE_ANNOTATION.to_owned(), p.to_owned()))
                .into_iter()
                .collect(),
        };
        let bundle = "application/vnd.dev.sigstore.bundle.v0.3+json";
        let spdx = "https://spdx.dev/Document";
        let manifest = |predicate| json!({ "annotations": { PREDICATE_ANNOTATION: predicate } }).to_string();
        let cases = [
            (referrer(bundle, Some(SIGNATURE_PREDICATE)), String::new(), true),
            (referrer(bundle, Some(spdx)), manifest(SIGNATURE_PREDICATE), false),
            (referrer(bundle, None), String::new(), true),
            (referrer(bundle, None), manifest(SIGNATURE_PREDICATE), true),
            (referrer(bundle, None), manifest(spdx), false),
            (referrer("application/spdx+json", None), String::new(), false),
        ];
        for (referrer, manifest, expected) in cases {
            let read = || manifest.clone().into_bytes();
            assert_eq!(is_signature(&referrer, read), expected, "{referrer:?} {manifest}");
        }
    }
}
