//! One look at the fleet: the job of each wave, and the twins of all devices that were called.
//!
//! Twins come a page at a time and only what became of each device is kept. What a job says of its devices does not
//! change once it has ended, so that is read once.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    act::{is_ended, is_forgotten},
    decide::Counts,
    outcome::{self, Called, Outcome, Row, Seen},
    record::{Record, patiently},
};
use crate::{context::Context, failure::Failure, hub::PAGE};

/// How long an end must have stood that no step came before. In a wave that has ended it stood long ago.
const STAND: Duration = Duration::from_secs(3);

/// What was seen.
#[derive(Default)]
pub(super) struct Look {
    /// Every device of the waves that were begun: its wave, counted from 0, and what became of it.
    pub(super) devices: BTreeMap<String, (usize, Outcome)>,
    /// The same, counted by wave.
    pub(super) counts: Vec<Counts>,
    /// Whether the job of the last of these waves has ended.
    pub(super) over: bool,
}

/// Looks again and again.
#[derive(Default)]
pub(super) struct Looker {
    ended: HashMap<usize, Rows>,
    marks: HashMap<String, Mark>,
    once: bool,
}

/// What a job says of its devices.
enum Rows {
    Known(HashMap<String, Row>),
    /// The hub has forgotten the job; its devices were called at about this time.
    Forgotten(Timestamp),
}

/// Since when a device tells the same, and whether it has told a step of this update.
struct Mark {
    text: String,
    since: Instant,
    moved: bool,
}

impl Looker {
    /// Takes what is told as it stands: for one look by which nothing is decided.
    pub(super) fn once() -> Self {
        Looker { once: true, ..Looker::default() }
    }

    /// Looks at all waves that were begun.
    pub(super) async fn look(&mut self, context: &Context<'_>, record: &Record) -> Result<Look, Failure> {
        let begun = record.progress.current().map_or(0, |current| current + 1);
        let mut look = Look { counts: vec![Counts::default(); begun], ..Look::default() };
        if begun == 0 {
            return Ok(look);
        }
        let mut running = HashMap::new();
        for wave in (0..begun).filter(|wave| !self.ended.contains_key(wave)).collect::<Vec<_>>() {
            let (over, rows) = rows(context, record, wave).await?;
            if over {
                self.ended.insert(wave, rows)
            } else {
                running.insert(wave, rows)
            };
        }
        look.over = self.ended.contains_key(&(begun - 1));
        let tag = record.name.tag();
        let query = format!("SELECT * FROM devices WHERE {tag} >= 1 AND {tag} <= {begun}");
        let mut from: Option<String> = None;
        loop {
            let page =
                patiently(context, async || context.hub.query_page(&query, PAGE, from.as_deref()).await)
                    .await?;
            for twin in &page.rows {
                self.see(context, record, &running, twin, &mut look);
            }
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(look),
            }
        }
    }

    fn see(
        &mut self,
        context: &Context<'_>,
        record: &Record,
        running: &HashMap<usize, Rows>,
        twin: &Value,
        look: &mut Look,
    ) {
        let tag = format!("/tags/hotshoe/rollout/{}", record.name.key());
        let wave = twin.pointer(&tag).and_then(Value::as_u64).and_then(|wave| usize::try_from(wave).ok());
        let device = twin.get("deviceId").and_then(Value::as_str);
        let (Some(wave), Some(device)) = (wave.and_then(|wave| wave.checked_sub(1)), device) else { return };
        let ended = record.progress.waves.get(wave).is_some_and(|wave| wave.ended.is_some());
        let mut seen = self.seen(device, twin);
        seen.stood |= ended || self.once;
        let over = self.ended.contains_key(&wave);
        let forgotten;
        let row = match self.ended.get(&wave).or_else(|| running.get(&wave)) {
            Some(Rows::Known(rows)) => rows.get(device),
            Some(Rows::Forgotten(at)) => {
                forgotten = Row { started: Some(*at), ended: Some(*at), called: Called::Answered(200, None) };
                Some(&forgotten)
            }
            None => None,
        };
        let outcome = outcome::of(&record.plan, twin, row, over, seen, context.hub.now());
        if let (Outcome::Waiting(Some(_)), Some(mark), false) =
            (&outcome, self.marks.get_mut(device), outcome::tells_an_end(twin))
        {
            mark.moved = true;
        }
        if let Some(counts) = look.counts.get_mut(wave) {
            counts.add(&outcome);
            look.devices.insert(device.to_owned(), (wave, outcome));
        }
    }

    fn seen(&mut self, device: &str, twin: &Value) -> Seen {
        let text = outcome::mark(twin).unwrap_or_default();
        let now = Instant::now();
        let fresh = || Mark { text: text.to_owned(), since: now, moved: false };
        let mark = self.marks.entry(device.to_owned()).or_insert_with(fresh);
        if mark.text != text {
            *mark = Mark { moved: mark.moved, ..fresh() };
        }
        Seen { moved: mark.moved, stood: now.duration_since(mark.since) >= STAND }
    }
}

async fn rows(context: &Context<'_>, record: &Record, wave: usize) -> Result<(bool, Rows), Failure> {
    let id = record.job(wave);
    let over = match patiently(context, async || context.hub.job(&id).await).await {
        Ok(job) => is_ended(&job),
        Err(error) if error.status() == Some(404) => {
            let begun = record.progress.waves.get(wave);
            if begun.is_some_and(|wave| wave.ended.is_none()) && !is_forgotten(context, record, wave) {
                return Ok((false, Rows::Known(HashMap::new()))); // nobody has handed it over yet
            }
            let started = begun.and_then(|wave| wave.started).unwrap_or(Timestamp::UNIX_EPOCH);
            return Ok((true, Rows::Forgotten(started)));
        }
        Err(error) => return Err(error.into()),
    };
    let rows = patiently(context, async || context.hub.job_devices(&id).await).await?;
    let rows =
        rows.iter().filter_map(|row| Some((row.get("deviceId")?.as_str()?.to_owned(), Row::read(row))));
    Ok((over, Rows::Known(rows.collect())))
}
