//! `hotshoe-aot`: compiles a plugin to native code.
//!
//! A program of its own, so that the device process has no compiler in it: that one stays small, starts fast, and
//! a hostile plugin reaches no more than a child that may be killed. `hotshoed` starts it once per new plugin,
//! hands the component in on standard input, bounds memory and processor time from outside, and takes the result
//! from standard output. It also runs at image-build time.
//!
//! It does not decide whether a plugin is to be trusted, and does not guard what it wrote: that is the business
//! of `hotshoed`'s cache.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use wasmtime::Engine;

/// The largest component that is read, in bytes. `hotshoed` has its own, lower limit.
const INPUT_LIMIT: u64 = 64 * 1024 * 1024;

/// Compiles Hotshoe plugins to native code.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compiles a component for this machine.
    Compile {
        /// The component; `-` is standard input.
        input: PathBuf,
        /// Where the compiled code goes; `-` is standard output.
        output: PathBuf,
    },
    /// Prints which build of the engine the compiled code is for.
    Build,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Compile { input, output } => {
            read(&input).and_then(|component| write(&output, &compile(&component)?))
        }
        Command::Build => write(Path::new("-"), format!("{}\n", hotshoe_engine_config::BUILD).as_bytes()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line: `hotshoed` puts it into its own error.
            let _ = writeln!(io::stderr(), "{error:#}");
            // EX_DATAERR: whatever went wrong, the input was not made into code.
            ExitCode::from(65)
        }
    }
}

fn compile(component: &[u8]) -> Result<Vec<u8>> {
    let engine = hotshoe_engine_config::config()
        .and_then(|config| Engine::new(&config))
        .map_err(|error| anyhow::anyhow!("the compiler cannot be set up: {error:#}"))?;
    engine
        .precompile_component(component)
        .map_err(|error| anyhow::anyhow!("the component does not compile: {error:#}"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?)
    };
    source.take(INPUT_LIMIT + 1).read_to_end(&mut bytes).context("the component cannot be read")?;
    if u64::try_from(bytes.len())? > INPUT_LIMIT {
        bail!("the component is over the limit of {INPUT_LIMIT} bytes");
    }
    Ok(bytes)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if path == Path::new("-") {
        let mut output = io::stdout().lock();
        output.write_all(bytes).and_then(|()| output.flush()).context("the result cannot be written")
    } else {
        fs::write(path, bytes).with_context(|| format!("{} cannot be written", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::{Engine, Precompiled};

    use super::compile;

    #[test]
    fn compiles_a_component_and_nothing_else() {
        let code = compile(&wat::parse_str("(component)").unwrap()).unwrap();
        assert_eq!(Engine::detect_precompiled(&code), Some(Precompiled::Component));

        for other in [&wat::parse_str("(module)").unwrap()[..], &code, b"", b"\0asm"] {
            compile(other).unwrap_err();
        }
    }

    #[test]
    fn a_proposal_that_is_off_is_refused() {
        let shared = "(component (core module (memory 1 1 shared)))";
        assert!(
            compile(&wat::parse_str(shared).unwrap()).unwrap_err().to_string().contains("does not compile")
        );
    }
}
