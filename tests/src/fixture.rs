//! What a vendor has to ship: real images, and a small folder for Git.

use std::path::Path;

use crate::layout::Layout;
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
        let path = dir.join(name);
        fs_err::create_dir_all(path.parent().expect("a file in a folder")).expect("a folder");
        fs_err::write(&path, content).expect("a file of the folder");
    }
}
