//! The `dkr` program: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(dkr::run(std::env::args_os()))
}
