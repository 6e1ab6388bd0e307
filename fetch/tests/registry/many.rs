//! Whole images, many at once.

use sealift_archive::{Blob, Digest, Explain};
use sealift_fetch::{Error, Kind, Options, Origin, Wanted};
use sealift_lab::vendor::image::{File, Layer, noise};
use sealift_lab::vendor::{Fault, Image, Target};

use crate::setting::{REPOSITORY, SIZE, Setting};

fn image(platform: &str, seeds: &[u64]) -> Image {
    let layers: Vec<Layer> =
        seeds.iter().map(|seed| Layer::of(&[File::plain("data", noise(*seed, SIZE / 4))]).unwrap()).collect();
    Image::new(platform, &layers, &["/data"])
}

/// Everything that an image consists of, as a lock would list it.
fn parts(setting: &Setting, name: &str, image: &Image) -> Vec<Wanted> {
    let wanted = |kind, bytes: &[u8]| {
        let origin = Origin::Registry { reference: setting.reference(name), kind };
        Wanted::new(Blob::of(bytes), origin)
    };
    let mut parts = vec![wanted(Kind::Manifest, image.manifest())];
    parts.extend(image.blobs().iter().map(|blob| wanted(Kind::Blob, blob)));
    parts.extend(image.children().iter().flat_map(|child| self::parts(setting, name, child)));
    parts
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_all_platforms_arrive_bit_for_bit_and_shared_layers_once() {
    let setting = Setting::new();
    let one = Image::index(&[image("linux/amd64", &[1, 2]), image("linux/arm64", &[1, 3])]);
    let two = image("linux/amd64", &[1, 4]);
    setting.registry.add_image("acme/one", "1", &one).unwrap();
    setting.registry.add_image("acme/two", "1", &two).unwrap();
    let mut wanted = parts(&setting, "acme/one:1", &one);
    wanted.extend(parts(&setting, "acme/two:1", &two));

    setting.fetch(wanted.clone()).await.unwrap();

    // Two images and an index, three configs, and four layers, of which one is in all images.
    assert_eq!((wanted.len(), setting.sink.count()), (13, 11));
    for part in &wanted {
        assert_eq!(Digest::of(&setting.sink.whole(part.blob.digest).unwrap()), part.blob.digest);
        assert_eq!(setting.requests_for(part), [(None, 200)], "{}", part.blob.digest);
    }
    let distinct: std::collections::BTreeMap<_, _> =
        wanted.iter().map(|part| (part.blob.digest, part.blob.size)).collect();
    assert_eq!(setting.progress.bytes(), distinct.values().sum::<u64>());
    assert_eq!(setting.sink.opened().len(), distinct.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_future_can_be_sent_to_another_thread() {
    let setting = Setting::new();
    let (wanted, bytes) = setting.blob(1);
    let (client, sink, progress) = (setting.client.clone(), setting.sink.clone(), setting.progress.clone());
    let task = tokio::spawn(async move { client.fetch_all(vec![wanted], sink, progress).await });
    task.await.unwrap().unwrap();
    assert_eq!(setting.sink.whole(Digest::of(&bytes)).unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_for_nothing() {
    let setting = Setting::new();
    setting.fetch(Vec::new()).await.unwrap();
    let empty = setting.wanted(Blob::of(b""));
    setting.fetch(vec![empty.clone()]).await.unwrap();
    assert_eq!(setting.sink.whole(empty.blob.digest), Some(Vec::new()));
    assert_eq!(setting.registry.seen(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_finished_when_something_else_fails() {
    let setting = Setting::new();
    let (late, _) = setting.blob(1);
    let missing = [2, 3].map(|seed| setting.wanted(Blob::of(&noise(seed, SIZE))));
    let at_a_time = Options::default().concurrency;
    let never_begun: Vec<Wanted> = (10..).map(|seed| setting.blob(seed).0).take(2 * at_a_time).collect();
    // Nothing else is answered before the failures are known, so nobody makes room for what is behind them.
    setting
        .registry
        .faults()
        .always(Target::Blob(late.blob.digest), Fault::Delay(std::time::Duration::from_millis(300)));
    for wanted in &never_begun[..at_a_time - 3] {
        setting
            .registry
            .faults()
            .always(Target::Blob(wanted.blob.digest), Fault::Delay(std::time::Duration::from_millis(300)));
    }
    let mut wanted = vec![late.clone(), missing[0].clone(), missing[1].clone()];
    wanted.extend(never_begun.clone());

    let error = setting.fetch(wanted).await.unwrap_err();

    assert!(setting.sink.whole(late.blob.digest).is_some(), "it was under way");
    assert_eq!(setting.sink.count(), at_a_time - missing.len(), "only what was under way is there");
    let Error::Several(errors) = &error else { panic!("{error}") };
    assert_eq!(errors.len(), 2);
    let text = error.to_string();
    for missing in &missing {
        assert!(text.contains(&missing.blob.digest.to_string()), "{text}");
    }
    assert_eq!(error.code().to_string(), "SL0217");
    assert_eq!(error.class(), errors[0].class());
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_without_the_blob_are_named() {
    let setting = Setting::new();
    let (wanted, _) = setting.blob(1);
    let elsewhere = setting.wanted_from("acme/other:1", wanted.blob);
    let error = setting.fetch(vec![elsewhere]).await.unwrap_err().to_string();
    assert!(
        error.contains("404 Not Found") && error.contains("acme/other") && error.contains("BLOB_UNKNOWN"),
        "{error}"
    );
    assert!(!error.contains(REPOSITORY), "{error}");
}
