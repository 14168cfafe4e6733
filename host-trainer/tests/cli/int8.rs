//! int8 models: made, measured, read, and refused where they cannot be used.

use super::*;

const MODEL: &str = "o/weights.postcard";

/// A folder with a small data set, a run in `o`, and its int8 model.
fn folder_with_int8() -> TempDir {
    let folder = folder_with_data();
    train(folder.path(), "o", &[]);
    succeed(folder.path(), &["quantize", MODEL, "int8.cnnm", "--data", "data"]);
    folder
}

fn json(folder: &Path, args: &[&str]) -> serde_json::Value {
    serde_json::from_str(&succeed(folder, args)).expect("one JSON object")
}

#[test]
fn quantising_is_a_function_of_the_model_and_says_what_it_costs() {
    let folder = folder_with_int8();
    let at = folder.path();
    let first = fs::read(at.join("int8.cnnm")).expect("written");
    fail(at, &["quantize", MODEL, "int8.cnnm", "--data", "data"], 1, &["int8.cnnm exists already", "--overwrite"]);
    for flags in [&["--backend", "reference"][..], &["--backend", "cpu", "--threads", "1", "--simd", "portable"]] {
        let args = [&["quantize", "o", "int8.cnnm", "--data", "data", "--overwrite"], flags].concat();
        let told = succeed(at, &args);
        assert!(told.contains("calibration  230 training images") && told.contains("accuracy int8"), "{told}");
        assert_eq!(fs::read(at.join("int8.cnnm")).expect("written"), first, "{flags:?}");
    }
    let facts = json(at, &["quantize", MODEL, "again", "--data", "data", "--json"]);
    assert_eq!((&facts["images"], &facts["calibration_images"]), (&TEST.into(), &TRAIN.into()));
    assert_eq!(facts["file_bytes"], first.len());
    let differing = facts["differing"].as_array().expect("a list").len();
    assert!(differing <= TEST, "{facts}");
    let evaluated = json(at, &["evaluate", "again", "--data", "data", "--json"]);
    assert_eq!((&evaluated["correct"], &evaluated["kind"]), (&facts["correct_int8"], &"int8".into()));
    assert_eq!(evaluated["fingerprint"], facts["fingerprint"]);
    let float = json(at, &["evaluate", MODEL, "--data", "data", "--json"]);
    assert_eq!((&float["correct"], &float["kind"]), (&facts["correct_f32"], &"f32".into()));
}

#[test]
fn an_int8_model_is_evaluated_predicted_with_and_described() {
    let folder = folder_with_int8();
    let at = folder.path();
    let quick = json(at, &["evaluate", "int8.cnnm", "--data", "data", "--json", "--threads", "3"]);
    let plain = json(at, &["evaluate", "int8.cnnm", "--data", "data", "--json", "--backend", "reference"]);
    for key in ["correct", "mean_loss", "confusion", "fingerprint"] {
        assert_eq!(quick[key], plain[key], "{key}");
    }
    succeed(at, &["evaluate", "int8.cnnm", "--data", "data", "--mistakes", "mistakes.png"]);
    let read = &json(at, &["predict", "int8.cnnm", "--index", "3", "--data", "data", "--json"])["results"][0];
    let integers: Vec<i64> =
        read["integer_logits"].as_array().expect("ten").iter().filter_map(|z| z.as_i64()).collect();
    let largest = (0..10).rev().max_by_key(|&class| integers[class]).expect("ten");
    assert_eq!((integers.len(), &read["prediction"]), (10, &largest.into()));
    let sum: f64 = read["probabilities"].as_array().expect("ten").iter().filter_map(|p| p.as_f64()).sum();
    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    let summary = json(at, &["summary", "int8.cnnm", "--json"]);
    let float = json(at, &["summary", MODEL, "--json"]);
    assert_eq!(summary["model"]["int8"]["source"], float["model"]["fingerprint"]);
    assert_eq!(summary["model"]["claims"], float["model"]["claims"]);
    assert_eq!((&summary["model"]["kind"], &float["model"]["kind"]), (&"int8".into(), &"f32".into()));
    assert!(float["model"].get("int8").is_none());
    let told = succeed(at, &["summary", "int8.cnnm"]);
    assert!(
        told.contains("kind         int8: 103504 bytes of parameters") && told.contains("self-test passed"),
        "{told}"
    );
}

#[test]
fn where_f32_is_needed_an_int8_model_is_refused_by_name() {
    let folder = folder_with_int8();
    let at = folder.path();
    for args in [
        &["quantize", "int8.cnnm", "x", "--data", "data"][..],
        &["train", "--init", "int8.cnnm", "--data", "data", "--out", "x"],
        &["export", "int8.cnnm", "x.onnx"],
        &["export", "int8.cnnm", "x.safetensors"],
        &["summary", "int8.cnnm", "--filters", "x.png"],
        &["predict", "int8.cnnm", "--index", "0", "--data", "data", "--maps", "x.png"],
    ] {
        fail(at, args, 1, &["int8.cnnm is an int8 model", "give the f32 model that it was made of"]);
        for file in ["x", "x.onnx", "x.safetensors", "x.png"] {
            assert!(!at.join(file).exists(), "{args:?} left {file}");
        }
    }
    let cuda = ["evaluate", "int8.cnnm", "--data", "data", "--backend", "cuda"];
    fail(at, &cuda, 1, &["int8.cnnm is an int8 model", "--backend cpu"]);
}

#[test]
fn nothing_is_overwritten_or_left_half_done_by_quantising() {
    let folder = folder_with_int8();
    let at = folder.path();
    let model = fs::read(at.join(MODEL)).expect("a model");
    fail(at, &["quantize", MODEL, MODEL, "--overwrite", "--data", "data"], 1, &["is the model that is read"]);
    fail(at, &["quantize", MODEL, "-", "--data", "data"], 1, &["into a file"]);
    fail(at, &["quantize", MODEL, "data", "--overwrite", "--data", "data"], 1, &["data"]);
    fail(at, &["quantize", "absent", "x", "--data", "data"], 1, &["absent"]);
    fail(at, &["quantize", MODEL, "x", "--data", "nowhere"], 1, &["nowhere"]);
    let mut damaged = fs::read(at.join("int8.cnnm")).expect("written");
    *damaged.last_mut().expect("bytes") ^= 1;
    fs::write(at.join("damaged"), damaged).expect("written");
    for args in [&["evaluate", "damaged", "--data", "data"][..], &["summary", "damaged"], &["export", "damaged", "x"]] {
        fail(at, args, 1, &["damaged", "checksum"]);
    }
    assert!(!at.join("x").exists() && fs::read(at.join(MODEL)).expect("a model") == model);
}
