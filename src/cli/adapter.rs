//! `deft adapter`: trained parameters to and from files that other programs read.

use super::Failure;
use crate::adapter::peft::{self, ExportOptions};
use crate::adapter::{self, AdapterError, AdapterFile, NamedModel, Query, TensorSummary};
use crate::results::{self, RunFolder};
use clap::{Args, Subcommand, ValueEnum};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  deft adapter show results/quickstart/1f2e3d4c5b6a      what the run trained
  deft adapter export results/quickstart/1f2e3d4c5b6a    a folder for Hugging Face's peft
  deft adapter export results/own/0a1b2c3d4e5f --device older-1 --out for-hub
  deft adapter import their-adapter --model models/minilm-f32
  deft adapter probe for-hub --model models/minilm-f32 --tokens 101,2054,102 --tokens 101,102
  deft adapter probe for-hub --model models/t5-small --tokens 8774,1 --written 100,19

A run with training keeps what its first replication ended with: adapters/global.safetensors
in its folder, or one file a device where devices keep models of their own.
docs/adapters.md describes the files.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Write the adapter of a run as a folder that other programs load
    Export(Export),
    /// Read a folder of Hugging Face's peft into deft's own file
    Import(Import),
    /// List the tensors of an adapter: shapes and norms
    Show(Show),
    /// Print what a model answers with an adapter to given tokens or images, as JSON
    Probe(Probe),
}

/// An adapter on disk.
#[derive(Args)]
struct Which {
    /// Folder of a finished run, results/<scenario>/<id>, or a file that deft wrote
    adapter: PathBuf,
    /// Whose adapter, in a run whose devices keep models of their own
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
}

#[derive(Args)]
struct Export {
    #[command(flatten)]
    which: Which,
    /// For which program
    #[arg(long, value_enum, default_value_t = Format::Peft)]
    format: Format,
    /// Folder to write [default: <adapter>-peft beside the adapter]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where others find the base model: a name on a hub, or a path [default: deft's own name]
    #[arg(long, value_name = "NAME_OR_PATH")]
    base_model: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// adapter_config.json and adapter_model.safetensors, as peft 0.21 writes them
    Peft,
}

