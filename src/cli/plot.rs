//! `deft plot`: draw a finished run again.

use super::Failure;
use crate::results::RunFolder;
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub struct Arguments {
    /// Folders of finished runs, results/<scenario>/<id>
    #[arg(required = true)]
    runs: Vec<PathBuf>,
}

pub fn execute(arguments: &Arguments) -> Result<(), Failure> {
    for run in &arguments.runs {
        for file in RunFolder::open(run)?.redraw()? {
            println!("{}", file.display());
        }
    }
    Ok(())
}
