//! The reader in Python that was written from the format's page alone, and what it says about archives.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sealift_archive::trust::TrustRoot;
use tempfile::TempDir;

const READER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/reader");

/// The reader, and whom it believes.
pub(crate) struct SecondReader {
    dir: TempDir,
}

impl SecondReader {
    pub(crate) fn trusting(root: &TrustRoot) -> Self {
        let reader = Self { dir: TempDir::new().unwrap() };
        fs_err::write(reader.root(), root.bytes()).unwrap();
        reader
    }

    /// Of each archive the releases that are in it, or why it was refused.
    pub(crate) fn verdicts(&self, archives: &[PathBuf]) -> Vec<Result<Vec<String>, String>> {
        let Output { status, stdout, stderr } = self.command("verify").args(archives).output().unwrap();
        let (taken, refused) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
        let verdict = |archive: &PathBuf| {
            let name = format!("{}: ", archive.display());
            let of_it = |said: &str| -> Vec<String> {
                said.lines().filter_map(|line| line.strip_prefix(&name)).map(str::to_owned).collect()
            };
            match (of_it(&taken), of_it(&refused)) {
                (taken, refused) if refused.is_empty() && !taken.is_empty() => Ok(taken),
                (taken, refused) if refused.len() == 1 && taken.is_empty() => Err(refused[0].clone()),
                both => panic!("{name}{both:?} in:\n{taken}{refused}"),
            }
        };
        let verdicts: Vec<_> = archives.iter().map(verdict).collect();
        assert_eq!(status.success(), verdicts.iter().all(Result::is_ok), "{refused}");
        verdicts
    }

    /// One blob, or why it was refused.
    pub(crate) fn blob(&self, archive: &Path, digest: &str) -> Result<Vec<u8>, String> {
        let output = self.command("blob").arg(archive).arg(digest).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        if output.status.success() { Ok(output.stdout) } else { Err(said) }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new("python3");
        // Without -B it would leave compiled files in the tree.
        command.args(["-B", READER, name, "--trust"]).arg(self.root());
        command
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root.json")
    }
}
