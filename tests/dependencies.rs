//! `docs/dependencies.md` has a row for every direct dependency, and no other row.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

const PAGE: &str = "docs/dependencies.md";

type Names = BTreeSet<String>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of the page under a heading: the first column.
fn rows(heading: &str) -> Names {
    let page = read(&root().join(PAGE));
    let mut names = Names::new();
    let lines = page.lines().skip_while(|line| line.strip_prefix("## ") != Some(heading)).skip(1);
    for row in lines.take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| ")).skip(1) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 5, "{PAGE}: three columns: {row}");
        assert!(!cells[2].is_empty() && !cells[3].is_empty(), "{PAGE}: what for, and why this one? {row}");
        assert!(names.insert(cells[1].into()), "{PAGE}: {} has two rows", cells[1]);
    }
    names
}

#[track_caller]
fn assert_rows(heading: &str, required: &Names) {
    let rows = rows(heading);
    let missing: Vec<_> = required.difference(&rows).collect();
    assert!(missing.is_empty(), "{PAGE}, \"{heading}\": no row for {missing:?}");
    let gone: Vec<_> = rows.difference(required).collect();
    assert!(gone.is_empty(), "{PAGE}, \"{heading}\": nothing depends on {gone:?}");
}

/// What the packages of a workspace require of a registry; nothing if the workspace does not exist.
fn required_by_workspace(folder: &str) -> Names {
    let manifest = root().join(folder).join("Cargo.toml");
    let mut names = Names::new();
    if !manifest.exists() {
        return names;
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
            names.insert(dependency["name"].as_str().expect("a string").into());
        }
    }
    names
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
    assert!(required.contains("serde"), "{required:?}");
    assert_rows("The workspace", &required);
}

#[test]
fn every_dependency_of_the_firmware_has_its_row() {
    assert_rows("The firmware", &required_by_workspace("firmware"));
}

#[test]
fn every_python_package_has_its_row() {
    let mut required = Names::new();
    for text in scripts() {
        for (name, version) in text.split_whitespace().filter_map(|word| word.split_once("==")) {
            if version.starts_with(|first: char| first.is_ascii_digit()) {
                required.insert(name.into());
            }
        }
    }
    assert_rows("Python packages", &required);
}

#[test]
fn every_tool_from_crates_io_has_its_row() {
    let mut required = Names::new();
    for text in scripts() {
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let Some((_, arguments)) = line.split_once("cargo install ") else { continue };
            let tool = arguments.split_whitespace().last().expect("cargo install names a tool");
            required.insert(tool.split_once('@').map_or(tool, |(name, _)| name).into());
        }
    }
    assert_rows("Tools from crates.io", &required);
}
