#pragma once

namespace weir {

/// The whole command line: `weir COMMAND ...`. Returns the exit code (interface.md section 1).
int run_cli(int argc, char** argv);

}  // namespace weir
