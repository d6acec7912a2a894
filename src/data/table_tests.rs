use super::*;

fn read_tsv(text: &str, options: &TableOptions) -> Result<Dataset, DataError> {
    parse("f.tsv", "f", text.as_bytes(), Format::Tsv, options)
}

fn tsv(text: &str) -> Result<Dataset, DataError> {
    read_tsv(text, &TableOptions::default())
}

#[test]
fn columns_may_stand_in_any_order_and_labels_become_indices() {
    let d = tsv("split\tid\ttext\tlabel\ntrain\t7\t say \"hi \t10\ntest\t8\tyo\t9\n\ntrain\t9\tho\t9\n").unwrap();
    assert_eq!(d.classes, ["9", "10"]);
    assert_eq!(d.train[0], Example::labelled("say \"hi", 1));
    assert_eq!((d.train.len(), d.test.len(), d.test[0].class()), (2, 1, Some(0)));
}

#[test]
fn csv_fields_may_be_quoted_and_span_lines() {
    let text = "\u{feff}text,label,split\n\"one, two\nthree\",a,train\nx,b,train\ny,b,test\nz,c,test\n";
    let mut options = TableOptions { classes: Some(["a", "b", "c"].map(String::from).to_vec()), ..Default::default() };
    let d = parse("f.csv", "f", text.as_bytes(), Format::Csv, &options).unwrap();
    assert_eq!(d.train[0].text(), "one, two\nthree");
    assert_eq!(d.test[1].class(), Some(2));
    options.classes = None;
    let message = parse("f.csv", "f", text.as_bytes(), Format::Csv, &options).unwrap_err().to_string();
    assert_eq!(message, "f.csv: line 6: unknown label `c`; known are `a`, `b`");
}

#[test]
fn each_mistake_is_named_with_its_line() {
    let header = "text\tlabel\tsplit\n";
    let message = |body: &str| tsv(&format!("{header}{body}")).unwrap_err().to_string();
    assert_eq!(message("a\t0\ttrain\nb\t1\n"), "f.tsv: line 3: 2 fields, the header has 3");
    assert_eq!(message("a\t0\ttrain\n\n \t1\ttest\n"), "f.tsv: line 4: the text is empty");
    assert_eq!(message("a\t0\ttrain\r\nb\t1\r\n"), "f.tsv: line 3: 2 fields, the header has 3");
    assert_eq!(message("a\t0\ttrain\r\n\r\n \t1\ttest\r\n"), "f.tsv: line 4: the text is empty");
    assert_eq!(message("a\t0\ttrain\nb\t \ttrain\n"), "f.tsv: line 3: the label is empty");
    assert_eq!(message("a\t0\tdev\n"), "f.tsv: line 2: split `dev`, expected train or test");
    assert!(message("a\t0\ttrain\n").contains("no row has split `test`"));
    assert!(message("a\t0\ttest\n").contains("no row has split `train`"));
    assert!(message("").contains("no row has split `train`"));
    assert!(message("a\t0\ttrain\nb\t0\ttest\n").contains("all rows have label `0`"));
    assert!(tsv("").unwrap_err().to_string().contains("is empty; expected a header line"));
    let missing = tsv("text\tclass\tsplit\na\t0\ttrain\n").unwrap_err().to_string();
    assert_eq!(missing, "f.tsv: column `label` is missing; the header has `text`, `class`, `split`");
    let twice = tsv("text\tlabel\tsplit\ttext\na\t0\ttrain\tb\n").unwrap_err().to_string();
    assert_eq!(twice, "f.tsv: line 1: column `text` appears twice");
    let latin1 = b"text\tlabel\tsplit\na\t0\ttrain\ncaf\xe9\t1\ttest\n";
    let e = parse("f.tsv", "f", latin1, Format::Tsv, &TableOptions::default()).unwrap_err();
    assert!(matches!(e, DataError::NotUtf8 { row: 3, .. }), "{e}");
    // In a column that nobody reads, and in the header.
    for (bytes, line) in [
        (&b"text\tlabel\tsplit\tnote\na\t0\ttrain\tb\nc\t1\ttest\tcaf\xe9\n"[..], 3),
        (&b"text\tlabel\tsplit\tcaf\xe9\na\t0\ttrain\tb\nc\t1\ttest\td\n"[..], 1),
    ] {
        let e = parse("f.tsv", "f", bytes, Format::Tsv, &TableOptions::default()).unwrap_err();
        assert!(matches!(e, DataError::NotUtf8 { row, .. } if row == line), "{e}");
    }
}

