//! The language over rows that are plain values: what is found, what is refused, and in which words.

use serde_json::{Value, json};

use super::table::Table;
use super::*;

fn table() -> Vec<Value> {
    vec![
        json!({"deviceId": "a", "status": "enabled", "tags": {"site": "x", "floor": 3, "on": true, "1st": 1, "a.b": 1},
            "properties": {"reported": {"v": 1.5}}, "configurations": {"fw-2": {"status": "Applied"}}}),
        json!({"deviceId": "b", "status": "disabled", "tags": {"site": "y", "floor": -2, "list": [1, 2]}}),
        json!({"deviceId": "c", "status": "enabled", "tags": {"site": 7, "floor": "3", "null": null}}),
        json!({"deviceId": "d", "status": "enabled"}),
    ]
}

fn run(text: &str) -> Value {
    let page = Page { size: 1000, continuation: None };
    let found =
        parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}")).run(&Table(&table()), &page).unwrap();
    assert_eq!(found.continuation, None);
    serde_json::from_str(&found.body).unwrap()
}

fn ids(condition: &str) -> String {
    let found = run(&format!("SELECT * FROM devices WHERE {condition}"));
    found.as_array().unwrap().iter().map(|row| row["deviceId"].as_str().unwrap()).collect()
}

#[test]
fn conditions_find_what_they_say() {
    for (condition, found) in [
        ("tags.site = 'x'", "a"),
        ("devices.tags.site = \"x\"", "a"),
        ("tags.site != 'x'", "bc"), // d has no such tag: undefined, not unequal
        ("tags.site <> 'x'", "bc"),
        ("NOT tags.site = 'x'", "bc"),
        ("tags.Site = 'x'", ""),
        ("DeviceId >= 'b' aNd StAtUs = 'enabled'", "cd"),
        ("is_defined(tags.site)", "abc"),
        ("NOT IS_DEFINED(tags.site)", "d"),
        ("tags.floor > 2", "a"),
        ("tags.floor = -2", "b"),
        ("tags.floor < 0 OR tags.site = 7", "bc"),
        ("tags.nowhere = 1 OR deviceId = 'd'", "d"),
        ("tags.nowhere = 1 AND deviceId = 'd'", ""),
        ("NOT (tags.nowhere = 1 AND deviceId = 'z')", "abcd"),
        ("NOT NOT tags.on", "a"),
        ("tags.on", "a"),
        ("tags.on = true", "a"),
        ("tags.on = TRUE AND tags.on != false", "a"),
        ("deviceId IN ['d', 'a', 7, null]", "ad"),
        ("tags.floor IN [-2, 3]", "ab"),
        ("tags.site NIN ['x', 'y']", "c"),
        ("deviceId IN []", ""),
        ("tags.null = null", "c"),
        ("tags.list = tags.list", "b"),
        ("tags.[[1st]] = 1 and tags.[[a.b]] = 1 and [[tags]].1st = 1", "a"),
        ("configurations.[[fw-2]].status='Applied'", "a"),
        ("properties.reported.v * 2 = 3.0", "a"),
        ("1 + 2 * 3 - 4 / 2 = 5 AND (1 + 2) * 3 % 5 = 4 AND deviceId = 'a'", "a"),
        ("tags.floor - 1 = 2", "a"),
        ("-tags.floor = 2", "b"),
        ("tags.floor / 0 = 1 OR deviceId = 'b'", "b"),
        ("'x' = tags.site", "a"),
        ("STARTS_WITH(status, 'dis') OR endswith(deviceId, 'd') OR contains(tags.site, 'x')", "abd"),
        ("is_string(tags.floor)", "c"),
        ("LENGTH(UPPER(deviceId)) = 1", "abcd"),
    ] {
        assert_eq!(ids(condition), found, "{condition}");
    }
    assert_eq!(ids(&format!("deviceId = 'b' OR {}", vec!["1 = 2"; 5000].join(" OR "))), "b");
}

#[test]
fn columns_aggregates_and_groups() {
    assert_eq!(run("select top 2 * from devices").as_array().unwrap().len(), 2);
    assert_eq!(
        run("SELECT deviceId, tags.site AS place, tags.floor + 1 FROM devices WHERE tags.floor > 0"),
        json!([{"deviceId": "a", "place": "x", "$3": 4}])
    );
    assert_eq!(run("SELECT tags.site FROM devices WHERE deviceId = 'd'"), json!([{}]));
    assert_eq!(run("SELECT COUNT() AS n FROM devices"), json!([{"n": 4}]));
    assert_eq!(run("SELECT COUNT(*) FROM devices WHERE deviceId = 'z'"), json!([{"$1": 0}]));
    assert_eq!(
        run(
            "SELECT status, COUNT() AS n, SUM(tags.floor) AS s, AVG(tags.floor) AS m, MIN(tags.floor) AS l, \
             MAX(deviceId) AS g FROM devices GROUP BY status"
        ),
        json!([{"status": "disabled", "n": 1, "s": -2, "m": -2, "l": -2, "g": "b"},
            {"status": "enabled", "n": 3, "s": 3, "m": 3, "l": 3, "g": "d"}])
    );
    assert_eq!(
        run("SELECT tags.site AS site, COUNT() AS n FROM devices GROUP BY tags.site"),
        json!([{"site": "x", "n": 1}, {"site": "y", "n": 1}, {"n": 1}, {"site": 7, "n": 1}])
    );
}

