//! What ships in the binary is what docs/data_and_models.md says, and what users bring is checked before it is used.

use deft::data::{
    BatchStream, DataError, Dataset, Partition, TableOptions, TaskKind, TokenizedDataset, VENDORED, VendoredSet,
};
use deft::fomo::checkpoint::SafetensorsCheckpoint;
use deft::fomo::{CheckpointError, TensorSource, Tokenizer, TokenizerError, vendored};
use deft::random::Streams;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::Path;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

// ---- vendored data ----

/// The four domains of classified sentences.
fn sentiment_sets() -> impl Iterator<Item = VendoredSet> {
    VENDORED.into_iter().filter(|set| set.task == TaskKind::Classification)
}

#[test]
fn vendored_sets_have_the_sizes_and_the_balance_that_the_documentation_gives() {
    // Name, train negative, train positive, test negative, test positive.
    let expected = [
        ("movie", [4568, 4475, 758, 767]),
        ("amazon", [1268, 1817, 214, 311]),
        ("tweets", [1111, 2476, 188, 421]),
        ("nyt", [2358, 1890, 384, 314]),
    ];
    assert_eq!(sentiment_sets().map(|s| s.name).collect::<Vec<_>>(), expected.map(|(name, _)| name));
    let documentation = include_str!("../docs/data_and_models.md");
    for (set, (name, counts)) in sentiment_sets().zip(expected) {
        let d = Dataset::vendored(name).unwrap();
        let count = |half: &[deft::data::Example], label| half.iter().filter(|e| e.class() == Some(label)).count();
        let found = [count(&d.train, 0), count(&d.train, 1), count(&d.test, 0), count(&d.test, 1)];
        assert_eq!(found, counts, "{name}");
        assert_eq!((d.train.len(), d.test.len()), (set.train, set.test), "{name}");
        assert_eq!(d.classes, ["negative", "positive"]);
        let [a, b, c, e] = counts.map(|n| n.to_string());
        assert!(documentation.contains(&format!("| {a} / {b} | {c} / {e} |")), "the table lacks the row of {name}");
    }
}

#[test]
fn vendored_texts_are_clean_and_their_split_follows_from_the_text_alone() {
    for set in sentiment_sets() {
        let d = Dataset::vendored(set.name).unwrap();
        for (half, is_test) in [(&d.train, false), (&d.test, true)] {
            for e in half {
                for entity in ["&amp;", "&lt;", "&gt;", "&quot;", "&#"] {
                    assert!(!e.text().contains(entity), "{}: {}", set.name, e.text());
                }
                assert_eq!(e.text(), e.text().split_whitespace().collect::<Vec<_>>().join(" "));
                if e.text().is_ascii() {
                    let hash = Sha256::digest(e.text().to_ascii_lowercase().as_bytes());
                    let number = u64::from_be_bytes(hash[..8].try_into().unwrap());
                    assert_eq!(number.is_multiple_of(7), is_test, "{}: {}", set.name, e.text());
                }
            }
        }
        let train: BTreeSet<String> = d.train.iter().map(|e| e.text().to_lowercase()).collect();
        assert!(d.test.iter().all(|e| !train.contains(&e.text().to_lowercase())), "{} leaks", set.name);
    }
}

#[test]
fn an_unknown_set_is_refused_with_the_nearest_name() {
    let message = Dataset::vendored("movies").unwrap_err().to_string();
    assert!(message.contains("did you mean `movie`?") && message.contains("`nyt`"), "{message}");
    assert!(!Dataset::vendored("cifar10").unwrap_err().to_string().contains("did you mean"));
}

// ---- files of users ----