#[test]
fn what_a_message_shows_of_a_file_is_short_and_harmless() {
    let long = "x\u{1b}[31m".repeat(100_000);
    let shown = "x\\u{1b}[31m".repeat(6) + "x\\u{1b}[3...";
    let message = |table: &str, task| read_tsv(table, &TableOptions::for_task(task)).unwrap_err().to_string();
    let labels = format!("text\tlabel\tsplit\na\t0\ttrain\nb\t1\ttrain\nc\t{long}\ttest\n");
    let (class, number) = (TaskKind::Classification, TaskKind::Regression);
    let expected = format!("f.tsv: line 4: unknown label `{shown}`; known are `0`, `1`");
    assert_eq!(message(&labels, class), expected);
    let expected = format!("f.tsv: line 4: label `{shown}`, expected a finite number (regression)");
    assert_eq!(message(&labels, number), expected);
    let split = format!("text\tlabel\tsplit\na\t0\t{long}\n");
    assert_eq!(message(&split, class), format!("f.tsv: line 2: split `{shown}`, expected train or test"));
    let one = format!("text\tlabel\tsplit\na\t{long}\ttrain\na\t{long}\ttest\n");
    assert!(message(&one, class).starts_with(&format!("f.tsv: all rows have label `{shown}`;")));
    let header = message(&format!("text\t{long}\tsplit\na\t0\ttrain\n"), class);
    assert_eq!(header, format!("f.tsv: column `label` is missing; the header has `text`, `{shown}`, `split`"));
    let pixel = message(&images(&format!("{long}\t0\t0\t7\tdog\ttest")), TaskKind::Images);
    assert!(pixel.starts_with(&format!("f.tsv: line 4: pixel `p3` is `{shown}`")), "{pixel}");
    // As many labels as rows, where a number was meant.
    let many: String = (0..1000).map(|i| format!("a\t{i}.5\ttrain\n")).collect();
    let many = message(&format!("text\tlabel\tsplit\n{many}a\t-1\ttest\n"), class);
    assert!(many.ends_with("and 988 more") && many.len() < 300, "{many}");
}

#[test]
fn a_text_too_long_to_be_tokenised_in_bounded_memory_is_refused() {
    let options = TableOptions::for_task(TaskKind::SequenceToSequence);
    let read = |text: usize, target: usize| {
        let (text, target) = ("é".repeat(text / 2), "t".repeat(target));
        read_tsv(&format!("text\ttarget\tsplit\na\tb\ttrain\n{text}\t{target}\ttest\n"), &options)
    };
    assert!(read(1 << 20, 1 << 20).is_ok());
    for (text, target, what) in [((1 << 20) + 2, 1, "text has 1048578"), (2, 25_000_000, "target has 25000000")] {
        let message = read(text, target).unwrap_err().to_string();
        assert_eq!(
            message,
            format!(
                "f.tsv: line 3: the {what} bytes, at most 1048576 are read; shorten it or spread it over several rows"
            )
        );
    }
}

#[test]
fn numbers_to_predict_are_finite() {
    let options = TableOptions::for_task(TaskKind::Regression);
    let read = |label: &str| read_tsv(&format!("text\tlabel\tsplit\na\t-2.5\ttrain\nb\t{label}\ttest\n"), &options);
    let d = read("1e-3").unwrap();
    assert_eq!((&d.train[0].target, &d.test[0].target), (&Target::Value(-2.5), &Target::Value(1e-3)));
    assert!(d.classes.is_empty());
    // 1e39 is beyond f32.
    for wrong in ["nan", "NaN", "inf", "-infinity", "1e39", "good", "1,5", "0x1"] {
        let message = read(wrong).unwrap_err().to_string();
        assert_eq!(message, format!("f.tsv: line 3: label `{wrong}`, expected a finite number (regression)"));
    }
    assert_eq!(read("").unwrap_err().to_string(), "f.tsv: line 3: the label is empty");
    assert!(read("-1e15").is_ok());
    for wrong in ["1.1e15", "-1e38"] {
        let expected = format!("f.tsv: line 3: label `{wrong}`, expected a number from -1e15 to 1e15 (regression)");
        assert_eq!(read(wrong).unwrap_err().to_string(), expected);
    }
}

