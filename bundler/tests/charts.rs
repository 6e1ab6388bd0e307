//! Charts from chart repositories, against the lab's web server.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::time::Duration;

use fs_err as fs;
use sealift_archive::{Class, Digest, Explain};
use sealift_bundler::Error;
use sealift_bundler::chart::{Chart, ChartName, ChartVersion, Found, Repository};
use sealift_fetch::{Client, Options, Retry, Url};
use sealift_lab::vendor::{Fault, Registry, Target};
use tempfile::TempDir;

const NAME: &str = "redis";
const VERSION: &str = "19.6.4";

/// A chart repository, and a client that does not wait long.
struct Setting {
    server: Registry,
    client: Client,
    _docker_config: TempDir,
}

impl Setting {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let retry = Retry { tries: 2, first_wait: Duration::from_millis(1), ..Retry::default() };
        let options = Options { docker_config: Some(dir.path().to_owned()), retry, ..Options::default() };
        let (server, client) = (Registry::start().unwrap(), Client::new(options).unwrap());
        Self { server, client, _docker_config: dir }
    }

    /// Publishes an index with one version of one chart.
    fn index(&self, digest: &str, urls: &[&str]) {
        let index = format!(
            "apiVersion: v1\nentries:\n  {NAME}:\n  - version: {VERSION}\n    digest: {digest}\n    urls: {urls:?}\n"
        );
        self.file("index.yaml", index);
    }

    /// Publishes a file of the repository.
    fn file(&self, name: &str, content: impl Into<Vec<u8>>) {
        self.server.add_file(&format!("/charts/{name}"), content.into());
    }

    /// Publishes an index with one chart, and the chart.
    fn publish(&self, tgz: impl Into<Vec<u8>>) {
        self.index("", &["redis.tgz"]);
        self.file("redis.tgz", tgz);
    }

    /// Publishes an index that does not come as it should.
    fn spoil_index(&self, fault: Fault) {
        self.index("", &[]);
        self.server.faults().always(Target::Any, fault);
    }

    fn url(&self, path: &str) -> Url {
        self.server.url(path).parse().unwrap()
    }

    async fn get(&self) -> Result<Found, Error> {
        self.get_from("/charts", NAME, VERSION).await
    }

    async fn get_from(&self, repository: &str, name: &str, version: &str) -> Result<Found, Error> {
        let (name, version) = (ChartName::parse(name).unwrap(), ChartVersion::parse(version).unwrap());
        Repository::open(&self.client, &self.url(repository)).await?.get(&name, &version).await
    }

    /// What the server was asked for, with the query.
    fn asked(&self) -> Vec<String> {
        let seen = self.server.seen().into_iter().filter(|seen| seen.path != "/v2/");
        seen.map(|seen| seen.path + &seen.query.map_or_else(String::new, |query| format!("?{query}")))
            .collect()
    }
}

/// A packed chart.
fn packed(name: &str, version: &str) -> Vec<u8> {
    let dir = TempDir::new().unwrap();
    let chart = format!("apiVersion: v2\nname: {name}\nversion: {version}\n");
    fs::write(dir.path().join("Chart.yaml"), chart).unwrap();
    Chart::from_directory(dir.path(), 0).unwrap().tgz
}

fn provenance(digest: Digest) -> String {
    let body = format!("name: x\n\n...\nfiles:\n  x.tgz: {digest}\n");
    format!("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{body}-----BEGIN PGP SIGNATURE-----\n")
}

#[tokio::test]
async fn a_chart_comes_with_what_belongs_to_it() {
    let tgz = packed(NAME, VERSION);
    let digest = Digest::of(&tgz);
    for said in [digest.to_string(), digest.hex(), String::new()] {
        let setting = Setting::new();
        setting.index(&said, &["redis-19.6.4.tgz"]);
        setting.file("redis-19.6.4.tgz", tgz.clone());
        let found = setting.get().await.unwrap();
        assert_eq!((&found.chart.tgz, found.chart.provenance, found.provenance_url), (&tgz, None, None));
        assert_eq!(found.tgz_url, setting.url("/charts/redis-19.6.4.tgz"));
        assert_eq!(found.chart.metadata.name.as_str(), NAME);

        setting.file("redis-19.6.4.tgz.prov", provenance(digest));
        let found = setting.get().await.unwrap();
        assert_eq!(found.chart.provenance.unwrap(), provenance(digest).into_bytes());
        assert_eq!(found.provenance_url, Some(setting.url("/charts/redis-19.6.4.tgz.prov")));
    }
}

#[tokio::test]
async fn the_query_of_a_repository_goes_along_and_addresses_may_lead_elsewhere() {
    let (setting, elsewhere) = (Setting::new(), Registry::start().unwrap());
    let tgz = packed(NAME, VERSION);
    setting.index("", &["sub/redis.tgz"]);
    setting.file("sub/redis.tgz", tgz.clone());
    setting.get_from("/charts/?token=t", NAME, VERSION).await.unwrap();
    let asked =
        ["/charts/index.yaml?token=t", "/charts/sub/redis.tgz?token=t", "/charts/sub/redis.tgz.prov?token=t"];
    assert_eq!(setting.asked(), asked);

    setting.index("", &[&elsewhere.url("/redis.tgz")]);
    elsewhere.add_file("/redis.tgz", tgz.clone());
    let found = setting.get().await.unwrap();
    assert_eq!((found.chart.tgz, found.tgz_url.as_str()), (tgz, elsewhere.url("/redis.tgz").as_str()));
}

