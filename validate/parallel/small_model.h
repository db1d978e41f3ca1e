/// Transformers small enough to check against plain loops, and what their parameters are.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace foretrain::parallel {

enum class Family : std::uint8_t {
  gpt,   ///< LayerNorm, learned positions, GeLU, biases
  llama  ///< RMSNorm, RoPE, SwiGLU, no biases
};

struct SmallModel {
  Family family = Family::gpt;
  std::int64_t layers = 2;
  std::int64_t hidden = 16;
  std::int64_t heads = 4;
  std::int64_t kv_heads = 4;
  std::int64_t head_dim = 4;
  std::int64_t ffn_hidden = 32;
  std::int64_t vocab = 24;
  std::int64_t sequence = 8;
  bool tied_embeddings = false;
  float attention_drop = 0;  ///< of the attention probabilities
  float hidden_drop = 0;     ///< after the embedding, the attention and the MLP
};

/// Which axis of a parameter [rows, columns] tensor parallelism cuts.
enum class Cut : std::uint8_t { none, rows, columns };

struct ParameterSpec {
  std::string name;  ///< within its unit: "query weight"
  std::int64_t rows = 1;
  std::int64_t columns = 1;
  Cut cut = Cut::none;
  std::int64_t most_parts =
      1 << 20;  ///< keys and values: kv_heads; beyond, consecutive tensor ranks hold the same part
  /// With sequence parallelism a tensor rank's gradient covers its tokens only.
  bool in_sequence_region = false;
};

/// Parameters that are gathered, reduced and updated together.
struct UnitSpec {
  std::string name;
  std::vector<ParameterSpec> parameters;
};

/// "words", "positions" (gpt), "layer 0" ..., "final norm", "head" (untied).
std::vector<UnitSpec> units_of(const SmallModel& model);

/// By "unit/name", each row-major over the whole parameter.
using Weights = std::map<std::string, std::vector<float>>;

/// Uniform numbers of Philox: matrices in +-1/sqrt(columns), norm weights 1 +- 0.2, biases and tables +-0.2; so no
/// parameter is at a special value that would hide an error.
Weights initial_weights(const SmallModel& model, std::uint64_t seed);

/// sequence + 1 token ids; the target of position i is token i + 1.
std::vector<int> token_ids(const SmallModel& model, std::int64_t step, std::int64_t sequence_number);

/// The piece of `whole` that is part number `part` of `parts`.
template <class T>
std::vector<T> piece_of(const ParameterSpec& spec, std::span<const T> whole, std::int64_t part, std::int64_t parts) {
  const std::int64_t rows = spec.cut == Cut::rows ? spec.rows / parts : spec.rows;
  const std::int64_t columns = spec.cut == Cut::columns ? spec.columns / parts : spec.columns;
  const std::int64_t first_row = spec.cut == Cut::rows ? rows * part : 0;
  const std::int64_t first_column = spec.cut == Cut::columns ? columns * part : 0;
  std::vector<T> piece;
  piece.reserve(static_cast<std::size_t>(rows * columns));
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c)
      piece.push_back(whole[static_cast<std::size_t>((first_row + r) * spec.columns + first_column + c)]);
  }
  return piece;
}

}  // namespace foretrain::parallel
