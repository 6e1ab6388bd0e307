//! What an import leads to: told before, and never in the way.

use fs_err as fs;
use serde_json::Value;

use crate::sealiftctl::Appliance;
use crate::vendor::{ACME, Offer, contents};

const LAYER_BYTES: u64 = 100_000;

/// A configuration by which the disk of containerd, which shares that of the store, is too full or not.
fn config(appliance: &Appliance, threshold: u8) -> String {
    let path = appliance.path(&format!("{threshold}.yaml"));
    let containerd = appliance.path("containerd/not/there/yet");
    let head = "apiVersion: sealift/v1\nkind: Appliance\n";
    let disk = format!("disk: {{containerd: {}, imageGcThreshold: {threshold}}}\n", containerd.display());
    fs::write(&path, format!("{head}{disk}")).unwrap();
    path.to_str().unwrap().to_owned()
}

fn forecast(appliance: &Appliance, config: &str, bundle: &str) -> Value {
    let output = appliance.run(&["--json", "--config", config, "import", bundle, "--plan"]);
    let mut told: Value = serde_json::from_slice(&output.stdout).unwrap();
    told["forecast"].take()
}

#[test]
fn what_containerd_adds_is_told_and_stops_nobody() {
    let appliance = Appliance::pinned();
    // A manifest, a chart and a file; the other three are layers.
    let pack = |number: u64, numbers| {
        let offer = Offer::new(&ACME, number, contents(numbers, usize::try_from(LAYER_BYTES).unwrap()));
        offer.pack(&ACME, appliance.dir.path()).to_str().unwrap().to_owned()
    };
    let (first, second) = (pack(1, 10..16), pack(2, 10..18));
    let strict = config(&appliance, 1);
    let told = forecast(&appliance, &strict, &first);
    assert_eq!(told["readBytes"], 6 * LAYER_BYTES);
    assert_eq!((&told["seconds"], &told["bytesPerSecond"]), (&1.into(), &30_000_000.into()));
    let containerd = &told["containerd"];
    assert_eq!(containerd["copiedBytes"], 3 * LAYER_BYTES, "{told}");
    assert_eq!(containerd["unpackedBytes"], 9 * LAYER_BYTES);
    assert_eq!(containerd["thresholdPercent"], 1);

    let said = |args: &[&str]| {
        let output = appliance.run(args);
        assert!(output.status.success());
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let warning = "from 1 % on, kubelet removes images";
    for args in [&["import", &first, "--plan"][..], &["import", &first, "--activate"]] {
        let told = said(&[&["--config", &strict], args].concat());
        assert!(told.contains(warning), "{told}");
    }
    // What runs is unpacked already.
    let lenient = config(&appliance, 100);
    assert_eq!(forecast(&appliance, &lenient, &second)["containerd"]["copiedBytes"], 2 * LAYER_BYTES);
    assert_eq!(forecast(&appliance, &lenient, &first), Value::Null, "nothing is to be done");
    let missing = appliance.run(&["--config", "nowhere.yaml", "import", &second]);
    assert_eq!(missing.status.code(), Some(1));
}