#[tokio::test]
async fn the_first_address_that_has_the_chart_is_taken() {
    let setting = Setting::new();
    let oci = "oci://ghcr.io/acme/redis";
    setting.index("", &[oci, "gone.tgz", "down.tgz", "good.tgz", "never.tgz"]);
    setting.server.faults().always(Target::Path("/charts/down.tgz".into()), Fault::Status(503, None));
    setting.file("down.tgz", "x");
    setting.file("good.tgz", packed(NAME, VERSION));
    assert_eq!(setting.get().await.unwrap().tgz_url, setting.url("/charts/good.tgz"));
    assert!(!setting.asked().contains(&"/charts/never.tgz".to_owned()));

    setting.index("", &["gone.tgz", "down.tgz"]);
    let said = setting.get().await.unwrap_err().to_string();
    assert!(said.contains("gone.tgz") && said.contains("404") && said.contains("503"), "{said}");
}

#[tokio::test]
async fn another_chart_than_the_index_names_is_refused_with_both_digests() {
    let setting = Setting::new();
    setting.publish(packed(NAME, VERSION));
    setting.index(&Digest::of(b"announced").hex(), &["redis.tgz"]);
    let error = setting.get().await.unwrap_err();
    assert_eq!((error.code().0, error.class()), (434, Class::Refused));
    let said = error.to_string();
    for word in
        ["/charts/redis.tgz", &Digest::of(b"announced").hex(), &Digest::of(&packed(NAME, VERSION)).hex()]
    {
        assert!(said.contains(word), "{word}: {said}");
    }
}

/// What is published; the code and class of the error, and words of its report.
type Case = (fn(&Setting), u16, Class, &'static [&'static str]);

async fn expect_refusals(cases: &[Case]) {
    for (publish, code, class, words) in cases {
        let setting = Setting::new();
        publish(&setting);
        let error = setting.get().await.unwrap_err();
        let report = sealift_archive::report(&error);
        assert_eq!((error.code().0, error.class()), (*code, *class), "{report}");
        for word in *words {
            assert!(report.contains(word), "`{word}` is not in {report}");
        }
    }
}

#[tokio::test]
async fn indexes_that_lead_nowhere_are_named() {
    expect_refusals(&[
        (|_| {}, 436, Class::Unreachable, &["/charts/index.yaml does not exist", "helm repo add"]),
        (|s| s.spoil_index(Fault::Status(403, None)), 209, Class::Unreachable, &["403"]),
        (|s| s.spoil_index(Fault::AnnouncedExtra(64 << 20)), 214, Class::Refused, &["67108864"]),
        (|s| s.file("index.yaml", "<html>"), 431, Class::Usage, &["/charts/index.yaml`"]),
        (|s| s.index("", &[]), 430, Class::Usage, &["redis 19.6.4", "gives no address"]),
        (|s| s.index("md5:00", &["x"]), 430, Class::Usage, &["not sha256: `md5:00`"]),
        (|s| s.index("", &["ftp://x/redis.tgz"]), 218, Class::Usage, &["ftp://x/redis.tgz"]),
        (
            |s| s.index("", &["oci://ghcr.io/acme/redis:19.6.4"]),
            438,
            Class::Usage,
            &["write `- oci://ghcr.io/acme/redis:19.6.4` under `charts`"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn charts_that_do_not_fit_are_named() {
    let publish_signed: fn(&Setting) = |s| {
        s.publish(packed(NAME, VERSION));
        s.file("redis.tgz.prov", provenance(Digest::of(b"other")));
    };
    let publish_with_secret_signature: fn(&Setting) = |s| {
        s.publish(packed(NAME, VERSION));
        s.file("redis.tgz.prov", "x");
        let target = Target::Path("/charts/redis.tgz.prov".into());
        s.server.faults().always(target, Fault::Status(403, None));
    };
    expect_refusals(&[
        (
            |s| s.publish(packed("valkey", VERSION)),
            437,
            Class::Refused,
            &["/charts/redis.tgz", "`valkey 19.6.4`", "`redis 19.6.4`"],
        ),
        (|s| s.publish(packed(NAME, "19.6.5")), 437, Class::Refused, &["`redis 19.6.5`"]),
        (|s| s.publish("no chart"), 430, Class::Usage, &["/charts/redis.tgz", "not a gzip file"]),
        (publish_signed, 433, Class::Refused, &["/charts/redis.tgz.prov"]),
        (publish_with_secret_signature, 209, Class::Unreachable, &["/charts/redis.tgz.prov", "403"]),
    ])
    .await;
}

#[tokio::test]
async fn what_a_repository_has_instead_is_said() {
    let setting = Setting::new();
    let versions: Vec<String> = (0..12).map(|patch| format!("{{version: 1.0.{patch}}}")).collect();
    setting.file("index.yaml", format!("entries: {{redis: [{}]}}", versions.join(", ")));
    let report = |name, version| {
        let setting = &setting;
        async move { sealift_archive::report(&setting.get_from("/charts", name, version).await.unwrap_err()) }
    };
    let said = report("redis", "2.0.0").await;
    assert!(
        said.contains("has no chart `redis 2.0.0`; it has 1.0.0, 1.0.1") && said.contains("and 2 more"),
        "{said}"
    );
    let said = report("rediss", "1.0.0").await;
    assert!(said.contains("no chart `rediss 1.0.0`") && said.contains("did you mean `redis`?"), "{said}");
    let said = report("postgresql", "1.0.0").await;
    assert!(!said.contains("did you mean") && said.contains("SL0435"), "{said}");
}
