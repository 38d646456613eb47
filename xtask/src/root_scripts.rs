//! The attacks of the zoo as scripts that run as root, which is how the agents beside this one take extensions.
//!
//! Each script of `host/daemon/tests/zoo/scripts/attacks.sh` is put into an update of its own, signed as the vendor would,
//! and installed by SWUpdate as it comes from the distribution, on a device that is thrown away (`cage.sh`: namespaces, a
//! root of tmpfs, stand-ins for slots, keys, neighbours, servers). Afterwards a test of the script's own looks whether harm
//! was done. Nothing is judged here: what happened becomes `docs/root-scripts.md` (with `HOTSHOE_WRITE_DOCS=1`), beside what
//! the zoo says of the plugin that does the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::tools::{root, run};

/// Set, the page is written anew.
const WRITE: &str = "HOTSHOE_WRITE_DOCS";
/// How often one is tried whose agent ended without a word: SWUpdate 2022.12 now and then ends before its own script does.
const TRIES: usize = 8;
/// How an attack ends that no member makes, since nothing of the contract does it.
const FENCE: &str = "there is no import to ask for it (`UnknownImport`); code that broke out finds it held back by the \
                     [second fence](fence.md)";

/// How it ends where an older version is what is wanted.
const FLOOR: &str =
    "a version below the highest that was confirmed is refused (`host/daemon/tests/policy.rs`)";

/// A script, and whether it did harm.
#[derive(Debug, PartialEq, Eq)]
struct Attack {
    /// Of the catalogue.
    number: String,
    /// The zoo's member that does the same.
    member: String,
    what: String,
    script: String,
    /// A test of the shell's: ends well where harm was done.
    test: String,
    harm: String,
}

/// What came of one.
struct Told {
    harm: bool,
    end: End,
}

/// How the agent ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Well,
    Failed,
    /// The cage ended it.
    Never,
    /// By itself, without a word on how the update went.
    Silent,
}

/// Runs all of them.
pub(crate) fn run_scripts() -> Result<()> {
    for (program, why) in [("swupdate", "the agent"), ("unshare", "util-linux"), ("cpio", "to make updates")]
    {
        if Command::new(program).arg("--help").output().is_err() {
            println!("SKIPPED: attacks as root scripts: {program} is missing ({why})");
            return Ok(());
        }
    }
    let scripts = root().join("host/daemon/tests/zoo/scripts");
    let attacks = parse(&std::fs::read_to_string(scripts.join("attacks.sh"))?)?;
    let ends = ends(&std::fs::read_to_string(root().join("docs/zoo.md"))?);
    let vendor = Vendor::new()?;
    let (mut rows, mut harmful) = (String::new(), 0);
    for attack in &attacks {
        let told = vendor.update(attack, &scripts.join("cage.sh"))?;
        harmful += usize::from(told.harm);
        let outcome = told.outcome(attack);
        println!("{:<4} {}: {outcome}", attack.number, attack.what);
        let plugin = match ends.get(&attack.member) {
            Some(end) => format!("`{}` {end}", attack.member),
            None if attack.member == "fence" => FENCE.to_owned(),
            None if attack.member == "floor" => FLOOR.to_owned(),
            None => bail!("attacks.sh: the zoo has no member {}", attack.member),
        };
        writeln!(rows, "| {} {} | {outcome} | {plugin} |", attack.number, attack.what)?;
    }
    println!("{harmful} of {} did harm", attacks.len());
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(root().join("docs/root-scripts.md"), page(harmful, attacks.len(), &rows))?;
    }
    Ok(())
}

