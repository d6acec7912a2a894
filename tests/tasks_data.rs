//! The data of every learning task: what ships is what the documentation says, and what users bring is whole or refused.

use deft::data::{
    DataError, Dataset, ImageSize, Input, Objective, TableOptions, Target, TaskKind, TokenizedDataset, VENDORED,
};
use deft::fomo::{Tokenizer, vendored};
use deft::random::CounterStream;
use sha2::{Digest, Sha256};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

// ---- vendored sets ----

fn asset(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(path)).unwrap()
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

#[test]
fn every_vendored_set_can_be_read_for_every_task_that_it_serves() {
    for set in VENDORED {
        for task in TaskKind::ALL {
            let read = Dataset::vendored_for(set.name, task);
            if !set.tasks().contains(&task) {
                assert!(matches!(read, Err(DataError::TaskNotServed { .. })), "{} {task:?}", set.name);
                continue;
            }
            let d = read.unwrap();
            assert_eq!((d.task, d.train.len(), d.test.len(), d.image), (task, set.train, set.test, set.image));
            assert_eq!(d.classes, if task.has_classes() { set.classes } else { &[] });
            for e in d.train.iter().chain(&d.test) {
                match (&e.target, task) {
                    (Target::Class(c), TaskKind::Classification | TaskKind::Images) => {
                        assert!((*c as usize) < d.classes.len());
                    }
                    (Target::Value(v), TaskKind::Regression) => assert!(v.is_finite()),
                    (Target::Text(t), TaskKind::SequenceToSequence) => assert!(set.classes.contains(&t.as_str())),
                    (Target::Itself, TaskKind::LanguageModel) => {}
                    other => panic!("{} {other:?}", set.name),
                }
                assert_eq!(matches!(e.input, Input::Image(_)), task == TaskKind::Images);
            }
        }
        assert_eq!(Dataset::vendored(set.name).unwrap(), Dataset::vendored_for(set.name, set.tasks()[0]).unwrap());
    }
    let message = Dataset::vendored_for("digits", TaskKind::LanguageModel).unwrap_err().to_string();
    assert_eq!(message, "data set `digits` cannot be read for language_model; it serves `images`");
}

#[test]
fn ratings_belong_to_the_sentences_beside_them() {
    let (rated, movie) = (Dataset::vendored("movie_ratings").unwrap(), Dataset::vendored("movie").unwrap());
    assert_eq!(rated.objective(), Objective::Regression);
    for (rated, classified) in [(&rated.train, &movie.train), (&rated.test, &movie.test)] {
        assert_eq!(rated.len(), classified.len());
        for (r, c) in rated.iter().zip(classified) {
            let Target::Value(rating) = r.target else { panic!("{r:?}") };
            assert_eq!((r.text(), u32::from(rating > 0.0)), (c.text(), c.class().unwrap()));
            assert!(rating.abs() <= 4.0 && rating != 0.0);
        }
    }
    // The second sentence of the original file: 3.53333333333, to four digits.
    let second = rated.train.iter().find(|e| e.text().starts_with("The gorgeously elaborate")).unwrap();
    assert_eq!(second.target, Target::Value(3.533));
}

#[test]
fn added_assets_are_those_that_their_origins_describe() {
    for (origin, file) in
        [("sentiment/ORIGIN.md", "sentiment/movie.ratings.gz"), ("digits/ORIGIN.md", "digits/digits.csv.gz")]
    {
        let packed = asset(file);
        assert!(packed.len() < 100_000, "{file}");
        let hash: String = Sha256::digest(gunzip(&packed)).iter().map(|b| format!("{b:02x}")).collect();
        assert!(String::from_utf8(asset(origin)).unwrap().contains(&hash), "{file} is {hash}");
    }
}

