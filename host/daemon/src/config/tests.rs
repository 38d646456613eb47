use std::fs;
use std::path::Path;

use super::*;

const DEVICE: &str = "HostName=hub.example;DeviceId=dev-1;SharedAccessKey=c2VjcmV0LWtleQ==";
const SECRET: &str = "c2VjcmV0LWtleQ==";

/// A configuration in a directory of its own, with the files that it names.
fn load(text: &str) -> Result<Config, ConfigError> {
    load_with(text, &Surroundings::default()).1
}

fn load_with(text: &str, surroundings: &Surroundings) -> (tempfile::TempDir, Result<Config, ConfigError>) {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    let root = rcgen::generate_simple_self_signed(["hub.example".to_owned()]).unwrap();
    write("device.toml", text);
    write("connection", &format!("{DEVICE}\n"));
    write("boot-id", "8f2a\n");
    write("ca.pem", &root.cert.pem());
    write("key", &format!("{SECRET}\n"));
    write("key.pem", &root.signing_key.serialize_pem());
    write("policy.toml", "[firmware]\nunsigned = \"digest\"\n");
    write("root.json", include_str!("../../tests/data/root.json"));
    write(
        "forged.json",
        &include_str!("../../tests/data/root.json").replace("\"version\": 1", "\"version\": 2"),
    );
    write("typo.toml", "[firmware]\nunsinged = \"digest\"\n");
    let loaded = Config::load(&directory.path().join("device.toml"), surroundings);
    (directory, loaded)
}

fn device(config: &Config) -> Option<&str> {
    match &config.hub.source {
        HubSource::Connection(connection) => connection.device.as_deref(),
        HubSource::Provisioning(_) => None,
    }
}

fn problems(text: &str) -> String {
    load(text).unwrap_err().to_string()
}

const SMALLEST: &str = r#"
state = "state"
boot_id_file = "boot-id"
[hub]
connection_string_file = "connection"
ca_file = "ca.pem"
"#;

#[test]
fn the_smallest_configuration_has_safe_defaults() {
    let (directory, config) = load_with(SMALLEST, &Surroundings::default());
    let config = config.unwrap();
    assert_eq!(config.state, directory.path().join("state"));
    assert!(!config.state.exists(), "nothing is made yet");
    assert_eq!(config.boot_id, "8f2a");
    assert_eq!(config.policy, Policy::default(), "everything is denied");
    assert_eq!(device(&config), Some("dev-1"));
    assert_eq!((config.hub.keep_alive.as_secs(), config.hub.token_lifetime.as_secs()), (60, 3600));
    assert_eq!(config.download.limit, 1 << 30);
    assert!(config.flash.is_none() && config.restart.is_empty() && config.plugins.is_empty());
}

#[test]
fn everything_can_be_set() {
    let text = r#"
state = "/var/lib/hotshoe"
policy = "policy.toml"
aot = "bin/hotshoe-aot"
boot_id_file = "boot-id"
[hub]
connection_string_file = "connection"
ca_file = "ca.pem"
transport = "websocket"
port = 8443
certificate_file = "ca.pem"
private_key_file = "key.pem"
keep_alive = "30s"
token_lifetime = "10m"
[download]
limit = "64MiB"
ca_file = "ca.pem"
stall_timeout = "5s"
backoff = "100ms"
retries = 3
[flash]
directory = "flash"
boot_control = "file"
[[flash.slots]]
name = "a"
file = "slot-a.img"
size = "128MiB"
[[flash.slots]]
name = "b"
file = "slot-b.img"
size = "128MiB"
[restart]
command = ["systemctl", "reboot"]
[admin]
socket = "/run/hotshoe/admin.sock"
mode = "0660"
group = "root"
[[plugins]]
file = "plugins/one.wasm"
settings = { dialects = ["python"] }
[[plugins]]
file = "/plugins/two.wasm"
"#;
    let (directory, config) = load_with(text, &Surroundings::default());
    let config = config.unwrap();
    assert_eq!(config.state, Path::new("/var/lib/hotshoe"));
    assert_eq!(config.aot, directory.path().join("bin/hotshoe-aot"));
    assert_eq!(config.policy.firmware.unsigned, hotshoe_core::policy::Unsigned::Digest);
    assert!(config.hub.web_socket && config.hub.certificate.is_some());
    assert_eq!(config.hub.port, Some(8443));
    let flash = config.flash.unwrap();
    let slot = SlotEntry { name: "b".into(), place: PlaceEntry::File("slot-b.img".into()), size: 128 << 20 };
    assert_eq!(flash.slots[1], GroupEntry { name: "b".into(), parts: vec![slot] });
    assert_eq!((flash.boot, flash.running), (BootEntry::File, None));
    assert_eq!(config.restart, ["systemctl", "reboot"]);
    assert_eq!(config.admin.directory, Path::new("/run/hotshoe"));
    assert_eq!((config.admin.socket.mode, config.admin.socket.group), (0o660, Some(0)));
    assert_eq!(config.plugins[0].file, directory.path().join("plugins/one.wasm"));
    assert_eq!(config.plugins[0].settings, serde_json::json!({ "dialects": ["python"] }));
    assert_eq!(config.plugins[1].settings, serde_json::json!({}));
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
    let text = problems(&SMALLEST.replace("ca_file", "ca_fil"));
    for word in ["line 6", "`ca_fil`", "`ca_file`"] {
        assert!(text.contains(word), "{text}");
    }
    let text = problems(&format!("{SMALLEST}transport = \"mqqt\"\n"));
    assert!(text.contains("`mqqt`") && text.contains("`mqtt`"), "{text}");
}

