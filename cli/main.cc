/// The program `foretrain`: understands the command line, runs one subcommand, and turns errors into exit codes.
#include <cstdio>
#include <exception>
#include <new>

#include "base/spec_error.h"
#include "cli/arguments.h"
#include "cli/subcommands.h"

int main(int argc, char** argv) {
  using namespace foretrain;
  const auto report = [](const char* what, int exit_code) {
    std::fprintf(stderr, "foretrain: %s\n", what);
    return exit_code;
  };
  try {
    return cli::parse_arguments(argc, argv)();
  } catch (const SpecError& error) {
    return report(error.what(), cli::kBadInput);
  } catch (const MachineError& error) {
    return report(error.what(), cli::kMachineFailed);
  } catch (const std::bad_alloc&) {
    return report("out of memory", cli::kMachineFailed);
  } catch (const std::exception& error) {
    return report(error.what(), cli::kMachineFailed);
  }
}
