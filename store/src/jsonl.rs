//! Files that only grow, one JSON object a line: the audit log and the journals.

use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
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
    let mut objects = Vec::new();
    let left_out = each(path, |object| objects.push(object))?;
    Ok((objects, left_out))
}

/// Takes one object after the other, oldest first, and returns how many lines were left out. No more than one is in memory.
pub(crate) fn each<T: DeserializeOwned>(path: &Path, mut take: impl FnMut(T)) -> io::Result<usize> {
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        file => file?,
    };
    let mut left_out = 0;
    for line in BufReader::new(file).split(b'\n') {
        let line = line?;
        match serde_json::from_slice(&line) {
            Ok(object) => take(object),
            Err(_) if line.is_empty() => {}
            Err(_) => left_out += 1,
        }
    }
    Ok(left_out)
}

/// Takes one object after the other from here on, and returns how many bytes of whole lines these were. What is behind them may
/// be a line in the making.
pub(crate) fn each_whole<T: DeserializeOwned>(
    from: impl io::Read,
    mut take: impl FnMut(T),
) -> io::Result<u64> {
    let (mut lines, mut line, mut bytes) = (BufReader::new(from), Vec::new(), 0);
    loop {
        line.clear();
        let length = lines.read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Ok(bytes);
        }
        bytes += length as u64;
        if let Ok(object) = serde_json::from_slice(&line) {
            take(object);
        }
    }
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
