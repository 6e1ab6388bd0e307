//! Asks another program, and waits no longer than is reasonable.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long a program may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a program says, at most `limit` bytes of it; in words why it says nothing.
pub(crate) fn ask(program: &Path, args: &[&str], limit: u64, patience: Duration) -> Result<String, String> {
    let name = program.display();
    let mut child = Command::new(program)
        .args(args)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("`{name}` cannot be run: {error}"))?;
    let (send, said) = mpsc::sync_channel(1);
    if let Some(stdout) = child.stdout.take() {
        // If it hangs, this thread ends with what it reads from.
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = stdout.take(limit).read_to_end(&mut bytes);
            let _ = send.send(read.map(|_| bytes));
        });
    }
    let said = said.recv_timeout(patience);
    // It has said what it had to say, or has had its time.
    let _ = child.kill();
    let _ = child.wait();
    match said {
        Ok(Ok(bytes)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Ok(Err(error)) => Err(format!("`{name}`: {error}")),
        Err(_) => Err(format!("`{name}` did not answer within {} s", patience.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_a_long_one_and_none() {
        let sh = |script: &str, patience| ask(Path::new("/bin/sh"), &["-c", script], 10, patience);
        assert_eq!(sh("echo hello", PATIENCE).unwrap(), "hello\n");
        assert_eq!(sh("exec yes", PATIENCE).unwrap().len(), 10);
        let said = sh("exec sleep 1000", Duration::from_millis(50)).unwrap_err();
        assert!(said.contains("did not answer"), "{said}");
        let said = ask(Path::new("/nowhere/journalctl"), &[], 10, PATIENCE).unwrap_err();
        assert!(said.contains("`/nowhere/journalctl` cannot be run"), "{said}");
    }
}