fn page(harmful: usize, all: usize, rows: &str) -> String {
    format!(
        "# The zoo's attacks as root scripts\n\n\
         SWUpdate, RAUC and Mender take what a vendor adds as programs and shell scripts that the agent runs as root. These are the\n\
         zoo's attacks in that form, each signed by the vendor and installed by SWUpdate as Debian 12 has it (2022.12), really run:\n\
         **{harmful} of {all} did harm**. The plugins that do the same are in [the zoo](zoo.md), and end as the last column says.\n\n\
         That a script may all this is no fault of the agent's: it is what such a script is for, and whoever signs one is trusted with\n\
         the device. It is told here since the plugin of a stranger is not. A device that takes no scripts from anybody is not\n\
         concerned; RAUC and Mender were not run, their hooks are programs run as root in the same way. Attacks on the kernel that\n\
         would have hit the machine of the test (clock, modules, raw devices, restarts) are left out: the cage takes these rights\n\
         from root, SWUpdate does not.\n\n\
         Each script ran on a device of its own: namespaces of mounts, processes, network and names, a root of tmpfs with stand-ins\n\
         for slots, boot record, keys, a neighbour, a metadata service, a controller, and somebody outside who collects. One that\n\
         was still running after 6 s was ended by the cage. Fork bombs and the like stop by themselves. Now and then\n\
         SWUpdate itself ended before its script had, without a word; such a run was made again. Written by\n\
         `HOTSHOE_WRITE_DOCS=1 cargo xtask torture --only scripts` out of `host/daemon/tests/zoo/scripts/`, where each script stands\n\
         with the test that says whether it did harm.\n\n\
         | attack | as a script under SWUpdate | as a plugin |\n|---|---|---|\n{rows}"
    )
}

impl Told {
    fn outcome(&self, attack: &Attack) -> String {
        let ended = match self.end {
            End::Well => "the update ends well",
            End::Failed => "the update fails",
            End::Never => "the update does not end",
            End::Silent => "the agent ends without a word",
        };
        if self.harm { format!("**harm**: {}", attack.harm) } else { format!("no harm: {ended}") }
    }
}

impl End {
    /// By the agent's status, and what it said.
    fn of(code: &str, said: &str) -> End {
        match code {
            "124" => End::Never,
            _ if said.contains("SWUPDATE failed") => End::Failed,
            _ if said.contains("SWUPDATE successful") => End::Well,
            _ => End::Silent,
        }
    }
}

/// Who signs updates, and where they are made.
struct Vendor(tempfile::TempDir);

impl Vendor {
    fn new() -> Result<Vendor> {
        let vendor = Vendor(tempfile::tempdir()?);
        vendor.write(
            "openssl.cnf",
            "[req]\ndistinguished_name=dn\nx509_extensions=v3\nprompt=no\n[dn]\nCN=vendor\n[v3]\n\
             basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature,keyCertSign\n\
             extendedKeyUsage=emailProtection,codeSigning\nsubjectKeyIdentifier=hash\n",
        )?;
        vendor.shell(
            "openssl req -x509 -newkey rsa:2048 -nodes -days 30 -config openssl.cnf -keyout key.pem -out cert.pem 2> /dev/null",
        )?;
        vendor.write(
            "swupdate.cfg",
            "globals :\n{\n    verbose = false;\n    loglevel = 3;\n    syslog = false;\n    \
             public-key-file = \"/etc/swupdate/trusted.pem\";\n    bootloader = \"none\";\n};\n",
        )?;
        Ok(vendor)
    }

    /// Makes an update of this script and has it installed.
    fn update(&self, attack: &Attack, cage: &Path) -> Result<Told> {
        self.write("attack.sh", &format!("#!/bin/sh\n{}\n", attack.script))?;
        self.write("harm.sh", &format!("{}\n", attack.test))?;
        self.shell(
            "cat > sw-description <<X\nsoftware =\n{\n    version = \"1.0.0\";\n    hardware-compatibility: [ \"1.0\" ];\n    \
             scripts: ( { filename = \"attack.sh\"; type = \"shellscript\"; sha256 = \"$(sha256sum attack.sh | cut -d' ' -f1)\"; } );\n}\nX\n\
             openssl cms -sign -in sw-description -out sw-description.sig -signer cert.pem -inkey key.pem -outform DER -nosmimecap -binary\n\
             printf 'sw-description\\nsw-description.sig\\nattack.sh\\n' | cpio -o -H crc -L --quiet > attack.swu\n",
        )?;
        let mut told = self.run_caged(attack, cage)?;
        for _ in 1..TRIES {
            if told.harm || told.end != End::Silent {
                break;
            }
            told = self.run_caged(attack, cage)?;
        }
        Ok(told)
    }