#[test]
fn digits_are_split_evenly_and_their_labels_fit_the_images() {
    let d = Dataset::vendored("digits").unwrap();
    let documentation = include_str!("../docs/data_and_models.md");
    for class in 0..10 {
        let count = |half: &[deft::data::Example]| half.iter().filter(|e| e.class() == Some(class)).count();
        let (train, test) = (count(&d.train), count(&d.test));
        assert_eq!(test, (train + test) / 5, "digit {class}");
    }
    assert!(documentation.contains(&format!("| `digits` | {} | {} |", d.train.len(), d.test.len())));

    // The nearest class mean recognises nine in ten (chance: one in ten), so images and labels belong together.
    let pixels = |e: &deft::data::Example| match &e.input {
        Input::Image(p) => p.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>(),
        Input::Text(t) => panic!("{t}"),
    };
    let mut means = vec![vec![0.0; 64]; 10];
    for e in &d.train {
        let class = e.class().unwrap();
        let count = d.train.iter().filter(|o| o.class() == Some(class)).count() as f64;
        means[class as usize].iter_mut().zip(pixels(e)).for_each(|(m, p)| *m += p / count);
    }
    let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f64>();
    let nearest = |p: &[f64]| (0..10).min_by(|&a, &b| distance(&means[a], p).total_cmp(&distance(&means[b], p)));
    let right = d.test.iter().filter(|e| nearest(&pixels(e)) == e.class().map(|c| c as usize)).count();
    assert!(right as f64 > 0.85 * d.test.len() as f64, "{right} of {}", d.test.len());
}

#[test]
fn a_digit_becomes_four_patches() {
    let (digits, size) = (Dataset::vendored("digits").unwrap(), ImageSize { side_px: 8, channels: 1 });
    let t = TokenizedDataset::from_images(&digits, size, 4).unwrap();
    assert_eq!(t.objective(), Objective::Classification { classes: 10 });
    assert_eq!((t.train.rows(), t.train.patches.len()), (4 * 1442, 64 * 1442));
    // The upper right quarter of the first digit, a zero, in the levels 0 to 16 of the original file.
    let level = |v: &f32| (f64::from(*v) + 1.0) / 2.0 * 16.0;
    let quarter: Vec<f64> = t.train.patches[16..32].iter().map(|v| level(v).round()).collect();
    let original = [9, 1, 0, 0, 10, 15, 5, 0, 0, 11, 8, 0, 0, 8, 8, 0].map(f64::from);
    assert_eq!(quarter, original);
    let extremes = t.train.patches.iter().fold((f32::MAX, f32::MIN), |(a, b), &v| (a.min(v), b.max(v)));
    assert_eq!(extremes, (-1.0, 1.0));
}

/// A tokenizer of four words that closes every text as T5's does.
fn closing_tokenizer() -> Tokenizer {
    let json = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [{"id": 1, "content": "</s>",
        "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
        "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "decoder": null,
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}},
        "model": {"type": "WordLevel", "unk_token": "<unk>",
            "vocab": {"<unk>": 0, "</s>": 1, "negative": 2, "positive": 3}}}"#;
    Tokenizer::from_bytes("closing.json", json.as_bytes()).unwrap()
}

#[test]
fn sentiment_as_text_closes_source_and_target_alike() {
    let classified = Dataset::vendored("movie").unwrap();
    let pairs = Dataset::vendored_for("movie", TaskKind::SequenceToSequence).unwrap();
    let t = TokenizedDataset::new(&pairs, &closing_tokenizer(), 16).unwrap();
    assert_eq!(t.objective(), Objective::NextToken);
    for (half, examples) in [(&t.train, &classified.train), (&t.test, &classified.test)] {
        let decoder = half.decoder.as_ref().unwrap();
        for (i, e) in examples.iter().enumerate() {
            assert_eq!(half.sequence(i).last(), Some(&1));
            assert!(half.length(i) <= 16);
            assert_eq!(decoder.sequence(i), [2 + e.class().unwrap(), 1]);
        }
    }
    let batch = t.train_batch(&[5, 3, 5]);
    assert_eq!(batch.decoder.unwrap().length(2), 2);
}

#[test]
fn film_reviews_are_a_language_without_labels() {
    let tokenizer = vendored::minilm().tokenizer().unwrap();
    let read = |task| TokenizedDataset::new(&Dataset::vendored_for("movie", task).unwrap(), &tokenizer, 64).unwrap();
    let (alone, classified) = (read(TaskKind::LanguageModel), read(TaskKind::Classification));
    assert_eq!((&alone.train.tokens, alone.objective()), (&classified.train.tokens, Objective::NextToken));
    assert!(alone.train.labels.iter().all(|&l| l == 0));
    assert_ne!(alone.digest(), classified.digest());
    // What a word that is a single token to a tokenizer without special ones gets.
    let message = TokenizedDataset::new(&Dataset::vendored_for("movie", TaskKind::LanguageModel).unwrap(), &Words, 64);
    assert!(message.unwrap_err().to_string().contains("1 of at least 2 tokens"));
}

