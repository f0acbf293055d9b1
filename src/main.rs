//! The `lakebed` program.

/// Gives memory back that the system's allocator keeps between large buffers: a long write then
/// stays within its budget.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    lakebed::cli::main()
}
