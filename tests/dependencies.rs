//! `docs/dependencies.md` has a row for every direct dependency, with the version that is required, and no other row.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

const PAGE: &str = "docs/dependencies.md";

/// Versions by name.
type Versions = BTreeMap<String, String>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of the page under a heading: the first two columns.
fn rows(heading: &str) -> Versions {
    let page = read(&root().join(PAGE));
    let mut versions = Versions::new();
    let lines = page.lines().skip_while(|line| line.strip_prefix("## ") != Some(heading)).skip(1);
    for row in lines.take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| ")).skip(1) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 6, "{PAGE}: four columns: {row}");
        assert!(!cells[3].is_empty() && !cells[4].is_empty(), "{PAGE}: what for, and why this one? {row}");
        assert!(versions.insert(cells[1].into(), cells[2].into()).is_none(), "{PAGE}: {} has two rows", cells[1]);
    }
    versions
}

#[track_caller]
fn assert_rows(heading: &str, required: &Versions) {
    let rows = rows(heading);
    for (name, version) in required {
        let row = rows.get(name).unwrap_or_else(|| panic!("{PAGE}, \"{heading}\": no row for {name} {version}"));
        assert_eq!(row, version, "{PAGE}, \"{heading}\": the version of {name}");
    }
    let gone: Vec<_> = rows.keys().filter(|name| !required.contains_key(*name)).collect();
    assert!(gone.is_empty(), "{PAGE}, \"{heading}\": nothing depends on {gone:?}");
}

/// What the packages of a workspace require of a registry; nothing if the workspace does not exist.
fn required_by_workspace(folder: &str) -> Versions {
    let manifest = root().join(folder).join("Cargo.toml");
    let mut versions = Versions::new();
    if !manifest.exists() {
        return versions;
    }
    let cargo = env::var_os("CARGO").expect("cargo runs the tests");
    let metadata = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(&manifest)
        .output()
        .expect("cargo runs");
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("JSON");
    for package in metadata["packages"].as_array().expect("packages") {
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        for dependency in dependencies.iter().filter(|dependency| dependency["path"].is_null()) {
            let [name, requirement] = ["name", "req"].map(|field| dependency[field].as_str().expect("a string"));
            let version = requirement.trim_start_matches('^').to_owned();
            if let Some(other) = versions.insert(name.into(), version.clone()) {
                assert_eq!(other, version, "{folder}: two requirements of {name}");
            }
        }
    }
    versions
}

/// All scripts and lists of requirements outside build folders.
fn scripts() -> Vec<String> {
    let mut texts = Vec::new();
    let mut folders = vec![
        root().join(".ci"),
        root().join("kernels"),
        root().join("tests"),
        root().join("host-trainer"),
        root().join("fuzz"),
    ];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.extend(Some(path).filter(|path| !path.ends_with("target")));
            } else if path.file_name() == Some(OsStr::new("run"))
                || path.extension().is_some_and(|extension| extension == "sh" || extension == "txt")
            {
                texts.push(read(&path));
            }
        }
    }
    texts
}

#[test]
fn every_dependency_of_the_workspace_has_its_row() {
    let required = required_by_workspace(".");
    assert!(required.contains_key("serde"), "{required:?}");
    assert_rows("The workspace", &required);
}

#[test]
fn every_dependency_of_the_firmware_has_its_row() {
    assert_rows("The firmware", &required_by_workspace("firmware"));
}

#[test]
fn every_dependency_of_the_fuzz_targets_has_its_row() {
    assert_rows("The fuzz targets", &required_by_workspace("fuzz"));
}

#[test]
fn every_python_package_has_its_row() {
    let mut required = Versions::new();
    for text in scripts() {
        for (name, version) in text.split_whitespace().filter_map(|word| word.split_once("==")) {
            if version.starts_with(|first: char| first.is_ascii_digit()) {
                required.insert(name.into(), version.into());
            }
        }
    }
    assert_rows("Python packages", &required);
}

#[test]
fn every_tool_from_crates_io_has_its_row() {
    let mut required = Versions::new();
    for text in scripts() {
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let Some((_, arguments)) = line.split_once("cargo install ") else { continue };
            let tool = arguments.split_whitespace().last().expect("cargo install names a tool");
            let (name, version) = tool.split_once('@').unwrap_or((tool, ""));
            required.insert(name.into(), version.into());
        }
    }
    assert_rows("Tools from crates.io", &required);
}