#[test]
fn tables_are_read_plain_and_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let text = "text,label,split\n\"so, so\",bad,train\nfine,good,train\nok,good,test\n";
    let plain = folder.path().join("mine.csv");
    std::fs::write(&plain, text).unwrap();
    let packed = folder.path().join("mine.csv.gz");
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut gz, text.as_bytes()).unwrap();
    let gz = gz.finish().unwrap();
    std::fs::write(&packed, &gz).unwrap();

    let d = Dataset::from_file(&plain, &TableOptions::default()).unwrap();
    assert_eq!((d.name.as_str(), d.train[0].text(), d.test[0].class()), ("mine", "so, so", Some(1)));
    assert_eq!(d, Dataset::from_file(&packed, &TableOptions::default()).unwrap());

    std::fs::write(&packed, &gz[..gz.len() / 2]).unwrap();
    let read = |name: &str| Dataset::from_file(&folder.path().join(name), &TableOptions::default()).unwrap_err();
    assert!(read("mine.csv.gz").to_string().contains("not a whole gzip file"));
    assert!(matches!(read("absent.tsv"), DataError::Unreadable { .. }));
    assert!(matches!(read("mine.parquet"), DataError::UnknownFormat { .. }));
}

// ---- from text to batches ----

fn tokenizer() -> Tokenizer {
    vendored::minilm().tokenizer().unwrap()
}

#[test]
fn token_lengths_are_those_of_the_documentation() {
    let t = tokenizer();
    let documentation = include_str!("../docs/data_and_models.md");
    for set in sentiment_sets() {
        let d = TokenizedDataset::new(&Dataset::vendored(set.name).unwrap(), &t, 128).unwrap();
        let l = d.lengths();
        assert!(
            documentation.contains(&format!("| {} | {} | {} | {} |", l.total, l.median, l.p95, l.longest)),
            "{} {l:?}",
            set.name
        );
        // No padding anywhere, and the file's own limit of 128 is not in force: nothing but the ids of the text.
        assert!(d.train.tokens.iter().chain(&d.test.tokens).all(|&id| id != 0));
        assert!(d.train.lengths().all(|l| l >= 3));
    }
}

#[test]
fn special_tokens_survive_the_cut() {
    let t = tokenizer();
    assert_eq!(t.encode("Hello, world!", 64).unwrap(), [101, 7592, 1010, 2088, 999, 102]);
    assert_eq!(t.encode("Hello, world!", 6).unwrap(), [101, 7592, 1010, 2088, 999, 102]);
    assert_eq!(t.encode("Hello, world!", 4).unwrap(), [101, 7592, 1010, 102]);
    assert_eq!(t.encode("", 64).unwrap(), [101, 102]);
    assert_eq!(t.encode(&"word ".repeat(1000), 512).unwrap().len(), 512);
    assert!(matches!(t.encode("Hello", 2), Err(TokenizerError::Limit { special: 2, .. })));
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let mut architecture = vendored::minilm().architecture().unwrap();
    tokenizer().check_vocabulary(&architecture).unwrap();
    architecture.vocabulary = 30_521;
    let message = tokenizer().check_vocabulary(&architecture).unwrap_err().to_string();
    assert!(message.contains("up to 30521") && message.contains("30521 rows"), "{message}");
    assert!(matches!(Tokenizer::from_bytes("t.json", b"{}"), Err(TokenizerError::Unreadable { .. })));
    assert!(matches!(Tokenizer::from_path(Path::new("absent.json")), Err(TokenizerError::Unreadable { .. })));
}

#[test]
fn four_domains_on_eight_devices_give_batches_of_one_domain_each() {
    let parts = sentiment_sets().map(|s| Dataset::vendored(s.name).unwrap()).collect();
    let data = TokenizedDataset::new(&Dataset::join("all", parts).unwrap(), &tokenizer(), 64).unwrap();
    let streams = Streams::new(1, 0);
    let mut stream = streams.stream("data", "partition");
    let shares = Partition::Domain.deal(&data.train.labels, &data.domains, &[1.0; 8], &mut stream).unwrap();
    assert_eq!(shares.iter().map(Vec::len).sum::<usize>(), data.train.sequences());
    for (device, share) in shares.into_iter().enumerate() {
        let domain = &data.domains[device / 2];
        let batches = BatchStream::new(share, 16, &streams, &format!("device/{device}")).unwrap();
        let indices = batches.batch_indices(1000);
        assert!(indices.len() == 16 && indices.iter().all(|i| domain.train.contains(i)));
        let batch = data.train_batch(&indices);
        assert_eq!(batch.sequence(3), data.train.sequence(indices[3]));
    }
}

