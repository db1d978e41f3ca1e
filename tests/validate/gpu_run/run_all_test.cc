/// validate/gpu/run_all.sh from its first part to its last, with a foretrain-gpu on a GPU that computes nothing.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <sys/wait.h>

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

/// A folder that goes away at the end of the test, with the program under the name by which ranks find it.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "foretrain-run-all-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
    fs::copy_file(FORETRAIN_GPU_PROGRAM, path_ / "foretrain-gpu");
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  /// The script's exit status.
  [[nodiscard]] int run_all(const std::string& environment) const {
    const std::string command = environment + " FORETRAIN_GPU=" + (path_ / "foretrain-gpu").string() +
                                " validate/gpu/run_all.sh " + (path_ / "out").string() + " > /dev/null 2>&1";
    const int status = std::system(command.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  /// The summary's lines by what they begin with.
  [[nodiscard]] std::map<std::string, int> verdicts() const {
    std::map<std::string, int> count;
    std::ifstream file(path_ / "out" / "summary.txt");
    for (std::string line; std::getline(file, line);) ++count[line.substr(0, line.find(' '))];
    return count;
  }
  [[nodiscard]] std::string summary() const {
    std::ostringstream text;
    text << std::ifstream(path_ / "out" / "summary.txt").rdbuf();
    return text.str();
  }
  [[nodiscard]] Json results() const { return Json::parse(std::ifstream(path_ / "out" / "measurements.json")); }

 private:
  fs::path path_;
};

}  // namespace

TEST_CASE("Every part runs, one that fails ends none of the others, and one file holds all that was measured") {
  const Folder folder;
  // NCCL refuses ranks that share the GPU: three of the thirteen parts.
  CHECK(folder.run_all("LIMIT=200 FAKE_NCCL_REFUSES_SHARING=1") == 1);
  CAPTURE(folder.summary());
  CHECK(folder.verdicts()["FAILED"] == 3);
  CHECK(folder.verdicts()["passed"] == 10);
  CHECK(folder.summary().find("refuses several ranks on one GPU; each needs a process and an NCCL_HOSTID") !=
        std::string::npos);
  CHECK(folder.summary().find("gpt-125m_tp1_cuda_graph") != std::string::npos);
  const Json results = folder.results();
  REQUIRE(results["steps"].size() == 6);
  REQUIRE(results["memory"].size() == 6);
  for (const Json& step : results["steps"]) {
    const bool is_small = step["name"].get<std::string>().rfind("gpt-125m", 0) == 0;
    CHECK(step["samples_us"].size() == (is_small ? 30 : 8));
  }
  CHECK(results["kernels"].size() > 350);  // the sweep's alone
}

TEST_CASE("Parts that the time does not suffice for are cut or left out, and what was measured before stays") {
  const Folder folder;
  CHECK(folder.run_all("LIMIT=4 FAKE_NCCL_REFUSES_SHARING=1") == 0);
  CAPTURE(folder.summary());
  CHECK(folder.verdicts()["left"] > 3);
  CHECK(folder.verdicts()["FAILED"] == 0);
  CHECK(!folder.results()["steps"].empty());
}
