//! `hotshoe repo …`

use std::{num::NonZeroU64, path::PathBuf};

use clap::{Args, Subcommand};
use hotshoe_core::target::{self, DelegatedPath};

/// What to do with a signed repository.
#[derive(Subcommand, Debug)]
pub(crate) enum RepoCommand {
    /// Make a repository and its keys
    #[command(after_help = "Examples:
  hotshoe repo init --repo updates --root-keys 3 --threshold 2
  hotshoe repo init --repo updates --keys /media/safe/updates.keys

Makes updates/metadata and updates/targets, which any web server may serve, and the keys in a directory apart. Give
updates/metadata/1.root.json to the devices: all trust begins there. Then take the keys root-*.pem off this machine; they
are needed again only by `hotshoe repo rotate-root`.")]
    Init(Init),
    /// Make a key pair, for a vendor to whom a part of a repository is delegated
    #[command(after_help = "Example:
  hotshoe repo key acme.pem

Writes acme.pem, which stays with the vendor, and acme.pem.pub for the operator of the repository. Any Ed25519 key in
PKCS#8 will do as well: openssl genpkey -algorithm ed25519 -out acme.pem; openssl pkey -in acme.pem -pubout.")]
    Key {
        /// The file to write
        file: PathBuf,
    },
    /// Add a plugin or a firmware image, signed
    #[command(after_help = "Examples:
  hotshoe repo add target/plugins/pump.wasm --repo updates
  hotshoe repo add fw-2.0.0.img --repo updates --name gateway --version 2.0.0 --hardware gateway-2
  hotshoe repo add fw-2.0.0.img --repo updates --version 2.0.0 --zstd
  hotshoe repo add fw-41.img --repo updates --version nightly --sequence 41 --zstd 19
  hotshoe repo add fw.img --repo updates --path images/acme/fw.img --role acme --key acme.pem

A plugin's name and version are read from it; it becomes plugins/NAME/VERSION.wasm. An image becomes images/FILE, or what
--path says; its hash tree is written beside it as FILE.obao, by which devices check each 64 KiB before they write them, go
on where they were cut off, and fetch of the next image only what has changed. With --zstd a compressed copy, FILE.zst, saves
them traffic. What was added is seen by no device until `hotshoe repo publish`. A name never changes its content: raise the
version.")]
    Add(Add),
    /// Let a vendor sign a part of the repository with their own key, or take that back
    #[command(after_help = "Examples:
  hotshoe repo delegate acme --repo updates --paths 'plugins/acme.*' 'images/acme/*' --key acme.pem.pub
  hotshoe repo delegate acme --repo updates --remove

A prefix ends with `*`. The vendor signs with `hotshoe repo add FILE --role acme --key acme.pem`; the repository is
published once they have.")]
    Delegate(Delegate),
    /// Make what was added and delegated visible to devices
    #[command(after_help = "Examples:
  hotshoe repo publish --repo updates
  hotshoe repo publish --repo updates --days 7

Signs a new snapshot and, last of all, a new timestamp. Broken off at any moment, devices see the whole of the old state
or the whole of the new one.")]
    Publish(Publish),
    /// Sign anew what would expire: snapshot and timestamp, or the list of a role
    #[command(after_help = "Examples:
  hotshoe repo refresh --repo updates
  hotshoe repo refresh --repo updates --within 2 --days 14
  hotshoe repo refresh --repo updates --role targets && hotshoe repo publish --repo updates

For a timer, daily: devices refuse a repository whose timestamp has expired, since somebody may be holding back the newer
one. Publishes nothing new. With --role the list of targets of that role is signed anew, to be published.")]
    Refresh(Refresh),
    /// Replace a key that the root names, or sign the root anew before it expires
    #[command(after_help = "Examples:
  hotshoe repo rotate-root --repo updates --replace root-1
  hotshoe repo rotate-root --repo updates --replace timestamp
  hotshoe repo rotate-root --repo updates --renew

The next root is signed by as many keys of the old root as it asks for, and of the new. The replaced key itself may be
lost, as long as enough others are there. What devices see now is signed anew with a new key of targets, snapshot or
timestamp, which takes those of snapshot and timestamp. Devices follow by themselves.")]
    RotateRoot(RotateRoot),
}

/// Which repository, and where the keys lie.
#[derive(Args, Debug)]
pub(crate) struct Place {
    /// The repository's directory
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub(crate) repo: PathBuf,
    /// The directory of keys; beside the repository and never within it: REPO.keys otherwise
    #[arg(long, value_name = "DIR")]
    pub(crate) keys: Option<PathBuf>,
}

/// Keys to sign with beside those of the directory.
#[derive(Args, Debug)]
pub(crate) struct Signers {
    /// A private key to sign with (Ed25519, PKCS#8 in PEM), beside those in the directory of keys; more than once
    #[arg(long = "key", value_name = "FILE")]
    pub(crate) key: Vec<PathBuf>,
}

