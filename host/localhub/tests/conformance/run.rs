//! Running one case.

use std::collections::HashMap;

use serde_json::Value;

use crate::Place;
use crate::connection::Connection;
use crate::rest;
use crate::script::{Case, Step, Verb};
use crate::words::{Words, split};

/// Runs the steps in order; the error names the line.
pub(crate) async fn run(place: &Place, number: usize, case: &Case) -> Result<(), String> {
    let mut words = Words { place, kept: HashMap::new() };
    for (name, id) in [("d", format!("case-{number}")), ("e", format!("case-{number}-e"))] {
        words.kept.insert(name.into(), id);
    }
    let owner = words.fill("<sas of=<host> key=<policy iothubowner> skn=iothubowner>")?;
    if case.device {
        let made = rest::send(place, owner.clone(), &words.fill("PUT /devices/<d> {}")?)?;
        let made = made.await.unwrap()?;
        made.check(
            r#"200 {"authentication": {"symmetricKey": {"primaryKey": "<?key>", "secondaryKey": "<?key2>"}}}"#,
            &mut words.kept,
        )?;
        let token = words.fill("<sas>")?;
        words.kept.insert("sas".into(), token);
    }
    let mut connections: HashMap<String, Connection> = HashMap::new();
    let mut asked = None;
    for step in &case.steps {
        let done = take(step, place, &owner, &mut words, &mut connections, &mut asked).await;
        done.map_err(|error| format!("{}: {error}", step.place))?;
    }
    Ok(())
}

type Asked = Option<tokio::task::JoinHandle<Result<rest::Answer, String>>>;

async fn take(
    step: &Step,
    place: &Place,
    owner: &str,
    words: &mut Words<'_>,
    connections: &mut HashMap<String, Connection>,
    asked: &mut Asked,
) -> Result<(), String> {
    match step.verb {
        Verb::Request => *asked = Some(rest::send(place, owner.to_owned(), &words.fill(&step.text)?)?),
        Verb::Answer => {
            let answer = asked.take().ok_or("an answer to what?")?.await.unwrap()?;
            answer.check(&words.fill(&step.text)?, &mut words.kept)?;
        }
        Verb::Equal => {
            let parts =
                split(&step.text).into_iter().map(|part| words.fill(part)).collect::<Result<Vec<_>, _>>()?;
            if parts.iter().any(|part| *part != parts[0]) {
                return Err(format!("not equal: {parts:?}"));
            }
        }
        Verb::Send | Verb::Expect => {
            let parts =
                split(&step.text).into_iter().map(|part| words.fill(part)).collect::<Result<Vec<_>, _>>()?;
            let (word, parts) = parts.split_first().ok_or("which packet?")?;
            if step.verb == Verb::Send && matches!(word.as_str(), "CONNECT" | "OPEN") {
                connections.insert(step.connection.clone(), Connection::open(place).await?);
                if word == "OPEN" {
                    return Ok(());
                }
            }
            let connection = connections.get_mut(&step.connection).ok_or("CONNECT or OPEN comes first")?;
            if step.verb == Verb::Send {
                connection.send(word, parts, &words.kept).await?;
            } else {
                connection.expect(word, parts, &mut words.kept).await?;
            }
        }
    }
    Ok(())
}

/// Nothing else reads JSON here, but a pattern that is no JSON should say so before it is compared with anything.
#[test]
fn patterns_of_the_table_are_json_or_text() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/cases");
    for case in crate::script::read_all(&directory) {
        for step in case.steps.iter().filter(|step| step.verb == Verb::Answer) {
            if let Some(start) = step.text.find(" {") {
                let text = &step.text[start..];
                assert!(
                    serde_json::from_str::<Value>(text).is_ok() || text.contains('<'),
                    "{}: {text}",
                    step.place
                );
            }
        }
    }
}
