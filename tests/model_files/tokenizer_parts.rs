//! A `tokenizer.json` that the tokenizers library would panic on, or take gigabytes for, is refused in one sentence.

use crate::robustness::largest_of;
use crate::tiny;
use deft::fomo::Tokenizer;

/// The tiny tokenizer with `part` as its `name`, in place of nothing.
fn with(name: &str, part: &str) -> String {
    let json: serde_json::Value = serde_json::from_str(tiny::TOKENIZER).unwrap();
    let mut json = json.as_object().unwrap().clone();
    json.insert(name.to_owned(), serde_json::from_str(part).unwrap());
    serde_json::to_string(&json).unwrap()
}

/// Reads a tokenizer and a text with it, with an error if either fails; in no more memory than that of BPE's word cache.
fn read(json: &str) -> Result<Vec<u32>, String> {
    let (outcome, bytes) = largest_of(|| {
        let tokenizer = Tokenizer::from_bytes("tokenizer.json", json.as_bytes()).map_err(|e| e.to_string())?;
        tokenizer.encode("good bad é film", 9).map_err(|e| e.to_string())
    });
    assert!(bytes < 4 << 20, "{bytes} bytes for {json}");
    outcome
}

fn refused(name: &str, part: &str, expected: &str) {
    let message = read(&with(name, part)).expect_err(part);
    assert!(message.starts_with("tokenizer.json: cannot be read as a tokenizer.json: `"), "{part}: {message}");
    assert!(message.contains(expected) && message.len() < 300, "{part}: {message}");
}

