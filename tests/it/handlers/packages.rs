//! The libraries as their users get them: packed with the ecosystems' own tools, installed from that, and run by Gleaner.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use gleaner::handlers::command::options::Options;
use gleaner::secret::Secret;
use serde_json::json;

use super::{pool, root, run, tool};
use crate::support::skip;

fn succeeds(command: &mut Command) {
    let output = command.output().expect("a program that is here");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
}

/// The one file in a folder with this ending.
fn only(folder: &Path, ending: &str) -> PathBuf {
    let files = folder.read_dir().expect("a folder").flatten();
    let mut files = files.map(|entry| entry.path());
    let found = files.find(|path| path.to_string_lossy().ends_with(ending));
    found.unwrap_or_else(|| panic!("no *{ending} in {}", folder.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_package_is_built_and_installed() {
    let python =
        std::env::var("GLEANER_TEST_PYTHON_BUILD").unwrap_or_else(|_| "python3".to_owned());
    let ran = Command::new(&python)
        .args(["-c", "import build, setuptools, wheel"])
        .output();
    if !ran.is_ok_and(|ran| ran.status.success()) {
        return skip(format!("{python} has no build, setuptools and wheel"));
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // Building writes beside the sources.
    let source = root().join("clients/python");
    succeeds(Command::new("cp").arg("-r").args([&source, &at("source")]));
    succeeds(
        Command::new(&python)
            .args(["-m", "build", "--no-isolation", "--outdir"])
            .args([at("dist"), at("source")]),
    );
    // Both forms, and the wheel says that it is typed.
    only(&at("dist"), ".tar.gz");
    let wheel = only(&at("dist"), "-py3-none-any.whl");
    succeeds(
        Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--no-index",
                "--no-deps",
                "--target",
            ])
            .args([at("installed"), wheel]),
    );
    assert!(at("installed/gleaner_worker/py.typed").is_file());
    std::fs::write(
        at("plain.py"),
        "def double(number):\n    return number * 2\n",
    )
    .unwrap();
    let command = [
        "-m",
        "gleaner_worker.celery",
        "plain.double",
        "--set",
        "twice",
    ];
    let command = command.iter().map(|word| (*word).to_owned());
    let mut options = Options::of([python].into_iter().chain(command).collect());
    let installed = at("installed").display().to_string();
    options.env = [("PYTHONPATH".to_owned(), Secret::new(&installed))].into();
    options.cwd = Some(folder.path().to_owned());
    let pool = pool(options);
    let answer = run(&pool, json!({ "number": 21 })).await.unwrap();
    assert_eq!(answer, json!({ "twice": 42 }));
    pool.close(Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_package_is_packed_and_installed() {
    let (Some(npm), Some(node)) = (tool("npm"), tool("node")) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let npm = |arguments: &[&str]| {
        let mut command = Command::new(&npm);
        command
            .args(arguments)
            .args(["--offline", "--no-audit", "--no-fund", "--cache"])
            .arg(folder.path().join("cache"))
            .current_dir(folder.path());
        succeeds(&mut command);
    };
    let source = root().join("clients/node").display().to_string();
    npm(&["pack", &source]);
    let packed = only(folder.path(), ".tgz").display().to_string();
    std::fs::write(
        folder.path().join("package.json"),
        "{ \"private\": true, \"type\": \"module\" }",
    )
    .unwrap();
    npm(&["install", &packed]);
    let installed = folder.path().join("node_modules/gleaner-worker");
    assert!(installed.join("index.d.ts").is_file());
    assert!(!installed.join("test").exists());
    let file = folder.path().join("double.js");
    let source = "import { run } from 'gleaner-worker';\nawait run(({ number }) => ({ twice: number * 2 }));\n";
    std::fs::write(&file, source).unwrap();
    let pool = pool(Options::of(vec![node, file.display().to_string()]));
    let answer = run(&pool, json!({ "number": 21 })).await.unwrap();
    assert_eq!(answer, json!({ "twice": 42 }));
    pool.close(Duration::from_secs(20)).await;
}
