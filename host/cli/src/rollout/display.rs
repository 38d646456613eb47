//! A rollout as it moves: a bar for each wave on a terminal, lines elsewhere, events for programs.

use std::{collections::BTreeSet, path::Path};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::json;

use super::{
    decide::{Counts, Why},
    look::Look,
    outcome::Outcome,
    record::Record,
    report,
};
use crate::{
    context::Context,
    failure::Failure,
    output::{Output, harmless},
};

const TEMPLATE: &str = "wave {prefix:<3} [{bar:30}] {pos}/{len}  {msg}";
/// How many devices that went wrong are named in lines; the report has all of them.
const NAMED: usize = 20;

/// Shows one rollout.
pub(super) struct Display<'a> {
    output: &'a Output,
    bars: Option<MultiProgress>,
    waves: Vec<ProgressBar>,
    told: Vec<Counts>,
    over: BTreeSet<String>,
    named: usize,
    soaking: Option<usize>,
}

impl<'a> Display<'a> {
    /// Begins with the name of it.
    pub(super) fn new(context: &Context<'a>, record: &Record) -> Self {
        let display = Display {
            output: context.output,
            bars: context.output.moving().then(MultiProgress::new),
            waves: Vec::new(),
            told: Vec::new(),
            over: BTreeSet::new(),
            named: 0,
            soaking: None,
        };
        let _ = display.say(&format!("rollout {}: {}", record.name, record.plan.what));
        display
    }

    /// Says something to people.
    pub(super) fn say(&self, text: &str) -> Result<(), Failure> {
        match &self.bars {
            _ if self.output.json() => Ok(()),
            Some(bars) => bars.suspend(|| self.output.line(&harmless(text))),
            None => self.output.line(&harmless(text)),
        }
    }

    /// Devices get the tag of their wave.
    pub(super) fn tagging(&self, devices: usize) -> Result<(), Failure> {
        if self.output.json() {
            return self.output.json_line(&json!({ "event": "tagging", "devices": devices }));
        }
        self.say(&format!("{devices} devices get their wave's tag"))
    }

    /// A wave was begun.
    pub(super) fn begun(&self, record: &Record, wave: usize) -> Result<(), Failure> {
        let devices = devices(record, wave);
        self.event("began", wave, devices)?;
        self.say(&format!(
            "wave {} of {}: {devices} devices are called",
            wave + 1,
            record.progress.waves.len()
        ))
    }

    /// A wave has ended.
    pub(super) fn ended(&self, record: &Record, wave: usize) -> Result<(), Failure> {
        self.event("ended", wave, devices(record, wave))?;
        self.say(&format!("wave {} ended", wave + 1))
    }

    /// What is waited for.
    pub(super) fn waiting(&mut self, why: &Why) -> Result<(), Failure> {
        let Why::Soaking(wave, until) = why else { return Ok(()) };
        if self.soaking.replace(*wave) == Some(*wave) {
            return Ok(());
        }
        if self.output.json() {
            return self.output.json_line(&json!({ "event": "soaking", "wave": wave + 1, "until": until }));
        }
        self.say(&format!("wave {} soaks until {until:.0}", wave + 1))
    }

    /// How the waves stand.
    pub(super) fn show(&mut self, record: &Record, look: &Look) -> Result<(), Failure> {
        self.devices(look)?;
        for (wave, counts) in look.counts.iter().enumerate() {
            if self.told.get(wave) == Some(counts) {
                continue;
            }
            match self.told.get_mut(wave) {
                Some(told) => *told = *counts,
                None => self.told.push(*counts),
            }
            let text = format!(
                "{} completed, {} failed, {} unreachable, {} under way",
                counts.completed, counts.failed, counts.unreachable, counts.waiting
            );
            if self.output.json() {
                self.output.json_line(&json!({
                    "event": "progress", "wave": wave + 1, "completed": counts.completed, "failed": counts.failed,
                    "unreachable": counts.unreachable, "waiting": counts.waiting,
                }))?;
            } else if self.bars.is_some() {
                let over = counts.completed + counts.failed + counts.unreachable;
                if let Some(bar) = self.bar(record, wave) {
                    bar.set_position(over as u64);
                    bar.set_message(text);
                }
            } else {
                self.say(&format!("wave {}: {text}", wave + 1))?;
            }
        }
        Ok(())
    }

    /// The end: where it stands and where the report is.
    pub(super) fn finish(
        &self,
        record: &Record,
        look: &Look,
        now: Timestamp,
        path: &Path,
    ) -> Result<(), Failure> {
        self.waves.iter().for_each(ProgressBar::abandon);
        if self.output.json() {
            let mut document = report::document(record, look, now);
            if let Some(members) = document.as_object_mut() {
                members.remove("devices");
                members.insert("event".to_owned(), json!("end"));
                members.insert("report".to_owned(), json!(path));
            }
            return self.output.json_line(&document);
        }
        let sum = |of: fn(&Counts) -> usize| look.counts.iter().map(of).sum::<usize>();
        self.say(&format!(
            "{} {}: {} completed, {} failed, {} unreachable, {} under way; report in {}",
            record.name,
            record.progress.state.word(),
            sum(|counts| counts.completed),
            sum(|counts| counts.failed),
            sum(|counts| counts.unreachable),
            sum(|counts| counts.waiting),
            path.display()
        ))
    }

    /// Devices that have come to their end since the last look.
    fn devices(&mut self, look: &Look) -> Result<(), Failure> {
        for (device, (wave, outcome)) in look.devices.iter().filter(|(_, (_, outcome))| outcome.is_over()) {
            if !self.over.insert(device.clone()) {
                continue;
            }
            let why = outcome.reason();
            if self.output.json() {
                self.output.json_line(&json!({
                    "event": "device", "device": device, "wave": wave + 1, "outcome": outcome.word(), "reason": why,
                }))?;
            } else if *outcome != Outcome::Completed && self.named <= NAMED {
                self.named += 1;
                let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                let text = format!("  {device} {}{why}", outcome.word());
                self.say(if self.named > NAMED { "  and others, which the report names" } else { &text })?;
            }
        }
        Ok(())
    }

    /// The bar of a wave; those before it are made with it.
    fn bar(&mut self, record: &Record, wave: usize) -> Option<&ProgressBar> {
        while self.waves.len() <= wave {
            let number = self.waves.len();
            let bar = self.bars.as_ref()?.add(ProgressBar::new(devices(record, number) as u64));
            if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
                bar.set_style(style);
            }
            bar.set_prefix((number + 1).to_string());
            self.waves.push(bar);
        }
        self.waves.get(wave)
    }

    fn event(&self, event: &str, wave: usize, devices: usize) -> Result<(), Failure> {
        if !self.output.json() {
            return Ok(());
        }
        self.output.json_line(&json!({ "event": event, "wave": wave + 1, "devices": devices }))
    }
}

fn devices(record: &Record, wave: usize) -> usize {
    record.progress.waves.get(wave).map_or(0, |wave| wave.devices)
}