#[test]
fn a_precompiled_charsmap_must_be_whole() {
    for (map, expected) in [
        (r#""""#, "has 0 bytes, expected 4 with the length of a trie"),
        (r#""!!""#, "`!!` is not base64"),
        (r#""\u0000""#, r"`\0` is not base64"),
        ("null", "is no text, expected base64"),
        ("[]", "is no text, expected base64"),
        (r#""AAA=""#, "has 2 bytes, expected 4"),
        (r#""AAAAAA==""#, "claims a trie of 0 bytes"),
        (r#""BAAAAP////8=""#, "has a trie that leads out of itself"),
        // Eight gigabytes by its first four bytes.
        (r#""AAAA/////w==""#, "claims a trie of 4278190080 bytes"),
    ] {
        let part = format!(r#"{{"type": "Precompiled", "precompiled_charsmap": {map}}}"#);
        refused("normalizer", &part, expected);
        let inside = format!(r#"{{"type": "Sequence", "normalizers": [{{"type": "NFC"}}, {part}]}}"#);
        refused("normalizer", &inside, expected);
        // As files were before parts had types.
        let untyped = format!(r#"{{"normalizers": [{{"precompiled_charsmap": {map}}}]}}"#);
        refused("normalizer", &untyped, expected);
    }
    refused("normalizer", r#"{"type": "Precompiled"}"#, "is no text, expected base64");
    refused("normalizer", r#"["AAAA/////w=="]"#, "neither an object nor null");
    refused("normalizer", r#"{"type": "Sequence", "normalizers": [["AAAA/////w=="]]}"#, "neither an object nor null");
}

#[test]
fn words_of_no_characters_are_refused() {
    let part = r#"{"type": "FixedLength", "length": 0}"#;
    refused("pre_tokenizer", part, "`pre_tokenizer`: `length` is 0, expected 1 or more");
    let inside = format!(r#"{{"type": "Sequence", "pretokenizers": [{part}]}}"#);
    refused("pre_tokenizer", &inside, "`length` is 0");
    assert!(read(&with("pre_tokenizer", r#"{"type": "FixedLength", "length": 4}"#)).is_ok());
}

#[test]
fn merges_must_fit_the_prefix_of_their_second_parts() {
    let model = |merge: &str, prefix: &str| {
        format!(
            r###"{{"type": "BPE", "vocab": {{"w": 0, "1": 1, "é": 2, "##1": 3, "w1": 4}}, "merges": [{merge}],
                "continuing_subword_prefix": "{prefix}"}}"###
        )
    };
    let expected = "`model`: merge 1 ends in `##1`, which does not begin with `continuing_subword_prefix` `####`";
    refused("model", &model(r###"["w", "##1"]"###, "####"), expected);
    refused("model", &model(r###""w ##1""###, "####"), expected);
    refused("model", &model(r#"["w", "é"]"#, "#"), "merge 1 ends in `é`");
    assert!(read(&with("model", &model(r###"["w", "##1"]"###, "##"))).is_ok());
}

#[test]
fn a_template_must_hold_the_text_once_and_known_tokens() {
    const A: &str = r#"{"Sequence": {"id": "A", "type_id": 0}}"#;
    const X: &str = r#"{"SpecialToken": {"id": "[X]", "type_id": 0}}"#;
    let template = |single: &[&str], tokens: &str| {
        format!(
            r#"{{"type": "TemplateProcessing", "single": [{}], "pair": [], "special_tokens": {{{tokens}}}}}"#,
            single.join(",")
        )
    };
    let x = r#""[X]": {"id": "[X]", "ids": [1], "tokens": ["x"]}"#;
    let b = r#"{"Sequence": {"id": "B", "type_id": 0}}"#;
    let uneven = r#""[X]": {"id": "[X]", "ids": [1, 2], "tokens": ["x"]}"#;
    let positional = r#"{"SpecialToken": ["[X]", 0]}"#;
    for (single, tokens, expected) in [
        (&[X, A][..], "", "special token `[X]`, which `special_tokens` does not list"),
        (&[b], x, "`single` holds the sequence `B`, expected `A`"),
        (&[], x, "holds the sequence `A` 0 times, expected once"),
        (&[A, X, A], x, "holds the sequence `A` 2 times, expected once"),
        (&[A, X], uneven, "`[X]` has 2 `ids` and 1 `tokens`"),
        (&[A, positional], "", "neither a `Sequence` nor a `SpecialToken`"),
        (&[&[A][..], &[X; 2000]].concat(), x, "adds 2000 special tokens to a text, at most 1024"),
    ] {
        refused("post_processor", &template(single, tokens), expected);
        let inside = format!(r#"{{"type": "Sequence", "processors": [{}]}}"#, template(single, tokens));
        refused("post_processor", &inside, expected);
    }
    assert_eq!(read(&with("post_processor", &template(&[X, A], x))), Ok(vec![1, 1, 2, 0, 3]));
}

#[test]
fn what_only_the_library_finds_is_an_error_all_the_same() {
    // The second template finds two pieces of the first, and the library has not been written to go on.
    let template = r#"{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[X]", "type_id": 0}},
        {"SpecialToken": {"id": "[X]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [],
        "special_tokens": {"[X]": {"id": "[X]", "ids": [1], "tokens": ["x"]}}}"#;
    let twice = format!(r#"{{"type": "Sequence", "processors": [{template}, {template}]}}"#);
    let message = read(&with("post_processor", &twice)).unwrap_err();
    assert!(message.starts_with("tokenizer.json: cannot encode a text: the tokenizers library cannot"), "{message}");
    // A message of the library quotes what it does not know.
    let kind = "x\\u0000".repeat(100_000);
    let message = read(&with("model", &format!(r#"{{"type": "{kind}"}}"#))).unwrap_err();
    assert!(message.len() < 400 && !message.contains('\0'), "{message}");
    for wrong in ["", "[]", "{", "{\"model\": {}}", "{\"model\": 3}", "{\"normalizer\": null, \"normalizer\": null}"] {
        let message = read(wrong).unwrap_err();
        assert!(message.starts_with("tokenizer.json: cannot be read as a tokenizer.json: "), "{message}");
    }
}
