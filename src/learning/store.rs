//! What all trials of a process share: results by identity, who is computing what, and the cache on disk.

use super::LearningError;
use super::disk::DiskCache;
use super::identity::Identity;
use super::journal::Journal;
use super::library::Library;
use super::processor::Processor;
use super::value::{Metric, State};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

/// Results by identity, for all trials of this process and, through the cache, of earlier ones.
pub struct Store {
    pub(super) library: Library,
    disk: Option<DiskCache>,
    journal: Option<Journal>,
    shared: Mutex<Shared>,
    changed: Condvar,
    asked: AtomicU64,
    computed: AtomicU64,
}

#[derive(Default)]
struct Shared {
    metrics: HashMap<Identity, Metric>,
    in_flight: HashSet<Identity>,
    /// States that some trial still holds; never the reason for one to stay in memory.
    states: HashMap<Identity, Weak<State>>,
}

/// Totals over all trials of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreCounts {
    pub asked: u64,
    pub computed: u64,
}

impl Store {
    /// A store with a cache folder, or none.
    pub fn open(cache: Option<&Path>) -> Result<Self, LearningError> {
        Self::open_on(Processor::Cpu, cache)
    }

    /// The same for numbers that `processor` computes.
    pub fn open_on(processor: Processor, cache: Option<&Path>) -> Result<Self, LearningError> {
        Ok(Self {
            library: Library::new(processor),
            disk: cache.map(DiskCache::open).transpose()?,
            journal: None,
            shared: Mutex::default(),
            changed: Condvar::new(),
            asked: AtomicU64::new(0),
            computed: AtomicU64::new(0),
        })
    }

    /// The store with a folder for what a run needs that goes on where this one is killed ([`Learning::checkpoint`]).
    ///
    /// [`Learning::checkpoint`]: super::Learning::checkpoint
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn with_journal(self, folder: &Path) -> Result<Self, LearningError> {
        Ok(Self { journal: Some(Journal::open(folder)?), ..self })
    }

    pub(super) fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    pub fn counts(&self) -> StoreCounts {
        StoreCounts { asked: self.asked.load(Ordering::Relaxed), computed: self.computed.load(Ordering::Relaxed) }
    }

    pub(crate) fn count(&self, asked: u64, computed: u64) {
        self.asked.fetch_add(asked, Ordering::Relaxed);
        self.computed.fetch_add(computed, Ordering::Relaxed);
    }

    /// Sorts `wanted` metrics into known ones, ones this caller must now compute, and ones another trial is computing.
    /// All claims are taken at once, so that two trials with the same chain never both start on it.
    pub(super) fn claim(&self, wanted: &[Identity]) -> Claim<'_> {
        let mut shared = self.lock();
        let mut claim = Claim { store: self, known: vec![], mine: vec![], elsewhere: vec![] };
        for &identity in wanted {
            if let Some(metric) = self.known_metric(&mut shared, identity) {
                claim.known.push((identity, metric));
            } else if shared.in_flight.insert(identity) {
                claim.mine.push(identity);
            } else {
                claim.elsewhere.push(identity);
            }
        }
        claim
    }

    /// Waits until none of `identities` is being computed by another trial.
    pub(super) fn wait_for(&self, identities: &[Identity]) {
        let mut shared = self.lock();
        while identities.iter().any(|i| shared.in_flight.contains(i)) {
            shared = self.changed.wait(shared).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn publish(&self, identity: Identity, metric: Metric) -> Result<(), LearningError> {
        if let Some(disk) = &self.disk {
            disk.write_metric(identity, metric)?;
        }
        if let Some(journal) = &self.journal {
            journal.write_metric(identity, metric)?;
        }
        let mut shared = self.lock();
        shared.metrics.insert(identity, metric);
        shared.in_flight.remove(&identity);
        self.changed.notify_all();
        Ok(())
    }

    /// A state that another trial holds or that the cache has.
    pub(super) fn state(&self, identity: Identity) -> Option<Arc<State>> {
        let held = self.lock().states.get(&identity).and_then(Weak::upgrade);
        held.or_else(|| self.disk.as_ref()?.read_state(identity).map(Arc::new))
            .or_else(|| self.journal.as_ref()?.read_state(identity).map(Arc::new))
    }

    /// Lets other trials find `state` for as long as somebody holds it; `keep` also writes it to the cache.
    pub(super) fn offer_state(&self, identity: Identity, state: &Arc<State>, keep: bool) -> Result<(), LearningError> {
        self.lock().states.insert(identity, Arc::downgrade(state));
        match &self.disk {
            Some(disk) if keep => disk.write_state(identity, state),
            _ => Ok(()),
        }
    }

    /// Forgets states that nobody holds any more, so that the index does not grow with the length of a search.
    pub(super) fn forget_dropped_states(&self) {
        self.lock().states.retain(|_, state| state.strong_count() > 0);
    }

    fn known_metric(&self, shared: &mut MutexGuard<'_, Shared>, identity: Identity) -> Option<Metric> {
        if let Some(metric) = shared.metrics.get(&identity) {
            return Some(*metric);
        }
        let from_disk = self.disk.as_ref().and_then(|disk| disk.read_metric(identity));
        let metric = from_disk.or_else(|| self.journal.as_ref()?.read_metric(identity))?;
        shared.metrics.insert(identity, metric);
        Some(metric)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // A panicking trial leaves the maps consistent: every update below the lock is a single insertion or removal.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The outcome of asking for metrics. Dropping it gives up what was claimed and not published.
pub(super) struct Claim<'a> {
    store: &'a Store,
    pub known: Vec<(Identity, Metric)>,
    pub mine: Vec<Identity>,
    pub elsewhere: Vec<Identity>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut shared = self.store.lock();
        for identity in &self.mine {
            // A published metric may have been claimed by nobody else since: it is known, so nobody would.
            shared.in_flight.remove(identity);
        }
        self.store.changed.notify_all();
    }
}
