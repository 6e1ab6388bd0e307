//! Images with dpkg.

use std::path::{Path, PathBuf};
use std::process::Command;

use sealift_tests::{fixture, peers, process, scratch};
use serde_json::Value;

use crate::{Asking, GZIP, Listing, tar, word, write};

/// States in which a package is there.
const PRESENT: [&str; 5] =
    ["installed", "triggers-pending", "triggers-awaited", "half-configured", "unpacked"];

/// What dpkg lists in a root directory: name, version, architecture, source package with its version.
fn dpkg_lists(root: &Path) -> Listing {
    const FORMAT: &str = "${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\t\
                          ${source:Package}\t${source:Version}\n";
    let mut query = Command::new(peers::tool("dpkg-query"));
    let admin = root.join("var/lib/dpkg");
    let listed = process::text(query.arg("--admindir").arg(admin).args(["--show", "--showformat", FORMAT]));
    let packages = listed.lines().filter_map(|line| line.split_once('\t'));
    packages.filter(|(state, _)| PRESENT.contains(state)).map(|(_, package)| package.to_owned()).collect()
}

fn as_dpkg(package: &Value) -> String {
    assert_eq!(package["type"], "deb");
    let source = &package["source"];
    let or = |own: &str, value: &Value| value.as_str().unwrap_or(own).to_owned();
    let (name, version) = (word(package, "name"), word(package, "version"));
    [
        name,
        version,
        word(package, "architecture"),
        &or(name, &source["name"]),
        &or(version, &source["version"]),
    ]
    .join("\t")
}

#[test]
fn debian_images_hold_what_dpkg_lists() {
    let dir = scratch();
    let layout = dir.path().join("layout");
    // umoci takes locks in a layout, and the one in the cache belongs to all tests.
    process::run(Command::new("cp").arg("-r").arg(fixture::images().dir()).arg(&layout));
    let mut asking = Asking::new();
    for tag in ["app", "worker", "tools"] {
        asking.take(&layout, tag);
    }
    let answer = asking.ask();
    for (name, tag) in [("app", "app-amd64"), ("worker", "worker"), ("tools", "tools")] {
        let unpacked = dir.path().join(tag);
        let image = format!("{}:{tag}", layout.display());
        process::run(Command::new(peers::tool("umoci")).args(["unpack", "--image", &image]).arg(&unpacked));
        let expected = dpkg_lists(&unpacked.join("rootfs"));
        assert!(expected.len() > 50, "a real system: {expected:?}");
        assert_eq!(answer.packages(name, as_dpkg), expected, "{name}");
        assert_eq!(answer.image(name)["distribution"]["id"], "debian");
    }
}

/// A package of ours for dpkg.
fn deb(dir: &Path, name: &str, version: &str, more: &str) -> PathBuf {
    let tree = dir.join(format!("{name}-{version}").replace(':', "-"));
    let control = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: A <a@acme.example>\n{more}\
         Description: a package\n with a text\n .\n of lines\n"
    );
    write(&tree.join("DEBIAN/control"), &control);
    write(&tree.join("DEBIAN/conffiles"), &format!("/etc/{name}.conf\n"));
    write(&tree.join(format!("etc/{name}.conf")), name);
    let file = tree.with_extension("deb");
    process::run(Command::new(peers::tool("dpkg-deb")).arg("--build").arg(&tree).arg(&file));
    file
}

#[test]
fn packages_in_all_states_are_those_that_dpkg_has_in_them() {
    let dir = scratch();
    let root = dir.path().join("root");
    for folder in ["info", "updates", "triggers"] {
        fs_err::create_dir_all(root.join("var/lib/dpkg").join(folder)).expect("a folder");
    }
    write(&root.join("var/lib/dpkg/status"), "");
    let dpkg = |arguments: &[&str], files: &[PathBuf]| {
        let mut command = Command::new(peers::tool("dpkg"));
        command
            .arg("--root")
            .arg(&root)
            .args(["--force-not-root", "--force-bad-path"])
            .args(arguments)
            .args(files);
        process::run(&mut command);
        tar(&root)
    };
    let first = [
        deb(dir.path(), "plain", "1.0-1", ""),
        deb(dir.path(), "binary", "1:2.0-3+b1", "Source: other (1:2.0-3)\n"),
        deb(dir.path(), "leaves", "1.0", ""),
        deb(dir.path(), "purged", "1.0", ""),
        deb(dir.path(), "grows", "1.0", "Source: grown\n"),
    ];
    let installed = dpkg(&["--install"], &first);
    let removed = dpkg(&["--remove", "leaves"], &[]);
    dpkg(&["--purge", "purged"], &[]);
    dpkg(&["--unpack"], &[deb(dir.path(), "unpacked", "0.1~rc1", "")]);
    let last = dpkg(&["--install"], &[deb(dir.path(), "grows", "2.0", "Source: grown\n")]);
    let expected = dpkg_lists(&root);
    assert_eq!(expected.len(), 4, "{expected:?}");

    let mut asking = Asking::new();
    asking.offer("states", &[(GZIP, installed), (GZIP, removed), (GZIP, last)]);
    let answer = asking.ask();
    assert_eq!(answer.packages("states", as_dpkg), expected);
    let image = answer.image("states");
    let layer = |name: &str| {
        let packages = image["packages"].as_array().expect("packages");
        let package = packages.iter().find(|p| p["name"] == name).expect("the package");
        image["layers"].as_array().expect("layers").iter().position(|layer| *layer == package["layer"])
    };
    assert_eq!((layer("plain"), layer("grows"), layer("unpacked")), (Some(0), Some(2), Some(2)));

    let ask = |package: &str| process::finish(&answer.sbom(&["--package", package]));
    let found = ask("other").expect(0).stdout();
    assert!(found.contains("binary") && found.contains("1:2.0-3+b1") && !found.contains("plain"), "{found}");
    ask("leaves").expect(1).expect_said(&["SL0420"]);
}
