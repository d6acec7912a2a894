//! `deft compare`: several finished runs side by side.

use super::Failure;
use crate::results::{self, RunFolder};
use clap::Args;
use std::io::{self, Write};
use std::path::PathBuf;

#[derive(Args)]
pub struct Arguments {
    /// Folders of finished runs, results/<scenario>/<id>; the first is the reference
    #[arg(required = true, num_args = 2..)]
    runs: Vec<PathBuf>,
    /// Folder for the plots and the table
    #[arg(long, value_name = "DIR", default_value = "results/comparison")]
    out: PathBuf,
}

pub fn execute(arguments: &Arguments) -> Result<(), Failure> {
    let runs = arguments.runs.iter().map(|r| RunFolder::open(r)).collect::<Result<Vec<_>, _>>()?;
    let comparison = results::compare(&runs, &arguments.out)?;
    let mut out = io::stdout().lock();
    write!(out, "{}", comparison.table)?;
    for file in &comparison.written {
        writeln!(out, "{}", file.display())?;
    }
    Ok(())
}
