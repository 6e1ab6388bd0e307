//! What a vendor has to ship: real images, small folders for Git and for charts, and stand-ins for what cannot be had.

use std::path::Path;

use crate::layout::{self, Layout};
use crate::peers;

/// The line that the `app` image prints if its root file system was put together right (see `tests/images`).
pub const GREETING: &str = "hello from behind the gap\n";

/// The images that `tests/images` makes: tags `app` (an index of two platforms), `worker` and `tools`.
#[must_use]
pub fn images() -> Layout {
    Layout::new(peers::made("images"))
}

/// Files of a folder for Git, as path and content: text, an empty file, bytes that are no text.
pub const GIT_FILES: [(&str, &[u8]); 4] = [
    ("clusters/appliance/kustomization.yaml", b"kind: Kustomization\nresources: [app.yaml]\n"),
    ("clusters/appliance/app.yaml", b"kind: Deployment\nmetadata: {name: app}\n"),
    ("empty", b""),
    ("logo.bin", b"\0\xff\xfe\r\n\0"),
];

/// Writes the folder for Git into `dir`.
pub fn write_git_folder(dir: &Path) {
    for (name, content) in GIT_FILES {
        write(&dir.join(name), content);
    }
}

/// Writes a chart into `dir`: a Deployment of `image`, with as many replicas as its values say.
pub fn write_chart(dir: &Path, name: &str, version: &str, image: &str) {
    let about = format!("apiVersion: v2\nname: {name}\nversion: {version}\ndescription: {name} for tests\n");
    let values = format!("image: {image}\nreplicas: 3\n");
    write(&dir.join("Chart.yaml"), about.as_bytes());
    write(&dir.join("values.yaml"), values.as_bytes());
    write(&dir.join("templates/deployment.yaml"), DEPLOYMENT.as_bytes());
    write(&dir.join("templates/NOTES.txt"), b"{{ .Release.Name }} runs\n");
}

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}-{{ .Chart.Name }}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Chart.Name }}}}
  template:
    metadata: {labels: {app: {{ .Chart.Name }}}}
    spec:
      containers: [{name: main, image: {{ .Values.image | quote }}}]
";

/// Writes the assets of a k3s release into `dir`, under the names that k3s gives them, with one system image.
///
/// They are stand-ins: k3s itself cannot be had where the tests run. Nothing in them is k3s's but the names.
pub fn write_k3s_stand_ins(dir: &Path, system_image: &str) {
    let binary = b"#!/bin/sh\necho 'a stand-in for k3s'\n";
    let sums = format!("{}  k3s\n", layout::hex_of(&layout::digest(binary)));
    write(&dir.join("k3s"), binary);
    write(&dir.join("sha256sum-amd64.txt"), sums.as_bytes());
    write(&dir.join("k3s-images.txt"), format!("{system_image}\n").as_bytes());
    write(&dir.join("install.sh"), b"#!/bin/sh\necho 'a stand-in for the install script'\n");
}

/// Writes a file, and the folders above it.
pub fn write(path: &Path, content: &[u8]) {
    fs_err::create_dir_all(path.parent().expect("a file in a folder")).expect("a folder");
    fs_err::write(path, content).expect("a file of the folder");
}