#[derive(Args)]
struct Import {
    /// Folder with adapter_config.json and adapter_model.safetensors
    folder: PathBuf,
    /// The model that it was trained on: a folder with config.json, a .gguf file, or a name of `deft list models`
    #[arg(long, value_name = "NAME_OR_PATH")]
    model: String,
    /// File to write [default: <FOLDER>/deft.safetensors]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Args)]
struct Show {
    /// Folder of a finished run, a folder of peft, or a safetensors file
    adapter: PathBuf,
    /// Whose adapter, in a run whose devices keep models of their own
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
}

#[derive(Args)]
struct Probe {
    #[command(flatten)]
    which: Which,
    /// The model: a folder with config.json and weights, a .gguf file, or the name of the model that deft carries
    #[arg(long, value_name = "NAME_OR_PATH")]
    model: String,
    /// Token ids of one sequence, separated by commas (repeatable)
    #[arg(long, value_name = "IDS", required_unless_present = "images", value_parser = tokens)]
    tokens: Vec<Tokens>,
    /// For an encoder-decoder: token ids that its decoder has written so far, of the first --tokens, of the second and so on;
    /// `none` or left out where it has written nothing (repeatable)
    #[arg(long, value_name = "IDS", value_parser = written, requires = "tokens")]
    written: Vec<Tokens>,
    /// For a model that reads images: a file with one image a line, pixels from 0 to 255 separated by commas, channel by
    /// channel, row by row
    #[arg(long, value_name = "FILE", conflicts_with = "tokens")]
    images: Option<PathBuf>,
}

/// One sequence. A type of its own, for clap takes a plain `Vec` for several values.
#[derive(Clone)]
struct Tokens(Vec<u32>);

fn tokens(text: &str) -> Result<Tokens, std::num::ParseIntError> {
    text.split(',').map(|id| id.trim().parse()).collect::<Result<_, _>>().map(Tokens)
}

fn written(text: &str) -> Result<Tokens, std::num::ParseIntError> {
    if text == "none" { Ok(Tokens(vec![])) } else { tokens(text) }
}

pub fn execute(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.action {
        Action::Export(export) => export.execute(),
        Action::Import(import) => import.execute(),
        Action::Show(show) => show.execute(),
        Action::Probe(probe) => probe.execute(),
    }
}

/// A file or folder that does not fit is the user's to mend.
fn usage(error: AdapterError) -> Failure {
    Failure::Usage(error.to_string())
}

/// The file of an adapter: that of a run, or the one named.
fn file_of(adapter: &Path, device: Option<&str>) -> Result<PathBuf, Failure> {
    match adapter.is_dir() {
        true => Ok(RunFolder::open(adapter)?.adapter(device)?),
        false => Ok(adapter.to_owned()),
    }
}

impl Export {
    fn execute(&self) -> Result<(), Failure> {
        let Format::Peft = self.format;
        let path = file_of(&self.which.adapter, self.which.device.as_deref())?;
        let file = AdapterFile::read(&path).map_err(usage)?;
        let folder = peft::export(&file, &ExportOptions { base_model: self.base_model.as_deref() }).map_err(usage)?;
        let beside = || {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            path.with_file_name(format!("{name}-peft"))
        };
        let out = self.out.clone().unwrap_or_else(beside);
        for (name, bytes) in &folder.files {
            results::write_whole(&out.join(name), |file| file.write_all(bytes))?;
        }
        let mut screen = std::io::stdout().lock();
        for (name, _) in &folder.files {
            writeln!(screen, "{}", out.join(name).display())?;
        }
        for note in &folder.notes {
            writeln!(screen, "note: {note}")?;
        }
        Ok(())
    }
}

impl Import {
    fn execute(&self) -> Result<(), Failure> {
        let architecture = adapter::architecture(&self.model).map_err(usage)?;
        let file = peft::import(&self.folder, &architecture).map_err(usage)?;
        let out = self.out.clone().unwrap_or_else(|| self.folder.join("deft.safetensors"));
        results::write_whole(&out, |written| written.write_all(&file.to_bytes()))?;
        let mut screen = std::io::stdout().lock();
        print_description(&file, &mut screen)?;
        print_tensors(&adapter::summarise(&out).map_err(usage)?, &mut screen)?;
        writeln!(screen, "{}", out.display())?;
        Ok(())
    }
}

impl Show {
    fn execute(&self) -> Result<(), Failure> {
        let of_peft = self.adapter.join(peft::TENSORS);
        let path = if of_peft.is_file() { of_peft } else { file_of(&self.adapter, self.device.as_deref())? };
        let tensors = adapter::summarise(&path).map_err(usage)?;
        let mut screen = std::io::stdout().lock();
        match AdapterFile::read(&path) {
            Ok(file) => print_description(&file, &mut screen)?,
            // Tensors of other programs have names and shapes too.
            Err(AdapterError::NotNative { .. }) => {}
            Err(error) => return Err(usage(error)),
        }
        print_tensors(&tensors, &mut screen)?;
        Ok(())
    }
}

fn print_description(file: &AdapterFile, screen: &mut dyn Write) -> io::Result<()> {
    let methods = adapter::method_names(file.methods());
    writeln!(screen, "{methods} on {}, {} parameters", file.model_name(), file.parameters().len())
}

fn print_tensors(tensors: &[TensorSummary], screen: &mut dyn Write) -> io::Result<()> {
    let width = tensors.iter().map(|t| t.name.len()).max().unwrap_or(0);
    tensors.iter().try_for_each(|t| {
        writeln!(screen, "  {:<width$}  {:<14} norm {:.4e}", t.name, format!("{:?}", t.shape), t.norm)
    })
}

impl Probe {
    fn execute(&self) -> Result<(), Failure> {
        let model = NamedModel::open(&self.model).map_err(usage)?;
        let (name, file) = match self.which.adapter.join(peft::CONFIG).is_file() {
            true => (&self.which.adapter, peft::import(&self.which.adapter, &model.architecture).map_err(usage)?),
            false => {
                let path = file_of(&self.which.adapter, self.which.device.as_deref())?;
                (&self.which.adapter, AdapterFile::read(&path).map_err(usage)?)
            }
        };
        let answers = adapter::probe(&name.display().to_string(), &file, &model, &self.queries()?).map_err(usage)?;
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, &answers)?;
        writeln!(out)?;
        Ok(())
    }

    fn queries(&self) -> Result<Vec<Query>, Failure> {
        if self.written.len() > self.tokens.len() {
            let (written, tokens) = (self.written.len(), self.tokens.len());
            return Err(Failure::Usage(format!(
                "{written} times --written for {tokens} times --tokens: give one for each"
            )));
        }
        let Some(path) = &self.images else {
            let written = self.written.iter().map(|w| w.0.clone()).chain(std::iter::repeat(vec![]));
            let texts = self.tokens.iter().zip(written);
            return Ok(texts.map(|(t, written)| Query::Text { tokens: t.0.clone(), written }).collect());
        };
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| usage(AdapterError::Unreadable { file: file.clone(), cause: error.to_string() }))?;
        let image = |(i, line): (usize, &str)| -> Result<Query, Failure> {
            let pixel = |field: &str| {
                let wrong = |_| AdapterError::Pixel { file: file.clone(), line: i + 1, found: field.trim().to_owned() };
                field.trim().parse::<u8>().map_err(wrong)
            };
            line.split(',').map(pixel).collect::<Result<_, _>>().map(Query::Image).map_err(usage)
        };
        let images: Vec<Query> = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
            .map(image)
            .collect::<Result<_, _>>()?;
        if images.is_empty() {
            return Err(Failure::Usage(format!("{file}: holds no image; write one a line")));
        }
        Ok(images)
    }
}
