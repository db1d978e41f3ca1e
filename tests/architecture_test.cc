/// Holds the arrows between folders: cli -> validate -> planner -> sim -> hwmodels -> base, in includes and in CMake;
/// and that no two types share a name.
#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

namespace {

/// Lowest first: a folder may use itself and those before it.
constexpr std::array<std::string_view, 7> kFolders = {"base",     "hwmodels",  "sim", "planner",
                                                      "validate", "foretrain", "cli"};
/// Seconds each to parse, so that they stand in .cc files only.
constexpr std::array<std::string_view, 3> kSlowHeaders = {"nlohmann/json.hpp", "CLI/", "boost/"};
/// The GPU runner builds without these.
constexpr std::array<std::string_view, 3> kNotForGpu = {"boost/", "fmt/", "CLI/"};

/// The place of a folder in kFolders; kFolders.size() for any other name.
std::size_t height_of(std::string_view folder) {
  return static_cast<std::size_t>(std::find(kFolders.begin(), kFolders.end(), folder) - kFolders.begin());
}

std::string_view top_folder(std::string_view path) { return path.substr(0, path.find('/')); }

bool starts_with_any(std::string_view text, std::span<const std::string_view> beginnings) {
  return std::any_of(beginnings.begin(), beginnings.end(), [&](std::string_view b) { return text.starts_with(b); });
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

/// What is wrong with the includes of the source file `path` (from the project's root), one line each.
std::vector<std::string> include_violations(const std::string& path, const std::string& text) {
  static const std::regex include(R"re(^\s*#\s*include\s*(["<])([^">]+)[">])re");
  const bool is_header = path.ends_with(".h") || path.ends_with(".cuh");
  const bool is_gpu = path.starts_with("validate/gpu/");
  std::vector<std::string> violations;
  for (const std::string& line : lines_of(text)) {
    std::smatch match;
    if (!std::regex_search(line, match, include)) continue;
    const std::string target = match[2];
    const bool ours = match[1] == "\"";
    if (ours && height_of(top_folder(target)) == kFolders.size()) {
      violations.push_back(path + ": includes start at the project's root: " + target);
    } else if (ours && height_of(top_folder(target)) > height_of(top_folder(path))) {
      violations.push_back(path + ": points up: " + target);
    }
    if (!ours && is_header && starts_with_any(target, kSlowHeaders)) {
      violations.push_back(path + ": slow header included from a header: " + target);
    }
    if (!ours && is_gpu && starts_with_any(target, kNotForGpu)) {
      violations.push_back(path + ": the GPU runner builds without " + target);
    }
  }
  return violations;
}

/// What is wrong with the targets that the CMake file of `folder` names, one line each. Comments do not count.
std::vector<std::string> cmake_violations(const std::string& folder, const std::string& text) {
  static const std::regex target(R"(foretrain(?:::|_)([a-z]+))");
  std::vector<std::string> violations;
  for (const std::string& line : lines_of(text)) {
    const std::string code = line.substr(0, line.find('#'));
    for (auto match = std::sregex_iterator(code.begin(), code.end(), target); match != std::sregex_iterator();
         ++match) {
      const std::size_t height = height_of((*match)[1].str());
      if (height != kFolders.size() && height > height_of(folder)) {
        violations.push_back(folder + "/CMakeLists.txt: points up: " + match->str());
      }
    }
  }
  return violations;
}

/// The types that a file defines outside classes and unnamed namespaces, with their namespaces:
/// "foretrain::sim::Timeline".
std::vector<std::string> defined_types(const std::string& text) {
  static const std::regex opening(R"(^(?:inline )?namespace(?: ([\w:]+))? \{)");
  static const std::regex type(R"(^(?:struct|class|enum class) (?:alignas\(\w+\) )?(\w+)(?!\w|::)[^;]*\{)");
  std::vector<std::string> scopes, types;
  for (const std::string& line : lines_of(text)) {
    std::smatch match;
    if (std::regex_search(line, match, opening)) {
      scopes.push_back(match[1].matched ? match[1].str() + "::" : "");
    } else if (line.starts_with("}  // namespace") && !scopes.empty()) {
      scopes.pop_back();
    } else if (std::regex_search(line, match, type) && std::find(scopes.begin(), scopes.end(), "") == scopes.end()) {
      std::string name;
      for (const std::string& scope : scopes) name += scope;
      types.push_back(name + match[1].str());
    }
  }
  return types;
}

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  REQUIRE(file.good());
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// The files of our folders with one of these endings, sorted, as paths from the project's root.
std::vector<std::string> files_ending(std::initializer_list<std::string_view> endings) {
  std::vector<std::string> paths;
  for (const std::string_view folder : kFolders) {
    if (!std::filesystem::exists(folder)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      const std::string path = entry.path().string();
      const bool wanted =
          std::any_of(endings.begin(), endings.end(), [&](std::string_view ending) { return path.ends_with(ending); });
      if (wanted) paths.push_back(path);
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

}  // namespace

TEST_CASE("No include points up, and slow headers stay in .cc files") {
  const std::vector<std::string> paths = files_ending({".h", ".cc", ".cu", ".cuh"});
  CHECK(std::find(paths.begin(), paths.end(), "base/units.h") != paths.end());
  CHECK(std::find(paths.begin(), paths.end(), "base/spec_node.cc") != paths.end());
  for (const std::string& path : paths) {
    for (const std::string& violation : include_violations(path, text_of(path))) FAIL_CHECK(violation);
  }
}

TEST_CASE("No folder's target links one above it") {
  const std::vector<std::string> paths = files_ending({"CMakeLists.txt"});
  CHECK(std::find(paths.begin(), paths.end(), "base/CMakeLists.txt") != paths.end());
  for (const std::string& path : paths) {
    const std::string folder(top_folder(path));
    for (const std::string& violation : cmake_violations(folder, text_of(path))) FAIL_CHECK(violation);
  }
}

/// Two types of one name are linked as one, and no compiler says so.
TEST_CASE("No two files define a type of the same name, unless only one of them can be linked") {
  std::map<std::string, std::string> files;
  for (const std::string& path : files_ending({".h", ".cuh", ".cc", ".cu"})) {
    for (const std::string& type : defined_types(text_of(path))) {
      const auto [known, is_new] = files.emplace(type, path);
      const std::string clash = type + " is defined in " + known->second + " and in " + path;
      if (!is_new) FAIL_CHECK(clash);
    }
  }
  CHECK(files.count("foretrain::SpecNode") == 1);
  CHECK(files.count("foretrain::sim::Timeline") == 1);
}

TEST_CASE("Types are found where they are defined, and unnamed namespaces and declarations are passed over") {
  const std::string text =
      "namespace a::b {\nnamespace {\nstruct Own {\n};\n}  // namespace\nclass Declared;\n"
      "struct Plain { int x; };\nenum class Kind : int { one };\nclass Derived final : public Plain {\n};\n}  // "
      "namespace a::b\n";
  CHECK(defined_types(text) == std::vector<std::string>{"a::b::Plain", "a::b::Kind", "a::b::Derived"});
}

TEST_CASE("Each kind of wrong include is caught, and right ones are not") {
  CHECK(include_violations("base/a.h", "#include \"sim/timeline.h\"\n").size() == 1);
  CHECK(include_violations("sim/a.cc", "  #  include  \"planner/plan.h\"").size() == 1);
  CHECK(include_violations("sim/a.cc", "#include \"event_queue.h\"").size() == 1);
  CHECK(include_violations("sim/a.cc", "#include \"../base/units.h\"").size() == 1);
  CHECK(include_violations("sim/a.h", "#include <nlohmann/json.hpp>\n#include <boost/graph/x.hpp>").size() == 2);
  CHECK(include_violations("cli/a.h", "#include <CLI/CLI.hpp>").size() == 1);
  CHECK(include_violations("validate/gpu/runner.cu", "#include <fmt/format.h>").size() == 1);

  CHECK(
      include_violations("cli/a.cc", "#include <CLI/CLI.hpp>\n#include \"base/text.h\"\n#include \"cli/b.h\"").empty());
  CHECK(include_violations("sim/a.h", "#include <vector>\n#include <nlohmann/json_fwd.hpp>").empty());
  CHECK(include_violations("sim/a.h", "// see #include \"planner/plan.h\"").empty());
}

TEST_CASE("A link that points up is caught in either spelling, and the right ones are not") {
  CHECK(cmake_violations("sim", "target_link_libraries(foretrain_sim PUBLIC foretrain::planner)").size() == 1);
  CHECK(cmake_violations("base", "target_link_libraries(foretrain_base PRIVATE foretrain_cli)").size() == 1);
  CHECK(cmake_violations("sim",
                         "target_link_libraries(foretrain_sim PUBLIC foretrain::hwmodels foretrain_options)\n"
                         "# unlike foretrain::planner")
            .empty());
}
