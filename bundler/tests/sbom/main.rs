//! From archives to bills of materials: what is found, where, what is said about the rest, and in which documents.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod attached;
mod documents;
mod found;
mod release;
mod told;
mod unreadable;

use sealift_archive::Unwatched;
use sealift_bundler::sbom::{Bill, Image, Plan};

use release::{Draft, Made, TAR, deb, tar};

const CHART: &str = "application/vnd.cncf.helm.config.v1+json";
const OS_RELEASE: &[u8] = b"ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";

fn bill(made: &Made) -> Bill {
    let bundle = made.open();
    let mut bills = Plan::of(&bundle, None).unwrap().read(&Unwatched).unwrap();
    assert_eq!(bills.len(), 1);
    bills.remove(0)
}

/// The image of this name; the one of this platform, if there are several.
fn image<'a>(bill: &'a Bill, name: &str, platform: &str) -> &'a Image {
    let name = name.parse().unwrap();
    let is_it = |image: &&Image| image.names.contains(&name) && image.platform.as_deref() == Some(platform);
    bill.images.iter().find(is_it).unwrap_or_else(|| panic!("{name} {platform} in {bill:#?}"))
}

/// `name version layer-number attached-count` of each package.
fn packages(image: &Image) -> Vec<String> {
    let told = |found: &sealift_bundler::sbom::Found| {
        let layer = found.layer.and_then(|layer| image.layer_number(&layer)).unwrap_or(0);
        format!("{} {} {layer} {}", found.package.name, found.package.version, found.attached.len())
    };
    image.packages.iter().map(told).collect()
}

/// A release with a little of everything.
fn everything() -> Draft {
    let mut draft = Draft::default();
    let base = [deb("bash", "5.2.15-2+b7", "bash (5.2.15-2)"), deb("libssl3", "3.0.15-1~deb12u1", "openssl")];
    let base = base.concat();
    let more = format!("{base}{}{}", deb("openssl", "3.0.15-1~deb12u1", ""), deb("odd", "1:2+x~y", ""));
    let api = draft.image(
        "linux/amd64",
        &[
            (TAR, tar(&[("usr/lib/os-release", OS_RELEASE), ("var/lib/dpkg/status", base.as_bytes())])),
            (TAR, tar(&[("var/lib/dpkg/status", more.as_bytes())])),
        ],
    );
    draft.name("ghcr.io/acme/api:1.5.0", api);
    draft.name("ghcr.io/acme/api:latest", api);
    let alpine = b"ID=alpine\nVERSION_ID=3.20.3\n";
    let installed =
        "P:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\no:musl\n\nP:libcrypto3\nV:3.3.2-r1\nL:GPL2+ odd\no:openssl\n";
    let children = ["amd64", "arm64"].map(|architecture| {
        let files: [(&str, &[u8]); 2] =
            [("etc/os-release", alpine), ("lib/apk/db/installed", installed.as_bytes())];
        let files = if architecture == "amd64" { &files[..] } else { &files[..1] };
        (draft.image(&format!("linux/{architecture}"), &[(TAR, tar(files))]), serde_json::json!({}))
    });
    let index = draft.index(&children);
    draft.name("ghcr.io/acme/web:1", index);
    let rpm = zstd::decode_all(&include_bytes!("../../src/sbom/rpm/fixtures/rpmdb.sqlite.zst")[..]).unwrap();
    let rpm = draft.image("linux/amd64", &[(TAR, tar(&[("usr/lib/sysimage/rpm/rpmdb.sqlite", &rpm)]))]);
    draft.name("quay.io/acme/rpm:1", rpm);
    let chart = draft.artifact(CHART, "application/vnd.cncf.helm.chart.content.v1.tar+gzip", b"chart");
    draft.name("ghcr.io/acme/charts/api:1.5.0", chart);
    let name = "ghcr.io/acme/charts/api:1.5.0".parse().unwrap();
    draft.refs.images.get_mut(&name).unwrap().artifact_type = Some(CHART.to_owned());
    draft.file("docs/operator.txt", "read me\n");
    draft.git("fleet", "0123456789012345678901234567890123456789");
    draft
}
