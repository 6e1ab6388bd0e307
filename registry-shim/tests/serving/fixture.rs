//! Stores made by hand, a server on them, and clients.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use fs_err as fs;
use reqwest::header::HeaderMap;
use reqwest::{Method, Response, StatusCode};
use sealift_archive::release::{BlobListSummary, Descriptor, GitRepository, ManifestInfo};
use sealift_archive::{Blob, BlobList, Digest, Refs, ReleaseName, Sequence, Sha512, Statement, durable};
use sealift_registry_shim::{Config, IdentitySource, Server};
use sealift_store::Store;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
/// How long a condition may take to come true.
const DEADLINE: Duration = Duration::from_secs(30);

/// What a release of a [`TestStore`] holds.
#[derive(Debug, Default)]
pub(crate) struct Content {
    refs: Refs,
    blobs: Vec<Vec<u8>>,
}

impl Content {
    /// An image whose manifest is `manifest`, under this reference.
    pub(crate) fn image(mut self, reference: &str, manifest: &str) -> Self {
        self.refs.images.insert(reference.parse().expect("a reference"), descriptor(manifest.as_bytes()));
        self.manifest(manifest)
    }

    /// An index, under this reference.
    pub(crate) fn index(self, reference: &str, index: &str) -> Self {
        let mut content = self.image(reference, index);
        let info = ManifestInfo { media_type: INDEX_TYPE.to_owned(), size: index.len() as u64 };
        content.refs.manifests.insert(Digest::of(index.as_bytes()), info);
        content
    }

    /// A chart or another artifact whose manifest is `manifest`, under this reference.
    pub(crate) fn artifact(mut self, reference: &str, manifest: &str, artifact_type: &str) -> Self {
        let mut artifact = descriptor(manifest.as_bytes());
        artifact.artifact_type = Some(artifact_type.to_owned());
        self.refs.images.insert(reference.parse().expect("a reference"), artifact);
        self.manifest(manifest)
    }

    /// A plain file.
    pub(crate) fn file(mut self, name: &str, media_type: &str, content: impl AsRef<[u8]>) -> Self {
        let mut file = descriptor(content.as_ref());
        media_type.clone_into(&mut file.media_type);
        self.refs.files.insert(name.parse().expect("a file name"), file);
        self.blob(content)
    }

    /// Content of this release that is known by its SHA-512 as well.
    pub(crate) fn alias(mut self, content: impl AsRef<[u8]>) -> Self {
        let content = content.as_ref();
        self.refs.aliases.insert(Sha512::of(content), Digest::of(content));
        self
    }

    /// A manifest that no reference names.
    pub(crate) fn manifest(mut self, manifest: &str) -> Self {
        let info = ManifestInfo { media_type: MANIFEST_TYPE.to_owned(), size: manifest.len() as u64 };
        self.refs.manifests.insert(Digest::of(manifest.as_bytes()), info);
        self.blob(manifest)
    }

    /// Any other content.
    pub(crate) fn blob(mut self, content: impl AsRef<[u8]>) -> Self {
        self.blobs.push(content.as_ref().to_owned());
        self
    }

    /// A manifest that has another one as its subject.
    pub(crate) fn referrer(mut self, subject: &str, manifest: &str, artifact_type: &str) -> Self {
        let mut referrer = descriptor(manifest.as_bytes());
        referrer.artifact_type = Some(artifact_type.to_owned());
        self.refs.referrers.entry(Digest::of(subject.as_bytes())).or_default().push(referrer);
        self.manifest(manifest)
    }

    /// A Git repository with these refs; [`TestStore::commit`] makes the objects.
    pub(crate) fn git(mut self, name: &str, refs: &[(&str, &str)]) -> Self {
        let refs =
            refs.iter().map(|(name, id)| ((*name).to_owned(), id.parse().expect("an object id"))).collect();
        let repository = GitRepository { head: "refs/heads/main".to_owned(), refs, packs: Vec::new() };
        self.refs.git.insert(name.parse().expect("a repository name"), repository);
        self
    }
}

fn descriptor(bytes: &[u8]) -> Descriptor {
    let Blob { digest, size } = Blob::of(bytes);
    let media_type = MANIFEST_TYPE.to_owned();
    Descriptor { media_type, digest, size, artifact_type: None, annotations: BTreeMap::new() }
}

/// A store in a directory of its own.
#[derive(Debug)]
pub(crate) struct TestStore {
    dir: TempDir,
}

