//! The fleet and the hub: finding devices, registering one, a hub that goes away and comes back.

use hotshoe_localhub::{LocalHub, Settings};
use reqwest::Method;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::client::Place;
use crate::fleet::settle;

const ENTER: &str = "\u{E007}";

async fn rows(browser: &Browser) -> Value {
    let script = "return [...document.querySelectorAll('tr[data-device]')].map((row) => row.dataset.device)";
    browser.run(script, json!([])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_found_by_words_and_by_conditions() {
    let Some(browser) = Browser::start().await else { return };
    let place = Place::new().await;
    let _devices = settle(&place, 6).await;
    browser.open(&place.hub.page_link()).await;
    browser.see(".summary", "3 of 6").await;
    browser.enter("input[type=search]", "riga").await;
    browser.see("p[role=status]", "2 of 2 that match").await;
    assert_eq!(rows(&browser).await, json!(["press-01", "press-04"]));
    browser.enter("input[type=search]", "press-*5").await;
    browser.see("p[role=status]", "1 of 1 that match").await;
    let condition = "properties.reported.firmware.fwUpdateStatus = 'current' AND tags.site = 'hamburg'";
    browser.enter("input[type=search]", &format!("{condition}{ENTER}")).await;
    browser.see("p[role=status]", "2 of 2 that match").await;
    assert_eq!(rows(&browser).await, json!(["press-00", "press-03"]));
    browser.enter("input[type=search]", &format!("tags.site = {ENTER}")).await;
    browser
        .until("document.querySelector('input[type=search]').getAttribute('aria-invalid') === 'true'")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_registered_disabled_and_deleted() {
    let Some(browser) = Browser::start().await else { return };
    let place = Place::new().await;
    browser.open(&place.hub.page_link()).await;
    browser.see("p[role=status]", "There is no device yet").await;
    browser.click(".bar-of-tools > button").await;
    browser.enter("dialog input", &format!("press 1{ENTER}")).await;
    browser.see("dialog .error", "is not 1 to 128 ASCII letters").await;
    browser.enter("dialog input", &format!("press-1{ENTER}")).await;
    browser.see("dialog code", "DeviceId=press-1;SharedAccessKey=").await;
    browser.press('\u{E00C}').await; // Escape
    browser.see("tr[data-device='press-1']", "Away").await;
    browser.click("tr[data-device='press-1'] a").await;
    browser.until("[...document.querySelectorAll('button')].find((one) => one.textContent === 'Disable').click() ?? true").await;
    browser.see(".device-head", "Disabled").await;
    let (_, identity) = place.rest(Method::GET, "/devices/press-1", None).await;
    assert_eq!(identity["status"], "disabled");
    browser.click("button.danger").await;
    browser.click("dialog button.danger").await;
    browser.see("h1", "Devices").await;
    browser.see("p[role=status]", "There is no device yet").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_long_on_its_way_hides_no_event() {
    let Some(browser) = Browser::start().await else { return };
    let place = Place::new().await;
    place.key("press-1").await;
    browser.open(&place.hub.page_link()).await;
    browser.see("tr[data-device='press-1']", "Away").await;
    let hold = "const real = window.fetch;
        window.held = [];
        window.fetch = async (address, options) => {
            const answer = await real(address, options);
            if (window.held && String(address).includes('/twins/')) await new Promise((go) => window.held.push(go));
            return answer;
        };";
    browser.run(hold, json!([])).await;
    browser.click("tr[data-device='press-1'] a").await;
    browser.until("window.held.length === 1").await;
    let (_, mut identity) = place.rest(Method::GET, "/devices/press-1", None).await;
    identity["status"] = "disabled".into();
    place.send(Method::PUT, "/devices/press-1", Some(identity), &[("if-match", "*")]).await;
    browser.see(".device-head", "Disabled").await;
    browser.run("const held = window.held; window.held = null; held.forEach((go) => go())", json!([])).await;
    browser.see("section .hint", "Version 1").await;
    browser.see(".device-head", "Disabled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_made_while_the_fleet_is_read_stays() {
    let Some(browser) = Browser::start().await else { return };
    let place = Place::new().await;
    place.key("press-1").await;
    browser.open(&place.hub.page_link()).await;
    browser.see("tr[data-device='press-1']", "Away").await;
    browser.click("#sign-out").await;
    let hold = "const real = window.fetch;
        window.held = [];
        window.fetch = async (address, options) => {
            const answer = await real(address, options);
            if (window.held && String(address).includes('/devices/query')) await new Promise((go) => window.held.push(go));
            return answer;
        };";
    browser.run(hold, json!([])).await;
    browser.enter("textarea", &place.hub.owner).await;
    browser.click("button.primary").await;
    browser.until("window.held.length === 1").await;
    place.key("press-2").await;
    browser.see("tr[data-device='press-2']", "Away").await;
    browser.run("const held = window.held; window.held = null; held.forEach((go) => go())", json!([])).await;
    browser.see("p[role=status]", "2 devices").await;
    browser.until("!document.querySelector('p[role=status]').innerText.includes('so far')").await;
    assert_eq!(rows(&browser).await, json!(["press-1", "press-2"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_comes_back_is_live_again() {
    let Some(browser) = Browser::start().await else { return };
    let place = Place::new().await;
    place.key("press-1").await;
    browser.open(&place.hub.page_link()).await;
    browser.see(".live", "Live").await;
    let Place { directory, hub } = place;
    let (mqtt_port, https_port) = (hub.mqtt_port, hub.https_port);
    hub.stop().await;
    browser.see(".live", "Not connected to the hub").await;
    let settings = Settings { mqtt_port, https_port, ..Settings::new(directory.path().join("data")) };
    let hub = LocalHub::start(settings).await.unwrap();
    hub.create_device("press-2").await.unwrap();
    browser.see(".live", "Live").await;
    browser.see("tr[data-device='press-2']", "Away").await;

    hub.stop().await;
    let settings = Settings { mqtt_port, https_port, ..Settings::new(directory.path().join("other")) };
    let _another = LocalHub::start(settings).await.unwrap();
    browser.see(".notice", "does not take this session").await;
}
