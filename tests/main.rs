//! The one integration binary: the real `dkr` against real git, SSH and Docker, and against
//! a fake engine for protocol faults. `cases` are the tests, `support` is what they are made of.
//!
//! `sh tests/run.sh` prepares the machine and runs them all.

#[cfg(test)]
mod cases;

#[cfg(test)]
use testkit as support;