impl TestStore {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Store::create(dir.path()).expect("an empty store");
        Self { dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Puts a release into the store, in this state.
    pub(crate) fn add(&self, sequence: u64, state: &str, content: &Content) {
        let mut list = BlobList::default();
        for bytes in &content.blobs {
            let blob = Blob::of(bytes);
            list.insert(blob).expect("one size for one content");
            fs::write(self.blob_path(&blob.digest), bytes).expect("a blob");
        }
        let (list_text, refs) = (list.to_text(), content.refs.to_bytes());
        let name = ReleaseName {
            product: "acme".parse().expect("a product"),
            version: format!("{sequence}.0").parse().expect("a version"),
            sequence: sequence.try_into().expect("a sequence"),
        };
        let summary = BlobListSummary {
            digest: Digest::of(list_text.as_bytes()),
            count: list.len() as u64,
            content_bytes: list.total_bytes(),
        };
        let statement = Statement::new(name, summary, Blob::of(&refs)).to_bytes();
        let release = self.release_dir(sequence);
        fs::create_dir_all(&release).expect("a directory");
        fs::write(release.join("release.json"), &statement).expect("the statement");
        fs::write(release.join("blobs"), list_text).expect("the blob list");
        fs::write(release.join("refs.json"), refs).expect("the refs");
        self.set_state(sequence, state);
    }

    /// Records a state, as the appliance's commands do: by replacing the file.
    pub(crate) fn set_state(&self, sequence: u64, state: &str) {
        let release = self.release_dir(sequence);
        let statement = fs::read(release.join("release.json")).expect("the statement");
        let mut recorded = json!({
            "state": state,
            "since": "2026-11-23T02:48:01Z",
            "release": Digest::of(&statement),
        });
        if state == "failed" {
            recorded["reason"] = "the <disk> was full".into();
        }
        durable::write(&release.join("state"), recorded.to_string().as_bytes()).expect("the state");
    }

    /// Makes a release the active one, by the pointer alone.
    pub(crate) fn point_at(&self, sequence: u64) {
        let target = Path::new("releases").join(sequence.to_string());
        durable::replace_link(&target, &self.dir().join("current")).expect("the pointer");
    }

    /// The same with a commit that has a signature of this form, which is nobody's.
    pub(crate) fn signed_commit(
        &self,
        repository: &str,
        sequence: u64,
        form: &str,
    ) -> [(&'static str, String); 2] {
        let [(branch, commit), tag] = self.commit(repository, sequence, "text");
        let dir = self.git_dir(repository);
        let signature =
            format!("gpgsig -----BEGIN {form} SIGNATURE-----\n \n -----END {form} SIGNATURE-----\n\n");
        let text =
            git_ok(&dir, &["cat-file", "commit", &commit]).replacen("\n\n", &format!("\n{signature}"), 1);
        let file = self.dir().join("commit");
        fs::write(&file, text + "\n").expect("a file");
        let signed = git_ok(&dir, &["hash-object", "-t", "commit", "-w", &file.display().to_string()]);
        fs::remove_file(file).expect("the file");
        git_ok(&dir, &["update-ref", &format!("refs/namespaces/{sequence}/{branch}"), &signed]);
        [(branch, signed), tag]
    }

    /// Makes a commit with one file in a mirror, as the branch `main` and the tag `v<sequence>` of a release, and
    /// returns both ids.
    pub(crate) fn commit(&self, repository: &str, sequence: u64, text: &str) -> [(&'static str, String); 2] {
        let dir = self.git_dir(repository);
        if !dir.exists() {
            git_ok(self.dir(), &["init", "--quiet", "--bare", &dir.display().to_string()]);
        }
        let namespace = format!("refs/namespaces/{sequence}");
        let work = tempfile::tempdir().expect("a directory");
        fs::write(work.path().join("file"), text).expect("a file");
        let blob = git_ok(&dir, &["hash-object", "-w", &work.path().join("file").display().to_string()]);
        let index = work.path().join("index").display().to_string();
        let with_index = |arguments: &[&str]| run(git(&dir).env("GIT_INDEX_FILE", &index).args(arguments));
        with_index(&["update-index", "--add", "--cacheinfo", &format!("100644,{blob},file")]);
        let tree = with_index(&["write-tree"]);
        let commit = git_ok(&dir, &["commit-tree", &tree, "-m", "a commit"]);
        git_ok(&dir, &["update-ref", &format!("{namespace}/refs/heads/main"), &commit]);
        git_ok(&dir, &["tag", "--force", "-m", "a tag", "scratch", &commit]);
        let tag = git_ok(&dir, &["rev-parse", "refs/tags/scratch"]);
        git_ok(&dir, &["update-ref", "-d", "refs/tags/scratch"]);
        git_ok(&dir, &["update-ref", &format!("{namespace}/refs/tags/v1"), &tag]);
        git_ok(
            &dir,
            &["symbolic-ref", &format!("{namespace}/HEAD"), &format!("{namespace}/refs/heads/main")],
        );
        [("refs/heads/main", commit), ("refs/tags/v1", tag)]
    }

    /// A release with a Git repository of one commit whose file says `text`.
    pub(crate) fn git_release(&self, sequence: u64, state: &str, repository: &str, text: &str) {
        let refs = self.commit(repository, sequence, text);
        let refs: Vec<_> = refs.iter().map(|(name, id)| (*name, id.as_str())).collect();
        self.add(sequence, state, &Content::default().git(repository, &refs));
    }

    pub(crate) fn git_dir(&self, repository: &str) -> PathBuf {
        self.dir().join("git").join(format!("{repository}.git"))
    }

    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.dir().join(digest.blob_path())
    }

    pub(crate) fn release_dir(&self, sequence: u64) -> PathBuf {
        let sequence = Sequence::try_from(sequence).expect("a sequence");
        self.dir().join("releases").join(sequence.to_string())
    }

    /// A server on this store, over plain HTTP.
    pub(crate) async fn serve(&self) -> Served {
        self.serve_with(None, reqwest::Client::builder()).await
    }

    /// A server on this store and a client that trusts it.
    pub(crate) async fn serve_with(
        &self,
        tls: Option<IdentitySource>,
        client: reqwest::ClientBuilder,
    ) -> Served {
        let config = Config { tls, ..Config::new(self.dir().to_owned()) };
        let server = Server::bind(&config).await.expect("the server listens");
        let url = server.urls().remove(0);
        let task = tokio::spawn(server.run(std::future::pending()));
        let client = client.no_proxy().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        Served { url, client, task }
    }
}

/// A running server, until it is dropped.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) url: String,
    pub(crate) client: reqwest::Client,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.expect("the whole body").to_vec() }
    }

    /// A header as text; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first code of an error body.
    pub(crate) fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().expect("a code").to_owned()
    }
}

