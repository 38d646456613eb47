//! Jobs over REST and over real connections: methods, twin changes, times, cancelling, and what a kill leaves.

use std::time::Duration;

use reqwest::Method;
use rumqttc::QoS;
use serde_json::{Value, json};

use crate::client::{DESIRED, Device, METHODS, Place};

async fn order(place: &Place, id: &str, job: Value) -> Value {
    let (status, made) =
        place.rest(Method::PUT, &format!("/jobs/v2/{id}?api-version=2021-04-12"), Some(job)).await;
    assert_eq!(status, 200, "{made}");
    made
}

async fn job(place: &Place, id: &str) -> Value {
    place.rest(Method::GET, &format!("/jobs/v2/{id}"), None).await.1
}

/// Asks until the job has a status, as tutorials do.
async fn until(place: &Place, id: &str, status: &str) -> Value {
    loop {
        let job = job(place, id).await;
        if job["status"] == status {
            return job;
        }
        assert!(!matches!(job["status"].as_str(), Some("completed" | "failed" | "cancelled")), "{job}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn rows(place: &Place, id: &str) -> Vec<Value> {
    let text = format!("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '{id}'");
    let response = place.send(Method::POST, "/devices/query", Some(json!({"query": text})), &[]).await;
    assert_eq!(response.headers()["x-ms-item-type"], "DeviceJob");
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

fn method(condition: &str, more: Value) -> Value {
    let mut call = json!({"methodName": "lockDoor", "payload": {"a": 1}, "responseTimeoutInSeconds": "5"});
    call.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    json!({"type": "scheduleDeviceMethod", "cloudToDeviceMethod": call, "queryCondition": condition})
}

async fn listening(place: &Place, id: &str) -> Device {
    let mut device = place.device(id).await;
    device.subscribe(&[(METHODS, QoS::AtMostOnce), (DESIRED, QoS::AtMostOnce)]).await.unwrap();
    device
}

#[tokio::test]
async fn a_method_job_calls_each_device_and_keeps_what_each_said() {
    let place = Place::new().await;
    place.key("offline").await;
    let (mut a, mut b) = (listening(&place, "a").await, listening(&place, "b").await);
    let made = order(&place, "j", method("deviceId IN ['a', 'b', 'offline']", json!({}))).await;
    assert_eq!((&made["status"], &made["jobId"]), (&json!("queued"), &json!("j")));
    for (device, status) in [(&mut a, 200), (&mut b, 418)] {
        let (name, id, body) = device.request().await;
        assert_eq!((name.as_str(), body.as_str()), ("lockDoor", r#"{"a":1}"#));
        device.answer(&id, status, r#"{"door":"shut"}"#).await;
    }
    let job = until(&place, "j", "completed").await;
    let counts = json!({"deviceCount": 3, "succeededCount": 2, "failedCount": 1, "runningCount": 0, "pendingCount": 0});
    assert_eq!(job["deviceJobStatistics"], counts);
    assert_eq!(
        (&job["type"], &job["maxExecutionTimeInSeconds"]),
        (&json!("scheduleDeviceMethod"), &json!(3600))
    );
    assert!(job["endTime"].is_string() && job["cloudToDeviceMethod"]["methodName"] == "lockDoor");
    let rows = rows(&place, "j").await;
    assert_eq!(
        rows[0]["outcome"],
        json!({"deviceMethodResponse": {"status": 200, "payload": {"door": "shut"}}})
    );
    assert_eq!(
        (&rows[0]["status"], &rows[0]["jobType"]),
        (&json!("completed"), &json!("scheduleDeviceMethod"))
    );
    assert_eq!(rows[1]["outcome"]["deviceMethodResponse"]["status"], 418);
    assert_eq!(
        (&rows[2]["status"], &rows[2]["error"]["code"]),
        (&json!("failed"), &json!("DeviceNotOnline"))
    );

    let again = place.send(Method::PUT, "/jobs/v2/j", Some(method("*", json!({}))), &[]).await;
    assert_eq!(
        (again.status().as_u16(), &again.headers()["iothub-errorcode"]),
        (409, &"JobAlreadyExists".parse().unwrap())
    );
    let gone = place.send(Method::GET, "/jobs/v2/nothing", None, &[]).await;
    assert_eq!(
        (gone.status().as_u16(), &gone.headers()["iothub-errorcode"]),
        (404, &"JobNotFound".parse().unwrap())
    );
}

#[tokio::test]
async fn a_twin_job_changes_every_twin_that_matches_and_tells_the_connected() {
    let place = Place::new().await;
    let mut a = listening(&place, "a").await;
    for number in 0..70 {
        place.key(&format!("x{number:02}")).await;
    }
    let update = json!({"etag": "*", "tags": {"building": 43}, "properties": {"desired": {"interval": 5}}});
    order(&place, "t", json!({"type": "scheduleUpdateTwin", "updateTwin": update, "queryCondition": "*"}))
        .await;
    assert_eq!(a.message().await.1, r#"{"$version":2,"interval":5}"#);
    let job = until(&place, "t", "completed").await;
    assert_eq!(job["deviceJobStatistics"]["succeededCount"], 71);
    let query = json!({"query": "SELECT COUNT() AS n FROM devices WHERE tags.building = 43 AND properties.desired.interval = 5"});
    let (_, found) = place.rest(Method::POST, "/devices/query", Some(query)).await;
    assert_eq!(found, json!([{"n": 71}]));
    assert_eq!(rows(&place, "t").await.len(), 71);
    let (_, listed) =
        place.rest(Method::GET, "/jobs/v2/query?jobType=scheduleUpdateTwin&jobStatus=completed", None).await;
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["jobId"]), (1, &json!("t")));
    assert_eq!(place.rest(Method::GET, "/jobs/v2/query?jobStatus=running", None).await.1, json!([]));
    // Those of import and export, which `az iot hub job list` asks for as well.
    assert_eq!(place.rest(Method::GET, "/jobs", None).await.1, json!([]));
}

#[tokio::test]
async fn a_job_waits_for_its_time_and_can_be_cancelled_before_and_during() {
    let place = Place::new().await;
    let mut a = listening(&place, "a").await;
    let mut later = method("*", json!({}));
    later["startTime"] = json!("2099-01-01T00:00:00");
    assert_eq!(order(&place, "later", later).await["status"], "scheduled");
    let (status, cancelled) = place.rest(Method::POST, "/jobs/v2/later/cancel", None).await;
    assert_eq!((status.as_u16(), &cancelled["status"]), (200, &json!("cancelled")));
    assert_eq!(place.rest(Method::POST, "/jobs/v2/later/cancel", None).await.0, 400);

    order(&place, "now", method("*", json!({}))).await;
    a.request().await; // it is called and does not answer
    assert_eq!(job(&place, "now").await["deviceJobStatistics"]["runningCount"], 1);
    order(&place, "behind", method("*", json!({}))).await;
    assert_eq!(job(&place, "behind").await["status"], "queued", "one runs at a time");
    place.rest(Method::POST, "/jobs/v2/now/cancel", None).await;
    assert_eq!(rows(&place, "now").await[0]["status"], "cancelled");
    let (_, id, _) = a.request().await; // of the one behind
    a.answer(&id, 200, "").await;
    until(&place, "behind", "completed").await;
}

#[tokio::test]
async fn a_job_whose_time_runs_out_fails_and_says_which_devices_were_left() {
    let place = Place::new().await;
    let mut a = listening(&place, "a").await;
    let mut short = method("*", json!({"responseTimeoutInSeconds": 30}));
    short["maxExecutionTimeInSeconds"] = json!("1");
    order(&place, "short", short).await;
    a.request().await;
    let job = until(&place, "short", "failed").await;
    assert!(job["failureReason"].as_str().unwrap().contains("1 seconds were over"), "{job}");
    assert_eq!(rows(&place, "short").await[0]["status"], "failed");
}

#[tokio::test]
async fn jobs_that_could_not_be_carried_out_are_refused_at_once() {
    let place = Place::new().await;
    let twin =
        |update: Value| json!({"type": "scheduleUpdateTwin", "updateTwin": update, "queryCondition": "*"});
    for (job, says) in [
        (json!({}), "type is scheduleDeviceMethod or scheduleUpdateTwin"),
        (json!({"type": "scheduleDeviceMethod", "queryCondition": "*"}), "cloudToDeviceMethod is missing"),
        (method("", json!({})), "queryCondition is missing"),
        (method("tags.a =", json!({})), "the query, at character 9: wanted a value"),
        (method("*", json!({"responseTimeoutInSeconds": 1})), "must be within [5; 300]"),
        (twin(json!({"tags": {}})), "only * is accepted"),
        (twin(json!({"etag": "*", "tags": {"a.b": 1}})), "tags"),
    ] {
        let response = place.send(Method::PUT, "/jobs/v2/j", Some(job), &[]).await;
        assert_eq!(response.status(), 400, "{says}");
        let text = response.text().await.unwrap();
        assert!(text.contains("ErrorCode:ArgumentInvalid;") && text.contains(says), "{text}");
    }
    assert_eq!(place.rest(Method::PUT, "/jobs/v2/a%20b", Some(method("*", json!({})))).await.0, 400);
}

#[tokio::test]
async fn a_hub_that_comes_back_goes_on_and_calls_nobody_twice() {
    let place = Place::new().await;
    let mut a = listening(&place, "a").await;
    order(&place, "j", method("*", json!({"connectTimeoutInSeconds": 300, "responseTimeoutInSeconds": 300})))
        .await;
    a.request().await;
    let behind = json!({"etag": "*", "tags": {"done": true}});
    order(
        &place,
        "behind",
        json!({"type": "scheduleUpdateTwin", "updateTwin": behind, "queryCondition": "*"}),
    )
    .await;
    let place = place.restart().await;
    let job = until(&place, "j", "completed").await;
    assert_eq!(job["deviceJobStatistics"]["failedCount"], 1);
    let row = rows(&place, "j").await.remove(0);
    assert!(row["error"]["description"].as_str().unwrap().contains("the hub ended during the call"), "{row}");
    until(&place, "behind", "completed").await;
    let (_, twin) = place.rest(Method::GET, "/twins/a", None).await;
    assert_eq!(twin["tags"], json!({"done": true}));
}
