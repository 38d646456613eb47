//! What a monitor hears: server-sent events, as they come over the wire.

use futures_util::StreamExt as _;
use reqwest::{Method, Response};
use rumqttc::QoS;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::client::{DESIRED, METHODS, PATIENCE, Place, TWIN, token};

/// A stream of events being read.
pub(crate) struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    pub(crate) async fn open(place: &Place, path: &str) -> Self {
        let response = place.send(Method::GET, path, None, &[]).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event: its name and data.
    pub(crate) async fn next(&mut self) -> (String, Value) {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                if let (Some(name), Some(data)) = (field("event: "), field("data: ")) {
                    return (name.to_owned(), serde_json::from_str(data).unwrap());
                }
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await.expect("no event comes").unwrap();
            self.text += std::str::from_utf8(&chunk.expect("the stream ended")).unwrap();
        }
    }
}

#[tokio::test]
async fn the_life_of_a_device_is_told_in_order() {
    let place = Place::new().await;
    let mut stream = Stream::open(&place, "/localhub/events?device=d").await;
    place.key("other").await;
    let mut device = place.device("d").await;
    device
        .subscribe(&[(METHODS, QoS::AtMostOnce), (TWIN, QoS::AtMostOnce), (DESIRED, QoS::AtMostOnce)])
        .await;
    device.publish("devices/d/messages/events/a=b", QoS::AtLeastOnce, "{\"t\":1}").await;
    device.next().await;
    device.twin("$iothub/twin/PATCH/properties/reported/?$rid=1", r#"{"level":7}"#).await;
    let change = json!({"tags": {"site": "x"}, "properties": {"desired": {"wish": 1}}});
    place.rest(Method::PATCH, "/twins/d", Some(change)).await;
    device.message().await;
    let call = place.rest(Method::POST, "/twins/d/methods", Some(json!({"methodName": "ping"})));
    let answerer = async {
        let (_, id, _) = device.request().await;
        device.answer(&id, 202, "{}").await;
    };
    tokio::join!(call, answerer);
    drop(device);

    let mut heard = Vec::new();
    while heard.last().is_none_or(|(name, _): &(String, Value)| name != "disconnected") {
        heard.push(stream.next().await);
    }
    let names: Vec<&str> = heard.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["created", "connected", "telemetry", "twin", "twin", "twin", "method", "disconnected"]
    );
    assert!(heard.iter().all(|(name, data)| data["kind"] == *name && data["device"] == "d"));
    assert_eq!((&heard[2].1["properties"], &heard[2].1["body"]), (&json!("a=b"), &json!("{\"t\":1}")));
    let twins: Vec<_> = heard[3..6].iter().map(|(_, twin)| (&twin["section"], &twin["version"])).collect();
    let wanted = [(json!("reported"), json!(2)), (json!("desired"), json!(2)), (json!("tags"), json!(3))];
    assert!(twins.into_iter().eq(wanted.iter().map(|(section, version)| (section, version))), "{heard:?}");
    assert_eq!((&heard[3].1["patch"], &heard[5].1["patch"]), (&json!({"level": 7}), &json!({"site": "x"})));
    assert_eq!((&heard[6].1["name"], &heard[6].1["status"]), (&json!("ping"), &json!(202)));
}

#[tokio::test]
async fn a_takeover_and_a_deletion_end_as_what_they_are() {
    let place = Place::new().await;
    let _first = place.device("d").await;
    let mut stream = Stream::open(&place, "/localhub/events?kinds=connected,disconnected,deleted").await;
    let mut second = place.device("d").await;
    place.rest(Method::DELETE, "/devices/d", None).await;
    assert!(second.is_closed().await);
    for wanted in ["disconnected", "connected", "disconnected", "deleted"] {
        assert_eq!(stream.next().await.0, wanted);
    }
}

#[tokio::test]
async fn telemetry_alone_is_a_stream_too_and_strangers_hear_nothing() {
    let place = Place::new().await;
    let mut stream = Stream::open(&place, "/localhub/telemetry").await;
    let mut device = place.device("d").await;
    device.publish("devices/d/messages/events/", QoS::AtLeastOnce, "one").await;
    let (name, data) = stream.next().await;
    assert_eq!((name.as_str(), &data["body"]), ("telemetry", &json!("one")));
    for path in ["/localhub/events", "/localhub/telemetry"] {
        assert_eq!(place.https().get(place.url(path)).send().await.unwrap().status(), 401);
    }
    let (status, fault) = place.rest(Method::GET, "/localhub/events?kinds=wishes", None).await;
    assert_eq!(status, 400);
    assert!(fault["Message"].as_str().unwrap().contains("there is no kind of event \"wishes\""), "{fault}");
    let key = place.hub.owner.rsplit_once("SharedAccessKey=").unwrap().1;
    let short = token("localhost", key, Some("iothubowner"), 2);
    let open = place.https().get(place.url("/localhub/events")).header("authorization", short);
    let chunks = open.send().await.unwrap().bytes_stream().count();
    assert!(timeout(PATIENCE, chunks).await.is_ok(), "a stream ends with its token");
    place.hub.stop().await;
    assert!(timeout(PATIENCE, stream.response.bytes_stream().count()).await.is_ok(), "the hub ends streams");
}
