//! What unit tests of several rooms begin with.

use fs_err as fs;
use tempfile::TempDir;

/// A folder with these files, each of which holds its own name.
pub(crate) fn folder(files: &[&str]) -> TempDir {
    let dir = TempDir::new().expect("room for a folder");
    for file in files {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().expect("it is in the folder")).expect("room for a folder");
        fs::write(path, file).expect("room for a file");
    }
    dir
}
