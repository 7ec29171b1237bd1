//! A window of a real Chromium, as a person would sit in front of it: it goes to a page, clicks, types, chooses files.
//!
//! Apart from the program's own renderer, which takes pages in and lets nothing out.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, geteuid};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

use super::browser::{alone, render_config};
use super::wait::wait_until_by;

/// Becomes the browser, with its pipe as descriptors 3 and 4.
const WITH_PIPE: &str = r#"exec "$@" 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null"#;
/// Of busy machines.
const PATIENCE: Duration = Duration::from_secs(60);

/// A window.
pub(crate) struct Window {
    pipe: Mutex<Pipe>,
    child: Child,
    session: String,
    _profile: TempDir,
    _alone: MutexGuard<'static, ()>,
}

struct Pipe {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    asked: u64,
}

impl Pipe {
    /// Sends a command, and reads up to its answer.
    async fn call(&mut self, session: Option<&str>, method: &str, params: Value) -> Value {
        self.asked += 1;
        let mut message = json!({ "id": self.asked, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).await.unwrap();
        loop {
            let mut bytes = Vec::new();
            self.output.read_until(0, &mut bytes).await.unwrap();
            assert!(bytes.pop().is_some(), "the browser is gone: {method}");
            let told: Value = serde_json::from_slice(&bytes).unwrap();
            if told["id"] == self.asked {
                assert!(told["error"].is_null(), "{method}: {told}");
                return told["result"].clone();
            }
        }
    }
}

impl Window {
    /// One so many pixels wide. `None`, with a word about it, where there is no browser.
    pub(crate) async fn open(width: u32) -> Option<Self> {
        let config = render_config()?;
        let alone = alone().await;
        let browser = gleaner::web::render::find_program(&config).unwrap();
        let profile = TempDir::new().unwrap();
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", WITH_PIPE, "window"])
            .arg(browser)
            .args([
                "--headless",
                "--remote-debugging-pipe",
                "--no-startup-window",
                "--no-first-run",
                "--no-default-browser-check",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-gpu",
                "--disable-sync",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        if geteuid().is_root() {
            command.arg("--no-sandbox");
        }
        let mut child = command.spawn().unwrap();
        let mut pipe = Pipe {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            asked: 0,
        };
        let params = json!({ "url": "about:blank" });
        let made = pipe.call(None, "Target.createTarget", params).await;
        let params = json!({ "targetId": made["targetId"], "flatten": true });
        let attached = pipe.call(None, "Target.attachToTarget", params).await;
        let window = Self {
            pipe: Mutex::new(pipe),
            child,
            session: attached["sessionId"].as_str().unwrap().to_owned(),
            _profile: profile,
            _alone: alone,
        };
        window.call("Page.enable", json!({})).await;
        window.resize(width).await;
        Some(window)
    }

    async fn call(&self, method: &str, params: Value) -> Value {
        let mut pipe = self.pipe.lock().await;
        let called = pipe.call(Some(&self.session), method, params);
        let Ok(result) = timeout(PATIENCE, called).await else {
            panic!("the browser does not answer {method}");
        };
        result
    }

    /// Makes it so many pixels wide.
    pub(crate) async fn resize(&self, width: u32) {
        let params =
            json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", params)
            .await;
    }

    /// Has pages be dark, or light.
    pub(crate) async fn darken(&self, is_dark: bool) {
        let value = if is_dark { "dark" } else { "light" };
        let params = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.call("Emulation.setEmulatedMedia", params).await;
    }

    /// Has it send no more than so many bytes a second.
    pub(crate) async fn slow_down(&self, bytes: Option<u32>) {
        self.call("Network.enable", json!({})).await;
        let upload = bytes.map_or(-1, i64::from);
        let params = json!({ "offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": upload });
        self.call("Network.emulateNetworkConditions", params).await;
    }

    /// Goes to an address.
    pub(crate) async fn go(&self, url: &str) {
        let went = self.call("Page.navigate", json!({ "url": url })).await;
        assert!(went["errorText"].is_null(), "{url}: {went}");
        self.wait("document.readyState === 'complete'").await;
    }

    /// What an expression comes to; a promise is waited for.
    pub(crate) async fn eval(&self, expression: &str) -> Value {
        let params = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true,
        });
        let told = self.call("Runtime.evaluate", params).await;
        assert!(told["exceptionDetails"].is_null(), "{expression}: {told}");
        told["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(crate) async fn wait(&self, condition: &str) {
        let safe = format!(
            "(() => {{ try {{ return Boolean({condition}); }} catch {{ return false; }} }})()"
        );
        let is_so = async || self.eval(&safe).await == json!(true);
        let held = timeout(PATIENCE, wait_until_by(condition, PATIENCE, is_so)).await;
        if held.is_err() {
            let text = self.eval("document.body.innerText").await;
            panic!("not so on the page: {condition}\n{text}");
        }
    }

    /// Clicks what a selector finds, once it is there and can be clicked.
    pub(crate) async fn click(&self, selector: &str) {
        let element = format!("document.querySelector({})", json!(selector));
        self.wait(&format!(
            "{element} && !{element}.disabled && {element}.checkVisibility()"
        ))
        .await;
        self.eval(&format!("{element}.click()")).await;
    }

    /// Clicks the button that is called so: by its label, or else by its text.
    pub(crate) async fn press(&self, name: &str) {
        let found = format!(
            "[...document.querySelectorAll('button, a.button')].find((button) => button.checkVisibility() && !button.disabled \
             && (button.getAttribute('aria-label') ?? button.textContent) === {})",
            json!(name)
        );
        self.wait(&found).await;
        self.eval(&format!("{found}.click()")).await;
    }

    /// Types into what has the focus.
    pub(crate) async fn write(&self, text: &str) {
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// Presses a key of a name such as `Tab`, `Enter`, `Escape`.
    pub(crate) async fn key(&self, name: &str) {
        let (code, text) = match name {
            "Tab" => (9, None),
            "Enter" => (13, Some("\r")),
            "Escape" => (27, None),
            name => panic!("no key {name}"),
        };
        let mut params =
            json!({ "type": "keyDown", "key": name, "code": name, "windowsVirtualKeyCode": code });
        if let Some(text) = text {
            params["text"] = text.into();
        }
        self.call("Input.dispatchKeyEvent", params.clone()).await;
        params["type"] = "keyUp".into();
        self.call("Input.dispatchKeyEvent", params).await;
    }

    /// Chooses files in the field that a selector finds.
    pub(crate) async fn choose(&self, selector: &str, files: &[&Path]) {
        let expression = format!("document.querySelector({})", json!(selector));
        let params = json!({ "expression": expression });
        let told = self.call("Runtime.evaluate", params).await;
        let params = json!({ "files": files, "objectId": told["result"]["objectId"] });
        self.call("DOM.setFileInputFiles", params).await;
    }

    /// Keeps a picture of the page under this name, if the folder `GLEANER_TEST_PICTURES` is given.
    #[expect(clippy::disallowed_methods, reason = "the tests' own setting")]
    pub(crate) async fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("GLEANER_TEST_PICTURES") else {
            return;
        };
        let params = json!({ "format": "png", "captureBeyondViewport": true });
        let told = self.call("Page.captureScreenshot", params).await;
        let bytes = STANDARD.decode(told["data"].as_str().unwrap()).unwrap();
        std::fs::write(PathBuf::from(folder).join(format!("{name}.png")), bytes).unwrap();
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if let Some(id) = self.child.id() {
            killpg(Pid::from_raw(id.cast_signed()), Signal::SIGKILL).ok();
        }
    }
}
