//! `hotshoe completions` and `hotshoe man`

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// Print what makes a shell complete the commands of hotshoe
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hotshoe completions bash > ~/.local/share/bash-completion/completions/hotshoe
  hotshoe completions zsh > ~/.zfunc/_hotshoe
  hotshoe completions fish > ~/.config/fish/completions/hotshoe.fish")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Write a manual page for every command into a directory
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hotshoe man ~/.local/share/man/man1
  man hotshoe-firmware-rollout")]
pub(crate) struct Man {
    /// The directory; it is made where it is not there
    pub(crate) directory: PathBuf,
}
