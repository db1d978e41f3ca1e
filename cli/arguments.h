/// The command line: which subcommand is asked for, with which options.
#pragma once

#include <functional>

namespace foretrain::cli {

/// What is left to do once the command line is understood; gives the exit code.
using Action = std::function<int()>;

/// The action that `argv` asks for (--help and --version are actions too). SpecError for what cannot be understood.
Action parse_arguments(int argc, const char* const* argv);

}  // namespace foretrain::cli
