//! Every command line of `hotshoe` that a document or a help text shows is one that the program takes.
//!
//! What stands in a block, or as an example of `--help`, has to be complete. Within a sentence (`hotshoe plugin grant`)
//! arguments may be missing, but none may be there that the command does not have. `NAME` and `5F2A…` stand for values.

use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ErrorKind};
use clap::{CommandFactory, Parser};

use super::Arguments;

/// Where a command line was found, and whether something may be missing in it.
struct Shown {
    line: String,
    place: String,
    complete: bool,
}

#[test]
fn every_command_line_that_is_shown_is_understood() {
    let mut shown = Vec::new();
    for path in documents() {
        in_document(&std::fs::read_to_string(&path).unwrap(), &path.display().to_string(), &mut shown);
    }
    let in_documents = shown.len();
    in_help(&Arguments::command(), &mut shown);
    assert!(in_documents > 30 && shown.len() > in_documents + 30, "{in_documents} of {}", shown.len());

    let wrong: Vec<String> = shown.iter().filter_map(misunderstood).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let guides = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let guides = guides.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    guides
        .chain(["README.md", "SECURITY.md", "host/localhub/README.md"].map(|name| root.join(name)))
        .collect()
}

/// What is in blocks, and what is between backticks elsewhere.
fn in_document(text: &str, place: &str, shown: &mut Vec<Shown>) {
    for (index, part) in text.split("```").enumerate() {
        let (pieces, complete): (Vec<String>, bool) = if index % 2 == 1 {
            (part.replace("\\\n", " ").lines().map(str::to_owned).collect(), true)
        } else {
            (part.split('`').skip(1).step_by(2).map(|piece| piece.replace('\n', " ")).collect(), false)
        };
        shown.extend(pieces.into_iter().map(|line| Shown { line, place: place.to_owned(), complete }));
    }
    shown.retain(|shown| !commands(&shown.line).is_empty());
}

fn in_help(command: &clap::Command, shown: &mut Vec<Shown>) {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default().replace("\\\n", " ");
    let place = format!("hotshoe {} --help", command.get_name());
    let examples = help.lines().filter(|line| line.starts_with("  ") && !commands(line).is_empty());
    shown.extend(examples.map(|line| Shown { line: line.to_owned(), place: place.clone(), complete: true }));
    command.get_subcommands().for_each(|command| in_help(command, shown));
}

fn misunderstood(shown: &Shown) -> Option<String> {
    let error = commands(&shown.line).into_iter().find_map(|words| Arguments::try_parse_from(words).err())?;
    let is_missing = matches!(
        error.kind(),
        ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    let stands_for_a_value = error.kind() == ErrorKind::ValueValidation
        && error.get(ContextKind::InvalidValue).is_some_and(|value| {
            let value = value.to_string();
            value.ends_with('…') || value.chars().all(|one| one.is_ascii_uppercase())
        });
    let is_understood = stands_for_a_value || (is_missing && !shown.complete);
    (!is_understood).then(|| format!("{}: {}\n{error}", shown.place, shown.line.trim()))
}

/// The words of each `hotshoe …` of a line, as a shell reads it: without comments, other programs and redirections.
fn commands(line: &str) -> Vec<Vec<String>> {
    let (mut commands, mut words, mut word, mut quote) = (Vec::new(), Vec::new(), None::<String>, None);
    let mut is_redirected = false;
    for character in line.chars().chain([';']) {
        match (character, quote) {
            (_, Some(open)) if character == open => quote = None,
            (_, Some(_)) => word.get_or_insert_default().push(character),
            ('"' | '\'', None) => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            ('#', None) if word.is_none() => break,
            (' ' | '<' | '>' | '|' | '&' | ';', None) => {
                words.extend(word.take().filter(|_| !is_redirected));
                is_redirected |= matches!(character, '<' | '>');
                if matches!(character, '|' | '&' | ';') {
                    commands.push(std::mem::take(&mut words));
                    is_redirected = false;
                }
            }
            (_, None) => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word.filter(|_| !is_redirected));
    commands.push(words);
    commands.retain_mut(|words| {
        if words.first().is_some_and(|word| word == "$") {
            words.remove(0);
        }
        words.first().is_some_and(|word| word == "hotshoe")
    });
    commands
}