    fn run_caged(&self, attack: &Attack, cage: &Path) -> Result<Told> {
        let _ = std::fs::remove_file(self.path("told"));
        let ran = Command::new("nice").args(["-n", "10"]).arg(cage).arg(self.0.path()).output()?;
        let told = std::fs::read_to_string(self.path("told")).with_context(|| {
            format!("{}: the cage does not hold: {}", attack.what, String::from_utf8_lossy(&ran.stderr))
        })?;
        let mut lines = told.lines();
        let mut next = || lines.next().context("the cage tells less than it should");
        let said = String::from_utf8_lossy(&std::fs::read(self.path("out"))?).into_owned();
        Ok(Told { harm: next()? == "yes", end: End::of(next()?, &said) })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        std::fs::write(self.path(name), text).with_context(|| format!("write {name}"))
    }

    fn shell(&self, text: &str) -> Result<()> {
        run(Command::new("sh").args(["-eu", "-c", text]).current_dir(self.0.path()))
    }
}

/// How the zoo's members end, by their names.
fn ends(page: &str) -> BTreeMap<String, String> {
    let cells = page.lines().map(|line| line.split(" | ").collect::<Vec<_>>());
    let rows = cells.filter_map(|cells| match cells.as_slice() {
        [_, member, _, end] => {
            Some((member.trim_matches('`').to_owned(), end.trim_end_matches(" |").to_owned()))
        }
        _ => None,
    });
    rows.collect()
}

fn parse(text: &str) -> Result<Vec<Attack>> {
    let blocks = text.split("\n#: ").skip(1);
    let attack = |block: &str| {
        let (head, rest) = block.split_once('\n')?;
        let mut head = head.split(" | ").map(str::to_owned);
        let (number, member, what) = (head.next()?, head.next()?, head.next()?);
        let (script, rest) =
            rest.split_once("\n#? ").or_else(|| rest.strip_prefix("#? ").map(|rest| ("", rest)))?;
        let (test, harm) = rest.split_once("\n#! ")?;
        let harm = harm.lines().next()?.to_owned();
        Some(Attack { number, member, what, script: script.to_owned(), test: test.to_owned(), harm })
    };
    blocks.map(|block| attack(block).with_context(|| format!("attacks.sh: not an attack: {block}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_sixty_attacks_and_the_zoo_has_the_same() {
        let text = std::fs::read_to_string(root().join("host/daemon/tests/zoo/scripts/attacks.sh")).unwrap();
        let attacks = parse(&text).unwrap();
        assert_eq!(attacks.len(), text.lines().filter(|line| line.starts_with("#: ")).count());
        assert!(attacks.len() >= 60);
        let ends = ends(&std::fs::read_to_string(root().join("docs/zoo.md")).unwrap());
        for attack in &attacks {
            assert!(
                ["fence", "floor"].contains(&attack.member.as_str()) || ends.contains_key(&attack.member),
                "{attack:?}"
            );
        }
    }

    #[test]
    fn a_script_may_be_empty_and_nothing_else_may_be_missing() {
        let text = "# about\n\n#: A1 | Spins | loops\nwhile :; do :; done\n#? true\n#! harm\n\n#: A2 | Empty | is empty\n#? false\n#! none\n";
        let attacks = parse(text).unwrap();
        assert_eq!((attacks[0].script.as_str(), attacks[0].harm.as_str()), ("while :; do :; done", "harm"));
        assert_eq!((attacks[1].script.as_str(), attacks[1].test.as_str()), ("", "false"));
        assert!(parse("\n#: A1 | Spins | loops\nwhile :; do :; done\n#! harm\n").is_err());
    }
}
