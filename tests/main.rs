//! The one integration binary: the real `dkr` against real git, SSH and Docker, and against
//! a fake engine for protocol faults. `support` is the machinery, `cases` are the tests.
//!
//! `sh tests/run.sh` prepares the machine and runs them all.

#[cfg(test)]
mod cases;
#[cfg(test)]
mod support;
