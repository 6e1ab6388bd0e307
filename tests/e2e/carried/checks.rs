//! What those who use a release do with it, on either side of the gap.

use std::path::Path;
use std::process::Command;

use sealift_tests::cosign::Form;
use sealift_tests::git::{SIGNED_TAG, git, objects};
use sealift_tests::{Cosign, Helm, Side, Tree, http, peers, process, scratch};
use tempfile::TempDir;

use crate::sources::Sources;

/// A client of registries that knows no accounts of this user.
pub(crate) fn client(side: Side<'_>, name: &str) -> Command {
    let mut command = side.command(peers::tool(name));
    command.env("DOCKER_CONFIG", "/nonexistent");
    command
}

/// By the key in both forms, and not by another one.
pub(crate) fn signatures_are_good(side: Side<'_>, key: &Path, image: &str) {
    let cosign = Cosign::new(side);
    // Each form says what it is, so that one is not taken for the other.
    let forms = [
        (Form::Bundle, "https://sigstore.dev/cosign/sign/v1"),
        (Form::Tag, "cosign container image signature"),
    ];
    let another = cosign.make_keys();
    for (form, kind) in forms {
        let signed = cosign.verify(key, image, form);
        assert!(signed.iter().any(|signed| signed == kind), "{image}: {signed:?}");
        cosign.refuse(&another, image, form);
    }
}

/// All its blobs are what the manifests say, and layers what the configuration says.
pub(crate) fn image_is_valid(side: Side<'_>, image: &str, architecture: Option<&str>) {
    process::run(&mut validating(side, image, architecture));
}

/// Something is missing: what, is returned.
pub(crate) fn image_is_refused(side: Side<'_>, image: &str) -> String {
    process::refusal(&mut validating(side, image, None))
}

fn validating(side: Side<'_>, image: &str, architecture: Option<&str>) -> Command {
    let mut crane = client(side, "crane");
    crane.args(["validate", "--remote", image]);
    crane.args(architecture.map(|name| format!("--platform=linux/{name}")));
    crane
}

/// The package byte for byte, with a provenance that is good, and it renders to the same.
pub(crate) fn chart_is_pulled(
    side: Side<'_>,
    sources: &Sources,
    folder: &str,
    (name, version): (&str, &str),
) {
    let helm = Helm::new(side);
    let package = sources.package((name, version));
    let reference = format!("{folder}/{name}");
    let pulled = helm.pull_verified(&reference, version, &sources.gpg.public_key());
    assert!(pulled == fs_err::read(&package).expect("a package"), "the chart `{name}` is another");
    let rendered = chart_is_rendered(side, &reference, version, &[]);
    assert_eq!(rendered, sources.helm.template(&package.to_string_lossy(), &[]), "{name}");
}

/// What `helm template` makes of a chart of a registry.
pub(crate) fn chart_is_rendered(side: Side<'_>, chart: &str, version: &str, options: &[&str]) -> String {
    let rendered =
        Helm::new(side).template(chart, &[&["--plain-http", "--version", version], options].concat());
    assert!(rendered.contains("kind: Deployment"), "{rendered}");
    rendered
}

/// What Flux unpacks.
pub(crate) fn flux_pulls(side: Side<'_>, artifact: &str) -> Tree {
    let into = scratch();
    process::run(client(side, "fluxoci").args(["pull", artifact]).arg(into.path()));
    Tree::read(into.path())
}

/// Whole, in part, and not again if nothing has changed.
pub(crate) fn file_is_served(side: Side<'_>, url: &str, content: &[u8]) {
    let whole = http::get(side, url, &[]);
    let tag = whole.header("etag").to_owned();
    assert!(!tag.is_empty(), "`{url}` has no ETag");
    assert!(whole.expect(200) == content, "`{url}` is another");
    let part = http::get(side, url, &["Range: bytes=3-10"]).expect(206);
    assert!(part == content[3..=10], "a part of `{url}` is another");
    let again = http::get(side, url, &[&format!("If-None-Match: {tag}")]).expect(304);
    assert!(again.is_empty(), "`{url}` was sent again");
}

/// A clone of a repository.
pub(crate) struct Git(TempDir);

impl Git {
    pub(crate) fn clone(side: Side<'_>, sources: &Sources, url: &str, options: &[&str]) -> Self {
        let clone = Self(scratch());
        let mut command = git(side, sources.knows_key.home());
        process::run(command.args(["clone", "--quiet"]).args(options).arg(url).arg(clone.0.path()));
        process::run(clone.git(side, sources).args(["fsck", "--strict"]));
        clone
    }

    /// The tag and its commit are signed, and no other release is there.
    pub(crate) fn expect_signed(&self, side: Side<'_>, sources: &Sources) {
        process::run(self.git(side, sources).args(["verify-tag", SIGNED_TAG]));
        process::run(self.git(side, sources).args(["verify-commit", "HEAD"]));
        let released = format!("{SIGNED_TAG}^{{commit}}");
        let commits = process::text(self.git(side, sources).args(["rev-parse", "HEAD", &released]));
        let commits: Vec<_> = commits.lines().collect();
        assert_eq!(commits[0], commits[1], "HEAD is not the release");
        let tags = process::text(self.git(side, sources).arg("tag"));
        assert!(!tags.contains(sealift_tests::git::LATER_TAG), "{tags}");
    }

    pub(crate) fn branch(&self, side: Side<'_>, sources: &Sources) -> String {
        process::text(self.git(side, sources).args(["branch", "--show-current"]))
    }

    pub(crate) fn objects(&self, side: Side<'_>, sources: &Sources) -> Vec<u8> {
        objects(side, sources.knows_key.home(), self.0.path())
    }

    fn git(&self, side: Side<'_>, sources: &Sources) -> Command {
        let mut command = git(side, sources.knows_key.home());
        command.arg("-C").arg(self.0.path());
        command
    }
}