#[test]
fn all_that_is_wrong_is_listed_at_once() {
    let text = r#"
state = "state"
policy = "typo.toml"
boot_id_file = "nowhere"
[hub]
connection_string_file = "ca.pem"
ca_file = "policy.toml"
certificate_file = "ca.pem"
keep_alive = "1h"
port = 0
[download]
limit = "0B"
[flash]
directory = "flash"
[[flash.slots]]
name = "a/b"
file = "slot"
size = "1MiB"
[restart]
command = [""]
[admin]
mode = "0777"
[[plugins]]
file = "one.wasm"
[[plugins]]
file = "one.wasm"
"#;
    let text = problems(text);
    for word in [
        "`unsinged`",
        "boot_id_file",
        "connection_string_file",
        "[hub] ca_file",
        "private_key_file",
        "keep_alive",
        "port",
        "at least two slots",
        "\"a/b\"",
        "[restart] command",
        "[admin] mode",
        "twice",
    ] {
        assert!(text.contains(word), "{word} is missing in {text}");
    }
}

const REPOSITORY: &str = r#"
[[repositories]]
name = "main"
root_file = "root.json"
metadata = "https://updates.example/metadata/"
targets = "https://updates.example/targets/"
"#;

#[test]
fn signed_repositories_and_what_the_device_is() {
    let config = load(&format!("hardware = [\"acme-gateway-2\"]\n{SMALLEST}{REPOSITORY}")).unwrap();
    assert_eq!(config.hardware, ["acme-gateway-2"]);
    let repository = &config.repositories[0];
    assert_eq!((config.repositories.len(), repository.name.as_str()), (1, "main"));
    assert_eq!(repository.targets.as_str(), "https://updates.example/targets/");
    assert!(repository.root.starts_with(b"{"));
    assert!(repository.mirrors.is_empty() && repository.directories.is_empty());
    assert!(load(SMALLEST).unwrap().repositories.is_empty());
}

#[test]
fn further_places_of_a_repository() {
    let places =
        "mirrors = [\"https://mirror.example/t\"]\ndirectories = [\"/media/usb/targets\", \"copies\"]\n";
    let (folder, config) = load_with(&format!("{SMALLEST}{REPOSITORY}{places}"), &Surroundings::default());
    let repository = &config.unwrap().repositories[0];
    assert_eq!(repository.mirrors[0].as_str(), "https://mirror.example/t");
    // Neither is there, and that is no fault of the configuration.
    assert_eq!(repository.directories, [Path::new("/media/usb/targets"), &folder.path().join("copies")]);
    let many = format!("directories = [{}]\n", "\"a\", ".repeat(17));
    for (places, told) in [
        ("mirrors = [\"http://mirror.example/\"]\n", "mirrors: http://"),
        ("mirrors = [\"https://a:b@mirror.example/\"]\n", "without user"),
        (many.as_str(), "directories: 17 are listed, and 16 are the most"),
        ("directory = \"copies\"\n", "did you mean `directories`?"),
    ] {
        let text = problems(&format!("{SMALLEST}{REPOSITORY}{places}"));
        assert!(text.contains(told), "{places}: {text}");
    }
}

