use super::*;

/// One token a character; refuses texts with a `#`.
struct Characters;

impl Tokenize for Characters {
    fn encode(&self, text: &str, max_tokens: usize) -> Result<Vec<u32>, String> {
        if text.contains('#') {
            return Err("holds a #".into());
        }
        Ok(text.chars().take(max_tokens).map(u32::from).collect())
    }
}

fn dataset(texts: &[&str]) -> Dataset {
    let examples: Vec<Example> = texts.iter().enumerate().map(|(i, t)| Example::labelled(*t, i as u32 % 2)).collect();
    let classes = vec!["a".into(), "b".into()];
    Dataset { classes, ..Dataset::single("d".into(), TaskKind::Classification, examples.clone(), examples) }
}

#[test]
fn order_is_kept_and_batches_pick_by_index() {
    let texts: Vec<String> = (0..500).map(|i| "x".repeat(i % 7 + 1) + &i.to_string()).collect();
    let d = dataset(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let t = TokenizedDataset::new(&d, &Characters, 5).unwrap();
    for (i, text) in texts.iter().enumerate() {
        assert_eq!(t.train.sequence(i), Characters.encode(text, 5).unwrap());
    }
    let batch = t.train_batch(&[9, 2]);
    assert_eq!((batch.sequence(0), batch.sequence(1)), (t.train.sequence(9), t.train.sequence(2)));
    assert_eq!(batch.labels, [1, 0]);
}

#[test]
fn statistics_count_both_halves() {
    let t = TokenizedDataset::new(&dataset(&["a", "bb", "ccc", "dddd"]), &Characters, 3).unwrap();
    let expected = LengthStatistics { total: 18, median: 2, p95: 3, longest: 3, at_limit: 4 };
    assert_eq!(t.lengths(), expected);
}

#[test]
fn the_first_bad_example_is_named() {
    let e = TokenizedDataset::new(&dataset(&["a", "#", "b", "#"]), &Characters, 3).unwrap_err();
    assert_eq!(e.to_string(), "d: train example 1 cannot be tokenised: holds a #");
}

/// The texts with targets of another kind.
fn retargeted(task: TaskKind, texts: &[&str], target: impl Fn(usize) -> Target) -> Dataset {
    let mut d = Dataset { task, classes: vec![], ..dataset(texts) };
    for half in [&mut d.train, &mut d.test] {
        half.iter_mut().enumerate().for_each(|(i, e)| e.target = target(i));
    }
    d
}

fn tokens(text: &str) -> Vec<u32> {
    text.chars().map(u32::from).collect()
}

#[test]
fn a_regression_has_a_value_a_sequence() {
    let d = retargeted(TaskKind::Regression, &["a", "bb", "c"], |i| Target::Value(i as f32 - 0.5));
    let t = TokenizedDataset::new(&d, &Characters, 9).unwrap();
    assert_eq!((t.objective(), &t.train.values), (Objective::Regression, &vec![-0.5, 0.5, 1.5]));
    let batch = t.train_batch(&[2, 0]);
    assert_eq!((batch.values, batch.tokens, batch.labels), (vec![1.5, -0.5], tokens("ca"), vec![0, 0]));
}

#[test]
fn a_language_model_needs_two_tokens() {
    let lm = |texts: &[&str], limit| {
        TokenizedDataset::new(&retargeted(TaskKind::LanguageModel, texts, |_| Target::Itself), &Characters, limit)
    };
    let t = lm(&["ab", "cde"], 9).unwrap();
    assert_eq!((t.objective(), t.train.decoder), (Objective::NextToken, None));
    let message = lm(&["ab", "c", "d"], 9).unwrap_err().to_string();
    assert_eq!(message, "d: train example 1 cannot be tokenised: 1 of at least 2 tokens, at a limit of 9: `c`");
    assert!(lm(&["ab"], 1).unwrap_err().to_string().contains("at a limit of 1"));
}

#[test]
fn pairs_of_texts_are_both_tokenised_and_cut() {
    let write = ["xyz", "uvwxyz", "x"];
    let pairs = |write: [&'static str; 3]| {
        let d = retargeted(TaskKind::SequenceToSequence, &["a", "bb", "c"], |i| Target::Text(write[i].into()));
        TokenizedDataset::new(&d, &Characters, 4)
    };
    let t = pairs(write).unwrap();
    let decoder = t.train.decoder.as_ref().unwrap();
    assert_eq!((t.objective(), decoder.length(1)), (Objective::NextToken, 4));
    assert_eq!((decoder.sequence(0), decoder.sequence(1)), (tokens("xyz").as_slice(), tokens("uvwx").as_slice()));
    let batch = t.train_batch(&[2, 0]);
    assert_eq!(batch.decoder.unwrap(), TargetText { tokens: tokens("xxyz"), offsets: vec![0, 1, 4] });
    let message = pairs(["x", "#", "y"]).unwrap_err().to_string();
    assert_eq!(message, "d: train example 1 cannot be tokenised: its target: holds a #");
    assert!(pairs(["x", "", "y"]).unwrap_err().to_string().contains("its target: 0 of at least 1 tokens"));
}

/// Two images of 4 x 4 pixels in two channels; pixel (c, y, x) of image i is 100 i + 16 c + 4 y + x.
fn images() -> Dataset {
    let example = |i: u32| Example {
        input: Input::Image((0..32).map(|p| p + 100 * i as u8).collect()),
        target: Target::Class(i),
    };
    let image = Some(ImageSize { side_px: 4, channels: 2 });
    let examples = vec![example(0), example(1)];
    Dataset { image, task: TaskKind::Images, train: examples.clone(), test: examples, ..dataset(&["a", "b"]) }
}

#[test]
fn images_become_patches_and_batches_of_them() {
    let t = TokenizedDataset::from_images(&images(), ImageSize { side_px: 4, channels: 2 }, 2).unwrap();
    assert_eq!(t.objective(), Objective::Classification { classes: 2 });
    assert_eq!((&t.train.offsets, &t.train.labels, t.max_tokens), (&vec![0, 4, 8], &vec![0, 1], 4));
    assert_eq!((t.train.length(1), t.train.patches.len()), (4, 64));
    // The patch right of the first one: its first channel, then its second.
    let pixels: Vec<f32> = t.train.patches[8..16].iter().map(|v| (v * 127.5 + 127.5).round()).collect();
    assert_eq!(pixels, [2.0, 3.0, 6.0, 7.0, 18.0, 19.0, 22.0, 23.0]);
    let batch = t.train_batch(&[1]);
    assert_eq!((&batch.patches[..], batch.labels, batch.offsets), (&t.train.patches[32..], vec![1], vec![0, 4]));
    assert!(t.train.patches.iter().all(|v| (-1.0..=1.0).contains(v)));
}

#[test]
fn images_that_the_model_cannot_read_are_refused() {
    let size = |side_px, channels| ImageSize { side_px, channels };
    let message =
        |d: &Dataset, expected, patch| TokenizedDataset::from_images(d, expected, patch).unwrap_err().to_string();
    let other = message(&images(), size(4, 3), 2);
    assert_eq!(
        other,
        "d: holds images of 4 x 4 pixels in 2 channels, the model reads images of 4 x 4 pixels in 3 channels"
    );
    assert!(message(&images(), size(4, 2), 3).contains("cannot be cut into patches of 3 x 3"));
    assert!(message(&images(), size(4, 2), 0).contains("patches of 0 x 0"));
    assert!(message(&dataset(&["a"]), size(4, 2), 2).contains("d: holds text, the model reads images of 4 x 4"));
    let text = TokenizedDataset::new(&images(), &Characters, 9).unwrap_err().to_string();
    assert!(text.contains("holds images of 4 x 4 pixels in 2 channels, the model reads text"), "{text}");
}

#[test]
fn the_digest_sees_every_input_and_target_but_no_name() {
    let digest = |d: &Dataset| TokenizedDataset::new(d, &Characters, 9).unwrap().digest();
    let base = dataset(&["ab", "cd"]);
    let mut relabelled = base.clone();
    relabelled.train[0].target = Target::Class(1);
    let mut renamed = base.clone();
    renamed.name = "other".into();
    assert_eq!(digest(&base), digest(&renamed));

    let pairs = |write: [&'static str; 2]| {
        retargeted(TaskKind::SequenceToSequence, &["ab", "cd"], |i| Target::Text(write[i].into()))
    };
    let picture = |d: &Dataset, patch| {
        TokenizedDataset::from_images(d, ImageSize { side_px: 4, channels: 2 }, patch).unwrap().digest()
    };
    let mut retouched = images();
    retouched.test[1].input = Input::Image(vec![9; 32]);
    let all = [
        digest(&base),
        digest(&relabelled),
        digest(&dataset(&["abc", "d"])),
        digest(&retargeted(TaskKind::LanguageModel, &["ab", "cd"], |_| Target::Itself)),
        digest(&retargeted(TaskKind::Regression, &["ab", "cd"], |_| Target::Value(0.0))),
        digest(&retargeted(TaskKind::Regression, &["ab", "cd"], |_| Target::Value(-0.0))),
        digest(&pairs(["xy", "z"])),
        digest(&pairs(["x", "yz"])),
        picture(&images(), 2),
        picture(&images(), 4),
        picture(&retouched, 2),
    ];
    let different: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(different.len(), all.len());
}
