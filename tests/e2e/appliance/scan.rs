//! What no image may hold, planted one by one and all found; and what looks like it and is harmless.

use std::path::Path;
use std::process::Command;

use sealift_tests::{peers, process, scratch};

use crate::repository;

fn scan(what: &Path) -> process::Ended {
    process::finish(Command::new(repository("packer/scan")).arg(what))
}

fn plant(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs_err::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs_err::write(path, content).expect("a file");
}

/// A private key that opens nothing, put together here so that nobody finds one in this file.
fn key(kind: &str) -> String {
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", "MIIEvQIBADANBgkqhkiG9w0BAQ".repeat(3))
}

/// Hash of a password, in the form of yescrypt.
fn hash() -> String {
    format!("$y$j9T${}${}", "a".repeat(22), "b".repeat(43))
}

/// An image as it should be: what looks like a secret in it is none.
fn clean(root: &Path) {
    let packaged = key("RSA PRIVATE KEY");
    plant(root, "usr/share/doc/tls/example.pem", &packaged);
    plant(root, "usr/lib/old/place.pem", &packaged);
    plant(root, "usr/lib/python3/example.py", &packaged);
    plant(root, "usr/lib/python3/__pycache__/example.cpython-312.pyc", &format!("\u{1}{packaged}\u{0}"));
    let sum = process::text(Command::new("md5sum").arg(root.join("usr/share/doc/tls/example.pem")));
    let sum = sum.split(' ').next().expect("a sum");
    // By their place, one by that from before /usr was merged.
    let places = ["usr/share/doc/tls/example.pem", "lib/old/place.pem", "usr/lib/python3/example.py"];
    let sums = places.map(|place| format!("{sum}  {place}\n"));
    plant(root, "var/lib/dpkg/info/tls.md5sums", &sums.concat());
    for (path, content) in [
        ("etc/shadow", "root:*:19000:0:99999:7:::\nsealift:!:19000::::::\ndaemon:!*:19000::::::\n"),
        ("etc/gshadow", "root:*::\nadm:!::\nusers:::\n"),
        (
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/bash\nsealift:x:800:800::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n",
        ),
        ("etc/machine-id", "uninitialized\n"),
        ("etc/iscsi/initiatorname.iscsi", "GenerateName=yes\n"),
        ("etc/ssh/sshd_config", "PermitRootLogin no\n"),
        ("etc/ssl/certs/ca.pem", &key("CERTIFICATE")),
        (
            "usr/share/sealift/trust/root.json",
            "{\"keys\": [\"-----BEGIN PUBLIC KEY-----\\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\\n\"]}",
        ),
        // Programs know what a key begins with.
        (
            "usr/bin/ssh",
            "\u{0}-----BEGIN OPENSSH PRIVATE KEY-----\n\u{0}%s: bad $6$ salt\u{0}AGE-SECRET-KEY-1\u{0}",
        ),
        ("usr/share/doc/crypt/README", &hash()),
        ("var/log/wtmp", ""),
    ] {
        plant(root, path, content);
    }
    for folder in
        ["var/lib/sealift", "var/lib/rancher/k3s", "etc/sealift/nftables.d", "var/log/journal", "proc"]
    {
        fs_err::create_dir_all(root.join(folder)).expect("a folder");
    }
    // The kernel's files are not the image's.
    plant(root, "proc/keys", &key("PRIVATE KEY"));
}