#[test]
fn what_is_wrong_with_a_repository_is_told() {
    for (from, to, told) in [
        ("\"main\"", "\"Main\"", "a-z, 0-9 and dashes"),
        ("root.json", "nowhere.json", "nowhere.json cannot be read"),
        ("root.json", "policy.toml", "does not read"),
        ("root.json", "forged.json", "wrong keys"),
        ("https://updates.example/metadata/", "http://updates.example/metadata/", "metadata: http://"),
        ("https://updates.example/targets/", "https://a:b@updates.example/targets/", "without user"),
        ("https://updates.example/targets/", "https://updates.example/targets/?a=b", "targets: https://"),
        ("https://updates.example/targets/", "updates", "relative URL without a base"),
        ("root_file", "root_fil", "did you mean `root_file`?"),
    ] {
        let text = problems(&format!("{SMALLEST}{}", REPOSITORY.replace(from, to)));
        assert!(text.contains(told), "{to}: {text}");
    }
    let text = problems(&format!("hardware = [\"a b\"]\n{SMALLEST}{REPOSITORY}{REPOSITORY}"));
    for told in
        ["`a b` is not an id", "another repository has this name", "another repository has these targets"]
    {
        assert!(text.contains(told), "{text}");
    }
}

#[test]
fn the_connection_string_comes_from_file_or_environment_and_is_never_shown() {
    let without = SMALLEST.replace("connection_string_file = \"connection\"\n", "");
    let text = problems(&without);
    assert!(text.contains(CONNECTION_STRING_VARIABLE), "{text}");

    let environment =
        |text: &str| Surroundings { connection_string: Some(text.to_owned()), program_directory: None };
    let config = load_with(&without, &environment(&DEVICE.replace("dev-1", "dev-2"))).1.unwrap();
    assert_eq!(device(&config), Some("dev-2"));
    assert!(!format!("{config:?}").contains(SECRET));
    let config = load_with(SMALLEST, &environment(&DEVICE.replace("dev-1", "dev-2"))).1.unwrap();
    assert_eq!(device(&config), Some("dev-2"), "the environment comes first");

    for wrong in [
        format!("HostName=hub.example;SharedAccessKeyName=owner;SharedAccessKey={SECRET}"),
        format!("HostName=hub.example;DeviceId=d;SharedAccesKey={SECRET}"),
        SECRET.to_owned(),
        format!("HostName=;DeviceId=d;SharedAccessKey={SECRET}"),
    ] {
        let text = load_with(&without, &environment(&wrong)).1.unwrap_err().to_string();
        assert!(!text.contains(SECRET), "{text}");
    }
}

#[test]
fn x509_needs_its_certificate() {
    let x509 = Surroundings {
        connection_string: Some("HostName=hub.example;DeviceId=dev-1;x509=true".to_owned()),
        program_directory: Some("/opt/hotshoe".into()),
    };
    let error = load_with(SMALLEST, &x509).1.unwrap_err().to_string();
    assert!(error.contains("certificate_file"), "{error}");
    let text = format!("{SMALLEST}certificate_file = \"ca.pem\"\nprivate_key_file = \"key.pem\"\n");
    let config = load_with(&text, &x509).1.unwrap();
    assert_eq!(config.aot, Path::new("/opt/hotshoe/hotshoe-aot"));
}

#[test]
fn what_is_no_file_or_no_toml_is_said() {
    let missing = Config::load(Path::new("/nowhere/device.toml"), &Surroundings::default()).unwrap_err();
    assert!(missing.to_string().contains("/nowhere/device.toml"), "{missing}");
    for text in ["", "state", "state = 1", "[[", "\u{0}"] {
        assert!(load(text).is_err(), "{text:?}");
    }
}

#[test]
fn examples_and_their_policy_are_read() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/device");
    let read = |name: &str| fs::read_to_string(examples.join(name)).unwrap();
    let device: file::File = hotshoe_core::strict::from_toml(&read("device.toml")).unwrap();
    assert_eq!(device.plugins.len(), 2);
    let policy = hotshoe_core::policy::parse(&read("policy.toml")).unwrap();
    assert_eq!(policy.firmware.unsigned, hotshoe_core::policy::Unsigned::Deny);
}

