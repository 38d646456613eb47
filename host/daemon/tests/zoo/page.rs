//! `docs/zoo.md` says what the table says.

use std::fmt::Write as _;
use std::path::Path;

use super::members::{End, Member};

/// Set, the page is written anew.
const WRITE: &str = "HOTSHOE_WRITE_DOCS";

#[test]
fn the_page_of_the_zoo_is_the_table() {
    let mut page = String::from(
        "# The zoo\n\n\
         Hostile plugins that `cargo xtask test` tries out, each beside a well-behaved neighbour that is called all the time. The\n\
         host lives, the neighbour's calls are answered, nothing outside of the plugin's own area changes. Attacks are numbered\n\
         as in the catalogue: A computes and eats, B abuses what the host does for it. Written by the test that compares it with\n\
         the table (`host/daemon/tests/zoo/members.rs`): run it with `HOTSHOE_WRITE_DOCS=1`.\n\n\
         | attack | member | what it does | how it ends |\n|---|---|---|---|\n",
    );
    for member in Member::ALL {
        let end = match member.trial().end {
            End::Refused(words) => format!("is not let in: \"{words}\""),
            End::TimedOut => "is stopped when its time is up".to_owned(),
            End::Trapped("") => "its call ends with a failure of the plugin".to_owned(),
            End::Trapped(words) => format!("its call ends with a failure of the plugin: \"{words}\""),
            End::Answers(_) => "is answered what it may have, and no more".to_owned(),
            End::Whatever => "is not let in, or as good as before".to_owned(),
        };
        writeln!(page, "| {} | `{member:?}` | {} | {end} |", member.attack(), member.words()).unwrap();
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/zoo.md");
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(written, page, "set {WRITE}=1 to write {}", file.display());
}

#[test]
fn every_attack_of_the_catalogue_has_a_member_or_a_test_elsewhere() {
    let elsewhere = [
        ("A8", "crowd.rs"),
        ("A11", "crowd.rs"),
        ("B2", "panics.rs"),
        ("B7", "../fetch/download.rs"),
        ("B8", "../fetch"),
        ("B12", "../signed.rs"),
        ("B15", "../swap_update.rs"),
        ("B18", "../fence"),
    ];
    let numbers = (1..=12).map(|n| format!("A{n}")).chain((1..=18).map(|n| format!("B{n}")));
    for attack in numbers {
        let here = Member::ALL.iter().any(|member| member.attack() == attack);
        assert!(here || elsewhere.iter().any(|(other, _)| *other == attack), "{attack}");
    }
}