#[test]
fn tokenising_does_not_depend_on_the_number_of_threads() {
    let (d, t) = (Dataset::vendored("amazon").unwrap(), tokenizer());
    let digest = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| TokenizedDataset::new(&d, &t, 32).unwrap().digest())
    };
    assert_eq!(digest(1), digest(3));
}

// ---- the vendored checkpoint ----

#[test]
fn vendored_files_are_those_that_their_origin_describes() {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let digest = |path: &str| hex(&Sha256::digest(std::fs::read(assets.join(path)).unwrap()));
    let origin = |path: &str| std::fs::read_to_string(assets.join(path)).unwrap();
    for file in ["model.int8.safetensors", "tokenizer.json"] {
        assert!(origin("minilm/ORIGIN.md").contains(&format!("| {file} | {} |", digest(&format!("minilm/{file}")))));
    }
    assert!(origin("fonts/ORIGIN.md").contains(&digest("fonts/DejaVuSans.ttf")));
}

#[test]
fn the_vendored_checkpoint_has_every_tensor_of_its_architecture() {
    let (model, source) = (vendored::minilm().architecture().unwrap(), vendored::minilm().checkpoint().unwrap());
    let (h, f) = (model.hidden, model.ffn);
    let mut shapes: Vec<(String, Vec<usize>)> = vec![
        ("embeddings.word_embeddings.weight".into(), vec![model.vocabulary, h]),
        ("embeddings.position_embeddings.weight".into(), vec![model.positions, h]),
        ("embeddings.token_type_embeddings.weight".into(), vec![model.token_types, h]),
        ("embeddings.LayerNorm.weight".into(), vec![h]),
        ("embeddings.LayerNorm.bias".into(), vec![h]),
    ];
    for block in 0..model.blocks() {
        let linear = [
            ("attention.self.query", h, h),
            ("attention.self.key", h, h),
            ("attention.self.value", h, h),
            ("attention.output.dense", h, h),
            ("intermediate.dense", f, h),
            ("output.dense", h, f),
        ];
        for (name, rows, columns) in linear {
            shapes.push((format!("encoder.layer.{block}.{name}.weight"), vec![rows, columns]));
            shapes.push((format!("encoder.layer.{block}.{name}.bias"), vec![rows]));
        }
        for name in ["attention.output.LayerNorm", "output.LayerNorm"] {
            shapes.push((format!("encoder.layer.{block}.{name}.weight"), vec![h]));
            shapes.push((format!("encoder.layer.{block}.{name}.bias"), vec![h]));
        }
    }
    let parameters: usize = shapes.iter().map(|(name, shape)| source.tensor(name, shape).unwrap().len()).sum();
    assert_eq!(model, deft::fomo::preset(vendored::minilm().name).unwrap());
    // 22,713,216 of the published model less its pooler, 384 x 384 + 384.
    assert_eq!(parameters, 22_565_376);
    let weights = source.names().filter(|n| !n.ends_with(".scale")).count();
    assert_eq!(weights, shapes.len());
}

/// The first values of the published float32 tensors; int8 with one scale a row keeps each within half a step.
#[test]
fn int8_weights_stay_within_half_a_step_of_the_published_ones() {
    let source = vendored::minilm().checkpoint().unwrap();
    for (name, shape, row, published) in GOLDEN_ROWS {
        let (values, scale) =
            (source.tensor(name, &shape).unwrap(), source.tensor(&format!("{name}.scale"), &shape[..1]).unwrap()[row]);
        for (i, expected) in published.into_iter().enumerate() {
            let error = (values[row * shape[1] + i] - expected).abs();
            assert!(error <= 0.501 * scale, "{name}[{row}][{i}]: off by {error}, a step is {scale}");
        }
    }
    let bias = source.tensor("encoder.layer.5.output.dense.bias", &[384]).unwrap();
    assert_eq!(bias[..4], GOLDEN_BIAS);
}

