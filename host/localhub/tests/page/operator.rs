//! An operator at work: signs in, sees a device come, changes its twin, calls a method, watches the wire.

use reqwest::Method;
use rumqttc::QoS;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::client::{DESIRED, Device, METHODS, Place, TWIN};

const DESIRED_EDITOR: &str = "section:has(> h2 + form textarea.code)";

async fn device(place: &Place, id: &str) -> Device {
    let mut device = place.device(id).await;
    device
        .subscribe(&[(METHODS, QoS::AtMostOnce), (TWIN, QoS::AtMostOnce), (DESIRED, QoS::AtMostOnce)])
        .await;
    device
}

async fn report(device: &mut Device, patch: &Value) {
    device.twin("$iothub/twin/PATCH/properties/reported/?$rid=1", &patch.to_string()).await;
}

fn row(id: &str) -> String {
    format!("tr[data-device='{id}']")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_comes_is_changed_reports_and_answers() {
    let Some(browser) = Browser::start().await else { return };
    let place = Place::new().await;
    place.key("press-1").await;
    browser.open(&place.hub.page_link()).await;
    browser.see(&row("press-1"), "Away").await;
    assert!(browser.run("return location.href", json!([])).await.as_str().unwrap().ends_with("/#/devices"));

    let mut device = device(&place, "press-1").await;
    browser.see(&row("press-1"), "Connected").await;
    report(&mut device, &json!({"firmware": {"fwUpdateStatus": "applying", "currentFwVersion": "2.4.1"}}))
        .await;
    browser.see(&row("press-1"), "applying").await;
    browser.see(".summary", "1 of 1").await;

    browser.click("tr[data-device='press-1'] a").await;
    browser.see("h1", "press-1").await;
    browser.see(".live.on", "Live").await;
    browser.enter(DESIRED_EDITOR_TEXT, "{\"speed\": 4").await;
    browser.see(".error", "Not JSON yet").await;
    browser.enter(DESIRED_EDITOR_TEXT, "{\"speed\": 40}").await;
    browser.click(&format!("{DESIRED_EDITOR} button.primary")).await;
    let (_, patch) = device.message().await;
    assert_eq!(serde_json::from_str::<Value>(&patch).unwrap(), json!({"speed": 40, "$version": 2}));
    let hostile = "<img src=x onerror=alert(1)>";
    report(&mut device, &json!({"speed": 40, "note": hostile})).await;
    browser.see(".tree .changed[data-path=speed]", "40").await;
    browser.see(".tree .changed[data-path=note]", hostile).await;
    browser.see(".wire", "$iothub/twin/PATCH/properties/desired/?$version=2").await;

    browser.enter("form.method input[list]", "polish").await;
    browser.enter("form.method textarea", "{\"seconds\": 3}").await;
    browser.click("form.method button").await;
    let (name, id, payload) = device.request().await;
    assert_eq!((name.as_str(), payload.as_str()), ("polish", r#"{"seconds":3}"#));
    device.answer(&id, 200, r#"{"shine":"bright"}"#).await;
    browser.see(".answer .badge.good", "200").await;
    browser.see(".answer pre", "\"shine\": \"bright\"").await;

    device.publish("devices/press-1/messages/events/a=b", QoS::AtMostOnce, "{\"warm\":21.5}").await;
    browser.see(".telemetry", "{\"warm\":21.5}").await;
    place.rest(Method::PUT, "/devices/press-1/modules/vision", Some(json!({}))).await;
    browser.see(".modules", "vision").await;
    drop(device);
    browser.see(".device-head", "Away").await;
    browser.see(".device-head", "closed").await;
    assert_eq!(browser.errors().await, Vec::<String>::new());
}

const DESIRED_EDITOR_TEXT: &str = "section:has(> h2 + form textarea.code) textarea";

#[tokio::test(flavor = "multi_thread")]
async fn two_operators_at_one_twin_lose_nothing() {
    let Some(browser) = Browser::start().await else { return };
    let place = Place::new().await;
    place.key("press-1").await;
    browser.open(&place.hub.page_link()).await;
    browser.click("tr[data-device='press-1'] a").await;
    browser.see("form .actions", "Version 1").await;
    browser.enter(DESIRED_EDITOR_TEXT, "{\"mine\": 1}").await;
    let theirs = Some(json!({"properties": {"desired": {"theirs": 2}}}));
    place.rest(Method::PATCH, "/twins/press-1", theirs).await;
    browser.see(".notice", "Somebody changed this twin").await;
    browser.run("document.querySelector('.notice').replaceChildren()", json!([])).await;
    browser.click(&format!("{DESIRED_EDITOR} button.primary")).await;
    browser.see(".notice", "Your change is not saved").await;
    let (_, twin) = place.rest(Method::GET, "/twins/press-1", None).await;
    assert_eq!(twin["properties"]["desired"].get("mine"), None, "Save alone puts nothing on top of theirs");
    browser.click(".notice button").await;
    browser.until("document.querySelector('section:has(> h2 + form textarea.code) textarea').value.includes('theirs')").await;
    let (_, twin) = place.rest(Method::GET, "/twins/press-1", None).await;
    let desired = &twin["properties"]["desired"];
    assert_eq!((&desired["mine"], &desired["theirs"]), (&json!(1), &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_another_section_is_no_conflict() {
    let Some(browser) = Browser::start().await else { return };
    let place = Place::new().await;
    let mut device = device(&place, "press-1").await;
    browser.open(&place.hub.page_link()).await;
    browser.click("tr[data-device='press-1'] a").await;
    browser.see("form .actions", "Version 1").await;
    browser.enter(DESIRED_EDITOR_TEXT, "{\"mine\": 1}").await;
    place.rest(Method::PATCH, "/twins/press-1", Some(json!({"tags": {"site": "riga"}}))).await;
    browser
        .until("[...document.querySelectorAll('textarea.code')].some((one) => one.value.includes('riga'))")
        .await;
    browser.click(&format!("{DESIRED_EDITOR} button.primary")).await;
    let (_, patch) = device.message().await;
    assert_eq!(serde_json::from_str::<Value>(&patch).unwrap(), json!({"mine": 1, "$version": 2}));
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_takes_the_right_key_or_a_fresh_link() {
    let Some(browser) = Browser::start().await else { return };
    let place = Place::new().await;
    let link = place.hub.page_link();
    browser.open(&link).await;
    browser.see("h1", "Devices").await;
    browser.click("#sign-out").await;
    browser.see("h1", "Sign in").await;
    browser.open("about:blank").await;
    browser.open(&link).await;
    browser.see(".notice", "was used before").await;

    let wrong = place.hub.owner.replace("SharedAccessKey=", "SharedAccessKey=AAAA");
    browser.enter("textarea", &wrong).await;
    browser.click("button.primary").await;
    browser.see(".error", "The hub does not take this").await;
    browser.enter("textarea", &place.hub.owner).await;
    browser.click("button.primary").await;
    browser.see("h1", "Devices").await;
    let kept = browser.run("return JSON.stringify(sessionStorage)", json!([])).await;
    let key = place.hub.owner.rsplit_once("SharedAccessKey=").unwrap().1;
    assert!(!kept.as_str().unwrap().contains(key), "the key is not kept");
    browser.run("location.reload()", json!([])).await;
    browser.see("h1", "Devices").await;
}

#[tokio::test]
async fn the_page_lets_nothing_in_from_elsewhere() {
    let place = Place::new().await;
    for path in ["/", "/ui/app.js", "/ui/style.css"] {
        let answer = place.https().get(place.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert!(header("content-security-policy").starts_with("default-src 'self'"));
        assert_eq!(
            (header("x-content-type-options"), header("referrer-policy")),
            ("nosniff".into(), "no-referrer".into())
        );
        let again = place.https().get(place.url(path)).header("if-none-match", header("etag")).send().await;
        assert_eq!(again.unwrap().status(), 304);
    }
    assert_eq!(place.https().get(place.url("/ui/nothing.js")).send().await.unwrap().status(), 404);
    let session = place.https().post(place.url("/localhub/page/session")).body(r#"{"code":"0"}"#);
    assert_eq!(session.send().await.unwrap().status(), 401);
    let (status, link) = place.rest(Method::POST, "/localhub/page/link", None).await;
    assert!(status == 200 && link["page"].as_str().unwrap().contains("/#code="), "{link}");
}
