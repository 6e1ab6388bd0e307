//! Parity
mod code;
mod threads;
