//! A rollout as it stands at the hub: an automatic configuration that applies to nobody.
//!
//! Its labels hold the plan and how far the rollout has come; every change is made under the etag, so two operators do
//! not overwrite each other. Its target condition never holds (waves are counted from 1), so it sets nothing on any
//! device. Its metrics count devices, so that the portal shows the rollout as well.

use serde_json::{Value, json};

use super::{
    name::{Name, PREFIX, Word},
    plan::{Plan, What},
    progress::Progress,
};
use crate::{
    context::Context,
    failure::{Exit, Failure},
    hub::HubError,
};

/// How often a change is tried again that somebody else's has come before.
const TIMES: u32 = 10;

/// A rollout as the hub has it.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// Its name.
    pub(super) name: Name,
    /// What it is to do.
    pub(super) plan: Plan,
    /// How far it has come.
    pub(super) progress: Progress,
    /// What makes its jobs' ids its own. One that was begun before there were words goes on without.
    word: Option<Word>,
    etag: String,
}

impl Record {
    /// The rollout of that name, where there is one.
    pub(super) async fn find(context: &Context<'_>, name: &Name) -> Result<Option<Record>, Failure> {
        match patiently(context, async || context.hub.configuration(&name.configuration()).await).await {
            Ok(configuration) => Record::read(&configuration).map(Some),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The rollout of that name.
    pub(super) async fn load(context: &Context<'_>, name: &Name) -> Result<Record, Failure> {
        Record::find(context, name).await?.ok_or_else(|| {
            Failure::new(Exit::NoInput, format!("there is no rollout {name}"))
                .hint("`hotshoe rollout list` shows those there are")
        })
    }

    /// All rollouts of the hub.
    pub(super) async fn all(context: &Context<'_>) -> Result<Vec<Record>, Failure> {
        let configurations = context.hub.configurations().await?;
        let of_rollouts = configurations.iter().filter(|one| id(one).starts_with(PREFIX));
        of_rollouts.map(Record::read).collect()
    }

    /// Writes a new rollout down. Where somebody did so at the same moment, theirs.
    pub(super) async fn create(context: &Context<'_>, name: &Name, plan: Plan) -> Result<Record, Failure> {
        let record = Record {
            name: name.clone(),
            plan,
            progress: Progress::default(),
            word: Some(Word::draw()?),
            etag: String::new(),
        };
        match context.hub.put_configuration(&name.configuration(), record.body(), None).await {
            Ok(configuration) => Record::read(&configuration),
            Err(error) if matches!(error.status(), Some(409 | 412)) => Record::load(context, name).await,
            Err(error) => Err(error.into()),
        }
    }

    /// The id of the job that calls the devices of a wave, counted from 0.
    pub(super) fn job(&self, wave: usize) -> String {
        self.name.job(self.word.as_ref(), wave + 1)
    }

    /// Reads it anew. Fails where it was deleted, also where another of its name has come after it.
    pub(super) async fn refresh(&mut self, context: &Context<'_>) -> Result<(), Failure> {
        let found = Record::load(context, &self.name).await?;
        if found.word != self.word {
            let text = format!("the rollout {} was deleted, and another of this name was begun", self.name);
            return Err(Failure::new(Exit::NoInput, text)
                .hint(format!("`hotshoe rollout show {}` shows that one", self.name)));
        }
        *self = found;
        Ok(())
    }

    /// Changes how far it has come; durable at the hub when this returns. `change` is made again on what somebody else
    /// has written meanwhile, and says by `false` that there is nothing to write.
    pub(super) async fn update(
        &mut self,
        context: &Context<'_>,
        change: impl Fn(&mut Progress) -> bool,
    ) -> Result<(), Failure> {
        for _ in 0..TIMES {
            if !change(&mut self.progress) {
                return Ok(());
            }
            let id = self.name.configuration();
            let put = patiently(context, async || {
                context.hub.put_configuration(&id, self.body(), Some(&self.etag)).await
            });
            match put.await {
                Ok(configuration) => {
                    *self = Record::read(&configuration)?;
                    return Ok(());
                }
                Err(error) if error.status() == Some(412) => self.refresh(context).await?,
                Err(error) => return Err(error.into()),
            }
        }
        let text = format!("the rollout {} was changed by others {TIMES} times in a row", self.name);
        Err(Failure::new(Exit::TempFail, text).hint("run it again"))
    }

    /// Forgets it.
    pub(super) async fn delete(&self, context: &Context<'_>) -> Result<(), Failure> {
        Ok(context.hub.delete_configuration(&self.name.configuration()).await?)
    }

    fn body(&self) -> Value {
        let (tag, select) =
            (self.name.tag(), format!("SELECT deviceId FROM devices WHERE {} >= 1", self.name.tag()));
        let queries = match &self.plan.what {
            What::Firmware { .. } => json!({
                "members": select,
                "completed": format!("{select} AND properties.reported.firmwareStatus = 'completed'"),
                "failed": format!("{select} AND properties.reported.firmwareStatus IN ['failed', 'rolledBack']"),
            }),
            What::Plugin { .. } => json!({ "members": select }),
        };
        let mut labels = json!({
            "hotshoe": "rollout",
            "plan": json!(self.plan).to_string(),
            "progress": json!(self.progress).to_string(),
        });
        if let (Some(labels), Some(word)) = (labels.as_object_mut(), &self.word) {
            labels.insert("word".to_owned(), json!(word.to_string()));
        }
        json!({
            "id": self.name.configuration(),
            "schemaVersion": "1.0",
            "labels": labels,
            "content": { "deviceContent": { "properties.desired.hotshoe.rollout": {} } },
            "targetCondition": format!("{tag} = 0"),
            "priority": 0,
            "metrics": { "queries": queries },
            "etag": self.etag,
        })
    }

    fn read(configuration: &Value) -> Result<Record, Failure> {
        let id = id(configuration);
        let wrong = |what: &str, reason: String| {
            let text =
                format!("the configuration {id} is not a rollout that this version reads: {what}: {reason}");
            Failure::new(Exit::Data, text).hint("a newer hotshoe may have made it")
        };
        let found = |name: &str| configuration.pointer(&format!("/labels/{name}")).and_then(Value::as_str);
        let label = |name: &str| found(name).ok_or_else(|| wrong(name, "there is no such label".to_owned()));
        let name =
            id.strip_prefix(PREFIX).unwrap_or_default().parse().map_err(|reason| wrong("id", reason))?;
        let plan = serde_json::from_str(label("plan")?).map_err(|error| wrong("plan", error.to_string()))?;
        let progress =
            serde_json::from_str(label("progress")?).map_err(|error| wrong("progress", error.to_string()))?;
        let word = found("word").map(str::parse).transpose().map_err(|reason| wrong("word", reason))?;
        let etag = configuration.get("etag").and_then(Value::as_str).unwrap_or("*").to_owned();
        Ok(Record { name, plan, progress, word, etag })
    }
}

fn id(configuration: &Value) -> &str {
    configuration.get("id").and_then(Value::as_str).unwrap_or_default()
}

/// Asks again, for a minute, where the hub is away or throttles. Only for what may be done twice.
pub(super) async fn patiently<T>(
    context: &Context<'_>,
    mut ask: impl AsyncFnMut() -> Result<T, HubError>,
) -> Result<T, HubError> {
    let mut pause = std::time::Duration::from_secs(1);
    for _ in 0..6 {
        match ask().await {
            Err(error) if error.passes() => {
                context.output.note(&format!("{error}; again in {} s", pause.as_secs()));
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            other => return other,
        }
    }
    ask().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::{
        plan::waves,
        progress::{State, Wave},
    };

    #[test]
    fn what_is_written_is_read_again() {
        let wave = Wave {
            devices: 3,
            started: Some("2026-11-22T00:00:00Z".parse().unwrap()),
            ended: None,
            accepted: true,
        };
        let record = Record {
            name: "spring-2".parse().unwrap(),
            plan: Plan {
                what: What::Firmware {
                    payload: json!({"fwPackageUri": "https://h/a"}),
                    response_timeout: 30,
                    connect_timeout: 0,
                },
                condition: "tags.a = 'b'".into(),
                waves: waves("0.5%,100%").unwrap(),
                abort_over: "5%".parse().unwrap(),
                soak: 1,
                timeout: 2,
                count_unreachable: true,
            },
            progress: Progress { state: State::Paused, reason: Some("why".into()), waves: vec![wave] },
            word: Some("7bcdfg".parse().unwrap()),
            etag: "MQ==".into(),
        };
        let body = record.body();
        assert!(body["labels"].as_object().unwrap().values().all(Value::is_string), "labels are texts");
        assert_eq!(body["targetCondition"], "tags.hotshoe.rollout.spring_2 = 0");
        let read = Record::read(&body).unwrap();
        assert_eq!(read.job(0), "hotshoe-spring-2-7bcdfg-wave-1");
        assert_eq!((read.plan, read.progress, read.etag), (record.plan, record.progress, record.etag));
        for label in ["plan", "word"] {
            let mut other = body.clone();
            other["labels"][label] = json!("{}");
            let failure = Record::read(&other).unwrap_err();
            assert!(failure.text.contains("hotshoe-rollout-spring-2 is not a rollout"), "{failure}");
        }
    }

    #[test]
    fn one_that_was_begun_before_there_were_words_keeps_its_jobs() {
        let labels = json!({"hotshoe": "rollout", "progress": r#"{"state":"running","waves":[{"devices":3}]}"#, "plan":
            r#"{"what":{"kind":"plugin","key":"a/b","entry":{}},"condition":"*","waves":["100%"],"abortOver":"5%","soak":1,
                "timeout":2,"countUnreachable":false}"#});
        let old = json!({"id": "hotshoe-rollout-spring", "etag": "MQ==", "labels": labels});
        let read = Record::read(&old).unwrap();
        assert_eq!(read.job(0), "hotshoe-spring-wave-1");
        let again = Record::read(&read.body()).unwrap();
        assert_eq!(again.job(0), "hotshoe-spring-wave-1", "also when it is written again");
    }
}