impl Served {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[]).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request.send().await.expect("an answer")).await
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut request = self.client.post(format!("{}{path}", self.url)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request.send().await.expect("an answer")).await
    }

    /// Opens a connection and sends the beginning of something.
    pub(crate) async fn connect(&self, bytes: &[u8]) -> TcpStream {
        let address = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(bytes).await.expect("it is taken");
        stream
    }

    /// Asks for a path that no HTTP library would send, and returns status and everything else.
    pub(crate) async fn get_raw(&self, path: &str) -> (u16, String) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: registry\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        self.connect(request.as_bytes()).await.read_to_string(&mut answer).await.expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status line");
        (status, answer)
    }
}

/// Asks again until `good` likes the answer.
pub(crate) async fn eventually<F: Future<Output = Answer>>(
    ask: impl Fn() -> F,
    good: impl Fn(&Answer) -> bool,
) -> Answer {
    let begun = Instant::now();
    loop {
        let answer = ask().await;
        if good(&answer) {
            return answer;
        }
        assert!(begun.elapsed() < DEADLINE, "not within {DEADLINE:?}; the last answer: {answer:?}");
    }
}

/// `git` as a user of this machine would run it who has configured nothing.
pub(crate) fn git(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(dir).env("HOME", "/nonexistent").env("GIT_CONFIG_NOSYSTEM", "1").env("LC_ALL", "C");
    command.env("GIT_TERMINAL_PROMPT", "0").args(["-c", "safe.directory=*"]);
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Test").env(format!("GIT_{role}_EMAIL"), "test@example.com");
        command.env(format!("GIT_{role}_DATE"), "2026-11-23T00:00:00Z");
    }
    command
}

/// Runs `git`, which has to do its work, and returns what it prints, without the line's end.
pub(crate) fn git_ok(dir: &Path, arguments: &[&str]) -> String {
    run(git(dir).args(arguments))
}

/// Runs a program, whatever comes of it.
pub(crate) fn attempt(command: &mut Command) -> Output {
    command.output().expect("the program starts")
}

fn run(command: &mut Command) -> String {
    let output = attempt(command);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
}
