// Importers on what no trainer wrote: one line with file and place, never a crash, never long.
#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>

#include <doctest/doctest.h>

#include "tests/planner/export_cases.h"

using namespace foretrain;
namespace fs = std::filesystem;

namespace {

std::string file_text(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

/// What import_config says of a file with these bytes; "" when it takes it.
std::string complaint(const Importer& importer, const std::string& bytes) {
  const fs::path path = fs::temp_directory_path() / ("foretrain_import_" + std::to_string(::getpid()));
  std::ofstream(path, std::ios::binary) << bytes;
  std::string what;
  try {
    static_cast<void>(import_config(importer, path.string()));
  } catch (const SpecError& error) {
    what = error.what();
  }
  fs::remove(path);
  CHECK(what.find('\n') == std::string::npos);
  if (!what.empty()) CHECK(what.substr(0, path.string().size()) == path.string());
  return what.empty() ? what : what.substr(path.string().size());
}

/// The same of a text that is UTF-8 with LF already, without a file in between.
std::string complaint_of_text(const Importer& importer, const std::string& text) {
  try {
    static_cast<void>(importer.read(text, "f"));
  } catch (const SpecError& error) {
    const std::string what = error.what();
    CHECK(what.find('\n') == std::string::npos);
    CHECK(what.front() == 'f');
    return what;
  }
  return "";
}

/// A text that `importer` takes.
std::string sound(const Importer& importer) {
  if (importer.name == "megatron-lm") return file_text("tests/data/scripts/llama_70b_slurm.sh");
  const bool is_titan = importer.name.substr(0, 10) == "torchtitan";
  const std::string framework = is_titan                       ? "torchtitan"
                                : importer.name == "deepspeed" ? "deepspeed"
                                : importer.name == "nanotron"  ? "nanotron"
                                                               : "megatron-core";
  const Problem problem = job(R"({"model": "llama-3.1-8b", "cluster": {"node": "dgx-h100", "nodes": 2},
      "training": {"sequence_length": 4096, "global_batch": 64}, "software": {"framework": ")" +
                              framework + R"("}, "plan": {"tensor": 2}})");
  return exporter_named(importer.name).write(problem, *problem.plan);
}

}  // namespace

TEST_CASE("CR LF and a byte order mark change nothing; other encodings are named") {
  for (const Importer& importer : importers()) {
    CAPTURE(importer.name);
    const std::string text = sound(importer);
    REQUIRE(complaint(importer, text) == "");
    std::string windows = "\xEF\xBB\xBF";
    for (const char c : text) windows += c == '\n' ? std::string("\r\n") : std::string(1, c);
    CHECK(complaint(importer, windows) == "");
    std::string wide = "\xFF\xFE";
    for (const char c : text) wide += std::string(1, c) + '\0';
    CHECK(complaint(importer, wide) == ":1: expected text in UTF-8; this file is UTF-16");
    CHECK(complaint(importer, "\xC0\xC1" + text) != "");
    CHECK(complaint(importer, text.substr(0, text.size() / 2) + '\0' + text) != "");
    CHECK(complaint(importer, "") != "");
  }
}

TEST_CASE("a configuration of one trainer is refused by the importers of the others") {
  for (const Importer& importer : importers())
    for (const Importer& other : importers()) {
      CAPTURE(importer.name);
      CAPTURE(other.name);
      if (importer.name != other.name) CHECK(complaint_of_text(importer, sound(other)) != "");
    }
}

TEST_CASE("cut off anywhere, a configuration is refused or still whole, in one line") {
  for (const Importer& importer : importers()) {
    CAPTURE(importer.name);
    const std::string text = sound(importer);
    for (std::size_t part = 0; part < 60; ++part)
      static_cast<void>(complaint_of_text(importer, text.substr(0, text.size() * part / 60)));
  }
}

TEST_CASE("random changes never crash an importer") {
  std::mt19937 random(7);
  constexpr std::string_view kPieces = "\"'$(){}[]<>|&;\\\n\t =-#*@!%\x01\x7f 0129azAZ~`,:.";
  for (const Importer& importer : importers()) {
    CAPTURE(importer.name);
    const std::string text = sound(importer);
    for (int round = 0; round < 300; ++round) {
      std::string changed = text;
      for (int i = 0; i < 4; ++i) {
        const std::size_t at = random() % changed.size();
        const char piece = kPieces[random() % kPieces.size()];
        switch (random() % 3) {
          case 0:
            changed[at] = piece;
            break;
          case 1:
            changed.insert(at, 1, piece);
            break;
          default:
            changed.erase(at, 1 + random() % 20);
            break;
        }
      }
      static_cast<void>(complaint_of_text(importer, changed));
    }
  }
}

TEST_CASE("huge and deep files are refused within seconds") {
  for (const Importer& importer : importers()) {
    CAPTURE(importer.name);
    const auto start = std::chrono::steady_clock::now();
    for (const char* open : {"[", "{", "$(", "((", "\"", "- ", "a: {", "[[", "a.b.", "x=[", "if "}) {
      CAPTURE(open);
      std::string deep;
      for (int i = 0; i < 200'000; ++i) deep += open;
      CHECK(complaint_of_text(importer, deep) != "");
    }
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(60));
  }
}

