use crate::{manifest, policy};

use super::*;

fn decide(manifest: &str, policy: &str) -> (Grants, Vec<String>) {
    let head = "name = \"acme.pump\"\nversion = \"1.0.0\"\napi = \"hotshoe:plugin@0.1.0\"\n";
    let manifest = manifest::parse(&format!("{head}{manifest}")).unwrap();
    let (grants, denials) = grant(&manifest, &policy::parse(policy).unwrap());
    (grants, denials.iter().map(Denial::to_string).collect())
}

const ALL: &str = r#"
[grants]
download = ["https://*:*/"]
flash = true
restart = true
storage = "64KiB"
telemetry = true
"#;

#[test]
fn without_a_policy_there_is_nothing() {
    let (grants, denials) = decide(ALL, "");
    assert_eq!(grants, Grants::default());
    assert_eq!(
        denials,
        [
            "acme.pump asks for download of https://*:*/; policy for acme.pump grants nothing",
            "acme.pump asks for flash; policy for acme.pump grants nothing",
            "acme.pump asks for restart; policy for acme.pump grants nothing",
            "acme.pump asks for telemetry; policy for acme.pump grants nothing",
            "acme.pump asks for storage of 64KiB; policy for acme.pump grants nothing",
        ]
    );
}

#[test]
fn what_is_not_asked_for_is_not_granted() {
    let policy = r#"plugins."acme.pump" = { download = ["https://*:*/"], flash = true, restart = true, storage = "1GiB", telemetry = true }"#;
    let (grants, denials) = decide("", policy);
    assert_eq!(grants, Grants::default());
    assert_eq!(denials, Vec::<String>::new());
    let (grants, denials) = decide(ALL, policy);
    assert!(grants.flash && grants.restart && grants.telemetry);
    assert_eq!(grants.storage, 65_536);
    assert_eq!(denials, Vec::<String>::new());
}

#[test]
fn a_wide_wish_is_narrowed() {
    let (grants, denials) = decide(
        ALL,
        r#"plugins."*" = { download = ["https://localhost:*/images/", "https://cdn.example.com/"] }"#,
    );
    let shown: Vec<String> = grants.download.iter().map(UrlPattern::to_string).collect();
    assert_eq!(shown, ["https://localhost:*/images/", "https://cdn.example.com/"]);
    assert_eq!(
        denials[0],
        "acme.pump asks for flash; policy for acme.pump grants download of https://localhost:*/images/, https://cdn.example.com/ only"
    );
}

#[test]
fn its_own_table_holds_whole() {
    let policy = "[plugins.\"*\"]\nflash = true\n[plugins.\"acme.pump\"]\nrestart = true\nstorage = \"1KiB\"";
    let (grants, denials) = decide(ALL, policy);
    assert!(!grants.flash && grants.restart);
    assert_eq!(grants.storage, 1024);
    assert!(denials.contains(
        &"acme.pump asks for storage of 64KiB; policy for acme.pump grants restart and storage of 1KiB only".to_owned()
    ));
}

#[test]
fn a_refused_url_says_why_and_shows_no_secret() {
    let (grants, _) = decide(ALL, r#"plugins."*".download = ["https://cdn.example.com/images/"]"#);
    let told = |url: &str| grants.allows_url(&Url::parse(url).unwrap());
    assert_eq!(told("https://cdn.example.com/images/a.img?sig=secret"), Ok(()));
    assert_eq!(
        told("https://evil.net/a.img?sig=secret#more").unwrap_err(),
        "https://evil.net/a.img is not within what download is granted for: https://cdn.example.com/images/"
    );
    assert!(told("http://cdn.example.com/images/a.img").unwrap_err().ends_with("only https is"));
    let named = told("https://me:secret@cdn.example.com/images/a.img").unwrap_err();
    assert!(named.ends_with("a URL with a user name never is") && !named.contains("secret"), "{named}");
    let none = Grants::default().allows_url(&Url::parse("https://cdn.example.com/").unwrap()).unwrap_err();
    assert!(none.ends_with("no download is granted"));
}

#[test]
fn what_is_wider_is_told_and_can_be_cut_off() {
    let grants = |text: &str| -> Grants { serde_json::from_str(text).unwrap() };
    let narrow = grants(r#"{"download": ["https://a.example.com/images/"], "storage": 1024}"#);
    let wide = grants(r#"{"download": ["https://*.example.com/"], "flash": true, "storage": 2048}"#);
    assert_eq!(
        wide.beyond(&narrow),
        ["download of https://*.example.com/", "flash", "storage of 2KiB"],
        "a wider pattern is told"
    );
    assert_eq!(narrow.beyond(&wide), Vec::<String>::new(), "one that another covers is not");
    assert_eq!(wide.within(&narrow), narrow);
    assert_eq!(narrow.within(&wide), narrow);
    assert_eq!(narrow.within(&Grants::default()), Grants::default());
    let text = serde_json::to_string(&wide).unwrap();
    assert_eq!(grants(&text), wide, "survives its file");
}

#[test]
fn a_host_that_is_not_public_is_granted_by_its_name_alone() {
    let hosts = [
        "localhost",
        "a.localhost",
        "127.0.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "[::1]",
        "[::ffff:10.0.0.1]",
    ];
    let ways = ["localhost.", "2852039166", "0xa9.0376.169.254", "0177.1", "192.168.1"];
    let url = |host: &str| Url::parse(&format!("https://{host}:8443/x")).unwrap();
    let wide = decide(ALL, r#"plugins."*" = { download = ["https://*:*/"] }"#).0;
    wide.allows_url(&url("example.com")).unwrap();
    wide.allows_url(&url("8.8.8.8")).unwrap();
    for host in hosts.into_iter().chain(ways) {
        let why = wide.allows_url(&url(host)).unwrap_err();
        assert!(why.contains("only by its name"), "{why}");
    }
    for host in hosts {
        let named = decide(ALL, &format!(r#"plugins."*" = {{ download = ["https://{host}:*/"] }}"#)).0;
        named.allows_url(&url(host)).unwrap();
        // A wish for it gets nothing out of a policy that does not name it.
        let wish = ALL.replace("https://*:*/", &format!("https://{host}:*/"));
        assert_ne!(wish, ALL);
        let (grants, denials) = decide(&wish, r#"plugins."*" = { download = ["https://*:*/"] }"#);
        assert!(grants.download.is_empty(), "{host}");
        assert!(denials[0].contains("asks for download of"), "{denials:?}");
    }
}
