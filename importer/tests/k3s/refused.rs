//! What is refused, with its code, and that nothing has changed then.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use fs_err as fs;

use crate::site::{NEW, OLD, Site};

/// k3s `here`, and `next` staged.
fn between(here: &str, next: &str, more: &str) -> Site {
    let site = Site::empty(&format!("{{role: single{more}}}"), "node-a");
    site.stage(1, here);
    site.ok(&["activate", "1.1", "--config", &write_alone(&site)]);
    site.ok(&["k3s", "install"]);
    site.stage(2, next);
    site
}

/// A configuration without a cluster, by which an appliance activates alone.
fn write_alone(site: &Site) -> String {
    let file = site.path("alone.yaml");
    fs::write(&file, "apiVersion: sealift/v1\nkind: Appliance\n").unwrap();
    file.to_str().unwrap().to_owned()
}

fn expect_refused(site: &Site, args: &[&str], code: &str) {
    let before = site.everything();
    let said = site.refused(args);
    assert!(said.contains(code), "{args:?}: {said}");
    assert_eq!(site.everything(), before, "{args:?}: nothing has changed");
}

#[test]
fn versions_that_do_not_follow_each_other() {
    for (next, code) in [
        ("v1.37.0+k3s1", "SL0745"),
        ("v1.34.9+k3s1", "SL0744"),
        ("1.36", "SL0743"),
        ("v2.35.3+k3s1", "SL0745"),
    ] {
        let site = between(OLD, next, "");
        expect_refused(&site, &["k3s", "upgrade", "--release", "1.2"], code);
        expect_refused(&site, &["k3s", "upgrade", "--release", "1.2", "--check"], code);
    }
}

#[test]
fn a_node_that_is_not_well_a_foreign_program_and_nothing_at_all() {
    let site = between(OLD, NEW, "");
    site.fault("unready", "");
    expect_refused(&site, &["k3s", "upgrade", "--release", "1.2"], "SL0748");
    fs::remove_file(site.root().join("faults/unready")).unwrap();
    fs::write(site.root().join("usr/local/bin/k3s"), "#!/bin/sh\n").unwrap();
    expect_refused(&site, &["k3s", "upgrade", "--release", "1.2"], "SL0757");
    expect_refused(
        &Site::staged("{role: single}", "node-a"),
        &["k3s", "upgrade", "--release", "1.2"],
        "SL0741",
    );
    expect_refused(&Site::empty("{role: single}", "node-a"), &["k3s", "install"], "SL0759");
    let join = Site::staged("{role: join, server: 'https://10.0.0.11:6443'}", "node-b");
    let said = join.refused(&["k3s", "install"]);
    assert!(said.contains("SL0751"), "{said}");
    fs::write(join.config(), "apiVersion: sealift/v1\nkind: Appliance\n").unwrap();
    assert!(join.refused(&["k3s", "status"]).contains("SL0740"));
}

#[test]
fn a_way_back_that_nobody_wrote_down() {
    let site = between(OLD, NEW, "");
    site.ok(&["k3s", "upgrade", "--release", "1.2"]);
    fs::remove_dir_all(site.root().join("var/lib/rancher/sealift/before")).unwrap();
    expect_refused(&site, &["k3s", "downgrade", "--release", "1.1"], "SL0752");
}

#[test]
fn a_snapshot_that_has_changed() {
    let site = between(OLD, NEW, "");
    site.ok(&["k3s", "upgrade", "--release", "1.2"]);
    let before = fs::read_dir(site.root().join("var/lib/rancher/sealift/before"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    fs::write(before.join("snapshot"), "half of it").unwrap();
    let said = site.refused(&["k3s", "downgrade", "--release", "1.1"]);
    assert!(said.contains("SL0758"), "{said}");
    let db = site.root().join("var/lib/rancher/k3s/server/db/etcd/member/snap/db");
    assert!(fs::read_to_string(db).unwrap().contains("format 36"), "the data are untouched");
}

#[test]
fn content_of_the_store_that_has_changed() {
    let site = Site::staged("{role: single}", "node-a");
    for entry in fs::read_dir(site.store.root().join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, [&text[..text.len() - 1], b"#"].concat()).unwrap();
    }
    site.refused(&["k3s", "install"]);
    assert!(!site.root().join("usr/local/bin/k3s").exists());
}

#[test]
fn one_at_a_time() {
    let site = between(OLD, NEW, "");
    let lock = fs::File::open(site.root().join("var/lib/rancher/sealift/lock")).unwrap();
    lock.lock().unwrap();
    expect_refused(&site, &["k3s", "upgrade", "--release", "1.2"], "SL0754");
    site.ok(&["k3s", "status"]);
    drop(lock);
    site.fault("install", "fail");
    assert!(site.refused(&["k3s", "upgrade", "--release", "1.2"]).contains("SL0750"));
    expect_refused(&site, &["k3s", "install"], "SL0753");
    assert!(site.ok(&["k3s", "status"]).contains("an upgrade to v1.36.4+k3s1"));
}

/// Answers as etcd does where it tells of itself.
fn etcd(version: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let body = format!(
                "# TYPE etcd_server_version gauge\netcd_server_version{{server_version=\"{version}\"}} 1\n"
            );
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    address
}

#[test]
fn etcd_that_is_too_old_for_3_6() {
    for (version, is_good) in [("3.5.21", false), ("3.5.26", true)] {
        let site = between("v1.33.9+k3s1", "v1.34.2+k3s1", &format!(", etcd: '{}'", etcd(version)));
        let args = ["k3s", "upgrade", "--release", "1.2"];
        if is_good {
            assert!(site.ok(&["k3s", "status"]).contains("3.5.26"));
            site.ok(&args);
        } else {
            expect_refused(&site, &args, "SL0746");
        }
    }
    let site = between("v1.33.9+k3s1", "v1.34.2+k3s1", ", etcd: 'http://127.0.0.1:9'");
    expect_refused(&site, &["k3s", "upgrade", "--release", "1.2"], "SL0746");
}
