#include "hwmodels/host_list.h"

#include <doctest/doctest.h>

#include "base/spec_error.h"

using namespace foretrain;

namespace {

std::string joined(const std::string& list) {
  std::string text;
  for (const std::string& host : parse_host_list(list, "hosts")) text += (text.empty() ? "" : " ") + host;
  return text;
}

std::string list_error(const std::string& list) {
  try {
    static_cast<void>(parse_host_list(list, "hosts"));
  } catch (const SpecError& error) {
    return error.what();
  }
  return "accepted";
}

std::string hostfile_error(const std::string& text) {
  try {
    static_cast<void>(parse_hostfile(text, "f"));
  } catch (const SpecError& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("a Slurm list as scontrol show hostnames spells it out") {
  CHECK(joined("dgx[01-04,07],gpu-[1-2]n[0-1]") == "dgx01 dgx02 dgx03 dgx04 dgx07 gpu-1n0 gpu-1n1 gpu-2n0 gpu-2n1");
  CHECK(joined("n[8-11]") == "n8 n9 n10 n11");
  CHECK(joined("n[098-101]") == "n098 n099 n100 n101");
  CHECK(joined("a") == "a");
  CHECK(joined("rack1-[1-2].cluster.local") == "rack1-1.cluster.local rack1-2.cluster.local");
}

TEST_CASE("the list of hosts is the shortest that gives them back") {
  CHECK(host_list({"dgx01", "dgx02", "dgx03", "dgx07"}) == "dgx[01-03,07]");
  CHECK(host_list({"n9", "n10", "n11"}) == "n[9-11]");
  CHECK(host_list({"a", "b1", "c", "c1"}) == "a,b1,c,c1");
  for (const char* list : {"dgx[01-04,07]", "n[098-101]", "n[1,01-02]", "x[1-3],y,z[2-3]", "gpu-1n[0-1],gpu-2n[0-1]"})
    CHECK(host_list(parse_host_list(list, "hosts")) == list);
}

TEST_CASE("lists that no one can mean are refused") {
  CHECK(list_error("dgx[01-04") == "hosts: a bracket without its end in \"dgx[01-04\"");
  CHECK(list_error("dgx[4-1]") == "hosts: expected numbers or ranges, [01-04,07], in a list of hosts; got \"4-1\"");
  CHECK(list_error("dgx[]") == "hosts: expected numbers or ranges, [01-04,07], in a list of hosts; got \"\"");
  CHECK(list_error("dgx[a-b]") == "hosts: expected numbers or ranges, [01-04,07], in a list of hosts; got \"a-b\"");
  CHECK(list_error("dgx1,dgx1") == "hosts: host \"dgx1\" stands twice");
  CHECK(list_error("dgx1,,dgx2") == "hosts: expected the name of a host; got \"\"");
  CHECK(list_error("dgx 1") == "hosts: expected the name of a host; got \"dgx 1\"");
  CHECK(list_error("n[1-99999999]") == "hosts: expected at most 1000000 hosts; got more");
  CHECK(list_error("n[1-1000]m[1-1000]k[1-1000]") == "hosts: expected at most 1000000 hosts; got more");
}

TEST_CASE("hostfiles of DeepSpeed, Open MPI and MPICH") {
  const auto hosts = parse_hostfile("# four nodes\r\nn1 slots=8\r\nn2 slots=8 max_slots=16\n\nn3:4\nn4\n", "f");
  REQUIRE(hosts.size() == 4);
  CHECK(hosts[0].host == "n1");
  CHECK(hosts[0].slots == 8);
  CHECK(hosts[1].slots == 8);
  CHECK(hosts[2].host == "n3");
  CHECK(hosts[2].slots == 4);
  CHECK(hosts[3].slots == 0);
  CHECK(hostfile_error("n1 slots=8\nn1 slots=8\n") == "f: host \"n1\" stands twice");
  CHECK(hostfile_error("n1 slots=x\n") == "f:1: expected slots from 1 to 1024; got \"x\"");
  CHECK(hostfile_error("n1 slots=-8\n") == "f:1: expected slots from 1 to 1024; got \"-8\"");
  CHECK(hostfile_error("n1\nn2 gpus=8\n") == "f:2: expected \"host slots=8\"; got \"gpus=8\" after the host");
  CHECK(hostfile_error("# nothing\n") == "f: expected hosts, one a line; found none");
}
