//! Progress on standard error; results go to standard output.

use crate::experiment::Progress;
use crate::scenario::Scenario;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar that is drawn on terminals only, and never when `quiet`.
pub fn bar(length: u64, quiet: bool, template: &str) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(length), target);
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(std::time::Duration::from_millis(500));
    bar
}

/// Progress of a run: a bar, and a line a measured accuracy for those who redirect the output.
pub struct RunProgress {
    bar: ProgressBar,
    rounds: u64,
    replications: u64,
    quiet: bool,
}

impl RunProgress {
    pub fn new(scenario: &Scenario, quiet: bool) -> Self {
        let rounds = scenario.technique.rounds as u64;
        let template = "{bar:30} round {pos}/{len}, {eta} left  {msg}";
        Self {
            bar: bar(rounds * scenario.replications, quiet, template),
            rounds,
            replications: scenario.replications,
            quiet,
        }
    }

    pub fn round(&self, replication: u64, p: &Progress) {
        self.bar.set_position(replication * self.rounds + p.round as u64 + 1);
        let mut message = format!("simulated {:.1} s", p.simulated_seconds);
        if let Some(loss) = p.train_loss {
            message += &format!(", loss {loss:.3}");
        }
        if let Some(accuracy) = p.accuracy {
            message += &format!(", accuracy {accuracy:.4}");
        }
        self.bar.set_message(message.clone());
        // Where no bar is drawn (a log file), accuracies and every tenth of the rounds are worth a line.
        let milestone = p.accuracy.is_some() || (p.round + 1).is_multiple_of(p.rounds.div_ceil(10));
        if self.bar.is_hidden() && !self.quiet && milestone {
            let which = if self.replications > 1 { format!("replication {replication}, ") } else { String::new() };
            eprintln!("{which}round {}/{}: {message}", p.round + 1, p.rounds);
        }
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
