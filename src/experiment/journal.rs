//! What a trial that may be killed leaves for the one that goes on, as this layer sees it: when to write, and the records of
//! replications that are over. What the learning plane leaves is its store's business.

use super::ReplicationRecord;

/// Where a trial is kept while it runs.
pub trait Journal {
    /// Rounds from one checkpoint of the learning plane to the next, at least 1.
    fn every_rounds(&self) -> usize;

    /// The record of a replication that an earlier run has finished.
    fn finished(&self, replication: u64) -> Option<ReplicationRecord>;

    /// Keeps the record of a replication that is over.
    ///
    /// # Errors
    /// If it cannot be written.
    fn finish(&self, record: &ReplicationRecord) -> std::io::Result<()>;
}
