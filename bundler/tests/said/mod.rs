//! What `sealift` said when it was run.

use assert_cmd::Command;
use serde_json::Value;

mod json;

/// What was said, and the exit status.
pub(crate) struct Said {
    pub(crate) text: String,
    out: String,
    pub(crate) status: i32,
}

impl Said {
    /// Of a command with these arguments.
    pub(crate) fn by(command: &mut Command, arguments: &str) -> Self {
        let output = command.output().unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        let status = output.status.code().unwrap();
        Self { text: format!("$ sealift {arguments}\n{out}{err}"), out, status }
    }

    pub(crate) fn expect(self, status: i32, parts: &[&str]) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        for part in parts {
            assert!(self.text.contains(part), "`{part}` is not said: {}", self.text);
        }
        self
    }

    pub(crate) fn json(&self) -> Value {
        json::read(&self.out)
    }
}
