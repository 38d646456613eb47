//! What assistive technology and the keyboard need: checked by axe-core where it is at hand, and by hand here.

use std::path::Path;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::client::Place;
use crate::fleet::settle;

const TAB: char = '\u{E004}';
const ENTER: char = '\u{E007}';

/// Where `cargo xtask test` puts it; the page itself does not have it.
fn axe() -> Option<String> {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("axe/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(file).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_in_any_view() {
    let Some(browser) = Browser::start().await else { return };
    let Some(axe) = axe() else {
        let text = "axe-core is not in target/axe: cargo xtask test puts it there";
        assert!(std::env::var_os("HOTSHOE_BROWSER").is_none(), "{text}");
        return;
    };
    let place = Place::new().await;
    let _devices = settle(&place, 4).await;
    browser.open(&place.url("/")).await;
    browser.see("h1", "Sign in").await;
    check(&browser, &axe, "sign-in").await;
    browser.open(&place.hub.page_link()).await;
    browser.see(".summary", "2 of 4").await;
    for (view, title) in [
        ("devices", "Devices"),
        ("devices/press-00", "press-00"),
        ("jobs", "Jobs"),
        ("rollouts", "Rollouts"),
        ("hub", "Hub"),
    ] {
        browser.run("location.hash = arguments[0]", json!([format!("#/{view}")])).await;
        browser.see("h1", title).await;
        browser.until("!document.body.innerText.includes('Reading…')").await;
        browser
            .run("document.querySelectorAll('details').forEach((one) => { one.open = true; })", json!([]))
            .await;
        check(&browser, &axe, view).await;
    }
    browser.run("location.hash = '#/devices'", json!([])).await;
    browser.click(".bar-of-tools > button").await;
    browser.see("dialog h2", "Add a device").await;
    check(&browser, &axe, "dialog").await;
}

async fn check(browser: &Browser, axe: &str, view: &str) {
    browser.run(axe, json!([])).await;
    for (width, scheme) in [(1280, "light"), (1280, "dark"), (360, "light")] {
        browser.dress(width, 800, scheme).await;
        let found = browser
            .run_later(
                "const done = arguments[arguments.length - 1];
                 axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => done(violations.map(
                     ({ id, nodes }) => [id, ...nodes.map(({ html, failureSummary }) => [html, failureSummary])])));",
                json!([]),
            )
            .await;
        assert_eq!(found, json!([]), "{view} {width} {scheme}: {found:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_reaches_what_the_mouse_reaches() {
    let Some(browser) = Browser::start().await else { return };
    let place = Place::new().await;
    place.key("press-1").await;
    browser.open(&place.hub.page_link()).await;
    browser.see("tr[data-device]", "press-1").await;
    browser.run("document.body.focus()", json!([])).await;
    for _ in 0..40 {
        browser.press(TAB).await;
        let ring = "const one = document.activeElement; const style = getComputedStyle(one);
                    return [one.matches('tr[data-device] a'), style.outlineStyle !== 'none', one.outerHTML.slice(0, 120)]";
        let at: Value = browser.run(ring, json!([])).await;
        assert_eq!(at[1], true, "the focus shows on {}", at[2]);
        if at[0] == true {
            browser.press(ENTER).await;
            browser.see("h1", "press-1").await;
            let focused = browser.until("document.activeElement.matches('h1')").await;
            assert_eq!(focused, true, "the new view's heading has the focus");
            return;
        }
    }
    panic!("the keyboard does not reach the device");
}
