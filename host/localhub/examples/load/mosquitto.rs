//! The same beside mosquitto: idle TLS connections, and a request and its answer at quality of service 0.
//!
//! A round trip here is a publish to a device and the device's publish back: what a direct method is, less HTTP,
//! tokens, and anybody who looks after time-outs.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::device::{Device, Login, answer_all, connect_all};
use crate::figures::Latencies;
use crate::process::Process;
use crate::{Arguments, tls};

fn login(client: String, filter: String) -> Login {
    Login { user: client.clone(), password: "none".into(), client, filter }
}

pub(crate) async fn measure(program: &Path, arguments: &Arguments, tell: &mut impl FnMut(&str, f64, &str)) {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(file("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(file("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = format!(
        "listener {port} 127.0.0.1\ncertfile {0}/cert.pem\nkeyfile {0}/key.pem\nallow_anonymous true\n\
         set_tcp_nodelay true\nuser root\nlog_type none\n",
        directory.path().display()
    );
    std::fs::write(file("mosquitto.conf"), text).unwrap();
    let broker = Process::spawn(program, &["-c", file("mosquitto.conf").to_str().unwrap()]);
    let tls = tls::client(&file("cert.pem"));
    let first = login("first".into(), "nothing".into());
    while Device::connect(Ipv4Addr::LOCALHOST, &tls, port, &first).await.is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let before = broker.memory();
    let began = Instant::now();
    let logins =
        (0..arguments.devices).map(|number| login(format!("device-{number}"), format!("request/{number}/#")));
    let devices = connect_all(&tls, port, logins, arguments.opening).await;
    let rate = arguments.devices as f64 / began.elapsed().as_secs_f64();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let per_device = (broker.memory() - before) as f64 / 1024.0 / arguments.devices as f64;
    tell("mosquitto: connections opened", rate, "/s");
    tell("mosquitto: memory for each idle device", per_device, "KiB");

    let _answering = answer_all(devices);
    let until = Instant::now() + Duration::from_secs(arguments.seconds);
    let cpu = broker.cpu();
    let callers: Vec<_> = (0..arguments.callers)
        .map(|number| {
            let (tls, devices, step) = (Arc::clone(&tls), arguments.devices, arguments.callers);
            tokio::spawn(async move {
                let login = login(format!("caller-{number}"), format!("answer/+/{number}"));
                let mut caller = Device::connect(Ipv4Addr::LOCALHOST, &tls, port, &login).await.unwrap();
                let (mut latencies, mut next) = (Latencies::default(), number);
                while Instant::now() < until {
                    let began = Instant::now();
                    let topic = format!("request/{}/{number}", next % devices);
                    caller.publish(&topic, br#"{"hello":"there"}"#).await.unwrap();
                    caller.message().await.unwrap();
                    latencies.push(began.elapsed());
                    next += step;
                }
                latencies
            })
        })
        .collect();
    let mut all = Latencies::default();
    for caller in callers {
        all.extend(caller.await.unwrap());
    }
    tell("mosquitto: round trips", all.len() as f64 / arguments.seconds as f64, "/s");
    tell("mosquitto: round trips, p50", all.at(0.5), "ms");
    tell("mosquitto: round trips, p99", all.at(0.99), "ms");
    let each = (broker.cpu() - cpu) * 1e6 / all.len() as f64;
    tell("mosquitto: processor time for each", each, "us");
}
