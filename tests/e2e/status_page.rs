//! The status page in a real browser: what a person sees first, what they see without reloading, without JavaScript, on a
//! small screen, and when the appliance is gone. The screens are kept in `target/tmp/status-page`.

use std::path::{Path, PathBuf};

use sealift_lab::vendor::image::noise;
use sealift_store::Disk;
use sealift_tests::appliance::Shim;
use sealift_tests::browser::Browser;
use sealift_tests::trust::ACME;
use sealift_tests::{Appliance, Vendor, process};
use serde_json::json;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const LAYER_BYTES: usize = 3_000_000;
/// The last release comes in so many volumes.
const VOLUMES: usize = 3;
const VOLUME_SIZE: &str = "3500K";
/// A telephone held upright, in CSS pixels.
const NARROW: (u32, u32) = (360, 780);

#[test]
fn a_person_sees_what_runs_and_whether_it_is_well() {
    let vendor = Vendor::new(&ACME);
    let [first, second] = [1, 2].map(|number| release(&vendor, number));
    let appliance = Appliance::new(&ACME);
    let shim = appliance.serve();
    let browser = Browser::start();
    let screen = |name: &str| browser.keep_screen(&screens().join(name));

    browser.open(&address(&shim));
    assert_eq!(browser.text(".verdict"), "Nothing active yet");
    screen("nothing-yet.png");

    // From here on, nobody reloads the page.
    browser.ask("document.body.dataset.mark = 'the page of the beginning'");
    appliance.activate(&first);
    process::run(&mut appliance.importing(&second));
    let word = well(&appliance);
    browser.await_true(&format!("document.title === 'acme-appliance 1.1.0 – {word}'"));
    assert_eq!(browser.text(".verdict"), word);
    assert_eq!(browser.text("h1"), "acme-appliance 1.1.0");
    assert!(browser.text("header").contains("verified"), "{}", browser.text("header"));
    assert!(browser.text("#attention").contains("sealiftctl activate 1.2.0"));
    assert!(browser.text("#history").contains("acme-appliance 1.1.0 (sequence 1) became active"));
    first_sight(&browser);
    screen("healthy.png");

    process::run(appliance.sealiftctl().args(["activate", "1.2.0"]));
    browser.await_true("document.querySelector('h1').innerText === 'acme-appliance 1.2.0'");

    load_in_part(&vendor, &appliance);
    browser.await_true("document.querySelector('progress') !== null");
    let came = browser.ask("document.querySelector('progress').position");
    assert!(came.as_f64().is_some_and(|share| (0.1..0.9).contains(&share)), "{came}");
    assert!(browser.text("#attention").contains("is not finished"), "{}", browser.text("#attention"));
    screen("loading.png");
    browser.darken();
    screen("dark.png");

    browser.resize(NARROW.0, NARROW.1);
    assert_eq!(browser.ask("document.documentElement.scrollWidth <= innerWidth"), json!(true));
    screen("narrow.png");

    assert_eq!(browser.ask("document.body.dataset.mark"), json!("the page of the beginning"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
    let foreign = "performance.getEntriesByType('resource').every(entry => entry.name === location.href)";
    assert_eq!(browser.ask(foreign), json!(true));

    drop(shim);
    browser.await_true("document.body.dataset.state === 'lost'");
    screen("no-answer.png");
}

#[test]
fn the_page_works_without_scripts() {
    let vendor = Vendor::new(&ACME);
    let appliance = Appliance::running(&ACME, &release(&vendor, 1));
    let shim = appliance.serve();
    let browser = Browser::without_scripts();
    browser.open(&address(&shim));
    assert_eq!(browser.text(".verdict"), well(&appliance));
    // What is in `noscript` is an element only where no script runs.
    assert_eq!(browser.ask("document.querySelector('meta[http-equiv=refresh]').content"), json!("15"));
    browser.keep_screen(&screens().join("without-scripts.png"));
}

/// What is said of an appliance that is well, if the machine that tests run on is not short of room.
fn well(appliance: &Appliance<'_>) -> &'static str {
    let is_low = Disk::of(appliance.store()).expect("the file system").is_low();
    if is_low { "Needs attention" } else { "Healthy" }
}

/// The answer to "what runs, and is it well?" stands at the top, in the largest letters of the page.
fn first_sight(browser: &Browser) {
    let top = browser.ask("document.querySelector('h1').getBoundingClientRect().bottom");
    assert!(top.as_f64().is_some_and(|bottom| bottom < 200.0), "{top}");
    let size = "parseFloat(getComputedStyle(element).fontSize)";
    let largest = format!(
        "Math.max(...[...document.querySelectorAll('main *:not(h1)')].map(element => {size})) < \
         (element => {size})(document.querySelector('h1'))"
    );
    assert_eq!(browser.ask(&largest), json!(true));
}

/// Imports all volumes of the next release but the last.
fn load_in_part(vendor: &Vendor, appliance: &Appliance<'_>) {
    let archive = release(vendor, 3);
    let volumes = vendor.path("volumes");
    fs_err::create_dir(&volumes).expect("a folder");
    let mut split = vendor.sealift();
    split.args(["split", "--volume-size", VOLUME_SIZE]).arg(&archive).arg("-o").arg(&volumes);
    process::run(&mut split);
    let last = volumes.join(format!("acme-appliance-1.3.0.{VOLUMES:03}.tar.zst"));
    fs_err::remove_file(last).expect("the last of so many volumes");
    process::finish(appliance.sealiftctl().arg("import").arg(&volumes)).expect(7);
}

/// Bundles `1.N.0`, sequence N, which can follow the one before it.
fn release(vendor: &Vendor, number: u64) -> PathBuf {
    let version = format!("1.{number}.0");
    let layers = [1, 10 * number, 10 * number + 1].map(|seed| noise(seed, LAYER_BYTES));
    vendor.offer("acme/app", &version, LAYER, &layers);
    let image = vendor.image(&format!("acme/app:{version}"));
    vendor.define(&version, number, &format!("upgradeFrom: [1.{}.0]\nimages:\n{image}", number - 1));
    vendor.lock();
    vendor.bundle()
}

fn address(shim: &Shim<'_>) -> String {
    format!("http://{}/", shim.authority())
}

fn screens() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("status-page")
}
