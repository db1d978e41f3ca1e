#include "cli/choices.h"

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "base/spec_error.h"

using namespace foretrain;
using namespace foretrain::cli;

namespace {

constexpr std::array<std::string_view, 3> kNames = {"all_reduce", "all_gather", "send_recv"};

std::string message_for(std::string_view word) {
  try {
    choose(word, kNames, "OP", "collective");
  } catch (const SpecError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a name is found whatever its case, with - or _ or neither") {
  CHECK(choose("all_gather", kNames, "OP", "collective") == 1);
  CHECK(choose("All-Gather", kNames, "OP", "collective") == 1);
  CHECK(choose("ALLGATHER", kNames, "OP", "collective") == 1);
  CHECK(choose("sendrecv", kNames, "OP", "collective") == 2);
}

TEST_CASE("an unknown name is refused with the nearest one and the whole list") {
  CHECK(message_for("all_redcue") ==
        "OP: unknown collective \"all_redcue\"; did you mean all_reduce?; known: all_reduce, all_gather, send_recv");
  CHECK(message_for("gossip") == "OP: unknown collective \"gossip\"; known: all_reduce, all_gather, send_recv");
}

TEST_CASE("a list is split at commas, blanks around the parts dropped") {
  CHECK(split_at_commas("1MiB, 1 GiB ,8B") == std::vector<std::string>{"1MiB", "1 GiB", "8B"});
  CHECK(split_at_commas("1MiB") == std::vector<std::string>{"1MiB"});
  CHECK(split_at_commas("1MiB,,2") == std::vector<std::string>{"1MiB", "", "2"});
}
