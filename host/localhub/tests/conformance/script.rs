//! The cases as they are written.
//!
//! ```text
//! ## 1.5 CONNACK codes                      a section
//! case: a wrong key gets code 5             a case; its device <d> is registered, unless `case (no device):`
//! -> CONNECT password=<sas key=<key of=e>>  a packet to the hub; @name before it means another connection
//! <- CONNACK 5                              the next packet from the hub, or NOTHING, or CLOSED
//! => GET /devices/<d> [if-match: "*"] {…}   a request, the owner's unless it says otherwise
//! <= 404 form=A:DeviceNotFound [etag: <?>]  its answer: status, error form, headers, body as a JSON pattern
//! == <a> <b>                                two texts are equal
//! # words                                   nothing
//! ```
//!
//! Packets: `CONNECT [client= user= password= clean= keepalive= level= will= willbody=]`, `SUBSCRIBE filter:qos …`,
//! `UNSUBSCRIBE filter`, `PUBLISH qos[,retain][,dup] topic [body]`, `PUBACK id`, `PINGREQ`, `DISCONNECT`, `HEX bytes`, `OPEN`
//! (TLS and nothing said). What stands in `<…>` is filled in, see `words.rs`; in what is expected, `<?>` stands for
//! any text and `<?name>` keeps it. A JSON pattern's objects may leave members out; `"<absent>"` says that one is not
//! there. A body that begins with `~` is a text that the answer contains; with `text:` it is the text itself.

use std::path::Path;

/// One case.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) section: String,
    pub(crate) title: String,
    /// Whether its device is registered before it begins.
    pub(crate) device: bool,
    pub(crate) steps: Vec<Step>,
}

/// One line.
#[derive(Debug)]
pub(crate) struct Step {
    /// Where it stands, for the report.
    pub(crate) place: String,
    pub(crate) connection: String,
    pub(crate) verb: Verb,
    pub(crate) text: String,
}

/// What a line does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Send,
    Expect,
    Request,
    Answer,
    Equal,
}

/// Reads all `*.txt` of a directory.
pub(crate) fn read_all(directory: &Path) -> Vec<Case> {
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut cases: Vec<Case> = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "txt")) {
        let text = std::fs::read_to_string(file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        read(&name, &text, &mut cases);
    }
    cases
}

fn read(name: &str, text: &str, cases: &mut Vec<Case>) {
    let mut section = String::new();
    for (index, line) in text.lines().enumerate() {
        let (line, place) = (line.trim(), format!("{name}:{}", index + 1));
        if let Some(title) = line.strip_prefix("## ") {
            section = title.to_owned();
        } else if line.is_empty() || line.starts_with('#') {
        } else if let Some((head, title)) = line.split_once(": ").filter(|_| line.starts_with("case")) {
            assert!(matches!(head, "case" | "case (no device)"), "{place}: {line}");
            let (section, title) = (section.clone(), title.to_owned());
            cases.push(Case { section, title, device: head == "case", steps: Vec::new() });
        } else {
            let step = step(line, place);
            cases.last_mut().expect("a case before its steps").steps.push(step);
        }
    }
}

fn step(line: &str, place: String) -> Step {
    let (connection, line) = match line.strip_prefix('@') {
        Some(rest) => rest.split_once(' ').expect("something after @name"),
        None => ("", line),
    };
    let verbs = [
        ("->", Verb::Send),
        ("<-", Verb::Expect),
        ("=>", Verb::Request),
        ("<=", Verb::Answer),
        ("==", Verb::Equal),
    ];
    let found = verbs.iter().find_map(|(sign, verb)| Some((*verb, line.strip_prefix(sign)?)));
    let (verb, text) = found.unwrap_or_else(|| panic!("{place}: {line:?} is no step"));
    Step { place, connection: connection.to_owned(), verb, text: text.trim().to_owned() }
}
