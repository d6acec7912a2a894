//! `deft plot`: draw a finished run again.

use super::Failure;
use crate::results::RunFolder;
use clap::Args;
use std::io::{self, Write};
use std::path::PathBuf;

#[derive(Args)]
pub struct Arguments {
    /// Folders of finished runs, results/<scenario>/<id>
    #[arg(required = true)]
    runs: Vec<PathBuf>,
}

pub fn execute(arguments: &Arguments) -> Result<(), Failure> {
    let mut drawn = Vec::new();
    for run in &arguments.runs {
        drawn.extend(RunFolder::open(run)?.redraw()?);
    }
    // All are drawn first: who reads only the beginning of the list wants them, too.
    let mut out = io::stdout().lock();
    for file in drawn {
        writeln!(out, "{}", file.display())?;
    }
    Ok(())
}
