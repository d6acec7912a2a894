//! `deft explain`: one device's transfers of a finished run, from metres to seconds.

use super::Failure;
use crate::results::{self, RunFolder, Wanted};
use clap::Args;
use std::io::{self, Write};
use std::path::PathBuf;

#[derive(Args)]
pub struct Arguments {
    /// Folder of a finished run, results/<scenario>/<id>
    run: PathBuf,
    /// Name of the device, as in devices.csv
    #[arg(long, value_name = "NAME")]
    device: String,
    /// Round to explain [default: the first in which the device sent or received something]
    #[arg(long, value_name = "N")]
    round: Option<usize>,
    #[arg(long, value_name = "N", default_value_t = 0)]
    replication: u64,
}

pub fn execute(arguments: &Arguments) -> Result<(), Failure> {
    let record = RunFolder::open(&arguments.run)?.load()?;
    let Arguments { device, round, replication, .. } = arguments;
    let wanted = Wanted { replication: *replication, device, round: *round };
    let text = results::explain(&record, &wanted).map_err(|e| Failure::Usage(e.to_string()))?;
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