struct Words;

impl deft::data::Tokenize for Words {
    fn encode(&self, text: &str, max_tokens: usize) -> Result<Vec<u32>, String> {
        Ok(text.split_whitespace().take(max_tokens).map(|w| w.len() as u32).collect())
    }
}

// ---- files of users ----

/// A small table for each task.
fn table(task: TaskKind) -> String {
    let row = |i: usize| {
        let split = if i % 4 == 3 { "test" } else { "train" };
        let (text, number) = (format!("text é number {i}"), i as f32 * 0.25 - 2.0);
        match task {
            TaskKind::Classification => format!("{text}\t{}\t{split}\n", ["no", "yes"][i % 2]),
            TaskKind::Regression => format!("{text}\t{number}\t{split}\n"),
            TaskKind::LanguageModel => format!("{text}\t{split}\n"),
            TaskKind::SequenceToSequence => format!("{text}\tanswer {i}\t{split}\n"),
            TaskKind::Images => format!("{}\t{}\t17\t255\t{}\t{split}\n", i, i * 3, i % 2),
        }
    };
    let header = match task {
        TaskKind::Classification | TaskKind::Regression => "text\tlabel\tsplit\n",
        TaskKind::LanguageModel => "text\tsplit\n",
        TaskKind::SequenceToSequence => "text\ttarget\tsplit\n",
        TaskKind::Images => "p0\tp1\tp2\tp3\tlabel\tsplit\n",
    };
    header.to_owned() + &(0..12).map(row).collect::<String>()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(plain).unwrap();
    gz.finish().unwrap()
}

/// A folder with one file that changes.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn read(&self, name: &str, bytes: &[u8], task: TaskKind) -> Result<Dataset, DataError> {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Dataset::from_file(&path, &TableOptions::for_task(task))
    }
}

#[test]
fn a_compressed_table_that_is_cut_or_damaged_is_refused_or_read_as_it_was() {
    let folder = Folder::new();
    for task in TaskKind::ALL {
        let packed = gzip(table(task).as_bytes());
        let whole = folder.read("t.tsv.gz", &packed, task).unwrap();
        assert_eq!((whole.train.len(), whole.test.len(), whole.task), (9, 3, task));
        for length in 0..packed.len() {
            let e = folder.read("t.tsv.gz", &packed[..length], task).expect_err("accepted a cut file");
            assert!(e.to_string().contains("t.tsv.gz"), "{e}");
        }
        let mut harmless = 0;
        for bit in 0..packed.len() * 8 {
            let mut bytes = packed.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            match folder.read("t.tsv.gz", &bytes, task) {
                // Time stamp and operating system in the gzip header mean nothing; all else is under its checksum.
                Ok(read) => {
                    harmless += 1;
                    assert_eq!(read, whole);
                }
                Err(e) => assert!(e.to_string().contains("t.tsv.gz"), "{e}"),
            }
        }
        assert!(harmless <= 10 * 8, "{harmless}");
    }
}

#[test]
fn a_plain_table_that_is_cut_or_damaged_keeps_every_promise_of_a_data_set_or_names_the_line() {
    let folder = Folder::new();
    for task in TaskKind::ALL {
        let plain = table(task).into_bytes();
        let cuts = (0..plain.len()).map(|length| plain[..length].to_vec());
        // The highest bit of each byte, which breaks UTF-8, and one other.
        let flips = (0..plain.len()).flat_map(|at| [7, at % 7].map(|bit| (at, bit))).map(|(at, bit)| {
            let mut bytes = plain.clone();
            bytes[at] ^= 1 << bit;
            bytes
        });
        let stream = CounterStream::new(7, 7);
        let noise = (0..200).map(|n| (0..n).map(|i| stream.child(n).bits(i) as u8).collect());
        let (mut read, mut refused) = (0, 0);
        for bytes in cuts.chain(flips).chain(noise) {
            match folder.read("t.tsv", &bytes, task) {
                Ok(d) => {
                    read += 1;
                    check_promises(&d);
                }
                Err(e) => {
                    refused += 1;
                    assert!(e.to_string().contains("t.tsv: "), "{e}");
                }
            }
        }
        assert!(read > 20 && refused > 100, "{task:?}: {read} read, {refused} refused");
    }
}

