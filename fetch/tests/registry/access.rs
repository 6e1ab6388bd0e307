//! Being let in: tokens, passwords, and keeping both to oneself.

use std::time::Duration;

use sealift_archive::{Blob, Explain};
use sealift_fetch::{Error, Wanted};
use sealift_lab::vendor::image::noise;
use sealift_lab::vendor::{Access, Config, Fault, Target};

use crate::setting::{SIZE, Setting};

/// `vendor:secret`, as Docker stores it.
const LOGIN: &str = r#"{"auths": {"REGISTRY": {"auth": "dmVuZG9yOnNlY3JldA=="}}}"#;
const WRONG_LOGIN: &str = r#"{"auths": {"REGISTRY": {"auth": "dmVuZG9yOndyb25n"}}}"#;
const IDENTITY_TOKEN: &str = r#"{"auths": {"REGISTRY": {"identitytoken": "refresh-me"}}}"#;
const NO_LOGIN: &str = "{}";

fn token_access(login: bool, lifetime: Duration) -> Access {
    Access::Token {
        login: login.then(|| ("vendor".to_owned(), "secret".to_owned())),
        refresh_token: Some("refresh-me".to_owned()),
        lifetime,
    }
}

const LONG: Duration = Duration::from_secs(300);

/// Two repositories with eight blobs each.
fn fill(setting: &Setting) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for seed in 0..16 {
        let repository = ["acme/one", "acme/two"][usize::try_from(seed % 2).unwrap()];
        let blob = setting.registry.add_blob(repository, noise(seed, 10_000)).unwrap();
        wanted.push(setting.wanted_from(&format!("{repository}:1"), blob));
    }
    wanted
}

fn token_requests(setting: &Setting) -> usize {
    setting.registry.seen().iter().filter(|seen| seen.path == "/token").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_token_for_each_repository_however_many_wait_for_it() {
    for (login, docker_config) in [(true, LOGIN), (true, IDENTITY_TOKEN), (false, NO_LOGIN)] {
        let access = token_access(login, LONG);
        let setting = Setting::with(Config { access, ..Config::default() }, docker_config);
        let wanted = fill(&setting);
        setting.fetch(wanted.clone()).await.unwrap();
        assert_eq!(setting.sink.count(), wanted.len());
        assert_eq!(token_requests(&setting), 2, "{docker_config}");

        // Those that are known are used, until they are no longer taken.
        setting.registry.forget();
        setting.fetch(wanted.clone()).await.unwrap();
        assert_eq!(token_requests(&setting), 0);
        setting.registry.revoke_tokens();
        setting.fetch(wanted).await.unwrap();
        assert_eq!(token_requests(&setting), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_expire_are_renewed_before_they_are_used() {
    // Shorter than the client's margin, so it takes each token for expired; to the registry they are still good.
    let access = token_access(false, Duration::from_secs(4));
    let setting = Setting::with(Config { access, ..Config::default() }, NO_LOGIN);
    let wanted = fill(&setting);
    setting.fetch(vec![wanted[0].clone()]).await.unwrap();
    setting.registry.forget();
    setting.fetch(vec![wanted[2].clone()]).await.unwrap();
    let statuses: Vec<u16> = setting.registry.seen().iter().map(|seen| seen.status).collect();
    assert_eq!(statuses, [200, 200], "a token, and the blob at the first try");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_tried_once_so_that_no_account_is_locked() {
    let setting =
        Setting::with(Config { access: token_access(true, LONG), ..Config::default() }, WRONG_LOGIN);
    let wanted = fill(&setting);
    let error = setting.fetch(wanted).await.unwrap_err();
    assert_eq!(token_requests(&setting), 1);
    let text = error.to_string();
    let realm = format!("http://{}/token answered 401 Unauthorized", setting.registry.addr());
    assert!(text.contains(&realm) && text.contains("wrong password"), "{text}");
    assert!(!text.contains("secret") && !text.contains("service="), "{text}");
    assert!(error.hint().unwrap().contains("docker login"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_opens_registries_without_tokens() {
    let access = Access::Basic { user: "vendor".to_owned(), password: "secret".to_owned() };
    let config = Config { access, ..Config::default() };
    let setting = Setting::with(config.clone(), LOGIN);
    let (wanted, _) = setting.blob(1);
    setting.fetch(vec![wanted]).await.unwrap();

    for docker_config in [NO_LOGIN, WRONG_LOGIN] {
        let setting = Setting::with(config.clone(), docker_config);
        let (wanted, _) = setting.blob(1);
        let error = setting.fetch(vec![wanted]).await.unwrap_err();
        assert!(matches!(error, Error::Answer { .. }), "{error}");
        assert!(error.to_string().contains("401 Unauthorized and said `UNAUTHORIZED"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_docker_configurations_are_named() {
    let access = token_access(true, LONG);
    let setting = Setting::with(Config { access, ..Config::default() }, "{");
    let (wanted, _) = setting.blob(1);
    let error = setting.fetch(vec![wanted]).await.unwrap_err();
    assert_eq!(error.code().to_string(), "SL0203");
    assert!(error.to_string().contains("config.json"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_carries_the_range_but_not_the_token() {
    let config = Config { access: token_access(true, LONG), redirect_blobs: true, ..Config::default() };
    let setting = Setting::with(config, LOGIN);
    let (wanted, bytes) = setting.blob(1);
    setting.registry.faults().once(Target::Blob(wanted.blob.digest), Fault::Cut(300_000));
    setting.fetch(vec![wanted.clone()]).await.unwrap();
    assert!(setting.sink.whole(wanted.blob.digest).unwrap() == bytes);

    let mirror = setting.registry.mirror_addr().unwrap().port();
    let at_mirror: Vec<_> = setting.registry.seen().into_iter().filter(|seen| seen.port == mirror).collect();
    let ranges: Vec<_> = at_mirror.iter().map(|seen| seen.range.as_deref()).collect();
    assert_eq!(ranges, [None, Some("bytes=300000-")]);
    assert!(at_mirror.iter().all(|seen| seen.authorization.is_none()));
    assert_eq!(at_mirror.iter().map(|seen| seen.sent).sum::<u64>(), SIZE as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_behind_a_redirect_names_the_host_that_made_it() {
    let config = Config { redirect_blobs: true, ..Config::default() };
    let setting = Setting::with(config, NO_LOGIN);
    let missing = setting.wanted(Blob::of(b"missing"));
    // A 401 from there is no question for our credentials.
    setting.registry.faults().once(Target::Any, Fault::Status(200, None));
    for status in [401, 404] {
        setting.registry.faults().once(Target::Blob(missing.blob.digest), Fault::Status(status, None));
        let error = setting.fetch(vec![missing.clone()]).await.unwrap_err().to_string();
        let mirror = setting.registry.mirror_addr().unwrap();
        assert!(error.contains(&format!("`{mirror}` answered {status}")), "{error}");
    }
}
