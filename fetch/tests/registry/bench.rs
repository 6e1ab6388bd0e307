//! Latency: everything at once, so that a long line costs its round trip and not one for each blob.

use std::time::{Duration, Instant};

use sealift_archive::{Blob, Reference};
use sealift_fetch::{Kind, Origin, Wanted};
use sealift_lab::vendor::image::{File, Layer, noise};
use sealift_lab::vendor::{Image, Proxy};

use crate::setting::Setting;

const IMAGES: u64 = 40;
const ROUND_TRIP: Duration = Duration::from_millis(50);
/// One after the other it would be 161 round trips, or 8 s.
const BAR: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn forty_images_over_a_long_line_take_a_few_round_trips() {
    let setting = Setting::new();
    let proxy = Proxy::start(setting.registry.addr(), ROUND_TRIP).unwrap();
    let layer = |seed, len| Layer::of(&[File::plain("data", noise(seed, len))]).unwrap();
    let base = layer(0, 2_000_000);
    let mut wanted = Vec::new();
    for number in 1..=IMAGES {
        let image = Image::new(
            "linux/amd64",
            &[base.clone(), layer(number, 20_000), layer(1000 + number, 5_000)],
            &["/data"],
        );
        setting.registry.add_image(&format!("acme/app-{number}"), "1", &image).unwrap();
        let from: Reference = format!("{}/acme/app-{number}:1", proxy.addr()).parse().unwrap();
        let part = |kind, bytes: &[u8]| {
            let origin = Origin::Registry { reference: from.clone(), kind };
            Wanted::new(Blob::of(bytes), origin)
        };
        wanted.push(part(Kind::Manifest, image.manifest()));
        wanted.extend(image.blobs().iter().map(|blob| part(Kind::Blob, blob)));
    }

    let start = Instant::now();
    setting.fetch(wanted).await.unwrap();
    let took = start.elapsed();

    // A manifest, a config and two layers for each image, the base once; and one request to learn the scheme.
    assert_eq!(setting.sink.count(), 161);
    assert_eq!(setting.registry.seen().len(), 162);
    assert!(took < BAR, "it took {took:?}");
}
