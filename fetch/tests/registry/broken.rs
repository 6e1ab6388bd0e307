//! Failures that pass: each ends with the whole blob, and with no more traffic than needed.

use std::time::{Duration, Instant};

use sealift_archive::{Class, Explain};
use sealift_fetch::Error;
use sealift_lab::vendor::{Fault, Target};

use crate::setting::{SIZE, Setting};

const TOTAL: u64 = SIZE as u64;
/// A place in the middle where connections break, on no boundary of anything.
const BREAK: u64 = 654_321;

/// The `Range` of a request and the status of its answer.
type Exchange = (Option<String>, u16);

/// The whole was asked for, and came.
const WHOLE: Exchange = (None, 200);

/// The rest from an offset on was asked for.
fn rest(from: u64, status: u16) -> Exchange {
    (Some(format!("bytes={from}-")), status)
}

/// Something goes wrong, and this is what it costs.
struct Case {
    name: &'static str,
    faults: Vec<(usize, Fault)>,
    exchanges: Vec<Exchange>,
    sent: u64,
    restarts: usize,
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_transfers_go_on_at_the_byte() {
    let case = |name, faults: &[(usize, Fault)], exchanges: &[Exchange], sent, restarts| Case {
        name,
        faults: faults.to_vec(),
        exchanges: exchanges.to_vec(),
        sent,
        restarts,
    };
    let resumed = [WHOLE, rest(BREAK, 206)];
    let cases = [
        case("cut", &[(1, Fault::Cut(BREAK))], &resumed, TOTAL, 0),
        case(
            "cut more often than it is tried without progress",
            &[(3, Fault::Cut(300_000))],
            &[WHOLE, rest(300_000, 206), rest(600_000, 206), rest(900_000, 206)],
            TOTAL,
            0,
        ),
        case("ended early", &[(1, Fault::Short(BREAK))], &resumed, TOTAL, 0),
        case("silent", &[(1, Fault::Stall(BREAK))], &resumed, TOTAL, 0),
        case("cut at once", &[(1, Fault::Cut(0))], &[WHOLE, WHOLE], TOTAL, 0),
        case(
            "cut, and no ranges",
            &[(2, Fault::NoRanges), (1, Fault::Cut(BREAK))],
            &[WHOLE, rest(BREAK, 200)],
            TOTAL + BREAK,
            1,
        ),
        case(
            "cut, and another range than was asked for",
            &[(2, Fault::OtherRange), (1, Fault::Cut(BREAK))],
            &[WHOLE, rest(BREAK, 206), WHOLE],
            TOTAL + BREAK,
            1,
        ),
        case("down", &[(2, Fault::Status(503, None))], &[(None, 503), (None, 503), WHOLE], TOTAL, 0),
        case("busy", &[(1, Fault::Status(429, None))], &[(None, 429), WHOLE], TOTAL, 0),
    ];
    for Case { name, faults, exchanges, sent, restarts } in cases {
        let setting = Setting::new();
        let (wanted, bytes) = setting.blob(1);
        for (times, fault) in faults {
            setting.registry.faults().times(times, Target::Blob(wanted.blob.digest), fault);
        }
        let result = setting.fetch(vec![wanted.clone()]).await;
        assert!(result.is_ok(), "{name}: {result:?}");
        assert!(setting.sink.whole(wanted.blob.digest).unwrap() == bytes, "{name}");
        assert_eq!(setting.requests_for(&wanted), exchanges, "{name}");
        // A range that was not asked for is refused by its header; how much had left the server is chance.
        let chance = if name.contains("another range") { TOTAL - BREAK } else { 0 };
        let in_errors = 1000;
        let range = sent..=sent + chance + in_errors;
        assert!(range.contains(&setting.sent_for(&wanted)), "{name}: {}", setting.sent_for(&wanted));
        assert_eq!(setting.sink.restarts(), restarts, "{name}");
        assert_eq!(setting.progress.bytes(), TOTAL, "{name}: each byte is told once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_gets_better_is_given_up() {
    for (fault, expected) in [
        (Fault::Cut(0), "broke off after 0 of 1000000 bytes"),
        (Fault::Stall(0), "nothing more came"),
        (Fault::Status(502, None), "502 Bad Gateway"),
    ] {
        let setting = Setting::new();
        let (wanted, _) = setting.blob(1);
        setting.registry.faults().always(Target::Any, fault);
        let error = setting.fetch(vec![wanted.clone()]).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(expected) && text.contains("gave up after 3 tries"), "{text}");
        assert!(text.contains(&setting.registry.addr().to_string()), "{text}");
        assert_eq!(error.class(), Class::Unreachable);
        assert!(error.hint().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_blob_again_and_again_is_no_progress() {
    let setting = Setting::new();
    let (wanted, _) = setting.blob(1);
    setting.registry.faults().always(Target::Any, Fault::NoRanges);
    setting.registry.faults().always(Target::Any, Fault::Cut(BREAK));
    let error = setting.fetch(vec![wanted.clone()]).await.unwrap_err().to_string();
    assert!(error.contains("gave up after 3 tries"), "{error}");
    assert_eq!(setting.requests_for(&wanted).len(), 3, "the second half never came");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_nobody_listens_on_is_unreachable() {
    let setting = Setting::new();
    let (wanted, _) = setting.blob(1);
    let Setting { registry, client, sink, progress, .. } = setting;
    let addr = registry.addr();
    drop(registry);
    let error = client.fetch_all(vec![wanted], sink, progress).await.unwrap_err();
    assert_eq!(error.code().to_string(), "SL0204");
    let text = error.to_string();
    assert!(text.contains(&format!("cannot reach `{addr}`: Connection refused")), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_asks_for_time_gets_it() {
    let setting = Setting::new();
    let wanted: Vec<_> = (1..=4).map(|seed| setting.blob(seed).0).collect();
    let busy = Fault::Status(429, Some("1".to_owned()));
    setting.registry.faults().once(Target::Blob(wanted[0].blob.digest), busy);
    let start = Instant::now();
    setting.fetch(wanted.clone()).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(setting.requests_for(&wanted[0]), [(None, 429), (None, 200)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_run_left_is_used_if_it_is_good() {
    let setting = Setting::new();
    let (wanted, bytes) = setting.blob(1);
    setting.sink.leave(wanted.blob.digest, &bytes[..400_000]);
    setting.fetch(vec![wanted.clone()]).await.unwrap();
    assert_eq!(setting.requests_for(&wanted), [rest(400_000, 206)]);
    assert_eq!(setting.progress.bytes(), TOTAL);

    // All of it was there, and was only never checked.
    let (wanted, bytes) = setting.blob(2);
    setting.sink.leave(wanted.blob.digest, &bytes);
    setting.fetch(vec![wanted.clone()]).await.unwrap();
    assert_eq!(setting.requests_for(&wanted), []);
    assert!(setting.sink.whole(wanted.blob.digest).unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_run_left_is_thrown_away_if_it_is_damaged() {
    let setting = Setting::new();
    for len in [400_000, SIZE] {
        let (wanted, bytes) = setting.blob(len as u64);
        let mut damaged = bytes[..len].to_vec();
        damaged[1000] ^= 1;
        setting.sink.leave(wanted.blob.digest, &damaged);
        setting.fetch(vec![wanted.clone()]).await.unwrap();
        assert!(setting.sink.whole(wanted.blob.digest).unwrap() == bytes);
        assert_eq!(setting.requests_for(&wanted).last(), Some(&WHOLE));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_halves_that_do_not_fit_are_fetched_again_as_a_whole() {
    let setting = Setting::new();
    let (wanted, bytes) = setting.blob(1);
    let target = Target::Blob(wanted.blob.digest);
    setting.registry.faults().once(target.clone(), Fault::Cut(BREAK));
    setting.registry.faults().times(2, target.clone(), Fault::OtherBytes);
    let error = setting.fetch(vec![wanted.clone()]).await;
    assert!(error.is_ok(), "{error:?}");
    assert!(setting.sink.whole(wanted.blob.digest).unwrap() == bytes);
    assert_eq!(setting.requests_for(&wanted), [WHOLE, rest(BREAK, 206), WHOLE]);

    // But a registry that goes on sending other bytes is refused.
    setting.registry.faults().once(target.clone(), Fault::Cut(BREAK));
    setting.registry.faults().always(target, Fault::OtherBytes);
    let error = setting.fetch(vec![wanted]).await.unwrap_err();
    assert!(matches!(error, Error::WrongContent { .. }), "{error}");
}
