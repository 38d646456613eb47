//! What an operator sends from the page.

use rumqttc::QoS;
use serde_json::json;

use crate::browser::Browser;
use crate::client::Place;

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
