//! Which fields of what we know go into a support bundle: those that are named here, and no other.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use super::scrub::{self, Scrubber};

/// Of a release, wherever it is named.
const RELEASE: [&str; 5] = ["release", "product", "version", "sequence", "digest"];
/// Of `status`.
const STATUS: [&str; 58] = [
    "store",
    "active",
    "releases",
    "state",
    "reason",
    "since",
    "contentBytes",
    "holds",
    "images",
    "charts",
    "fluxArtifacts",
    "otherArtifacts",
    "files",
    "gitRepositories",
    "attachments",
    "rollback",
    "floor",
    "trust",
    "fingerprint",
    "pinnedVersion",
    "pinnedFingerprint",
    "disk",
    "freeBytes",
    "totalBytes",
    "collectableBytes",
    "busy",
    "pid",
    "command",
    "activation",
    "from",
    "to",
    "phase",
    "isForward",
    "stopped",
    "turned",
    "unfinished",
    "source",
    "came",
    "bytes",
    "ofBytes",
    "verified",
    "keys",
    "trustRoot",
    "cluster",
    "heardSecondsAgo",
    "nodes",
    "name",
    "lives",
    "hindrance",
    "online",
    "time",
    "channel",
    "failure",
    "code",
    "message",
    "hint",
    "problems",
    "next",
];
/// Of a line of the audit log.
const RECORD: [&str; 24] = [
    "time",
    "by",
    "uid",
    "user",
    "login",
    "unit",
    "event",
    "source",
    "fingerprint",
    "channel",
    "keys",
    "trustRoot",
    "code",
    "reason",
    "from",
    "phase",
    "wentBack",
    "releases",
    "imports",
    "freedBytes",
    "removedBlobs",
    "mirrors",
    "statement",
    "floor",
];
/// The event whose reason is in the words of a hook or a check.
const ACTIVATION_FAILED: &str = "activation-failed";

/// The fields of `status` that are told.
pub(super) fn of_status(status: &impl Serialize) -> serde_json::Result<Value> {
    only(status, &STATUS)
}

/// The fields of a line of the audit log that are told.
pub(super) fn of_record(record: &impl Serialize) -> serde_json::Result<Value> {
    only(record, &RECORD)
}

fn only(value: &impl Serialize, fields: &[&str]) -> serde_json::Result<Value> {
    let fields: BTreeSet<&str> = RELEASE.iter().chain(fields).copied().collect();
    Ok(keep(serde_json::to_value(value)?, &fields))
}

fn keep(value: Value, fields: &BTreeSet<&str>) -> Value {
    match value {
        Value::Object(object) => {
            let has_failed = object.get("event").is_some_and(|event| event == ACTIVATION_FAILED);
            let kept = object.into_iter().filter(|(name, _)| fields.contains(name.as_str()));
            let told = kept.map(|(name, value)| {
                let value = match (name.as_str(), value) {
                    ("stopped", Value::String(words)) => scrub::ending(&words).into(),
                    ("reason", Value::String(words)) if has_failed => scrub::ending(&words).into(),
                    // Ids of public keys look like secrets.
                    ("keys", keys) => keys,
                    (_, value) => keep(value, fields),
                };
                (name, value)
            });
            told.collect()
        }
        Value::Array(values) => values.into_iter().map(|value| keep(value, fields)).collect(),
        Value::String(text) => Scrubber::text(&text).into(),
        plain => plain,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_that_nobody_thought_of_is_left_out() {
        let record = json!({
            "time": "2026-11-23T10:00:00Z", "event": "refused", "code": "SL0114", "password": "hunter2",
            "source": "https://bob:hunter2@host/acme", "by": {"uid": 0, "shell": "hunter2"}, "more": ["hunter2"],
            "reason": "it said:\n-----BEGIN PRIVATE KEY-----\nhunter2",
        });
        let told = of_record(&record).unwrap();
        assert!(!told.to_string().contains("hunter2"), "{told}");
        assert_eq!((&told["by"]["uid"], &told["code"]), (&json!(0), &json!("SL0114")));
        assert_eq!(told["source"], "https://***@host/acme");
    }
    #[test]
    fn of_a_hook_that_failed_its_words_are_left_out() {
        let id = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        let told = of_record(&json!({
            "event": "activation-failed", "phase": "hook `k3s`", "reason": "hunter2\nmore (exit status: 3)", "keys": [id],
        }));
        let expected = json!({
            "event": "activation-failed", "phase": "hook `k3s`", "reason": "*** (exit status: 3)", "keys": [id],
        });
        assert_eq!(told.unwrap(), expected);
        let told = of_status(&json!({
            "activation": {"stopped": "hunter2 (exit status: 3)", "turned": "phase hook `k3s`: hunter2\nhunter2"},
            "problems": ["activating 1.2 failed in phase preflight, and was undone: `disk`: hunter2\nhunter2"],
        }));
        let expected = json!({
            "activation": {"stopped": "*** (exit status: 3)", "turned": "phase hook `k3s`: ***\n***"},
            "problems": ["activating 1.2 failed in phase preflight, and was undone: ***\n***"],
        });
        assert_eq!(told.unwrap(), expected);
    }
}