const GOLDEN_ROWS: [(&str, [usize; 2], usize, [f32; 4]); 4] = [
    (
        "embeddings.word_embeddings.weight",
        [30522, 384],
        7592,
        [-3.9762933e-2, 1.0533975e-1, 2.9867185e-2, 1.2612192e-2],
    ),
    (
        "encoder.layer.0.attention.self.query.weight",
        [384, 384],
        0,
        [-1.4861962e-1, 4.3580376e-2, 8.559578e-2, 2.421893e-2],
    ),
    (
        "encoder.layer.3.intermediate.dense.weight",
        [1536, 384],
        1535,
        [-9.569736e-2, 6.919668e-2, 1.0030183e-1, -4.043191e-2],
    ),
    (
        "encoder.layer.5.output.dense.weight",
        [384, 1536],
        200,
        [-1.6593693e-3, 9.2154285e-3, -1.4665343e-2, -3.0760705e-2],
    ),
];
const GOLDEN_BIAS: [f32; 4] = [-1.1342943e-3, -1.3268805e-2, 3.491833e-3, 1.4029084e-2];

// ---- checkpoints of users ----

fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// Embedded bytes live as long as the program; a test may leak a few.
fn open(bytes: Vec<u8>) -> Result<SafetensorsCheckpoint, CheckpointError> {
    SafetensorsCheckpoint::from_embedded("test.safetensors", bytes.leak())
}

const MIXED: &str = concat!(
    r#"{"bert.f32":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"#,
    r#""f16":{"dtype":"F16","shape":[2],"data_offsets":[8,12]},"#,
    r#""bf16":{"dtype":"BF16","shape":[1,2],"data_offsets":[12,16]},"#,
    r#""q.scale":{"dtype":"F32","shape":[2],"data_offsets":[16,24]},"#,
    r#""q":{"dtype":"I8","shape":[2,3],"data_offsets":[24,30]},"#,
    r#""i64":{"dtype":"I64","shape":[1],"data_offsets":[30,38]},"#,
    r#""lone":{"dtype":"I8","shape":[1,2],"data_offsets":[38,40]}}"#
);

fn mixed() -> Vec<u8> {
    let mut data = Vec::new();
    data.extend([1.5f32, -2.0].iter().flat_map(|v| v.to_le_bytes()));
    data.extend([0x3c00u16, 0xc100].iter().flat_map(|v| v.to_le_bytes()));
    data.extend([0x3f80u16, 0xc049].iter().flat_map(|v| v.to_le_bytes()));
    data.extend([0.5f32, 2.0].iter().flat_map(|v| v.to_le_bytes()));
    data.extend([127i8, 0, -1, 3, -127, 1].iter().map(|v| *v as u8));
    data.extend(7i64.to_le_bytes());
    data.extend([1, 2]);
    safetensors(MIXED, &data)
}

#[test]
fn every_float_format_and_int8_become_f32() {
    let c = open(mixed()).unwrap();
    assert_eq!(c.tensor("f32", &[2]).unwrap(), [1.5, -2.0]);
    assert_eq!(c.tensor("bert.f32", &[2]).unwrap(), [1.5, -2.0]);
    assert_eq!(c.tensor("bert.f16", &[2]).unwrap(), [1.0, -2.5]);
    assert_eq!(c.tensor("bf16", &[1, 2]).unwrap(), [1.0, -3.140_625]);
    assert_eq!(c.tensor("q", &[2, 3]).unwrap(), [63.5, 0.0, -0.5, 6.0, -254.0, 2.0]);
}

#[test]
fn a_tensor_that_is_not_as_asked_is_named() {
    let c = open(mixed()).unwrap();
    let message = |name: &str, shape: &[usize]| c.tensor(name, shape).unwrap_err().to_string();
    assert!(message("absent", &[1]).contains("tensor `absent` is missing"));
    assert!(message("q", &[3, 2]).contains("tensor `q` has shape [2, 3], expected [3, 2]"));
    assert!(message("i64", &[1]).contains("tensor `i64` has type I64"));
    assert!(message("lone", &[1, 2]).contains("tensor `lone.scale` is missing"));
    let header = r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let e = open(safetensors(header, &f32::NAN.to_le_bytes())).unwrap().tensor("x", &[1]).unwrap_err();
    assert!(e.to_string().contains("not a finite number"), "{e}");
}

