//! Models for other programs, and pictures of them.

use super::*;

/// A folder with a small data set and a run in `o`, and the model's fingerprint.
fn folder_with_run() -> (TempDir, String) {
    let folder = folder_with_data();
    let record = train(folder.path(), "o", &[]);
    let fingerprint = fingerprints(&record).pop().expect("an epoch");
    (folder, fingerprint)
}

const MODEL: &str = "o/weights.postcard";

#[test]
fn the_name_or_the_flag_says_what_is_exported() {
    let (folder, fingerprint) = folder_with_run();
    let at = folder.path();
    let starts = |file: &str, start: &[u8]| {
        let bytes = fs::read(at.join(file)).expect("exported");
        assert!(bytes.starts_with(start), "{file}: {:?}", &bytes[..16]);
        bytes
    };
    let c: &[u8] = b"/* A digit from 28x28 pixels";
    for (file, flags, start) in [
        ("cnn.h", &[][..], c),
        ("CNN.H", &[], c),
        ("net.onnx", &[], b"\x08"),
        ("any", &["--format", "c"], c),
        ("other.h", &["--format", "onnx"], b"\x08"),
    ] {
        succeed(at, &[&["export", MODEL, file][..], flags].concat());
        starts(file, start);
    }
    succeed(at, &["export", MODEL, "net.safetensors"]);
    assert_eq!(starts("net.safetensors", &[])[8], b'{');
    let header = String::from_utf8(starts("cnn.h", c)).expect("text");
    assert!(header.contains(&format!("#define CNN_FINGERPRINT \"{fingerprint}\"")));
    fail(at, &["export", MODEL, "x", "--format", "pickle"], 2, &["safetensors", "onnx", "c"]);
}

#[test]
fn an_onnx_file_comes_back_and_starts_a_run() {
    let (folder, fingerprint) = folder_with_run();
    let at = folder.path();
    succeed(at, &["export", MODEL, "net.onnx"]);
    let told = succeed(at, &["import", "net.onnx", "back"]);
    assert!(told.contains(&fingerprint), "{told}");
    let told = succeed(at, &["--data", "data", "--epochs", "1", "--init", "net.onnx", "--out", "tuned"]);
    assert!(told.contains(&format!("net.onnx ({fingerprint})")), "{told}");
    fs::write(at.join("cut.onnx"), &fs::read(at.join("net.onnx")).expect("exported")[..1000]).expect("written");
    fail(at, &["import", "cut.onnx", "m"], 1, &["cut.onnx", "not a whole ONNX file"]);
}

#[test]
fn pictures_are_written_and_nothing_that_is_read_is_lost() {
    let (folder, _) = folder_with_run();
    let at = folder.path();
    let evaluate = |file| ["evaluate", MODEL, "--data", "data", "--mistakes", file];
    let summary = |file| ["summary", MODEL, "--filters", file];
    let predict = |file| ["predict", MODEL, "--data", "data", "--index", "3", "--maps", file];
    assert!(succeed(at, &evaluate("mistakes.png")).contains("mistakes.png: the misread digits"));
    assert!(succeed(at, &summary("filters.png")).contains("filters.png: the kernels"));
    assert!(succeed(at, &predict("maps.png")).contains("maps.png: what every layer makes of it"));
    for file in ["mistakes.png", "filters.png", "maps.png"] {
        assert!(fs::read(at.join(file)).expect("written").starts_with(b"\x89PNG"), "{file}");
    }
    let before = fs::read(at.join(MODEL)).expect("the model");
    for args in [&evaluate(MODEL)[..], &summary(MODEL), &predict(MODEL)] {
        fail(at, args, 1, &[MODEL, "the very file that is read"]);
    }
    assert!(fs::read(at.join(MODEL)).expect("the model") == before);
    let digit = fs::read(at.join("maps.png")).expect("written");
    fail(at, &["predict", MODEL, "maps.png", "--maps", "maps.png"], 1, &["maps.png", "the very file that is read"]);
    fail(at, &["predict", MODEL, "maps.png", "--show", "maps.png"], 1, &["maps.png", "the very file that is read"]);
    assert!(fs::read(at.join("maps.png")).expect("still there") == digit);
    fail(at, &["predict", MODEL, "maps.png", "filters.png", "--maps", "m.png"], 1, &["--maps", "give one"]);
    fail(at, &["summary", "--filters", "f.png"], 2, &["MODEL"]);
}

#[test]
fn every_class_has_its_scores() {
    let (folder, _) = folder_with_run();
    let told = succeed(folder.path(), &["evaluate", MODEL, "--data", "data", "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    let classes = answer["classes"].as_array().expect("ten classes");
    assert_eq!(classes.len(), 10);
    for (class, scores) in classes.iter().enumerate() {
        assert_eq!((scores["class"].as_u64(), scores["images"].as_u64()), (Some(class as u64), Some(6)));
        let confusion = &answer["confusion"][class];
        let right = confusion[class].as_f64().expect("a count");
        assert_eq!(scores["recall"].as_f64(), Some(right / 6.0));
    }
}

#[test]
fn a_run_leaves_an_event_file_for_tensorboard() {
    let folder = folder_with_data();
    let train = ["--data", "data", "--epochs", "2", "--out", "o", "--tensorboard", "logs/run"];
    succeed(folder.path(), &train);
    let files: Vec<_> = fs::read_dir(folder.path().join("logs/run")).expect("a folder").collect();
    assert_eq!(files.len(), 1);
    let bytes = fs::read(files[0].as_ref().expect("listed").path()).expect("an event file");
    for tag in ["brain.Event:2", "loss/train", "accuracy/test", "learning_rate"] {
        assert!(bytes.windows(tag.len()).any(|window| window == tag.as_bytes()), "{tag}");
    }
}

#[test]
fn the_pages_for_readers_of_the_tutorial_show_what_summary_prints() {
    let folder = TempDir::new().expect("a temporary folder");
    let summary = succeed(folder.path(), &["summary"]);
    let (table, _) = summary.split_once("408,520 bytes").expect("the line below the table");
    for page in ["from-pytorch.md", "from-pytorch.ja.md"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
        let text = fs::read_to_string(&path).expect("a page");
        assert!(text.contains(table), "{page} does not have\n{table}");
        for count in ["| conv2 | 32 · 16 · 3 · 3 = 4,608 | **32** | **4,640** |", "= 96,000 | **120** | **96,120** |"]
        {
            assert!(text.contains(count), "{page}: {count}");
        }
    }
}