fn check_promises(d: &Dataset) {
    assert!(!d.train.is_empty() && !d.test.is_empty());
    assert_eq!(d.image.is_some(), d.task == TaskKind::Images);
    for e in d.train.iter().chain(&d.test) {
        match &e.input {
            Input::Text(text) => assert!(!text.trim().is_empty()),
            Input::Image(pixels) => assert_eq!(Some(pixels.len()), d.image.map(ImageSize::bytes)),
        }
        match &e.target {
            Target::Class(class) => assert!((*class as usize) < d.classes.len() && d.task.has_classes()),
            Target::Value(value) => assert!(value.is_finite() && d.task == TaskKind::Regression),
            Target::Text(text) => assert!(!text.is_empty() && d.task == TaskKind::SequenceToSequence),
            Target::Itself => assert_eq!(d.task, TaskKind::LanguageModel),
        }
    }
}

#[test]
fn errors_of_files_name_file_and_line() {
    let folder = Folder::new();
    let message = |task, from: &[u8], to: &[u8]| {
        let bytes = table(task).into_bytes();
        let at = bytes.windows(from.len()).position(|w| w == from).unwrap();
        let bytes = [&bytes[..at], to, &bytes[at + from.len()..]].concat();
        let message = folder.read("t.tsv", &bytes, task).unwrap_err().to_string();
        message.split_once("t.tsv: ").unwrap().1.to_owned()
    };
    let expected = "line 3: label `NaN`, expected a finite number (regression)";
    assert_eq!(message(TaskKind::Regression, b"-1.75", b"NaN"), expected);
    assert_eq!(message(TaskKind::SequenceToSequence, b"answer 2", b""), "line 4: the target is empty");
    assert_eq!(message(TaskKind::LanguageModel, "text é number 5".as_bytes(), b" "), "line 7: the text is empty");
    let utf8 = message(TaskKind::SequenceToSequence, b"answer 4", b"\xff\xfe");
    assert_eq!(utf8, "line 6 is not UTF-8; convert the file (for example with iconv)");
    let pixel = "line 4: pixel `p1` is `600`, expected a whole number from 0 to 255";
    assert_eq!(message(TaskKind::Images, b"2\t6\t", b"2\t600\t"), pixel);
    let split = "line 13: split `tests`, expected train or test";
    assert_eq!(message(TaskKind::Classification, b"number 11\tyes\ttest", b"number 11\tyes\ttests"), split);
    let label = "line 13: unknown label `maybe`; known are `no`, `yes`";
    assert_eq!(message(TaskKind::Classification, b"number 11\tyes", b"number 11\tmaybe"), label);
}

#[test]
fn gzip_may_have_several_members_but_not_expand_without_measure() {
    let folder = Folder::new();
    let whole = table(TaskKind::Regression);
    let (first, second) = whole.as_bytes().split_at(whole.len() / 2);
    let members = [gzip(first), gzip(second)].concat();
    let read = folder.read("t.tsv.gz", &members, TaskKind::Regression).unwrap();
    assert_eq!(read, folder.read("t.tsv", whole.as_bytes(), TaskKind::Regression).unwrap());
    let garbage = [gzip(whole.as_bytes()), b"garbage".to_vec()].concat();
    assert!(folder.read("t.tsv.gz", &garbage, TaskKind::Regression).is_err());

    // 200 MB of line feeds in 1 MB or less.
    let bomb = gzip(&vec![b'\n'; 200_000_000]);
    let e = folder.read("bomb.tsv.gz", &bomb, TaskKind::Regression).unwrap_err().to_string();
    assert!(e.contains("bomb.tsv.gz") && e.contains("decompress the file first"), "{e}");
}