#[test]
fn texts_alone_and_pairs_of_texts_need_no_label() {
    let table = "text\tsplit\ttarget\nun deux\ttrain\tone two\ntrois\ttest\tthree\n";
    let alone = read_tsv(table, &TableOptions::for_task(TaskKind::LanguageModel)).unwrap();
    assert_eq!((alone.train[0].text(), &alone.train[0].target), ("un deux", &Target::Itself));
    let options = TableOptions::for_task(TaskKind::SequenceToSequence);
    let pairs = read_tsv(table, &options).unwrap();
    assert_eq!((pairs.test[0].text(), &pairs.test[0].target), ("trois", &Target::Text("three".into())));
    let message = |table: &str| read_tsv(table, &options).unwrap_err().to_string();
    assert_eq!(message(&table.replace("three", " ")), "f.tsv: line 3: the target is empty");
    assert!(message(&table.replace("target", "answer")).contains("column `target` is missing"));
}

/// An image table of 2 x 2 pixels whose columns stand in reverse order.
fn images(last_row: &str) -> String {
    format!("p3\tp2\tp1\tp0\tlabel\tsplit\n4\t3\t2\t1\tcat\ttrain\n255\t0\t0\t9\tdog\ttrain\n{last_row}\n")
}

#[test]
fn pixels_are_read_in_the_order_of_their_numbers() {
    let options = TableOptions::for_task(TaskKind::Images);
    let d = read_tsv(&images("0\t0\t0\t7\tdog\ttest"), &options).unwrap();
    assert_eq!(d.image, Some(ImageSize { side_px: 2, channels: 1 }));
    assert_eq!(d.classes, ["cat", "dog"]);
    assert_eq!(d.train[0], Example { input: Input::Image(vec![1, 2, 3, 4]), target: Target::Class(0) });
    assert_eq!(d.test[0], Example { input: Input::Image(vec![7, 0, 0, 0]), target: Target::Class(1) });
}

#[test]
fn images_with_a_wrong_pixel_or_too_few_are_refused() {
    let mut options = TableOptions::for_task(TaskKind::Images);
    let message = |table: &str, options: &TableOptions| read_tsv(table, options).unwrap_err().to_string();
    for wrong in ["256", "-1", "1.5", "", "x"] {
        let expected = format!("f.tsv: line 4: pixel `p2` is `{wrong}`, expected a whole number from 0 to 255");
        assert_eq!(message(&images(&format!("0\t{wrong}\t0\t7\tdog\ttest")), &options), expected);
    }
    assert_eq!(message(&images("0\t0\t7\tdog\ttest"), &options), "f.tsv: line 4: 5 fields, the header has 6");
    assert!(message(&images("0\t0\t0\t7\tcow\ttest"), &options).contains("line 4: unknown label `cow`"));
    let whole = images("0\t0\t0\t7\tdog\ttest");
    assert!(message(&whole.replace("p1", "q1"), &options).contains("column `p1` is missing"));
    assert!(message(&whole.replace("p3", "x").replace("p2", "y"), &options).contains("2 pixel columns make no square"));
    assert!(message(&whole.replace("p1", "p2"), &options).contains("line 1: column `p2` appears twice"));
    assert!(message("label\tsplit\na\ttrain\n", &options).contains("column `p0` is missing"));
    options.image = Some(ImageSize { side_px: 2, channels: 3 });
    let expected = "f.tsv: line 1: 4 pixel columns, images of 2 x 2 pixels in 3 channels have 12";
    assert_eq!(message(&whole, &options), expected);
    options.image = Some(ImageSize { side_px: usize::MAX, channels: 2 });
    assert!(message(&whole, &options).contains("line 1: 4 pixel columns"));
}