/// Where what is planted, and what it is called.
fn secrets() -> Vec<(&'static str, String, &'static str)> {
    let json = format!("{{\"key\": {:?}}}", key("ENCRYPTED SIGSTORE PRIVATE KEY"));
    let indented = format!("tls:\n  key: |\n    {}", key("EC PRIVATE KEY").replace('\n', "\n    "));
    let encrypted =
        key("RSA PRIVATE KEY").replacen('\n', "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n", 1);
    let in_a_program = format!("\u{7f}ELF\u{0}\u{1}{}\u{0}", key("PRIVATE KEY"));
    vec![
        ("opt/app/settings.json", json, "private key"),
        ("opt/app/settings.yaml", indented, "private key"),
        ("opt/app/old.pem", encrypted, "private key"),
        ("opt/app/dos.pem", key("PRIVATE KEY").replace('\n', "\r\n"), "private key"),
        ("opt/app/signing.asc", key("PGP PRIVATE KEY BLOCK"), "private key"),
        ("opt/app/with a space/program", in_a_program, "private key"),
        ("root/.ssh/id_rsa", "whatever".into(), "private key"),
        ("etc/ssl/private/server.key", "der".into(), "private key"),
        ("opt/app/store.p12", "der".into(), "private key"),
        ("opt/receipts.txt", format!("AGE-SECRET-KEY-1{}", "Q".repeat(58)), "secret of age"),
        ("var/lib/sealift-registry/ca.crt", key("CERTIFICATE"), "authority of a node"),
        ("opt/join.sh", format!("K3S_TOKEN=K10{}::server:x", "0a".repeat(32)), "token of k3s"),
        ("opt/k3s/node-token", "x".into(), "token"),
        ("opt/session", format!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJidWlsZGVyIn0.{}", "s".repeat(43)), "token"),
        ("root/.config/build.env", format!("GH=ghp_{}", "a1".repeat(18)), "token"),
        ("opt/aws", format!("id = AKIA{}", "A1".repeat(8)), "token"),
        (
            "root/.docker/config.json",
            "{\"auths\": {\"r.example\": {\"auth\": \"dXNlcjpwYXNzd29yZA==\"}}}".into(),
            "password",
        ),
        ("root/.netrc", "machine r.example password x".into(), "password"),
        (
            "root/.kube/config",
            format!("users: [{{client-key-data: {}}}]", "TFMw".repeat(16)),
            "access to a cluster",
        ),
        ("opt/k3s.yaml", "x".into(), "access to a cluster"),
        ("etc/installer.cfg", format!("password: {}", hash()), "hash of a password"),
        ("root/.bash_history", "sudo -i\n".into(), "history"),
        ("opt/.python_history", "import os\n".into(), "history"),
        ("root/.ssh/authorized_keys", "ssh-ed25519 AAAA build\n".into(), "who may log in"),
        ("etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAA\n".into(), "host key"),
        ("var/lib/dbus/machine-id", "0123456789abcdef0123456789abcdef\n".into(), "machine id"),
        ("var/lib/systemd/random-seed", "seed".into(), "random seed"),
        ("var/lib/cloud/instance/user-data.txt", "#cloud-config\n".into(), "instance data of cloud-init"),
        ("var/log/cloud-init-output.log", "done".into(), "log of cloud-init"),
        ("var/log/installer/autoinstall", "x".into(), "left by the installer"),
        (
            "etc/cloud/cloud.cfg.d/99-installer.cfg",
            "datasource_list: [None]\n".into(),
            "left by the installer",
        ),
        ("etc/netplan/50-cloud-init.yaml", "network: {}\n".into(), "network of the build"),
        ("etc/sudoers.d/90-build", "build ALL=(ALL) NOPASSWD:ALL\n".into(), "rights of who built"),
        ("var/lib/rancher/k3s/server/x", "x".into(), "state of k3s"),
        ("etc/sealift/appliance.yaml", "kind: Appliance\n".into(), "configuration of an appliance"),
        ("var/lib/sealift/.hidden", "x".into(), "content of the data disk"),
    ]
}

/// The lines, each once.
fn lines(ended: &process::Ended) -> Vec<String> {
    let mut lines: Vec<String> = ended.stdout().lines().map(Into::into).collect();
    lines.sort();
    lines
}

#[test]
fn a_clean_image_is_clean() {
    let dir = scratch();
    clean(dir.path());
    assert_eq!(scan(dir.path()).expect(0).stdout(), "");
}

#[test]
fn every_secret_is_found() {
    let dir = scratch();
    clean(dir.path());
    let mut expected: Vec<String> = Vec::new();
    for (path, content, kind) in secrets() {
        plant(dir.path(), path, &content);
        expected.push(format!("{path}: {kind}"));
    }
    // What is found by a place is told by its uppermost folder.
    let by_place = [
        ("var/lib/cloud/instance/user-data.txt", "var/lib/cloud/instance"),
        ("var/lib/rancher/k3s/server/x", "var/lib/rancher/k3s"),
    ];
    for line in &mut expected {
        for (path, top) in by_place {
            *line = line.replace(path, top);
        }
    }
    expected.sort();
    let ended = scan(dir.path()).expect(1);
    assert_eq!(lines(&ended), expected);
    ended.expect_said(&[format!("{} found", expected.len())]);
}

#[test]
fn accounts_and_names_of_the_machine_are_found() {
    let hash = hash();
    let cases = [
        ("etc/shadow", format!("root:{hash}:1::::::\n"), "etc/shadow: `root` has a password"),
        ("etc/shadow", format!("root:!{hash}:1::::::\n"), "etc/shadow: `root` has a password"),
        ("etc/shadow-", format!("ops:{hash}:1::::::"), "etc/shadow-: `ops` has a password"),
        ("etc/shadow", "ops::1::::::\n".into(), "etc/shadow: `ops` needs no password"),
        (
            "etc/passwd",
            "build:x:1000:1000::/home/build:/bin/bash\n".into(),
            "etc/passwd: `build` is a person's account",
        ),
        ("etc/machine-id", "0123456789abcdef0123456789abcdef\n".into(), "etc/machine-id: machine id"),
        (
            "etc/iscsi/initiatorname.iscsi",
            "InitiatorName=iqn.x\n".into(),
            "etc/iscsi/initiatorname.iscsi: name of this machine",
        ),
        // A file that a package brought, and somebody has changed; and a translation of what none brought.
        (
            "usr/lib/python3/__pycache__/own.cpython-312.pyc",
            key("EC PRIVATE KEY"),
            "usr/lib/python3/__pycache__/own.cpython-312.pyc: private key",
        ),
        (
            "usr/share/doc/tls/example.pem",
            key("EC PRIVATE KEY"),
            "usr/share/doc/tls/example.pem: private key",
        ),
    ];
    for (path, content, line) in cases {
        let dir = scratch();
        clean(dir.path());
        plant(dir.path(), path, &content);
        assert_eq!(lines(&scan(dir.path()).expect(1)), [line], "{path}");
    }
}

/// A scan that could not look has found nothing, and must not say so.
#[test]
fn what_cannot_be_looked_at_is_an_error() {
    let dir = scratch();
    scan(&dir.path().join("nothing")).expect(2);
    let file = dir.path().join("disk.raw");
    fs_err::write(&file, vec![0; 1 << 20]).expect("a file");
    scan(&file).expect(2).expect_said(&["no file system was found"]);
    process::run(Command::new(peers::tool("mkswap")).arg(&file));
    scan(&file).expect(2).expect_said(&["cannot be looked at"]);
}

/// A QCOW2 with a system partition for EFI and one with ext4, each with something in it. Needs root, to mount.
#[test]
fn a_finished_disk_is_looked_at_partition_by_partition() {
    const MIB: u64 = 1 << 20;
    let dir = scratch();
    let path = |name: &str| dir.path().join(name);
    let shell = |script: &str| {
        let home = path("").display().to_string();
        let sbin = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        process::run(Command::new("sh").args(["-euc", script]).current_dir(home).env("PATH", sbin));
    };
    let disk = |name: &str| {
        fs_err::File::create(path(name)).and_then(|file| file.set_len(64 * MIB)).expect("a file");
        let table = "printf 'label: gpt\\nstart=2048, size=32768, type=U\\nstart=40960, size=65536\\n' | sfdisk --quiet";
        shell(&format!("{table} {name}"));
        shell(&format!("mformat -i {name}@@1M -T 32768 -h 16 -s 32 :: && mmd -i {name}@@1M ::/loader"));
        shell(&format!("mkfs.ext4 -q -d tree -E offset={} {name} 32M", 40960 * 512));
    };
    clean(&path("tree"));
    disk("clean.raw");
    shell("qemu-img convert -O qcow2 -c clean.raw clean.qcow2");
    assert_eq!(scan(&path("clean.qcow2")).expect(0).stdout(), "");

    plant(&path("tree"), "etc/ssh/ssh_host_rsa_key", &key("OPENSSH PRIVATE KEY"));
    disk("dirty.raw");
    shell("echo seed >seed && mcopy -i dirty.raw@@1M seed ::/loader/random-seed");
    shell("qemu-img convert -O qcow2 -c dirty.raw dirty.qcow2");
    let found = lines(&scan(&path("dirty.qcow2")).expect(1));
    let expected = [
        "etc/ssh/ssh_host_rsa_key: host key",
        "etc/ssh/ssh_host_rsa_key: private key",
        "loader/random-seed: random seed",
    ];
    assert_eq!(found, expected);
}