#[test]
fn a_cut_file_is_malformed_wherever_it_is_cut() {
    let whole = mixed();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.safetensors");
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let e = SafetensorsCheckpoint::open(&path).expect_err("accepted a cut file");
        assert!(matches!(e, CheckpointError::Malformed { .. } | CheckpointError::Unreadable { .. }), "{length}: {e}");
    }
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(SafetensorsCheckpoint::open(&path).unwrap().tensor("f16", &[2]).unwrap(), [1.0, -2.5]);
    assert!(matches!(SafetensorsCheckpoint::open(&folder.path().join("no")), Err(CheckpointError::Unreadable { .. })));
}

#[test]
fn a_flipped_bit_gives_an_error_or_other_numbers_but_never_a_panic() {
    let whole = mixed();
    let (mut refused, mut accepted) = (0, 0);
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let Ok(c) = open(bytes) else {
            refused += 1;
            continue;
        };
        accepted += 1;
        for name in ["f32", "f16", "bf16", "q", "i64", "lone"] {
            for shape in [&[2][..], &[1, 2], &[2, 3], &[1]] {
                if let Ok(values) = c.tensor(name, shape) {
                    assert_eq!(values.len(), shape.iter().product::<usize>());
                    assert!(values.iter().all(|v| v.is_finite()));
                }
            }
        }
    }
    assert!(refused > 1000 && accepted > 300, "{refused} refused, {accepted} accepted");
}

#[test]
fn headers_that_lie_are_refused_without_allocating_what_they_claim() {
    let huge = u64::MAX.to_string();
    for header in [
        r#"{"x":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}"#.to_owned(),
        r#"{"x":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}"#.to_owned(),
        r#"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#.to_owned(),
        r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#.to_owned(),
        r#"{"x":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}}"#.to_owned(),
        r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#
            .to_owned(),
        format!(r#"{{"x":{{"dtype":"F32","shape":[1],"data_offsets":[{huge},{huge}]}}}}"#),
        "[".repeat(100_000),
        String::new(),
    ] {
        let start: String = header.chars().take(80).collect();
        assert!(matches!(open(safetensors(&header, &[0; 4])), Err(CheckpointError::Malformed { .. })), "{start}");
    }
    for length in [u64::MAX, 1 << 40, 99_999_999, 13] {
        let bytes = [&length.to_le_bytes()[..], b"{}          "].concat();
        assert!(matches!(open(bytes), Err(CheckpointError::Malformed { .. })), "{length}");
    }
}

#[test]
fn shards_make_one_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let shard = |file: &str, tensor: &str, value: f32| {
        let header = format!(r#"{{"{tensor}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#);
        std::fs::write(folder.path().join(file), safetensors(&header, &value.to_le_bytes())).unwrap();
        folder.path().join(file)
    };
    let index = |map: &str| {
        std::fs::write(folder.path().join("model.safetensors.index.json"), format!(r#"{{"weight_map":{{{map}}}}}"#))
            .unwrap();
        SafetensorsCheckpoint::open(folder.path())
    };
    let (one, two) = (shard("1.safetensors", "a", 1.0), shard("2.safetensors", "b", 2.0));
    let c = index(r#""a":"1.safetensors","b":"2.safetensors""#).unwrap();
    assert_eq!((c.tensor("a", &[1]).unwrap(), c.tensor("b", &[1]).unwrap()), (vec![1.0], vec![2.0]));
    assert!(index(r#""a":"../1.safetensors""#).unwrap_err().to_string().contains("not a file beside the index"));
    assert!(matches!(index(r#""a":"3.safetensors""#), Err(CheckpointError::Unreadable { .. })));

    let digest = |paths: &[std::path::PathBuf]| SafetensorsCheckpoint::open_shards(paths).unwrap().digest();
    assert_eq!(digest(&[one.clone(), two.clone()]), c.digest());
    assert_ne!(digest(std::slice::from_ref(&one)), c.digest());
    let again = shard("3.safetensors", "a", 3.0);
    let message = SafetensorsCheckpoint::open_shards(&[one, again]).unwrap_err().to_string();
    assert!(message.contains("tensor `a` is also in"), "{message}");

    // A single file beside the index is preferred: it is the whole.
    shard("model.safetensors", "whole", 4.0);
    assert_eq!(SafetensorsCheckpoint::open(folder.path()).unwrap().tensor("whole", &[1]).unwrap(), [4.0]);
}
