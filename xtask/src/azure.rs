//! The official Azure libraries, unmodified, as both ends of ours.
//!
//! Five meetings: both libraries of either language against the local hub; plain MQTT clients against it; the service
//! library against our device; the device library driven by our operator's tool. They are installed from their package
//! indexes into `target/azure-sdk`, `target/azure-sdk-node` and, as they were in 2018, `target/azure-sdk-node-2018`, pinned.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    stand::{DEVICE, Options, Stand, make_image, sha256},
    tools::{capture, require, root, run, target},
};

/// The device library knows no other port than 8883, so its hub has an address of its own.
const ADDRESS: &str = "127.0.0.2";

/// Runs all meetings.
pub(crate) fn check() -> Result<()> {
    let scripts = root().join("host/localhub/tests/sdk");
    let python = environment(&scripts.join("requirements.txt"))?;
    println!("-- both libraries against the local hub");
    run(Command::new(&python)
        .arg(scripts.join("service_and_device.py"))
        .arg(target().join("debug/hotshoe-localhub"))
        .arg(ADDRESS))?;
    run(Command::new(&python)
        .arg(scripts.join("configurations.py"))
        .arg(target().join("debug/hotshoe-localhub"))
        .arg(ADDRESS))?;
    println!("-- both libraries of Node against the local hub");
    node_against_the_hub(&scripts).context("the libraries of Node against the local hub")?;
    println!("-- plain MQTT clients against the local hub");
    run(Command::new(&python)
        .arg(scripts.join("plain_mqtt.py"))
        .arg(target().join("debug/hotshoe-localhub"))
        .arg(ADDRESS))?;
    println!("-- the service library against our device");
    service_against_our_device(&python, &scripts).context("the service library against our device")?;
    println!("-- the device library driven by our tool");
    device_under_our_tool(&python, &scripts).context("the device library driven by our tool")
}

/// The service library of Node knows no other port than 443.
fn node_against_the_hub(scripts: &Path) -> Result<()> {
    if std::net::TcpListener::bind((ADDRESS, 443)).is_err() {
        println!("left out: port 443 cannot be had");
        return Ok(());
    }
    let modules = node_modules(scripts)?;
    let modules_of_2018 = node_modules_in(&scripts.join("node-2018"), "azure-sdk-node-2018")?;
    let folder = tempfile::tempdir()?;
    let stand = Stand::start(
        folder.path(),
        &Options { address: Some(ADDRESS), https_port: Some("443"), ..Options::default() },
    )?;
    let node = |script: &str, modules: &Path| {
        let mut command = Command::new("node");
        command.arg("--no-deprecation").arg(scripts.join(script)).arg(stand.owner());
        command.env("NODE_PATH", modules).env("NODE_EXTRA_CA_CERTS", stand.certificate());
        command
    };
    run(node("service_and_device.js", &modules).arg(stand.certificate()).arg(ADDRESS))?;
    run(&mut node("configurations.js", &modules))?;
    run(node("node-2018/service_and_device.js", &modules_of_2018).arg(ADDRESS))
}

/// The tutorial's service app updates a device of ours, restart included.
fn service_against_our_device(python: &Path, scripts: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut stand = Stand::start(folder.path(), &Options { slot_mib: 8, ..Options::default() })?;
    stand.start_device()?;
    stand.await_device()?;
    let image = folder.path().join("images/azure.img");
    make_image(&image, 8)?;
    let payload = json!({
        "fwPackageUri": stand.image_url("azure.img"),
        "digest": format!("sha256:{}", sha256(&image)?),
        "version": "azure",
    });
    let lines = capture(
        Command::new(python)
            .arg(scripts.join("service_app.py"))
            .arg(stand.owner())
            .arg(stand.certificate())
            .arg(DEVICE)
            .arg(payload.to_string()),
    )
    .with_context(|| stand.device_log())?;
    print!("{lines}");
    let answer: Value = serde_json::from_str(lines.lines().next().unwrap_or_default())?;
    ensure!(
        answer == json!({"status": 200, "payload": {"Response": "Firmware update started"}}),
        "the device answered {answer}"
    );
    ensure!(fs::read(stand.slot("b"))? == fs::read(&image)?, "slot b does not hold the image");
    Ok(())
}

