//! What is found, and where.

use super::*;

#[test]
fn each_manager_is_read_in_each_image() {
    let bill = bill(&everything().pack());
    assert_eq!(bill.release.to_string(), "acme 1.5.0 (sequence 15)");
    let names: Vec<String> = bill
        .images
        .iter()
        .map(|image| format!("{} {}", image.names[0], image.platform.as_deref().unwrap()))
        .collect();
    assert_eq!(
        names,
        [
            "ghcr.io/acme/api:1.5.0 linux/amd64",
            "ghcr.io/acme/web:1 linux/amd64",
            "ghcr.io/acme/web:1 linux/arm64",
            "quay.io/acme/rpm:1 linux/amd64",
        ]
    );
    let api = image(&bill, "ghcr.io/acme/api:latest", "linux/amd64");
    assert_eq!(api.names.len(), 2);
    assert_eq!(
        packages(api),
        [
            "bash 5.2.15-2+b7 1 0",
            "libssl3 3.0.15-1~deb12u1 1 0",
            "odd 1:2+x~y 2 0",
            "openssl 3.0.15-1~deb12u1 2 0"
        ]
    );
    assert_eq!(
        api.packages[3].purl.as_deref(),
        Some("pkg:deb/debian/openssl@3.0.15-1~deb12u1?arch=amd64&distro=debian-12")
    );
    let web = image(&bill, "ghcr.io/acme/web:1", "linux/amd64");
    assert_eq!(packages(web), ["libcrypto3 3.3.2-r1 1 0", "musl 1.2.5-r0 1 0"]);
    assert!(image(&bill, "ghcr.io/acme/web:1", "linux/arm64").is_opaque());
    let rpm = image(&bill, "quay.io/acme/rpm:1", "linux/amd64");
    assert_eq!(rpm.packages.len(), 4);
    assert_eq!(rpm.databases, ["usr/lib/sysimage/rpm/rpmdb.sqlite"]);
    let others: Vec<String> = bill.others.iter().map(|o| format!("{:?} {}", o.kind, o.name)).collect();
    assert_eq!(
        others,
        ["Chart ghcr.io/acme/charts/api:1.5.0", "File docs/operator.txt", "GitRepository fleet"]
    );
}

#[test]
fn a_package_came_with_the_layer_since_which_it_is_there() {
    let status = |packages: &[(&str, &str)]| {
        let paragraphs: String = packages.iter().map(|(name, version)| deb(name, version, "")).collect();
        (TAR, tar(&[("var/lib/dpkg/status", paragraphs.as_bytes())]))
    };
    let mut draft = Draft::default();
    let app = draft.image(
        "linux/amd64",
        &[
            status(&[("stays", "1"), ("changes", "1"), ("goes", "1"), ("returns", "1")]),
            status(&[("stays", "1"), ("changes", "2"), ("comes", "1")]),
            (TAR, tar(&[("usr/bin/app", b"#!")])),
            status(&[("stays", "1"), ("changes", "2"), ("comes", "1"), ("returns", "1")]),
            (TAR, tar(&[("var/lib/dpkg/.wh.status-old", b"")])),
        ],
    );
    draft.name("ghcr.io/acme/app:1", app);
    let bill = bill(&draft.pack());
    assert_eq!(packages(&bill.images[0]), ["changes 2 2 0", "comes 1 2 0", "returns 1 4 0", "stays 1 1 0"]);
}

#[test]
fn parts_of_a_database_count_one_by_one() {
    let mut draft = Draft::default();
    let part =
        |name: &str| (format!("var/lib/dpkg/status.d/{name}"), format!("Package: {name}\nVersion: 1\n"));
    let layer = |names: &[&str]| {
        let parts: Vec<_> = names.iter().map(|name| part(name)).collect();
        let files: Vec<_> = parts.iter().map(|(path, text)| (path.as_str(), text.as_bytes())).collect();
        (TAR, tar(&files))
    };
    let removal =
        tar(&[("var/lib/dpkg/status.d/.wh.tzdata", b""), ("var/lib/dpkg/status.d/base.md5sums", b"0 x\n")]);
    let app = draft.image("linux/amd64", &[layer(&["base", "tzdata"]), layer(&["libssl3"]), (TAR, removal)]);
    draft.name("gcr.io/acme/distroless:1", app);
    let bill = bill(&draft.pack());
    assert_eq!(packages(&bill.images[0]), ["base 1 1 0", "libssl3 1 2 0"]);
    assert_eq!(bill.images[0].databases, ["var/lib/dpkg/status.d"]);
}

#[test]
fn one_image_is_looked_at_alone() {
    let made = everything().pack();
    let bundle = made.open();
    let all = Plan::of(&bundle, None).unwrap().bytes();
    let name = "ghcr.io/acme/web:1".parse().unwrap();
    let plan = Plan::of(&bundle, Some(&name)).unwrap();
    assert!(plan.bytes() > 0 && plan.bytes() < all, "only its layers are read");
    let bills = plan.read(&Unwatched).unwrap();
    assert_eq!(bills[0].images.len(), 2);
    assert!(bills[0].images.iter().all(|image| image.names == [name.clone()]));
    assert!(bills[0].others.is_empty());
}
