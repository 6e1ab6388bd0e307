//! Many images over a long line: what can be asked at the same time is.

use std::time::{Duration, Instant};

use sealift_lab::vendor::Proxy;

use crate::setting::{Setting, image};

const IMAGES: u64 = 40;
const ROUND_TRIP: Duration = Duration::from_millis(50);
/// One after the other it would be 240 round trips, or 12 s.
const BAR: Duration = Duration::from_millis(1500);

#[test]
fn forty_images_with_all_that_might_refer_to_them_take_a_few_round_trips() {
    let setting = Setting::new();
    let proxy = Proxy::start(setting.registry.addr(), ROUND_TRIP).unwrap();
    let mut images = Vec::new();
    for number in 0..IMAGES {
        let name = format!("acme/app-{number}");
        setting.registry.add_image(&name, "1", &image("linux/amd64", number)).unwrap();
        images.push(format!("{}/{name}:1", proxy.addr()));
    }
    let images: Vec<&str> = images.iter().map(String::as_str).collect();
    // A manifest, the question for referrers, three tags; the configuration too when it is not known yet; and once the
    // question how the registry is spoken with.
    for (known, requests) in [(false, 6 * 40 + 1), (true, 5 * 40)] {
        setting.registry.forget();
        let start = Instant::now();
        setting.lock("[linux/amd64]", &images).unwrap();
        let took = start.elapsed();
        assert_eq!(setting.registry.seen().len(), requests);
        assert!(took < BAR, "known: {known}, it took {took:?}");
    }
}
