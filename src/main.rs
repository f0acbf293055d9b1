//! The `lakebed` program.

fn main() -> std::process::ExitCode {
    lakebed::cli::main()
}
