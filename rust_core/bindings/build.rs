//! Records the compiler, profile and target of this build for `build_info()`.

use std::env;
use std::process::Command;

fn main() {
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).arg("--version").output();
    let version = output
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok());
    let rustc = version.as_deref().map_or("unknown", str::trim);
    let profile = env::var("PROFILE").unwrap_or_else(|_| "unknown".to_owned());
    let target = env::var("TARGET").unwrap_or_else(|_| "unknown".to_owned());
    let settings = [
        format!("rustc-env=SLIPSTREAM_RUSTC={rustc}"),
        format!("rustc-env=SLIPSTREAM_PROFILE={profile}"),
        format!("rustc-env=SLIPSTREAM_TARGET={target}"),
        "rerun-if-changed=build.rs".to_owned(),
    ];
    for setting in settings {
        tell_cargo(&setting);
    }
}

#[allow(
    clippy::print_stdout,
    reason = "standard output is how a build script talks to cargo"
)]
fn tell_cargo(setting: &str) {
    println!("cargo::{setting}");
}
