//! Files that only grow, one JSON object a line: the audit log and the journals.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use fs_err as fs;
use sealift_archive::durable;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Appends one object, durably.
///
/// A power cut may leave half a line; what comes after begins on a line of its own, so it costs no other entry.
///
/// # Errors
/// I/O.
pub fn append<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let is_new = !path.exists();
    let mut file = fs::File::options().read(true).append(true).create(true).open(path)?;
    let mut line = Vec::new();
    if !ends_a_line(&mut file)? {
        line.push(b'\n');
    }
    serde_json::to_writer(&mut line, value)?;
    line.push(b'\n');
    file.write_all(&line)?;
    file.sync_all()?;
    match path.parent() {
        Some(parent) if is_new => durable::sync_dir(parent),
        _ => Ok(()),
    }
}

/// The objects of a file that is there, oldest first. Lines that cannot be read are left out.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Vec<T>> {
    Ok(read_all(path)?.0)
}

/// The same, and how many lines were left out.
pub(crate) fn read_all<T: DeserializeOwned>(path: &Path) -> io::Result<(Vec<T>, usize)> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        text => text?,
    };
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let (mut objects, mut left_out) = (Vec::new(), 0);
    for line in lines {
        match serde_json::from_slice(line) {
            Ok(object) => objects.push(object),
            Err(_) => left_out += 1,
        }
    }
    Ok((objects, left_out))
}

fn ends_a_line(file: &mut fs::File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_costs_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        assert_eq!(read::<u8>(&path).unwrap(), [0; 0]);
        append(&path, &1).unwrap();
        fs::write(&path, [fs::read(&path).unwrap(), b"{\"half".to_vec()].concat()).unwrap();
        append(&path, &2).unwrap();
        assert_eq!(read::<u8>(&path).unwrap(), [1, 2]);
    }
}
