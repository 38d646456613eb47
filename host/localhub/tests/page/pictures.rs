//! Pictures of every view, in light and dark, narrow and wide, for people to look at. That nothing is wider than the
//! window is checked here too.

use reqwest::Method;
use rumqttc::QoS;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::client::Place;
use crate::fleet::settle;

#[tokio::test(flavor = "multi_thread")]
async fn every_view_fits_narrow_and_wide_in_light_and_dark() {
    let Some(browser) = Browser::start().await else { return };
    let place = Place::new().await;
    let mut devices = settle(&place, 14).await;
    let device = &mut devices[2]; // press-04, which downloads
    let wish =
        json!({"properties": {"desired": {"speed": 40, "recipe": {"name": "oak", "steps": [1, 2, 3]}}}});
    place.rest(Method::PATCH, "/twins/press-04", Some(wish)).await;
    device.message().await;
    device
        .publish("devices/press-04/messages/events/", QoS::AtMostOnce, r#"{"temperature":21.5,"unit":"°C"}"#)
        .await;
    browser.open(&place.url("/")).await;
    browser.see("h1", "Sign in").await;
    shoot(&browser, "sign-in").await;
    browser.open(&place.hub.page_link()).await;
    browser.see(".summary", "7 of 14").await;
    shoot(&browser, "devices").await;
    go(&browser, "#/devices/press-04", "press-04").await;
    browser.see(".tree", "2.3.0").await;
    browser.enter("form.method input[list]", "hotshoe.status").await;
    browser.click("form.method button").await;
    let (_, id, _) = device.request().await;
    device
        .answer(&id, 200, r#"{"version":"0.1.0","jobs":1,"plugins":["hotshoe.firmware-update","acme.pump"]}"#)
        .await;
    browser.see(".answer", "0.1.0").await;
    device.twin("$iothub/twin/PATCH/properties/reported/?$rid=2", r#"{"speed":40,"recipe":"oak"}"#).await;
    browser.see(".tree .changed", "oak").await;
    shoot(&browser, "device").await;
    for (view, title) in [("jobs", "Jobs"), ("rollouts", "Rollouts"), ("hub", "Hub")] {
        go(&browser, &format!("#/{view}"), title).await;
        browser.until("!document.body.innerText.includes('Reading…')").await;
        shoot(&browser, view).await;
    }
}

async fn go(browser: &Browser, address: &str, title: &str) {
    browser.run("location.hash = arguments[0]", json!([address])).await;
    browser.see("h1", title).await;
}

/// A view in all four.
pub(crate) async fn shoot(browser: &Browser, name: &str) {
    for (size, width, height) in [("narrow", 360, 740), ("wide", 1280, 900)] {
        for scheme in ["light", "dark"] {
            browser.dress(width, height, scheme).await;
            let wide: Value =
                browser.run("return [document.documentElement.scrollWidth, innerWidth]", json!([])).await;
            assert!(wide[0].as_u64() <= wide[1].as_u64(), "{name} {size} is {wide} wide");
            browser.picture(&format!("{name}-{size}-{scheme}")).await;
        }
    }
    browser.dress(1280, 900, "light").await;
}
