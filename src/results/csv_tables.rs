//! A record as five CSV tables, and back without loss.
//!
//! Numbers are written in the shortest form that reads back to the same bits, so equal records give equal bytes.
//! What depends on caches or on the host (operation counts, wall-clock time) is not here but in the manifest.

use super::error::ResultsError;
use crate::experiment::{
    DeviceRecord, FlowRecord, LearningCounts, MeasureRecord, Outcome, Record, ReplicationRecord, RoundRecord,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, de::Error as _};
use std::path::Path;

pub const REPLICATIONS: &str = "replications.csv";
pub const ROUNDS: &str = "rounds.csv";
pub const DEVICES: &str = "devices.csv";
pub const FLOWS: &str = "flows.csv";
pub const MEASURES: &str = "measures.csv";

/// A row of `replications.csv`: a [`ReplicationRecord`] without its tables and without its operation counts.
#[derive(Debug, Serialize, Deserialize)]
struct ReplicationRow {
    replication: u64,
    outcome: Outcome,
    simulated_seconds: f64,
    events: u64,
    #[serde(with = "hex")]
    digest: u64,
    initial_accuracy: Option<f64>,
    final_accuracy: Option<f64>,
}

impl ReplicationRow {
    fn of(r: &ReplicationRecord) -> Self {
        Self {
            replication: r.replication,
            outcome: r.outcome.clone(),
            simulated_seconds: r.simulated_seconds,
            events: r.events,
            digest: r.digest,
            initial_accuracy: r.initial_accuracy,
            final_accuracy: r.final_accuracy,
        }
    }

    fn into_record(self) -> ReplicationRecord {
        ReplicationRecord {
            replication: self.replication,
            outcome: self.outcome,
            simulated_seconds: self.simulated_seconds,
            events: self.events,
            digest: self.digest,
            initial_accuracy: self.initial_accuracy,
            final_accuracy: self.final_accuracy,
            rounds: Vec::new(),
            devices: Vec::new(),
            flows: Vec::new(),
            measures: Vec::new(),
            learning: LearningCounts::default(),
        }
    }
}

/// A 64-bit digest as 16 hexadecimal digits: spreadsheets and JavaScript would round it as a number.
pub(super) mod hex {
    use super::*;

    pub fn serialize<S: Serializer>(value: &u64, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&format!("{value:016x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
        let text = String::deserialize(d)?;
        u64::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

/// Name and columns of every table, in the order of the files.
pub fn columns() -> Result<Vec<(&'static str, Vec<String>)>, csv::Error> {
    Ok(vec![
        (REPLICATIONS, header(&empty_row())?),
        (ROUNDS, header(&RoundRecord::default())?),
        (DEVICES, header(&DeviceRecord::default())?),
        (FLOWS, header(&FlowRecord::default())?),
        (MEASURES, header(&MeasureRecord::default())?),
    ])
}

/// Writes the five tables into `folder`.
///
/// # Errors
/// [`ResultsError::WriteTable`] where a file cannot be written.
pub(super) fn write(folder: &Path, record: &Record) -> Result<(), ResultsError> {
    let replications = &record.replications;
    write_table(&folder.join(REPLICATIONS), &empty_row(), replications.iter().map(ReplicationRow::of))?;
    write_table(&folder.join(ROUNDS), &RoundRecord::default(), replications.iter().flat_map(|r| &r.rounds))?;
    write_table(&folder.join(DEVICES), &DeviceRecord::default(), replications.iter().flat_map(|r| &r.devices))?;
    write_table(&folder.join(FLOWS), &FlowRecord::default(), replications.iter().flat_map(|r| &r.flows))?;
    write_table(&folder.join(MEASURES), &MeasureRecord::default(), replications.iter().flat_map(|r| &r.measures))
}

/// Reads the five tables back; operation counts are zero, the manifest has them.
///
/// # Errors
/// [`ResultsError::ReadTable`] where a file is missing or has other columns, [`ResultsError::Inconsistent`] where a
/// row belongs to a replication that `replications.csv` does not list.
pub(super) fn read(folder: &Path) -> Result<Record, ResultsError> {
    let rows: Vec<ReplicationRow> = read_table(&folder.join(REPLICATIONS))?;
    let mut record = Record { replications: rows.into_iter().map(ReplicationRow::into_record).collect() };
    deal::<RoundRecord>(folder, ROUNDS, &mut record, |r| r.replication, |to| &mut to.rounds)?;
    deal::<DeviceRecord>(folder, DEVICES, &mut record, |d| d.replication, |to| &mut to.devices)?;
    deal::<FlowRecord>(folder, FLOWS, &mut record, |f| f.replication, |to| &mut to.flows)?;
    deal::<MeasureRecord>(folder, MEASURES, &mut record, |m| m.replication, |to| &mut to.measures)?;
    Ok(record)
}

/// Reads one table and gives each row to its replication, in the order of the file.
fn deal<T: DeserializeOwned>(
    folder: &Path,
    file: &str,
    record: &mut Record,
    replication_of: impl Fn(&T) -> u64,
    rows_of: impl Fn(&mut ReplicationRecord) -> &mut Vec<T>,
) -> Result<(), ResultsError> {
    for row in read_table::<T>(&folder.join(file))? {
        let number = replication_of(&row);
        let owner = record.replications.iter_mut().find(|r| r.replication == number);
        let owner = owner.ok_or_else(|| ResultsError::Inconsistent {
            path: folder.to_owned(),
            detail: format!("{file} has rows of replication {number}, {REPLICATIONS} does not"),
        })?;
        rows_of(owner).push(row);
    }
    Ok(())
}

fn empty_row() -> ReplicationRow {
    ReplicationRow {
        replication: 0,
        outcome: Outcome::Completed,
        simulated_seconds: 0.0,
        events: 0,
        digest: 0,
        initial_accuracy: None,
        final_accuracy: None,
    }
}

/// The columns that `template` serialises to.
fn header<T: Serialize>(template: &T) -> Result<Vec<String>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.serialize(template)?;
    let bytes = writer.into_inner().map_err(|e| e.into_error())?;
    Ok(csv::Reader::from_reader(bytes.as_slice()).headers()?.iter().map(str::to_owned).collect())
}

/// Writes `rows` under the columns of `template`, which are there even where there is no row.
fn write_table<T: Serialize, U: Serialize>(
    path: &Path,
    template: &U,
    rows: impl Iterator<Item = T>,
) -> Result<(), ResultsError> {
    let attempt = || -> Result<(), csv::Error> {
        let mut writer = csv::WriterBuilder::new().has_headers(false).from_path(path)?;
        writer.write_record(header(template)?)?;
        for row in rows {
            writer.serialize(row)?;
        }
        Ok(writer.flush()?)
    };
    attempt().map_err(|source| ResultsError::WriteTable { path: path.to_owned(), source })
}

fn read_table<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, ResultsError> {
    let attempt = || csv::Reader::from_path(path)?.deserialize().collect::<Result<Vec<T>, csv::Error>>();
    attempt().map_err(|source| ResultsError::ReadTable { path: path.to_owned(), source })
}
