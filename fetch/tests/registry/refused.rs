//! Failures that do not pass: told at once, with names, and without a byte too many.

use std::sync::Arc;

use sealift_archive::{Class, Digest, Explain};
use sealift_fetch::Error;
use sealift_lab::vendor::{Fault, Target};

use crate::setting::{Count, SIZE, Setting};
use crate::sink::MemorySink;

/// What is done wrong; the error's class and code, the most that may be written, and words of the message.
type Case = (Fault, Class, u16, u64, Vec<String>);

#[tokio::test(flavor = "multi_thread")]
async fn wrong_answers_are_refused_at_once() {
    let other = Digest::of(b"other");
    let size = SIZE as u64;
    let cases: Vec<Case> = vec![
        (Fault::Extra(1), Class::Refused, 214, size, vec!["more than 1000000 bytes".into()]),
        (Fault::Extra(500_000_000), Class::Refused, 214, size, vec!["more than 1000000 bytes".into()]),
        (
            Fault::AnnouncedExtra(1),
            Class::Refused,
            213,
            0,
            vec!["announced 1000001 bytes instead of 1000000".into()],
        ),
        (Fault::OtherBytes, Class::Refused, 215, size, vec!["instead of `sha256:".into()]),
        (Fault::OtherDigest(other), Class::Refused, 215, 0, vec![format!("content `{other}` instead")]),
        (
            Fault::Status(403, None),
            Class::Unreachable,
            209,
            0,
            vec!["403 Forbidden".into(), "TOOMANYREQUESTS: told to".into()],
        ),
        (Fault::Status(404, None), Class::Unreachable, 209, 0, vec!["404 Not Found".into()]),
        (Fault::Status(418, None), Class::Unreachable, 209, 0, vec!["418 I'm a teapot".into()]),
        (Fault::Status(204, None), Class::Unreachable, 212, 0, vec!["makes no sense".into()]),
        (
            Fault::Status(429, Some("3600".to_owned())),
            Class::Unreachable,
            210,
            0,
            vec!["wants us to wait 3600 s".into()],
        ),
    ];
    for (fault, class, code, most, words) in cases {
        let setting = Setting::new();
        let (wanted, _) = setting.blob(1);
        setting.registry.faults().always(Target::Any, fault.clone());
        let error = setting.fetch(vec![wanted.clone()]).await.unwrap_err();
        let text = error.to_string();
        assert_eq!((error.class(), error.code().0), (class, code), "{fault:?}: {text}");
        let named =
            [setting.registry.addr().to_string(), wanted.blob.digest.to_string(), wanted.origin.to_string()];
        for word in words.iter().chain(&named) {
            assert!(text.contains(word), "{fault:?}: `{word}` is not in `{text}`");
        }
        assert_eq!(
            setting.requests_for(&wanted).len(),
            1,
            "{fault:?} does not pass, so it is not tried again"
        );
        assert!(setting.sink.written() <= most, "{fault:?}: {} bytes were written", setting.sink.written());
        assert_eq!(setting.sink.count(), 0, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_it_with_the_disks_own_error() {
    let setting = Setting::new();
    let (wanted, _) = setting.blob(1);
    let sink = Arc::new(MemorySink::with_room(300_000));
    let error =
        setting.client.fetch_all(vec![wanted.clone()], sink.clone(), Arc::new(Count::default())).await;
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Archive(sealift_archive::Error::NoSpace { .. })), "{error}");
    assert_eq!(error.class(), Class::NoSpace);
    assert_eq!(setting.requests_for(&wanted).len(), 1);
    assert!(sink.part_len(wanted.blob.digest) > 0, "what fitted is still there");
}
