//! The line: how much of it is taken, and the proxy at its end.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sealift_archive::Explain as _;
use sealift_fetch::{Client, Options, Proxy};
use sealift_lab::vendor::{Config, Registry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::setting::{SIZE, Setting, quick};

#[tokio::test(flavor = "multi_thread")]
async fn all_connections_together_keep_to_the_rate() {
    let setting = Setting::new();
    // For five seconds; not all of them of one size, nor of one kind.
    let rate = 4 * SIZE as u64;
    let wanted: Vec<_> =
        (0..10).map(|n| setting.blob(n).0).chain((10..20).map(|n| setting.file(n).0)).collect();
    // A busy machine is not to be taken for a line on which nothing comes.
    let silence_timeout = Duration::from_secs(60);
    let client = Client::new(Options { rate: NonZeroU64::new(rate), silence_timeout, ..quick() }).unwrap();
    let start = Instant::now();
    client.fetch_all(wanted, setting.sink.clone(), setting.progress.clone()).await.unwrap();
    let passed = start.elapsed();
    let expected = Duration::from_secs(5);
    // Never faster; how much slower, others on the machine decide as well.
    let is_kept = passed > expected.mul_f64(0.97) && passed < expected * 3;
    assert!(is_kept, "20 MB at 4 MB/s took {passed:?}");
    assert_eq!(setting.sink.count(), 20);
}

/// A proxy that leads everybody to one address, whatever name they ask for, and notes the heads of their requests.
async fn proxy(to: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, heads) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let noted = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let heads = Arc::clone(&noted);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await?);
                }
                let mut server = TcpStream::connect(to).await?;
                let text = String::from_utf8_lossy(&head).into_owned();
                if text.starts_with("CONNECT") {
                    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                } else {
                    server.write_all(&head).await?;
                }
                heads.lock().unwrap().push(text);
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    (addr, heads)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_carries_what_is_outside() {
    const NAME: &str = "releases.acme.example";
    let config = Config { tls: true, names: vec![NAME.to_owned()], ..Config::default() };
    let (encrypted, plain) = (Registry::start_with(config).unwrap(), Registry::start().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    fs_err::write(&ca, encrypted.certificate().unwrap()).unwrap();
    for (registry, scheme, head) in [
        (&encrypted, "https", format!("CONNECT {NAME}:443 HTTP/1.1\r\n")),
        (&plain, "http", format!("GET http://{NAME}/channels/stable.json HTTP/1.1\r\n")),
    ] {
        registry.add_file("/channels/stable.json", "{}");
        let (addr, heads) = proxy(registry.addr()).await;
        let client = |except: &[&str]| {
            let url = format!("http://me:hush@{addr}").parse().unwrap();
            let proxy = Proxy::new(url, except.iter().map(|&name| name.to_owned()).collect());
            Client::new(Options { ca_files: vec![ca.clone()], plain_http: true, proxy, ..quick() }).unwrap()
        };
        let get = |client: Client, url: String| async move { client.get(&url.parse().unwrap(), 100).await };
        let outside = format!("{scheme}://{NAME}/channels/stable.json");
        assert_eq!(get(client(&[]), outside.clone()).await.unwrap(), b"{}");
        let seen = heads.lock().unwrap().clone();
        assert!(seen.len() == 1 && seen[0].starts_with(&head), "{seen:?}");
        // `me:hush`.
        assert!(seen[0].to_lowercase().contains("proxy-authorization: basic bwu6ahvzaa=="), "{seen:?}");

        // What is named as an exception, or lies on this machine, is asked directly.
        let error = get(client(&["acme.example"]), outside).await.unwrap_err();
        assert_eq!(error.code().to_string(), "SL0204", "{error}");
        let here = registry.url("/channels/stable.json");
        assert_eq!(get(client(&[]), here).await.unwrap(), b"{}");
        assert_eq!(heads.lock().unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_away_is_told_without_its_password() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let proxy = Proxy::new(format!("http://me:hush@{addr}").parse().unwrap(), Vec::new());
    let client = Client::new(Options { proxy, ..quick() }).unwrap();
    let url = "https://releases.acme.example/channels/stable.json".parse().unwrap();
    let error = client.get(&url, 100).await.unwrap_err();
    let said = format!("{error} {error:?}");
    assert_eq!(error.code().to_string(), "SL0204", "{said}");
    assert!(!said.contains("hush") && !format!("{client:?}").contains("hush"), "{said}");
}
