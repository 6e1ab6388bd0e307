//! Somebody asks to stop, and comes back later.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sealift_archive::{Class, Explain, Progress};
use sealift_fetch::unless_interrupted;
use sealift_lab::vendor::{Fault, Target};

use crate::setting::{SIZE, Setting};

/// Far less than any wait that is broken off here, and enough for a busy machine.
const PROMPT: Duration = Duration::from_secs(1);

/// Asks to stop after so many bytes, and notes when.
struct Impatient {
    after: u64,
    seen: AtomicU64,
    asked: AtomicBool,
    when: std::sync::Mutex<Option<Instant>>,
}

impl Impatient {
    fn after(bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            after: bytes,
            seen: AtomicU64::new(0),
            asked: AtomicBool::new(false),
            when: std::sync::Mutex::default(),
        })
    }

    fn asked_since(&self) -> Duration {
        self.when.lock().unwrap().expect("it asked").elapsed()
    }
}

impl Progress for Impatient {
    fn advance(&self, bytes: u64) {
        let seen = self.seen.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if seen >= self.after && !self.asked.swap(true, Ordering::Relaxed) {
            *self.when.lock().unwrap() = Some(Instant::now());
        }
    }

    fn is_interrupted(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_stopped_goes_on_at_the_byte() {
    let setting = Setting::new();
    let (wanted, bytes) = setting.blob(1);
    let (other, _) = setting.blob(2);
    // The server is silent in the middle, so nothing but being asked can stop it this early.
    setting.registry.faults().once(Target::Blob(wanted.blob.digest), Fault::Stall(600_000));
    let progress = Impatient::after(600_000);
    let run = setting.client.fetch_all(vec![wanted.clone()], setting.sink.clone(), progress.clone());
    let error = run.await.unwrap_err();
    let took = progress.asked_since();
    assert_eq!(error.class(), Class::Interrupted);
    assert!(took < PROMPT, "it took {took:?}");
    assert_eq!(setting.sink.part_len(wanted.blob.digest), 600_000, "all that came is there when it returns");

    setting.fetch(vec![wanted.clone(), other]).await.unwrap();
    assert!(setting.sink.whole(wanted.blob.digest).unwrap() == bytes);
    let requests = setting.requests_for(&wanted);
    assert_eq!(requests, [(None, 200), (Some("bytes=600000-".to_owned()), 206)]);
    assert_eq!(setting.sent_for(&wanted), SIZE as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_to_wait_for_a_busy_registry() {
    let setting = Setting::new();
    let (wanted, _) = setting.blob(1);
    setting.registry.faults().always(Target::Any, Fault::Status(429, Some("5".to_owned())));
    let progress = Impatient::after(0);
    let run = setting.client.fetch_all(vec![wanted], setting.sink.clone(), progress.clone());
    let asker = async {
        while setting.registry.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        progress.advance(0);
    };
    let (result, ()) = tokio::join!(run, asker);
    assert_eq!(result.unwrap_err().class(), Class::Interrupted);
    assert!(progress.asked_since() < PROMPT);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_work_can_be_stopped_the_same_way() {
    let setting = Setting::new();
    setting.registry.faults().always(Target::Any, Fault::Delay(Duration::from_secs(60)));
    let progress = Impatient::after(0);
    progress.advance(0);
    let reference = setting.reference("acme/app:1");
    let error = unless_interrupted(&*progress, setting.client.manifest(&reference)).await.unwrap_err();
    assert_eq!(error.class(), Class::Interrupted);
}