/// Our `hotshoe` calls and updates a device made with the library.
fn device_under_our_tool(python: &Path, scripts: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let stand = Stand::start(folder.path(), &Options { address: Some(ADDRESS), ..Options::default() })?;
    let connection = folder.path().join("sdk-device");
    run(stand.hotshoe().args(["device", "create", "sdk-device"]).stdout(Stdio::null()))?;
    fs::write(&connection, capture(stand.hotshoe().args(["device", "connection-string", "sdk-device"]))?)?;
    let mut device = Command::new(python)
        .arg(scripts.join("device.py"))
        .arg(&connection)
        .arg(stand.certificate())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(device.stdout.take().context("device.py has no output")?).lines();
    ensure!(lines.next().transpose()?.as_deref() == Some("ready"), "device.py did not connect");

    let answer = capture(stand.hotshoe().args([
        "--json",
        "method",
        "invoke",
        "sdk-device",
        "echo",
        r#"{"a":[1,"ü"]}"#,
    ]))?;
    let answer: Value = serde_json::from_str(&answer)?;
    ensure!(answer == json!({"status": 200, "payload": {"a": [1, "ü"]}}), "echo answered {answer}");
    run(stand
        .hotshoe()
        .args(["twin", "patch", "sdk-device", "--desired", r#"{"interval":5}"#])
        .stdout(Stdio::null()))?;
    run(stand.hotshoe().args([
        "firmware",
        "update",
        "sdk-device",
        "https://example.com/fw",
        "--timeout",
        "60",
    ]))?;

    drop(device.stdin.take());
    let seen: Vec<Value> =
        lines.map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok()).collect();
    ensure!(device.wait()?.success(), "device.py failed");
    let patch = seen.iter().find_map(|line| line.pointer("/desired/interval"));
    ensure!(patch == Some(&json!(5)), "the desired patch did not reach the device: {seen:?}");
    Ok(())
}

/// A Python environment with the requirements installed; made anew when they change.
pub(crate) fn environment(requirements: &Path) -> Result<PathBuf> {
    require("python3", "python3 python3-venv")?;
    let folder = target().join("azure-sdk");
    let python = folder.join("bin/python");
    let stamp = folder.join("requirements.txt");
    let wanted =
        fs::read(requirements).with_context(|| format!("could not read {}", requirements.display()))?;
    if fs::read(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))
        .context("python3 cannot make an environment: apt-get install python3-venv")?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(requirements))?;
    fs::write(stamp, wanted)?;
    Ok(python)
}

/// The Node libraries of today, installed as their lock file has them.
pub(crate) fn node_modules(scripts: &Path) -> Result<PathBuf> {
    node_modules_in(scripts, "azure-sdk-node")
}

/// The libraries of a lock file, installed in that folder of `target`; made anew when it changes.
fn node_modules_in(scripts: &Path, folder: &str) -> Result<PathBuf> {
    require("npm", "nodejs npm")?;
    let folder = target().join(folder);
    let (modules, stamp) = (folder.join("node_modules"), folder.join("installed"));
    let lock = scripts.join("package-lock.json");
    let wanted = fs::read(&lock).with_context(|| format!("could not read {}", lock.display()))?;
    if fs::read(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(modules);
    }
    fs::create_dir_all(&folder)?;
    for file in ["package.json", "package-lock.json"] {
        fs::copy(scripts.join(file), folder.join(file))?;
    }
    let mut npm = Command::new("npm");
    run(npm.current_dir(&folder).args([
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ]))?;
    fs::write(stamp, wanted)?;
    Ok(modules)
}
