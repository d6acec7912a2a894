//! A timeline of named spans, written in the Chrome trace-event format that the Perfetto viewer opens.
//!
//! Format: "Trace Event Format" (Google, 2016), JSON array of complete (`X`) and metadata (`M`) events, times in
//! microseconds. Ours have three decimals: whole nanoseconds, exactly.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, Write};

use serde_json::Value;

use super::time::SimTime;

/// The viewer groups tracks by process; a simulation is one.
const PROCESS: u32 = 1;

/// Spans by track, in the order in which they were reported. Keeps nothing unless enabled.
#[derive(Debug)]
pub struct Trace {
    recorded: Option<RefCell<Recorded>>,
}

#[derive(Debug, Default)]
struct Recorded {
    spans: Vec<Span>,
    tracks: Vec<String>,
    track_numbers: HashMap<String, usize>,
}

#[derive(Debug)]
struct Span {
    track: usize,
    name: String,
    start: SimTime,
    end: SimTime,
    args: Vec<(String, Value)>,
}

impl Trace {
    pub(super) fn disabled() -> Self {
        Self { recorded: None }
    }

    pub(super) fn enabled() -> Self {
        Self { recorded: Some(RefCell::default()) }
    }

    /// Whether spans are kept: ask before working out expensive arguments.
    pub fn is_enabled(&self) -> bool {
        self.recorded.is_some()
    }

    /// Number of spans kept.
    pub fn len(&self) -> usize {
        self.recorded.as_ref().map_or(0, |recorded| recorded.borrow().spans.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reports that `name` went on from `start` to `end` on `track`, with details for whoever clicks on it.
    ///
    /// Tracks are numbered as they first appear. Spans of one track may nest but should not otherwise overlap: the
    /// viewer stacks a span on the one that encloses it.
    pub fn span(&self, track: &str, name: &str, start: SimTime, end: SimTime, args: &[(&str, Value)]) {
        let Some(recorded) = &self.recorded else { return };
        let mut recorded = recorded.borrow_mut();
        let track = recorded.number(track);
        let args = args.iter().map(|(key, value)| (String::from(*key), value.clone())).collect();
        recorded.spans.push(Span { track, name: name.to_owned(), start, end, args });
    }

    /// Writes the timeline: one event a line, tracks named first.
    ///
    /// # Errors
    /// What `out` answers.
    pub fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        write!(out, "[")?;
        write_metadata(out, "process_name", 0, "name", "simulation".into())?;
        if let Some(recorded) = &self.recorded {
            let recorded = recorded.borrow();
            for (number, track) in recorded.tracks.iter().enumerate() {
                write!(out, ",")?;
                write_metadata(out, "thread_name", number + 1, "name", track.as_str().into())?;
                write!(out, ",")?;
                write_metadata(out, "thread_sort_index", number + 1, "sort_index", (number + 1).into())?;
            }
            for span in &recorded.spans {
                write!(out, ",")?;
                span.write(out)?;
            }
        }
        writeln!(out, "\n]")
    }
}

impl Recorded {
    fn number(&mut self, track: &str) -> usize {
        if let Some(&number) = self.track_numbers.get(track) {
            return number;
        }
        let number = self.tracks.len();
        self.tracks.push(track.to_owned());
        self.track_numbers.insert(track.to_owned(), number);
        number
    }
}

fn write_metadata(out: &mut impl Write, kind: &str, tid: usize, key: &str, value: Value) -> io::Result<()> {
    write!(out, "\n{{\"ph\":\"M\",\"name\":\"{kind}\",\"pid\":{PROCESS},\"tid\":{tid},\"args\":{{\"{key}\":{value}}}}}")
}

impl Span {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let (name, tid) = (Value::from(self.name.as_str()), self.track + 1);
        let (start, duration) = (self.start.as_nanos(), (self.end - self.start).as_nanos());
        write!(
            out,
            "\n{{\"ph\":\"X\",\"name\":{name},\"pid\":{PROCESS},\"tid\":{tid},\"ts\":{}.{:03},\"dur\":{}.{:03},\"args\":{{",
            start / 1000,
            start % 1000,
            duration / 1000,
            duration % 1000
        )?;
        for (index, (key, value)) in self.args.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(out, "{comma}{}:{value}", Value::from(key.as_str()))?;
        }
        write!(out, "}}}}")
    }
}
