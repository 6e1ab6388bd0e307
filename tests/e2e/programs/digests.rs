//! Every blob that went in comes out bit-identical: vendor's registry → archive → store → appliance's registry → client.

use std::process::Command;

use sealift_archive::Digest;
use sealift_lab::vendor::Image;
use sealift_lab::vendor::image::{File, Layer, noise};
use sealift_tests::appliance::Shim;
use sealift_tests::trust::ACME;
use sealift_tests::vendor::HOST;
use sealift_tests::{Appliance, Vendor, peers, process};

/// What a vendor ships: an index over three platforms and an image for one, all upon the same base, and one apart.
struct Images {
    base: Layer,
    index: Image,
    worker: Image,
    tools: Image,
}

impl Images {
    fn new() -> Self {
        let layer = |seed, size| Layer::of(&[File::plain("data", noise(seed, size))]).expect("a layer");
        let base = layer(1, 300_000);
        let image =
            |platform: &str, seed| Image::new(platform, &[base.clone(), layer(seed, 50_000)], &["/app"]);
        let index =
            Image::index(&[image("linux/amd64", 2), image("linux/arm64", 3), image("linux/arm/v7", 4)]);
        let worker = image("linux/amd64", 5);
        let tools = Image::new("linux/amd64", &[layer(6, 50_000)], &["/tool"]);
        Self { base, index, worker, tools }
    }

    /// The index and the worker lie in the registry, the tools in an OCI layout that skopeo made.
    fn offer(&self, vendor: &Vendor) {
        let offered =
            [("acme/app", &self.index), ("acme/worker", &self.worker), ("elsewhere/tools", &self.tools)];
        for (repository, image) in offered {
            vendor.registry().add_image(repository, "1.0", image).expect("room in memory");
        }
        process::run(
            Command::new(peers::tool("skopeo"))
                .args(["--insecure-policy", "copy", "--src-tls-verify=false"])
                .arg(format!("docker://{}", vendor.registry().name("elsewhere/tools:1.0")))
                .arg("oci:layout:tools")
                .current_dir(vendor.path("")),
        );
    }
}

#[test]
fn every_blob_comes_out_as_it_went_in() {
    let images = Images::new();
    for (platforms, carried) in [("[linux/amd64, linux/arm64]", 2), ("all", 3)] {
        let vendor = Vendor::new(&ACME);
        images.offer(&vendor);
        let rest = format!(
            "images:\n{}{}- {{ociLayout: layout, reference: tools, name: '{HOST}/acme/tools:1.0'}}\n",
            vendor.image("acme/app:1.0"),
            vendor.image("acme/worker:1.0")
        );
        vendor.define_for(platforms, "1.0.0", 1, &rest);
        vendor.lock();
        vendor.registry().forget();
        let appliance = Appliance::running(&ACME, &vendor.bundle());
        let base = Digest::of(images.base.bytes()).to_string();
        assert_eq!(vendor.requests_for(&base).len(), 1, "{platforms}: what images share is fetched once");
        // From here on there is no vendor any more.
        drop(vendor);

        let shim = appliance.serve();
        let (inside, outside) = images.index.children().split_at(carried);
        for (name, image) in [("app", &images.index), ("worker", &images.worker), ("tools", &images.tools)] {
            expect_manifest(&shim, name, "1.0", image);
        }
        for (name, image) in inside
            .iter()
            .map(|image| ("app", image))
            .chain([("worker", &images.worker), ("tools", &images.tools)])
        {
            expect_manifest(&shim, name, &image.digest().to_string(), image);
            for blob in image.blobs() {
                let digest = Digest::of(blob);
                let answer = shim.get(&format!("/v2/{HOST}/acme/{name}/blobs/{digest}"));
                assert!(answer.status == 200 && answer.body == *blob, "{platforms}: {name}: {digest}");
            }
        }
        for image in outside {
            let path = format!("/v2/{HOST}/acme/app/manifests/{}", image.digest());
            assert_eq!(shim.get(&path).status, 404, "{platforms}: nobody asked for this platform");
        }
    }
}

fn expect_manifest(shim: &Shim, name: &str, reference: &str, image: &Image) {
    let answer = shim.get(&format!("/v2/{HOST}/acme/{name}/manifests/{reference}"));
    assert_eq!((answer.status, answer.media_type.as_str()), (200, image.media_type()), "{name}: {reference}");
    assert!(answer.body == *image.manifest(), "{name}: {reference}: the manifest is another");
}
