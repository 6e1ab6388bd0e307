//! Images with apk.

use std::path::Path;
use std::process::Command;

use sealift_tests::{peers, process, scratch};
use serde_json::Value;

use crate::{Asking, GZIP, TAR, lines, tar, word};

/// As `apkdb` spells it.
fn as_apk(package: &Value) -> String {
    assert_eq!(package["type"], "apk");
    ["name", "version", "architecture", "license"].map(|key| word(package, key)).join("\t")
}

#[test]
fn images_with_apk_hold_what_apk_lists() {
    let apkdb = || Command::new(peers::tool("apkdb"));
    let dir = scratch();
    let root = dir.path().join("root");
    for package in [["musl", "1.2.5-r0", "MIT"], ["busybox", "1.36.1-r29", "GPL-2.0-only"]] {
        process::run(apkdb().arg("add").arg(&root).args(package));
    }
    let first = tar(&root);
    process::run(apkdb().arg("add").arg(&root).args(["libcrypto3", "3.3.2-r1", "Apache-2.0 AND MIT"]));
    let lists = |root: &Path| lines(&process::text(apkdb().arg("list").arg(root)));
    let mut asking = Asking::new();
    asking.offer("small", &[(TAR, first), (TAR, tar(&root))]);
    asking.offer("alpine", &[(GZIP, tar(&peers::alpine()))]);
    let answer = asking.ask();
    assert_eq!(answer.packages("small", as_apk), lists(&root));
    let expected = lists(&peers::alpine());
    assert!(expected.len() > 10, "a real system: {expected:?}");
    assert_eq!(answer.packages("alpine", as_apk), expected);
}