#[test]
fn pages_give_every_row_once_and_no_more_than_top() {
    for (text, rows) in [
        ("SELECT * FROM devices", 4),
        ("SELECT deviceId FROM devices WHERE status = 'enabled'", 3),
        ("SELECT TOP 3 * FROM devices", 3),
        ("SELECT tags.site, COUNT() AS n FROM devices GROUP BY tags.site", 4),
        ("SELECT * FROM devices WHERE deviceId = 'z'", 0),
    ] {
        let query = parse(text).unwrap();
        for size in 1..=5 {
            let mut page = Page { size, continuation: None };
            let mut all: Vec<Value> = Vec::new();
            loop {
                let found = query.run(&Table(&table()), &page).unwrap();
                let rows: Vec<Value> = serde_json::from_str(&found.body).unwrap();
                assert!(rows.len() <= size);
                assert!(
                    found.continuation.is_none() || !rows.is_empty(),
                    "{text}: an empty page promises more"
                );
                all.extend(rows);
                page.continuation = found.continuation;
                if page.continuation.is_none() {
                    break;
                }
            }
            assert_eq!(all.len(), rows, "{text} by {size}");
            let all: BTreeSet<String> = all.iter().map(Value::to_string).collect();
            assert_eq!(all.len(), rows, "{text} by {size}");
        }
    }
}

#[test]
fn what_is_refused_names_the_place_and_what_was_wanted() {
    for (text, says) in [
        ("", "at character 1: wanted SELECT, found the end"),
        ("SELECT * devices", "at character 10: wanted FROM, found \"devices\""),
        (
            "SELECT * FROM hubs",
            "at character 15: wanted devices, devices.modules or devices.jobs, found \"hubs\"",
        ),
        ("SELECT * FROM devices ORDER BY deviceId", "at character 23: wanted WHERE, GROUP BY or the end"),
        ("SELECT * FROM devices WHERE", "at character 28: wanted a value"),
        ("SELECT * FROM devices WHERE a = 'b", "at character 33: the text in quotes does not end"),
        (
            "SELECT * FROM devices WHERE a = 1 b = 2",
            "at character 35: wanted GROUP BY or the end, found \"b\"",
        ),
        ("SELECT * FROM devices WHERE a IN ('b')", "at character 34: wanted \"[\", found \"(\""),
        (
            "SELECT * FROM devices WHERE a IN [b]",
            "at character 35: wanted a constant in the list, found \"b\"",
        ),
        (
            "SELECT * FROM devices WHERE f(a)",
            "at character 29: there is no function \"f\"; there are IS_DEFINED",
        ),
        ("SELECT * FROM devices WHERE is_defined()", "takes 1 argument(s), not 0"),
        ("SELECT * FROM devices WHERE count() > 1", "count stands after SELECT only"),
        ("SELECT TOP 0 * FROM devices", "at character 12: wanted a whole number above zero after TOP"),
        ("SELECT a, b.a FROM devices", "at character 11: there is another column \"a\""),
        ("SELECT a, COUNT() FROM devices", "column \"a\" is neither an aggregate nor named after GROUP BY"),
        ("SELECT * FROM devices GROUP BY a", "SELECT * cannot be grouped"),
        ("SELECT COUNT() FROM devices.jobs", "devices.jobs is read with SELECT * only"),
    ] {
        let fault = parse(text).unwrap_err();
        assert_eq!(fault.code(), 400_004, "{text}");
        assert!(fault.to_string().contains(says), "{text}: {fault}");
    }
}

#[test]
fn nothing_that_is_written_can_exhaust_the_stack() {
    for (open, close) in [("(", ")"), ("NOT ", ""), ("-", ""), ("LOWER(", ")"), ("NOT (", ")")] {
        let nested = |depth: usize| format!("{}a{}", open.repeat(depth), close.repeat(depth));
        assert!(condition(&nested(15)).is_ok(), "{open}");
        let fault = condition(&nested(10_000)).unwrap_err().to_string();
        assert!(fault.contains("levels stand in each other"), "{fault}");
    }
    let long = format!("a = {}1", "1 + ".repeat(20_000));
    assert!(!condition(&long).unwrap().holds(&json!({"a": 1})));
    assert!(condition(&format!("a = {}1", "1 + ".repeat(200_000))).is_err());
}

#[test]
fn a_condition_tells_which_ids_it_can_hold_for() {
    let only = |text: &str| {
        condition(text)
            .unwrap()
            .only("deviceId")
            .map(|ids| ids.into_iter().map(str::to_owned).collect::<String>())
    };
    assert_eq!(only("DEVICEID = 'a'").as_deref(), Some("a"));
    assert_eq!(only("tags.a = 1 AND devices.deviceId IN ['b', 'a', 'b']").as_deref(), Some("ab"));
    assert_eq!(only("deviceId = 'a' OR tags.a = 1"), None);
    assert_eq!(only("deviceId NIN ['a']"), None);
    assert_eq!(only("*"), None);
}