TEST_CASE("a file over 100 MB is refused") {
  const fs::path path = fs::temp_directory_path() / ("foretrain_huge_" + std::to_string(::getpid()));
  std::ofstream(path, std::ios::binary) << "x";
  fs::resize_file(path, 100'000'001);
  CHECK_THROWS_WITH(import_config(importer_named("nanotron"), path.string()),
                    (path.string() + ": is over 100 MB").c_str());
  fs::remove(path);
}

TEST_CASE("contradictions and slips in a Megatron-LM script name line and flag") {
  const Importer& importer = importer_named("megatron-lm");
  const std::string model =
      "--num-layers 8 --hidden-size 512 --num-attention-heads 8 --seq-length 256 "
      "--max-position-embeddings 256 --micro-batch-size 1 --global-batch-size 16 --vocab-size 1000 ";
  const auto script = [&](const std::string& more) {
    return complaint(importer, "torchrun --nproc-per-node 8 pretrain_gpt.py " + model + "\\\n " + more + "\n");
  };
  CHECK(script("") == "");
  CHECK(script("--tensor-model-parallel-size 3") ==
        ":2: --tensor-model-parallel-size: world size 8 is not divisible by tensor x pipeline x context = 3");
  CHECK(script("--tensor-model-paralel-size 2") ==
        ":2: Megatron-LM has no flag \"--tensor-model-paralel-size\"; did you mean --tensor-model-parallel-size?");
  CHECK(script("--normalization LayerNrm") ==
        ":2: --normalization: expected one of LayerNorm, RMSNorm; got \"LayerNrm\"");
  CHECK(script("--pipeline-model-parallel-size two") ==
        ":2: --pipeline-model-parallel-size: expected a whole number; got \"two\"");
  CHECK(script("--pipeline-model-parallel-size") == ":2: --pipeline-model-parallel-size needs a value");
  CHECK(script("--recompute-granularity full") ==
        ":2: --recompute-granularity: full needs --recompute-method uniform or block");
  CHECK(script("--overlap-param-gather") == ":2: --overlap-param-gather: must be used with --overlap-grad-reduce");
  CHECK(script("--bf16 --fp16") == ":2: --fp16: excludes --bf16");
  CHECK(script("--pipeline-model-parallel-size 2 --pipeline-model-parallel-layout 'Et*4|t*3L'") ==
        ":2: --pipeline-model-parallel-layout: holds 7 layers; --num-layers is 8");
  CHECK(script("--tensor-model-parallel-size $TP").find("$TP is not known here") != std::string::npos);
  CHECK(script("stray") == ":2: expected a flag of Megatron-LM; got \"stray\"");
  CHECK(complaint(importer, "echo hello\n") ==
        ": starts no Megatron-LM trainer: expected a command with pretrain_gpt.py");
}

namespace {
const Importer& importer_of(std::string_view name) {
  for (const Importer& importer : importers())
    if (importer.name == name) return importer;
  throw std::invalid_argument(std::string(name));
}
}  // namespace

TEST_CASE("what is deep, endless or beyond any machine is refused before it is followed") {
  const auto repeated = [](const std::string& text, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) all += text;
    return all;
  };
  const Importer& megatron = importer_of("megatron-lm");
  CHECK(complaint_of_text(megatron, repeated("a=(", 5000)).find("arrays are nested over 100 deep") !=
        std::string::npos);
  CHECK(complaint_of_text(megatron, "a=(x x)\n" + repeated("a=(\"${a[@]}\" \"${a[@]}\")\n", 60)).find("words") !=
        std::string::npos);
  std::string loops;
  for (const char* name : {"i", "j", "k", "l", "m", "n"})
    loops += std::string("for ") + name + " in " + repeated("1 ", 20) + "; do\n";
  loops += "x=1\n" + repeated("done\n", 6);
  CHECK(complaint_of_text(megatron, loops).find("more than 100,000 commands") != std::string::npos);
  CHECK(complaint_of_text(megatron, "echo ${#@} ${#*}\n").find("pretrain_gpt.py") != std::string::npos);
  const std::string base =
      "python pretrain_gpt.py --num-layers 8 --num-attention-heads 8 --seq-length 1024 "
      "--micro-batch-size 1 --max-position-embeddings 1024 --vocab-size 1000 ";
  CHECK(complaint_of_text(megatron, base + "--hidden-size 4611686018427387904").find("to 1000000000") !=
        std::string::npos);
  CHECK(complaint_of_text(megatron, base + "--hidden-size 1024 --pipeline-model-parallel-size 2 "
                                           "--pipeline-model-parallel-layout '(tt)*9223372036854775808'") != "");
  const Importer& titan = importer_of("torchtitan");
  CHECK(complaint_of_text(titan, "a=" + repeated("[", 100'000)) != "");
  CHECK(complaint_of_text(titan, "a=1\na=f(\nb=2\n)\n").find("is a value above") != std::string::npos);
}
