use std::process::ExitCode;

fn main() -> ExitCode {
    pixmill::cli::main()
}
