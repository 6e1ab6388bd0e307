//! Chromium, told what to do by way of `ChromeDriver` (W3C `WebDriver`, <https://www.w3.org/TR/webdriver2/>).

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{self, Daemon};
use crate::{peers, scratch};

/// Chromium as it comes up for somebody with a small notebook.
const ARGUMENTS: [&str; 6] = [
    "--headless=new",
    // The tests are root, who has no sandbox; nothing but our own page is loaded.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    "--window-size=1280,900",
];
/// What `ChromeDriver` says when it listens.
const READY: &str = "started successfully on port ";
/// A managed setting's "no" (Chromium's enterprise policy `DefaultJavaScriptSetting`).
const BLOCK: u8 = 2;

/// A browser with one window.
#[derive(Debug)]
pub struct Browser {
    session: String,
    _driver: Daemon,
    _dir: TempDir,
}

impl Browser {
    /// A browser that runs scripts.
    #[must_use]
    pub fn start() -> Self {
        Self::with(&json!({}))
    }

    /// A browser that runs no scripts.
    #[must_use]
    pub fn without_scripts() -> Self {
        Self::with(&json!({"profile.managed_default_content_settings.javascript": BLOCK}))
    }

    fn with(settings: &Value) -> Self {
        let dir = scratch();
        let mut driver = Command::new(peers::tool("chromedriver"));
        driver.arg("--port=0").env("HOME", dir.path());
        let mut driver = Daemon::start("chromedriver", &driver, dir.path());
        let port: u16 = driver.await_log(|log| {
            let (_, rest) = log.split_once(READY)?;
            rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
        });
        let profile = format!("--user-data-dir={}", dir.path().join("profile").display());
        let arguments: Vec<&str> = ARGUMENTS.into_iter().chain([profile.as_str()]).collect();
        let options = json!({
            "binary": peers::tool("chromium"), "args": arguments, "prefs": settings,
        });
        let wanted =
            json!({"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}});
        let server = format!("http://127.0.0.1:{port}/session");
        let begun = post(&server, &json!({"capabilities": wanted}));
        let id = begun["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {begun}"));
        Self { session: format!("{server}/{id}"), _driver: driver, _dir: dir }
    }

    /// Goes to a page, and waits until it is there.
    pub fn open(&self, url: &str) {
        self.tell("url", &json!({"url": url}));
    }

    /// What a piece of JavaScript returns. `WebDriver`'s scripts run in pages that run none themselves, too.
    #[expect(clippy::must_use_candidate, reason = "some scripts only change the page")]
    pub fn ask(&self, script: &str) -> Value {
        self.tell("execute/sync", &json!({"script": format!("return {script}"), "args": []}))
    }

    /// The text that a person sees of an element.
    #[must_use]
    pub fn text(&self, selector: &str) -> String {
        let text = self.ask(&format!("document.querySelector({})?.innerText ?? ''", json!(selector)));
        text.as_str().expect("text").to_owned()
    }

    /// Waits until a piece of JavaScript is true.
    pub fn await_true(&self, script: &str) {
        process::wait_until(script, || self.ask(script) == json!(true));
    }

    /// What the browser complained about since it was last asked.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let log = self.tell("se/log", &json!({"type": "browser"}));
        let entries = log.as_array().expect("a list").iter();
        entries.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Makes the window another size, in CSS pixels.
    pub fn resize(&self, width: u32, height: u32) {
        let device = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", &device);
    }

    /// Asks for dark pages.
    pub fn darken(&self) {
        let dark = json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]});
        self.devtools("Emulation.setEmulatedMedia", &dark);
    }

    /// Keeps what is seen as a PNG file.
    pub fn keep_screen(&self, path: &Path) {
        let picture = process::json(curl().arg(format!("{}/screenshot", self.session)));
        let picture = BASE64.decode(picture["value"].as_str().expect("a picture")).expect("base64");
        crate::fixture::write(path, &picture);
    }

    fn devtools(&self, command: &str, parameters: &Value) {
        self.tell("goog/cdp/execute", &json!({"cmd": command, "params": parameters}));
    }

    fn tell(&self, command: &str, parameters: &Value) -> Value {
        post(&format!("{}/{command}", self.session), parameters)
    }
}

impl Drop for Browser {
    /// `ChromeDriver` ends the browser with the session; killed, it would leave it behind.
    fn drop(&mut self) {
        let _ = curl().args(["--request", "DELETE"]).arg(&self.session).output();
    }
}

fn post(url: &str, body: &Value) -> Value {
    let answer = process::json(curl().arg("--json").arg(body.to_string()).arg(url));
    assert!(answer["value"]["error"].is_null(), "`{url}` with {body}: {answer}");
    answer["value"].clone()
}

fn curl() -> Command {
    let mut curl = Command::new(peers::tool("curl"));
    curl.args(["--silent", "--show-error", "--noproxy", "*"]);
    curl
}
