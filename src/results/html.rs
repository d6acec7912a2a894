//! A run as one page that needs nothing else: numbers, plots as inline SVG, the resolved scenario.

use super::error::ResultsError;
use super::files;
use super::folder::RunDescription;
use super::summary::Summary;
use super::units::Quantity;
use std::fs;
use std::path::{Path, PathBuf};

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}\
    table{border-collapse:collapse}td,th{padding:.15em .8em;border-bottom:1px solid #ddd;text-align:right}\
    td:first-child,th:first-child{text-align:left}figure{margin:1em 0}svg{max-width:100%;height:auto}\
    pre{background:#f6f6f6;padding:1em;overflow-x:auto;font-size:13px}";

/// Writes the page to `path`; of the files in `plots` it takes the SVG ones, in their order.
pub(super) fn write_report(
    path: &Path,
    run: &RunDescription<'_>,
    summary: &Summary,
    plots: &[PathBuf],
) -> Result<(), ResultsError> {
    let name = escaped(run.scenario_name);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{name}</title>\
         <style>{STYLE}</style></head><body>\n<h1>{name}</h1>\n<p>deft {}, seed {}, {} replication(s)</p>\n",
        escaped(run.version),
        run.seed,
        summary.replications
    );
    page += &table(summary);
    for plot in plots.iter().filter(|p| p.extension().is_some_and(|e| e == "svg")) {
        let svg = fs::read_to_string(plot).map_err(ResultsError::read(plot))?;
        // An XML declaration may only start a file.
        let svg = svg.find("<svg").map_or("", |start| &svg[start..]);
        page += &format!("<figure>{svg}</figure>\n");
    }
    page += &format!("<h2>Scenario</h2>\n<pre>{}</pre>\n</body></html>\n", escaped(run.resolved_yaml));
    files::write_whole(path, |out| out.write_all(page.as_bytes()))
}

fn table(summary: &Summary) -> String {
    let mut rows =
        String::from("<table>\n<tr><th>metric</th><th>mean, half-width of its 95% confidence interval</th></tr>\n");
    let times = summary.time_to_accuracy_s.iter();
    let times = times.map(|(target, e)| (format!("time to accuracy {target}"), *e, Quantity::Seconds));
    let metrics = summary.metrics().into_iter().map(|m| (m.name.to_owned(), m.estimate, m.quantity));
    for (name, estimate, quantity) in metrics.chain(times) {
        let Some(e) = estimate else { continue };
        let value = quantity.show_with_half_width(e.mean, e.half_width_95);
        let of = if e.count < summary.replications { format!(" ({} replications)", e.count) } else { String::new() };
        rows += &format!("<tr><td>{name}</td><td>{value}{of}</td></tr>\n");
    }
    rows + "</table>\n"
}

/// `text` with the characters that HTML gives a meaning replaced.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    #[test]
    fn markup_in_a_scenario_stays_text() {
        assert_eq!(super::escaped("a<b & \"c\">"), "a&lt;b &amp; &quot;c&quot;&gt;");
    }
}
