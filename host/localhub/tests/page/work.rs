//! Jobs, rollouts, messages to devices and faults on request, as started and watched in the page.

use reqwest::Method;
use rumqttc::QoS;
use serde_json::json;

use crate::browser::Browser;
use crate::client::{METHODS, Place};
use crate::pictures::shoot;

/// The button with that text.
async fn push(browser: &Browser, text: &str) {
    let text = json!(text);
    browser
        .until(&format!(
            "(([...document.querySelectorAll('main button')].find((one) => one.checkVisibility() && one.textContent === {text} && !one.disabled)).click(), true)"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_started_and_each_devices_answer_seen() {
    let Some(browser) = Browser::start().await else { return };
    let place = Place::new().await;
    let mut device = place.device("press-1").await;
    device.subscribe(&[(METHODS, QoS::AtMostOnce)]).await;
    let away = place.device("press-2").await;
    drop(away);
    browser.open(&place.hub.page_link()).await;
    browser.see("tr[data-device='press-2']", "Away").await;
    browser.click("#nav a[href='#/jobs']").await;
    browser.see("p[role=status]", "There is no job yet").await;
    browser.click("details.panel > summary").await;
    browser.enter("input[placeholder=reboot]", "polish").await;
    push(&browser, "Start").await;
    let (name, id, _) = device.request().await;
    assert_eq!(name, "polish");
    device.answer(&id, 200, r#"{"shine":1}"#).await;
    browser.see("tbody tr:first-child", "200 {\"shine\":1}").await;
    browser.see("tbody tr:last-child", "failed").await;
    browser.see(".legend", "succeeded 1").await;
    shoot(&browser, "job").await;
    browser.click("#nav a[href='#/jobs']").await;
    browser.see(".item", "Method polish").await;
    shoot(&browser, "jobs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_started_watched_and_deleted() {
    let Some(browser) = Browser::start().await else { return };
    let place = Place::new().await;
    for (id, site) in [("press-1", "riga"), ("press-2", "porto")] {
        place.key(id).await;
        place.rest(Method::PATCH, &format!("/twins/{id}"), Some(json!({"tags": {"site": site}}))).await;
    }
    browser.open(&place.hub.page_link()).await;
    browser.click("#nav a[href='#/rollouts']").await;
    browser.see("p[role=status]", "There is no rollout yet").await;
    browser.click("details.panel > summary").await;
    browser.enter("input[pattern]", "firmware-2").await;
    browser.enter("input[placeholder^=tags]", "tags.site = 'riga'").await;
    browser.enter("form textarea", r#"{"properties.desired.firmware": {"version": "2"}}"#).await;
    push(&browser, "Start").await;
    browser.see("tbody", "press-1").await;
    browser.see(".legend", "1").await;
    browser.see("tbody .badge", "Applied").await;
    shoot(&browser, "rollout").await;
    let (_, twin) = place.rest(Method::GET, "/twins/press-1", None).await;
    assert_eq!(twin["properties"]["desired"]["firmware"], json!({"version": "2"}));
    push(&browser, "Delete").await;
    browser.click("dialog button.danger").await;
    browser.see("p[role=status]", "There is no rollout yet").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_reaches_the_device() {
    let Some(browser) = Browser::start().await else { return };
    let place = Place::new().await;
    let mut device = place.device("press-1").await;
    device.subscribe(&[("devices/press-1/messages/devicebound/#", QoS::AtMostOnce)]).await;
    browser.open(&place.hub.page_link()).await;
    browser.click("tr[data-device='press-1'] a").await;
    browser.enter("input[placeholder^=name]", "colour=red").await;
    browser.enter("textarea[rows='2']", "hello").await;
    push(&browser, "Send").await;
    let (topic, body) = device.message().await;
    assert!(topic.contains("colour=red"), "{topic}");
    assert_eq!(body, "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_is_set_shown_and_taken_away() {
    let Some(browser) = Browser::start().await else { return };
    let place = Place::new().await;
    browser.open(&place.hub.page_link()).await;
    browser.see("h1", "Devices").await;
    browser.click("#nav a[href='#/hub']").await;
    browser.enter("input[list=fault-kinds]", "sulk").await;
    push(&browser, "Add").await;
    browser.see(".error", "there is no fault \"sulk\"").await;
    browser.enter("input[list=fault-kinds]", "reject-twin:status=500,device=press-*").await;
    push(&browser, "Add").await;
    browser.see(".faults", "reject-twin").await;
    shoot(&browser, "hub-faults").await;
    let (_, faults) = place.rest(Method::GET, "/localhub/faults", None).await;
    assert_eq!(faults.as_array().unwrap().len(), 1, "{faults}");
    push(&browser, "Remove all").await;
    browser.until("document.querySelector('.faults').children.length === 0").await;
}