/// `hotshoe repo add` names an image `images/FILE`; under `unsigned = "deny"` no other URL is ever taken.
#[test]
fn the_policies_that_are_shown_grant_the_images_of_the_repository_beside_them() {
    let guide = include_str!("../../../../docs/operations.md");
    let block = |first: &str| {
        let (_, rest) = guide.split_once(&format!("```toml\n# {first}")).unwrap();
        format!("#{}", rest.split_once("```").unwrap().0)
    };
    let pairs = [
        (
            include_str!("../../../../examples/device/device.toml").to_owned(),
            include_str!("../../../../examples/device/policy.toml").to_owned(),
        ),
        (block("device.toml"), block("policy.toml")),
    ];
    let plugin = include_str!("../../../../plugins/firmware-update/plugin.toml");
    let plugin = hotshoe_core::manifest::parse(plugin).unwrap();
    for (device, policy) in pairs {
        let device: file::File = hotshoe_core::strict::from_toml(&device).unwrap();
        let policy = hotshoe_core::policy::parse(&policy).unwrap();
        let (grants, denials) = hotshoe_core::grants::grant(&plugin, &policy);
        assert!(denials.is_empty(), "{denials:?}");
        for repository in device.repositories {
            let image = repository.targets.join("images/fw-2.0.0.img").unwrap();
            grants.allows_url(&image).unwrap();
        }
    }
}

#[test]
fn the_examples_of_boot_loaders_can_be_used() {
    let examples = [
        (include_str!("../../../../examples/device/u-boot/device-flash.toml"), 2),
        (include_str!("../../../../examples/device/grub/device-flash.toml"), 1),
        (include_str!("../../../../examples/device/systemd-boot/device-flash.toml"), 1),
    ];
    for (example, parts) in examples {
        let flash = load(&format!("{SMALLEST}{example}")).unwrap().flash.unwrap();
        assert_eq!((flash.slots.len(), flash.slots[1].parts.len()), (2, parts), "{example}");
        assert_ne!(flash.boot, BootEntry::File);
    }
}

#[test]
fn a_device_may_ask_the_provisioning_service_for_its_hub() {
    let table = |more: &str| {
        let without = SMALLEST.replace("connection_string_file = \"connection\"\n", "");
        format!("{without}[hub.provisioning]\nid_scope = \"0ne1\"\nregistration_id = \"camera-1\"\n{more}")
    };
    let key = |text: &str| match load(text).unwrap().hub.source {
        HubSource::Provisioning(ProvisioningConfig { key: ProvisioningKey::Symmetric(key), .. }) => key,
        other => panic!("{other:?}"),
    };
    assert_eq!(key(&table("key_file = \"key\"\n")).expose(), SECRET);
    let derived = key(&table("group_key_file = \"key\"\n"));
    assert_eq!(derived.expose(), hotshoe_core::sas::derived_key(SECRET, "camera-1").unwrap());
    let with_certificate = table("").replace(
        "[hub.provisioning]",
        "certificate_file = \"ca.pem\"\nprivate_key_file = \"key.pem\"\n[hub.provisioning]",
    );
    let source = load(&with_certificate).unwrap().hub.source;
    assert!(
        matches!(source, HubSource::Provisioning(config) if matches!(config.key, ProvisioningKey::Certificate))
    );

    for (text, said) in [
        (table(""), "set key_file, group_key_file, or certificate_file"),
        (table("key_file = \"key\"\ngroup_key_file = \"key\"\n"), "exclude each other"),
        (table("key_file = \"policy.toml\"\n"), "the shared access key is not base64"),
        (table("key_file = \"key\"\n").replace("0ne1", "0ne/1"), "id_scope"),
        (table("key_file = \"key\"\n").replace("camera-1", "camera 1"), "registration_id"),
        (
            table("key_file = \"key\"\n").replace("[hub]", "[hub]\nconnection_string_file = \"connection\""),
            "exclude",
        ),
    ] {
        let told = problems(&text);
        assert!(told.contains(said) && !told.contains(SECRET), "{told}");
    }
    let surroundings = Surroundings { connection_string: Some(DEVICE.to_owned()), program_directory: None };
    let config = load_with(&table(""), &surroundings).1.unwrap();
    assert_eq!(device(&config), Some("dev-1"), "the environment comes first");
}
