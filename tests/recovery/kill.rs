//! The program itself, killed at any moment.
