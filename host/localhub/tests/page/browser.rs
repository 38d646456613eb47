//! A headless Chromium behind ChromeDriver, by the few requests of W3C WebDriver that these tests need.
//!
//! Waiting is done inside the browser, which watches its own page: no sleeps here.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// A browser with an empty profile of its own.
pub(crate) struct Browser {
    driver: Child,
    address: String,
    session: String,
    http: reqwest::Client,
    _profile: TempDir,
}

impl Browser {
    /// Starts one; `None`, and a line on standard error, when there is none on this machine.
    pub(crate) async fn start() -> Option<Self> {
        let (Some(program), Some(chromium)) =
            (find(&["chromedriver"]), find(&["chromium", "google-chrome", "chrome"]))
        else {
            let text = "skipped: the page's tests need a browser: apt-get install chromium chromium-driver";
            assert!(std::env::var_os("HOTSHOE_BROWSER").is_none(), "{text}");
            // Past the capturing of output, so that a skipped test does not pass for one that ran.
            let mut terminal = std::io::stderr();
            terminal.write_all(format!("{text}\n").as_bytes()).unwrap();
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        let (driver, port) = (0..5).find_map(|_| driver(&program)).expect("chromedriver starts");
        let address = format!("127.0.0.1:{port}");
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        let mut browser = Self { driver, address, session: String::new(), http, _profile: profile };
        let data = format!("--user-data-dir={}", browser._profile.path().display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-proxy-server",
            "--lang=en",
            &data,
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "acceptInsecureCerts": true,
            "goog:chromeOptions": {"binary": chromium, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
            "timeouts": {"script": 30_000, "pageLoad": 30_000},
        }}});
        let made = browser.post("/session", wanted).await;
        browser.session = format!("/session/{}", made["sessionId"].as_str().expect("a session"));
        Some(browser)
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let url = format!("http://{}{path}", self.address);
        let answer = self.http.post(url).body(body.to_string()).send().await.expect("chromedriver answers");
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        assert!(status.is_success(), "{path} {body}: {}", answer["value"]["message"]);
        answer["value"].take()
    }

    async fn ask(&self, path: &str, body: Value) -> Value {
        self.post(&format!("{}{path}", self.session), body).await
    }

    pub(crate) async fn open(&self, url: &str) {
        self.ask("/url", json!({ "url": url })).await;
    }

    /// Runs a function body in the page.
    pub(crate) async fn run(&self, script: &str, arguments: Value) -> Value {
        self.ask("/execute/sync", json!({"script": script, "args": arguments})).await
    }

    /// Runs a function body whose last argument is called with the result.
    pub(crate) async fn run_later(&self, script: &str, arguments: Value) -> Value {
        self.ask("/execute/async", json!({"script": script, "args": arguments})).await
    }

    /// Waits until a JavaScript expression is true; gives its value.
    pub(crate) async fn until(&self, expression: &str) -> Value {
        let script = format!(
            "const done = arguments[0];
             const test = () => {{ try {{ return {expression}; }} catch {{ return false; }} }};
             const end = Date.now() + 20000;
             const look = () => {{
                 const found = test();
                 if (found) done({{ found }});
                 else if (Date.now() > end) done({{ page: document.body.innerText }});
                 else setTimeout(look, 20);
             }};
             look();"
        );
        let outcome = self.run_later(&script, json!([])).await;
        if outcome.get("found").is_none() {
            let log = self.errors().await;
            panic!(
                "never true: {expression}\nthe page shows:\n{}\nconsole: {log:?}",
                outcome["page"].as_str().unwrap_or_default()
            );
        }
        outcome["found"].clone()
    }

    /// Waits until some element (chosen by CSS) shows the text.
    pub(crate) async fn see(&self, selector: &str, text: &str) {
        let (selector, text) = (json!(selector), json!(text));
        self.until(&format!(
            "[...document.querySelectorAll({selector})].some((one) => one.checkVisibility() && one.innerText.includes({text}))"
        ))
        .await;
    }

    async fn find(&self, selector: &str) -> String {
        self.until(&format!("document.querySelector({})?.checkVisibility()", json!(selector))).await;
        let found = self.ask("/element", json!({"using": "css selector", "value": selector})).await;
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    pub(crate) async fn click(&self, selector: &str) {
        let element = self.find(selector).await;
        self.ask(&format!("/element/{element}/click"), json!({})).await;
    }

    /// Types into a control, in place of what it has.
    pub(crate) async fn enter(&self, selector: &str, text: &str) {
        let element = self.find(selector).await;
        self.ask(&format!("/element/{element}/clear"), json!({})).await;
        self.ask(&format!("/element/{element}/value"), json!({ "text": text })).await;
    }

    /// Presses a key, wherever the focus is.
    pub(crate) async fn press(&self, key: char) {
        let actions = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        let keyboard = json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]});
        self.ask("/actions", keyboard).await;
    }

    /// The size of the window and the colours that the person prefers.
    pub(crate) async fn dress(&self, width: u32, height: u32, scheme: &str) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        // The picture has none, and is as wide as the page was laid out.
        self.devtools("Emulation.setScrollbarsHidden", json!({"hidden": true})).await;
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// A picture of the whole page in `target/screenshots/NAME.png`.
    pub(crate) async fn picture(&self, name: &str) {
        let shot = json!({"format": "png", "captureBeyondViewport": true});
        let shot = self.devtools("Page.captureScreenshot", shot).await;
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots");
        std::fs::create_dir_all(&directory).unwrap();
        let bytes = STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        std::fs::write(directory.join(format!("{name}.png")), bytes).unwrap();
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.ask("/goog/cdp/execute", json!({"cmd": command, "params": parameters})).await
    }

    /// What the page wrote to the console at the level of an error: nothing, one hopes.
    pub(crate) async fn errors(&self) -> Vec<String> {
        let log = self.ask("/se/log", json!({"type": "browser"})).await;
        let entries = log.as_array().unwrap().iter().filter(|entry| entry["level"] == "SEVERE");
        entries.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Asking ChromeDriver to end the session ends Chromium too; killing ChromeDriver alone would not.
        if let Ok(mut stream) = TcpStream::connect(&self.address) {
            drop(stream.set_read_timeout(Some(Duration::from_secs(10))));
            let request = format!("DELETE {} HTTP/1.1\r\nHost: {}\r\n\r\n", self.session, self.address);
            drop(stream.write_all(request.as_bytes()));
            drop(stream.read(&mut [0; 1024]));
        }
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}

/// ChromeDriver, and the port on which it says that it listens. It takes a free port of IPv4 and then the same one of
/// IPv6; where another has that one by then it ends.
fn driver(program: &Path) -> Option<(Child, u16)> {
    let mut command = Command::new(program);
    let mut driver = command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let lines = BufReader::new(driver.stdout.take()?).lines();
    let said = lines.map_while(Result::ok).find_map(|line| {
        let (_, port) = line.split_once("started successfully on port ")?;
        port.trim_end_matches('.').parse().ok()
    });
    if said.is_none() {
        drop(driver.kill());
        drop(driver.wait());
    }
    Some((driver, said?))
}

fn find(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let places =
        names.iter().flat_map(|name| std::env::split_paths(&path).map(move |place| place.join(name)));
    places.into_iter().find(|file| file.is_file())
}
