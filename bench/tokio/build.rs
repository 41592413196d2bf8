//! Tells the program the versions that it was built with, for its `--version`.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=Cargo.lock");
    let lock = std::fs::read_to_string("Cargo.lock").expect("Cargo.lock cannot be read");
    let mut words = lock.lines().skip_while(|line| *line != "name = \"tokio\"").skip(1);
    let version = words.next().and_then(|line| line.split('"').nth(1)).expect("Cargo.lock does not name tokio");
    println!("cargo:rustc-env=TOKIO_VERSION={version}");
    let rustc = std::env::var("RUSTC").expect("cargo sets RUSTC");
    let output = Command::new(rustc).arg("--version").output().expect("rustc does not run");
    let text = String::from_utf8_lossy(&output.stdout);
    println!("cargo:rustc-env=RUSTC_VERSION={}", text.trim());
}