/// `init`
#[derive(Args, Debug)]
pub(crate) struct Init {
    #[command(flatten)]
    pub(crate) place: Place,
    /// How many root keys to make
    #[arg(long, default_value_t = 1, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) root_keys: u8,
    /// How many of them must sign a root
    #[arg(long, default_value_t = NonZeroU64::MIN, value_name = "NUMBER")]
    pub(crate) threshold: NonZeroU64,
    /// How many days snapshot and timestamp hold
    #[arg(long, default_value_t = 14, value_parser = days())]
    pub(crate) days: u16,
}

/// `add`
#[derive(Args, Debug)]
pub(crate) struct Add {
    /// The file to add
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) signers: Signers,
    /// Who signs: `targets`, or a role made with `delegate`
    #[arg(long, default_value = "targets")]
    pub(crate) role: String,
    /// An image: its name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// An image: its version
    #[arg(long)]
    pub(crate) version: Option<String>,
    /// The hardware that it is for; on any otherwise
    #[arg(long, value_name = "ID", num_args = 1.., value_parser = hardware)]
    pub(crate) hardware: Vec<String>,
    /// An image: its path in the repository, images/FILE otherwise
    #[arg(long)]
    pub(crate) path: Option<String>,
    /// An image: its place among the images of its name, where versions do not say which is newer
    #[arg(long, value_name = "NUMBER")]
    pub(crate) sequence: Option<u64>,
    /// An image: keep a compressed copy beside it; 19 is smallest and slow
    #[arg(long, value_name = "LEVEL", num_args = 0..=1, default_missing_value = "9",
          value_parser = clap::value_parser!(i32).range(1..=19))]
    pub(crate) zstd: Option<i32>,
    /// An image: write no hash tree; devices can check it as a whole only
    #[arg(long)]
    pub(crate) no_outboard: bool,
}

/// `delegate`
#[derive(Args, Debug)]
pub(crate) struct Delegate {
    /// The role's name: a-z, 0-9 and `-`
    #[arg(value_parser = role)]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) place: Place,
    /// What the vendor may sign: beginnings of names, with `*` at the end
    #[arg(long, num_args = 1.., value_name = "PREFIX", required_unless_present = "remove")]
    pub(crate) paths: Vec<DelegatedPath>,
    /// The vendor's public key (PEM); more than once for several
    #[arg(long = "key", value_name = "FILE", required_unless_present = "remove")]
    pub(crate) key: Vec<PathBuf>,
    /// How many of the keys must sign
    #[arg(long, default_value_t = NonZeroU64::MIN, value_name = "NUMBER")]
    pub(crate) threshold: NonZeroU64,
    /// Take the role back, and all that it signed
    #[arg(long, conflicts_with_all = ["paths", "key"])]
    pub(crate) remove: bool,
}

/// `publish`
#[derive(Args, Debug)]
pub(crate) struct Publish {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) signers: Signers,
    /// How many days snapshot and timestamp hold
    #[arg(long, default_value_t = 14, value_parser = days())]
    pub(crate) days: u16,
}

/// `refresh`
#[derive(Args, Debug)]
pub(crate) struct Refresh {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) signers: Signers,
    /// How many days snapshot and timestamp hold
    #[arg(long, default_value_t = 14, value_parser = days())]
    pub(crate) days: u16,
    /// Do nothing while both hold for more days than this
    #[arg(long, default_value_t = 7, value_name = "DAYS")]
    pub(crate) within: u16,
    /// Sign the list of this role instead: `targets`, or one made with `delegate`
    #[arg(long)]
    pub(crate) role: Option<String>,
}

/// `rotate-root`
#[derive(Args, Debug)]
#[group(id = "what", required = true, args = ["replace", "renew"])]
pub(crate) struct RotateRoot {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) signers: Signers,
    /// The key to replace, by its name in the directory of keys: root-1, targets, snapshot, timestamp
    #[arg(long, value_name = "NAME")]
    pub(crate) replace: Option<String>,
    /// Keep the keys, and sign anew for another year
    #[arg(long)]
    pub(crate) renew: bool,
}

fn days() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=3650)
}

/// Reads a role's name: a file's name, and none of TUF's own.
fn role(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if text.is_empty() || text.len() > 64 || !plain {
        return Err("a role's name has 1 to 64 of a-z, 0-9 and `-`".to_owned());
    }
    if ["root", "targets", "snapshot", "timestamp", "mirrors"].contains(&text) {
        return Err(format!("`{text}` is a role of TUF itself"));
    }
    Ok(text.to_owned())
}

fn hardware(text: &str) -> Result<String, String> {
    target::check_hardware(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}
